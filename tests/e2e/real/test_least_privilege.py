"""As little as a trace can do with: fewer capabilities, no token, an image by its digest, another user's rights."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.request import DEFAULT_IMAGE, Access, PodOptions
from tests.cluster import machine, places
from tests.cluster.kubectl import Kubectl
from tests.e2e.place import Cluster, Lab
from tests.e2e.real.conftest import RBAC
from tests.e2e.real.running import refused, trace

pytestmark = [pytest.mark.lab, pytest.mark.cluster_only, pytest.mark.one_backend]

NODES = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
IMPERSONATED = ("--as", "jane", "--as-group", "tracers")


def test_netraw_traces_and_says_what_it_could_not_see(place: Lab, tmp_path: Path) -> None:
    run = trace(place, tmp_path, "--profile", "netraw")
    assert (run.code, run.report["verdict"], run.report["completeness"]["complete"]) == (0, "delivered", True), run.stderr
    assert {capture["dropped_by_kernel"] for capture in run.report["captures"]} == {0}
    (note,) = run.report["completeness"]["notes"]
    assert f"--profile netraw could not see on {', '.join(NODES)}: " in note
    for subject in ("packet filters", "connections and their translations", "what the kernel dropped, and why"):
        assert subject in note


def test_netraw_finds_the_leg_of_a_loss_and_claims_no_cause_that_it_cannot_prove(place: Lab, tmp_path: Path) -> None:
    """With all rights the rule's own counter proves it, and the packets are dropped."""
    place.fault("host-firewall")
    run = trace(place, tmp_path, "--profile", "netraw", duration="4s")
    assert (run.code, run.report["verdict"]) == (3, "lost"), run.stderr
    assert run.report["cause"] != "host-firewall"
    assert "packet filters" in run.report["completeness"]["notes"][0]


@pytest.mark.parametrize("profile", ["privileged", "netraw"])
def test_no_token_is_in_a_debug_pod(place: Lab, kubectl: Kubectl, profile: str) -> None:
    pods = DebugPods(connect(Access(kubeconfig=str(place.kubeconfig))), session="token", options=PodOptions(profile=profile), lifetime_s=60)
    try:
        assert pods.start([Node(name=NODES[0], annotations={})]) == {}
        look = "find / -xdev -path '*serviceaccount*' -name token; grep -c serviceaccount /proc/mounts"
        said = kubectl.run("exec", "--namespace", "default", str(pods.pod(NODES[0])), "--", "sh", "-c", f"{look}; true")
        assert said.split() == ["0"]
    finally:
        pods.delete()


@pytest.fixture
def digest(kubectl: Kubectl) -> Iterator[str]:
    """The default image by its digest; every node knows it by this name meanwhile."""
    listed = machine.found(places.state_dir(), NODES[0]).run(["ctr", "--namespace", "k8s.io", "images", "list"]).stdout
    found = next(line.split()[2] for line in listed.splitlines() if line.startswith(f"{DEFAULT_IMAGE} "))
    name = f"{DEFAULT_IMAGE.rpartition(':')[0]}@{found}"
    nodes = [machine.found(places.state_dir(), node) for node in NODES]
    for node in nodes:
        node.run(["ctr", "--namespace", "k8s.io", "images", "tag", "--force", DEFAULT_IMAGE, name])
    yield name
    for node in nodes:
        node.run(["ctr", "--namespace", "k8s.io", "images", "remove", name])


def test_an_image_by_its_digest(place: Lab, digest: str, tmp_path: Path) -> None:
    run = trace(place, tmp_path, "--image", digest)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


@pytest.fixture
def impersonator(place: Lab, kubectl: Kubectl, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster as somebody sees it who may do nothing but act as jane of the group tracers, which has the rights of the manual."""
    kubectl.run("apply", "--filename", str(RBAC))
    kubectl.run("create", "serviceaccount", "acting", "--namespace", "default")
    kubectl.apply(
        [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "acting"},
                "rules": [
                    {"apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"], "verbs": ["impersonate"]},
                    {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["tracers"], "verbs": ["impersonate"]},
                ],
            }
        ]
    )
    kubectl.run("create", "clusterrolebinding", "acting", "--clusterrole=acting", "--serviceaccount=default:acting")
    kubectl.run("create", "clusterrolebinding", "tracers", "--clusterrole=vxtrace-read", "--group=tracers")
    kubectl.run("create", "rolebinding", "tracers", "--namespace", "default", "--role=vxtrace-debug", "--group=tracers")
    config = json.loads(places.KUBECONFIG.read_text())
    config["users"][0]["user"] = {"token": kubectl.run("create", "token", "acting", "--namespace", "default").strip()}
    path = tmp_path / "acting.kubeconfig"
    path.write_text(json.dumps(config))
    yield Cluster(path)
    kubectl.run("delete", "clusterrolebinding", "acting", "tracers")
    kubectl.run("delete", "clusterrole/acting", "--namespace", "default")
    kubectl.run("delete", "serviceaccount/acting", "rolebinding/tracers", "--namespace", "default")
    kubectl.run("delete", "--filename", str(RBAC))


def test_who_acts_as_another_has_the_other_s_rights_and_no_more(impersonator: Cluster, tmp_path: Path) -> None:
    """Lists, creation, exec and deletion carry it: the own rights would not do for any of them."""
    run = trace(impersonator, tmp_path, *IMPERSONATED)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    assert run.report["cleanup"]["state"] == "confirmed"
    refused(trace(impersonator, tmp_path, *IMPERSONATED[:2]), 2, "list pods in namespace kotsadm", "create pods/exec in namespace default")
    refused(trace(impersonator, tmp_path, "--as", "joe"), 2, "cannot impersonate")
