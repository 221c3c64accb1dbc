"""What can be known of the cluster without starting it."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster import binaries, calico, cgroups, flannel, image, pki, plan, workloads
from tests.cluster.kubectl import wait_for
from tests.datapath import shape
from tests.datapath.tools import LabError

V1 = "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"


def test_hierarchies_of_both_versions_are_found() -> None:
    assert cgroups.hierarchies(f"proc /proc proc rw 0 0\n{V1}{V2}") == ([Path("/sys/fs/cgroup/pids")], [Path("/sys/fs/cgroup/unified")])
    assert cgroups.hierarchies("") == ([], [])


def test_flannels_configuration_has_the_subnet_without_the_bridges_address() -> None:
    found = flannel.conflist("10.244.0.0/16", {"FLANNEL_SUBNET": "10.244.2.1/24", "FLANNEL_MTU": "1410"})
    bridge = found["plugins"][0]  # type: ignore[index]  # JSON
    assert (bridge["bridge"], bridge["mtu"]) == ("cni0", 1410)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}]]


def test_felix_rules_are_without_kube_proxys_and_come_first(tmp_path: Path) -> None:
    lab = plan.design("calico-shaped", tmp_path)
    text = calico.felix_rules(lab, lab.nodes[0])
    assert "KUBE-" not in text
    assert [line.split()[1:3] for line in text.splitlines() if line.startswith("-I")].count(["FORWARD", "1"]) == 1
    assert text.count("*filter\n") == text.count("*nat\n") == 1
    assert text.count("COMMIT") == 4
    assert "Drop IPv4 VXLAN packets from non-allowed hosts" in text


@pytest.mark.parametrize("cni", plan.NETWORKS)
def test_pods_bear_the_names_of_the_lab_and_fit_their_owners(cni: str, tmp_path: Path) -> None:
    lab = plan.design(cni, tmp_path)
    names = {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in workloads.pods(lab)}
    assert shape.CLIENT in names
    assert {("kube-system", "coredns-86b5dd7f68-9zdn8"), ("kube-system", "coredns-86b5dd7f68-kp2bk")} <= names
    sets = {each["metadata"]["name"]: each for each in workloads.replica_sets(lab)}
    deployments = {each["metadata"]["name"]: each for each in workloads.controllers(lab) if each["kind"] == "Deployment"}
    for name, owner in sets.items():
        labels = owner["spec"]["selector"]["matchLabels"]
        fitting = [pod for pod in workloads.pods(lab) if labels.items() <= pod["metadata"]["labels"].items()]
        assert len(fitting) == owner["spec"]["replicas"]
        # A Deployment adopts a ReplicaSet whose template is its own, but for the hash (EqualIgnoreHash in kubernetes).
        deployment = deployments[name.rpartition("-")[0]]
        template = json.loads(json.dumps(owner["spec"]["template"]))
        del template["metadata"]["labels"]["pod-template-hash"]
        assert template == deployment["spec"]["template"]


def test_objects_are_named_once(tmp_path: Path) -> None:
    lab = plan.design("flannel", tmp_path)
    made = [
        *workloads.namespaces(lab),
        *workloads.foundation(lab),
        *workloads.pods(lab),
        *workloads.replica_sets(lab),
        *workloads.controllers(lab),
    ]
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in made]
    assert len(keys) == len(set(keys))


def test_an_archive_holds_each_layer_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    image.write_archive(tmp_path / "images.tar", [("a:1", {"Cmd": ["a"]}, [one]), ("b:1", {"Cmd": ["b"]}, [one, two])])
    with tarfile.open(tmp_path / "images.tar") as archive:
        names = archive.getnames()
        content = archive.extractfile("manifest.json")
        assert content is not None
        manifest = json.load(content)
    assert len([name for name in names if name.endswith(".tar")]) == 2
    assert [(entry["RepoTags"], len(entry["Layers"])) for entry in manifest] == [(["a:1"], 1), (["b:1"], 2)]
    assert set(names) == {"manifest.json"} | {entry["Config"] for entry in manifest} | {
        layer for entry in manifest for layer in entry["Layers"]
    }


def test_versions_come_from_go_mod() -> None:
    kubernetes = next(module for module in binaries.modules() if module.name == "kubernetes")
    assert "gitVersion=v1." in kubernetes.ldflags
    assert binaries.coredns_version().startswith("v1.")


def test_a_kubeconfig_needs_no_other_file() -> None:
    config = pki.kubeconfig("10.128.0.72", b"authority", "admin", "secret")
    assert json.loads(json.dumps(config)) == config
    assert "certificate-authority-data" in str(config)


def test_waiting_ends_with_the_reason() -> None:
    with pytest.raises(LabError, match=r"a miracle did not happen within 0 s: still none"):
        wait_for("a miracle", lambda: False, 0.1, lambda: "still none")
