"""What flags and the smaller commands do."""

import base64
import json
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.e2e.listing import pods
from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]

# What is captured on a node, in the order of a request that leaves it.
ROLES = {"calico": ["pod", "vxlan", "underlay"], "flannel": ["pod", "bridge", "vxlan", "underlay"]}


@pytest.mark.parametrize("mode", ["client", "server"])
def test_dry_run_says_everything_and_makes_nothing(place: Lab, backend: str, mode: str, tmp_path: Path) -> None:
    before = pods(place.kubeconfig)
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--dry-run", mode, "-o", "json", cwd=tmp_path)
    assert run.code == 0, run.stderr
    plan = json.loads(run.stdout)
    assert pods(place.kubeconfig) == before
    assert list(tmp_path.iterdir()) == []
    assert [pod["spec"]["nodeName"] for pod in plan["pods"]] == ["ada-ec-1", "ada-ec-2", "ada-ec-3"]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] for pod in plan["pods"]} == {"kubectl-vxtrace"}
    roles = ROLES[backend]
    assert [(capture["node"], capture["role"]) for capture in plan["captures"][: len(roles)]] == [("ada-ec-1", role) for role in roles]
    assert len(plan["captures"]) == 3 * len(roles)
    assert {capture["file"] for capture in plan["captures"]} >= {"ada-ec-1-pod.pcap", "ada-ec-2-primary-interface.pcap"}
    assert plan["captures"][0]["interface"] is None
    assert f"<pod interface of {CLIENT}>" in plan["captures"][0]["argv"]


def test_the_filters_of_a_dry_run_are_what_libpcap_takes(place: Lab, backend: str, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--dry-run", "client", cwd=tmp_path)
    manifests, _, commands = run.stdout.partition("\n...\n")
    assert len([manifest for manifest in yaml.safe_load_all(manifests) if manifest]) == 3
    lines = [shlex.split(line) for line in commands.splitlines() if line.startswith("tcpdump ")]
    assert len(lines) == 3 * len(ROLES[backend])
    for line in lines:
        subprocess.run(["tcpdump", "-y", "EN10MB", "-d", "--", line[-1]], check=True, capture_output=True)


def test_dry_run_at_the_server_asks_admission(place: Lab, tmp_path: Path) -> None:
    arguments = ["pod", CLIENT, "--to", "kube-dns", "--debug-namespace", "locked", "--dry-run"]
    assert place.vxtrace(*arguments, "client", cwd=tmp_path).code == 0
    refused = place.vxtrace(*arguments, "server", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "PodSecurity" in refused.stderr


def test_count_ends_it_early_and_counts_what_was_asked_for(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--count", "6", "--bundle", "none", cwd=tmp_path, duration="60s")
    assert run.code == 0, run.stderr
    assert run.report["metadata"]["duration_s"] < 30
    assert sum(each["hops"][0]["packets"] for flow in run.report["flows"] for each in flow["directions"]) >= 6


def test_max_wall_ends_it_early(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--max-wall", "8s", "--bundle", "none", cwd=tmp_path, duration="60s")
    assert run.code in (0, 4), run.stderr
    assert "--max-wall" in run.stderr
    assert run.report["metadata"]["duration_s"] < 8
    assert run.report["cleanup"]["state"] == "confirmed"


def test_max_nodes(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--max-nodes", "2", cwd=tmp_path)
    assert (run.code, run.stdout) == (2, "")
    assert "3 nodes" in run.stderr


def test_kept_pods_are_said_and_cleaned_up_later(place: Lab, tmp_path: Path) -> None:
    before = pods(place.kubeconfig)
    run = place.trace("--keep-pods", "--show", "0", "--bundle", "none", cwd=tmp_path, duration="2s")
    assert run.code in (0, 4), run.stderr
    assert run.report["packets"] == []
    assert run.report["cleanup"]["state"] == "kept"
    kept = run.report["cleanup"]["left"]
    assert {name.split()[0] for name in pods(place.kubeconfig) - before} == set(kept)
    assert len(kept) == 3
    # They are not over yet, so that only --all takes them.
    assert json.loads(place.vxtrace("cleanup", "-o", "json", cwd=tmp_path).stdout)["removed"] == []
    removed = place.vxtrace("cleanup", "--all", "-o", "yaml", cwd=tmp_path)
    assert removed.code == 0, removed.stderr
    assert yaml.safe_load(removed.stdout) == {"state": "confirmed", "removed": sorted(kept), "left": []}
    assert pods(place.kubeconfig) == before


def test_show_lists_so_many_delivered_packets(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--show", "3", "--bundle", "none", cwd=tmp_path)
    assert run.code == 0, run.stderr
    assert len(run.report["packets"]) == 3
    assert sum(each["hops"][0]["packets"] for flow in run.report["flows"] for each in flow["directions"]) > 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["kotsadm-58f859745b-x4nh8", "-n", "kotsadm"],
        ["kotsadm-58f859745b-x4nh8", "-n=kotsadm", "-q=false", "--quiet=true"],
        ["kotsadm/kotsadm-58f859745b-x4nh8", "-n", "kube-system"],
        ["pod/kotsadm/kotsadm-58f", "--context", "{context}"],
        ["deploy/kotsadm", "--namespace", "kotsadm", "--to", "svc/kube-system/kube-dns:53/udp"],
        ["po/kotsadm-58f859745b-x4nh8", "-n", "kotsadm", "--to", "10.96.0.10:53/udp", "--user", "{user}", "--cluster", "{cluster}"],
        ["-l", "app=kotsadm", "-n", "kotsadm", "--to", "kube-dns.kube-system:dns"],
        ["kotsadm/kotsadm-58f", "--to", "kube-dns.kube-system.svc.cluster.local:53/udp"],
        ["kotsadm/kotsadm-58f", "--to", "udp://kube-dns.kube-system.svc:53/x"],
        ["{address}", "--port", "53", "--protocol", "udp", "--as", "root", "--as-group", "system:masters", "--request-timeout", "20s"],
    ],
)
def test_ways_to_name_the_same(place: Lab, arguments: list[str], tmp_path: Path) -> None:
    config = yaml.safe_load(place.kubeconfig.read_text())
    names = {kind: config[f"{kind}s"][-1]["name"] for kind in ("context", "user", "cluster")}
    if "{address}" in arguments:
        names["address"] = place.pod(CLIENT, "ip", "-4", "-o", "address", "show", "eth0").split()[3].partition("/")[0]
    to = [] if "--to" in arguments else ["--to", "kube-dns"]
    run = place.vxtrace("pod", *(word.format(**names) for word in arguments), *to, "--dry-run", "client", "-o", "json", cwd=tmp_path)
    assert run.code == 0, run.stderr
    flows = json.loads(run.stdout)["flows"]
    assert {flow["client"]["pod"] for flow in flows} == {CLIENT}
    assert {flow["server"]["node"] for flow in flows} == place.dns_nodes()


def test_a_cluster_that_is_named_by_flags_alone(place: Lab, tmp_path: Path) -> None:
    config = yaml.safe_load(place.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    token = next(user["user"]["token"] for user in config["users"] if "token" in user["user"])
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    flags = ["--server", cluster["server"], "--token", token, "--certificate-authority", str(authority)]
    run = place.vxtrace(
        "pod", CLIENT, "--to", SERVICE, "--duration", "3s", "-o", "json", *flags, cwd=tmp_path, environment={"KUBECONFIG": "/nowhere"}
    )
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr
    (bundle,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(bundle) as packed:
        members = [packed.read(name) for name in packed.namelist()]
    assert not [member for member in [*members, run.stdout.encode(), run.stderr.encode()] if token.encode() in member]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["pod", "kotsadm/kotsadm-58"], CLIENT),
        (["pod", CLIENT, "--to", "svc/kube-system/kube-"], "svc/kube-system/kube-dns"),
        (["pod", CLIENT, "--to=node/ada-ec-1"], "node/ada-ec-1"),
        (["pod", "-n", "kube-s"], "kube-system"),
    ],
)
def test_names_of_the_cluster_are_completed(place: Lab, words: list[str], wanted: str, tmp_path: Path) -> None:
    run = place.vxtrace("__complete", *words, cwd=tmp_path)
    assert (run.code, run.stdout, run.stderr) == (0, f"{wanted}\n:4\n", "")


@pytest.mark.parametrize(
    ("arguments", "flows", "nodes"),
    [
        ([], 0, ["ada-ec-1", "ada-ec-2", "ada-ec-3"]),
        (["pod", CLIENT], 0, ["ada-ec-1"]),
        (["pod", CLIENT, "--to", "kube-dns:53/udp"], 2, ["ada-ec-1", "ada-ec-2", "ada-ec-3"]),
    ],
)
def test_check(place: Lab, arguments: list[str], flows: int, nodes: list[str], tmp_path: Path) -> None:
    before = pods(place.kubeconfig)
    run = place.vxtrace("check", *arguments, "-o", "json", cwd=tmp_path)
    assert run.code == 0, run.stderr
    said = json.loads(run.stdout)
    assert {item["state"] for item in said.pop("checks")} == {"ok"}
    assert said == {"ok": True, "flows": flows, "nodes": nodes, "gaps": []}
    assert pods(place.kubeconfig) == before


def test_version_names_both_ends(place: Lab, tmp_path: Path) -> None:
    said = json.loads(place.vxtrace("version", "-o", "json", cwd=tmp_path).stdout)
    assert said["clientVersion"].startswith("v")
    assert said["serverVersion"].startswith("v1.")


def test_quiet_says_nothing_but_the_report(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--duration", "2s", "-q", "--color", "always", "--bundle", "none", cwd=tmp_path)
    assert run.stderr == ""
    assert "\x1b[" in run.stdout
