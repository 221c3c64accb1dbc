"""Bad input: one clear message, a next step, the contract's exit code, and nothing left in the cluster."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.listing import pods
from tests.e2e.place import CLIENT, Lab, Run
from tests.unpacking import unpacked

pytestmark = [pytest.mark.lab, pytest.mark.one_backend]


def _assert_refused(run: Run, code: int, *said: str) -> None:
    assert run.code == code, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("error: ") == 1
    assert "Traceback" not in run.stderr
    for text in said:
        assert text in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pod", "kotsadm/kotsadmin", "--to", "kube-dns"], 2, "kotsadm/kotsadm-58f859745b-x4nh8"),
        (["pod", "default/kotsadm-58f859745b-x4nh8", "--to", "kube-dns"], 2, "kotsadm/kotsadm-58f859745b-x4nh8"),
        (["pod", "kube-system/coredns", "--to", "kube-dns"], 2, "kube-system/coredns-86b5dd7f68-9zdn8"),
        (["pod", CLIENT, "--to", "kube-dnss"], 2, "kube-dns"),
        (["pod", CLIENT, "--to", "kube-dns:54"], 2, "53"),
        (["pod", CLIENT, "--to", "kube-dns", "--filter", "-z /bin/sh"], 2, "-z"),
        (["pod", CLIENT, "--to", "kube-dns", "--filter", "port is 53"], 2, "filter"),
        (["pod", CLIENT, "--to", "kube-dns", "--filter", ""], 2, "--filter"),
        (["pod", CLIENT, "--to", "kube-dns", "--filter", "port 53; touch /tmp/x"], 2, "filter"),
        (["pod", CLIENT, "--to", "kube-dns", "--filter", "port 53 \x1b[2J"], 2, "--filter"),
        (["pod", "-x/-y", "--to", "kube-dns"], 2, "-x"),
        (["pod", "--to", "kube-dns", "--", "-x/-y"], 2, "-x"),
        (["pod", CLIENT, "--to", "a b;id"], 2, "a b;id"),
        (["pod", CLIENT, "--to", "[fd00::1]:53"], 2, "IPv6"),
        (["pod", CLIENT, "--to", "kube-dns", "--user", "nobody-knows"], 2, "nobody-knows"),
        (["pod", CLIENT, "--to", "kube-dns", "--as-group", "x"], 2, "--as"),
        (["pod", CLIENT, "--to", "kube-dns", "--bundle", "/nonexistent/x.zip"], 2, "/nonexistent"),
        (["pod", CLIENT, "--to", "kube-dns", "--dry-run", "client", "-o", "name"], 2, "-o name"),
        (["check", "everything"], 2, "everything"),
        (["pod", CLIENT, "--to", "kube-dns", "--duration", "15"], 2, "15"),
        (["pod", CLIENT, "--port", "53"], 2, "--to"),
        (["pod", CLIENT, "--to", "kube-dns", "--bundle", "none", "-o", "name"], 2, "--bundle"),
        (["pod", CLIENT, "--to", "kube-dns", "--image", "docker.io/library/absent:v1"], 1, "absent:v1"),
        (["pod", CLIENT, "--to", "kube-dns", "--context", "nowhere"], 2, "nowhere"),
        (["pod", CLIENT, "--to", "kube-dns", "--kubeconfig", "/nonexistent"], 2, "/nonexistent"),
        (["pod", CLIENT, "--to", "kube-dns", "--debug-namespace", "locked"], 2, "PodSecurity"),
        (["pod", CLIENT, "--to", "kube-dns", "--debug-namespace", "absent"], 2, "absent"),
        (["pod", CLIENT, "--to", "kube-dns", "-n=absent"], 2, 'namespaces "absent" not found'),
        (["pod", CLIENT, "--to", "absent/kube-dns"], 2, 'namespaces "absent" not found'),
        (["check", "-n=absent"], 2, 'namespaces "absent" not found'),
        (["cleanup", "--all", "-n=absent"], 2, 'namespaces "absent" not found'),
        (["cleanup", "--all", "-n==default"], 2, "no name of a namespace"),
        (["analyze", "/nonexistent.zip"], 2, "/nonexistent.zip"),
    ],
)
def test_is_refused_with_a_reason(place: Lab, arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    before = pods(place.kubeconfig)
    run = place.vxtrace(*arguments, cwd=tmp_path)
    assert run.code == code, run.stderr
    assert run.stdout == ""
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert pods(place.kubeconfig) == before
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_name_from_the_command_line_is_not_printed_raw(place: Lab, tmp_path: Path) -> None:
    run = place.vxtrace("pod", "kotsadm/\x1b[2Jx", "--to", "kube-dns", cwd=tmp_path)
    assert run.code == 2
    assert "\x1b" not in run.stderr


def test_unreachable_api(place: Lab, tmp_path: Path) -> None:
    config = yaml.safe_load(place.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    moved = tmp_path / "kubeconfig"
    moved.write_text(json.dumps(config))
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--kubeconfig", str(moved), cwd=tmp_path)
    _assert_refused(run, 1, "127.0.0.1:1")


def test_expired_credentials(place: Lab, tmp_path: Path) -> None:
    config = yaml.safe_load(place.kubeconfig.read_text())
    config["users"] = [{**user, "user": {"token": "expired"}} for user in config["users"]]
    other = tmp_path / "kubeconfig"
    other.write_text(json.dumps(config))
    run = place.vxtrace("pod", CLIENT, "--to", "kube-dns", "--kubeconfig", str(other), cwd=tmp_path)
    _assert_refused(run, 1, "nauthorized")


@pytest.fixture
def state(place: Lab) -> Iterator[Lab]:
    """The lab, whose files of failures and users are gone afterwards."""
    yield place
    place.state("control.json", None)
    place.state("users.json", None)


READER = [["get", "*"], ["list", "*"]]


@pytest.mark.lab_only
@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([], ["list nodes", "list pods in namespace kotsadm", "create pods/exec in namespace default", "get pods/exec"]),
        (READER, ["create pods in namespace default", "delete pods in namespace default", "create pods/exec in namespace default"]),
        ([*READER, ["*", "pods"], ["get", "pods/exec"]], ["create pods/exec in namespace default"]),
        ([["*", "pods"], ["*", "pods/exec"], ["*", "services"], ["*", "endpointslices"]], ["list nodes"]),
    ],
)
def test_missing_rights_are_listed_with_their_verbs(state: Lab, rules: list[list[str]], missing: list[str], tmp_path: Path) -> None:
    state.state("users.json", [{"name": "bob", "token": "t", "allowed": rules}])
    run = state.vxtrace("pod", CLIENT, "--to", "kube-dns", "--as", "bob", cwd=tmp_path)
    _assert_refused(run, 2, "missing rights", "docs/rbac.yaml", *missing)


@pytest.mark.lab_only
def test_the_api_does_not_work(state: Lab, tmp_path: Path) -> None:
    state.state("control.json", {"unavailable": True})
    run = state.vxtrace("pod", CLIENT, "--to", "kube-dns", cwd=tmp_path)
    _assert_refused(run, 1, "503")


@pytest.mark.lab_only
def test_no_node_is_ready(state: Lab, tmp_path: Path) -> None:
    state.state("control.json", {"node_not_ready": ["ada-ec-1", "ada-ec-2", "ada-ec-3"]})
    run = state.vxtrace("pod", CLIENT, "--to", "kube-dns", cwd=tmp_path)
    _assert_refused(run, 1, "ada-ec-1: the node is not ready", "ada-ec-3: the node is not ready")


@pytest.mark.lab_only
@pytest.mark.parametrize("key", ["node_not_ready", "refuse_exec"])
def test_one_node_does_not_answer(state: Lab, key: str, tmp_path: Path) -> None:
    """What the others saw is reported, and that this one could not be seen."""
    before = pods(state.kubeconfig)
    state.state("control.json", {key: ["ada-ec-2"]})
    run = state.trace("--bundle", "none", cwd=tmp_path)
    assert run.code == 4, run.stderr
    assert run.report["completeness"]["complete"] is False
    said = [blind["reason"] for blind in run.report["completeness"]["blind"] if blind["node"] == "ada-ec-2"]
    assert [text for text in said if {"node_not_ready": "not ready", "refuse_exec": "refused"}[key] in text], said
    healthy = next(flow for flow in run.report["flows"] if flow["server"] is not None and flow["server"]["node"] == "ada-ec-3")
    assert {direction["verdict"] for direction in healthy["directions"]} == {"delivered"}
    assert run.report["cleanup"]["state"] == "confirmed"
    state.state("control.json", None)
    assert pods(state.kubeconfig) == before


@pytest.mark.lab_only
def test_a_node_that_goes_away_keeps_its_pod_and_the_report_is_kept_too(state: Lab, tmp_path: Path) -> None:
    before = pods(state.kubeconfig)
    process = subprocess.Popen(
        [sys.executable, "-m", "kubectl_vxtrace", "pod", CLIENT, "--to", "kube-dns", "--duration", "4s", "-o", "json"],
        cwd=tmp_path,
        env={**os.environ, **state.environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("listening" in line for line in process.stderr)
    state.state("control.json", {"node_not_ready": ["ada-ec-2"]})
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 5, stderr
    report = json.loads(stdout)
    [left] = report["cleanup"]["left"]
    assert report["cleanup"]["state"] == "unconfirmed"
    assert left in stderr
    assert [blind for blind in report["completeness"]["blind"] if blind["node"] == "ada-ec-2"]
    assert len(list(tmp_path.glob("*.zip"))) == 1
    state.state("control.json", None)
    deadline = time.monotonic() + 10
    while pods(state.kubeconfig) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pods(state.kubeconfig) == before


@pytest.mark.lab_only
def test_connections_that_are_cut_are_taken_up_again(state: Lab, tmp_path: Path) -> None:
    state.state("control.json", {"exec_cut_after_bytes": 3000, "exec_cut_times": 2})
    run = state.trace("--bundle", "none", cwd=tmp_path)
    assert (run.code, run.report["verdict"]) == (0, "delivered"), run.stderr


def test_no_vxlan_device_anywhere(place: Lab, backend: str, tmp_path: Path) -> None:
    device = {"calico": "vxlan.calico", "flannel": "flannel.1"}[backend]
    nodes = ("ada-ec-1", "ada-ec-2", "ada-ec-3")
    for node in nodes:
        place.node(node, "ip", "link", "set", device, "name", "elsewhere")
        place.node(node, "ip", "link", "delete", "elsewhere")
    try:
        before = pods(place.kubeconfig)
        run = place.trace(cwd=tmp_path, duration="2s")
        _assert_refused(run, 1, "VXLAN")
        assert pods(place.kubeconfig) == before
    finally:
        place.rebuild(backend)


def test_a_cut_pcap_is_said_and_the_rest_is_used(place: Lab, tmp_path: Path) -> None:
    run = place.trace("--bundle", "ticket.zip", cwd=tmp_path)
    assert run.code == 0
    loose = unpacked(tmp_path / "ticket.zip", tmp_path / "loose", suffix=".pcap")
    cut = loose / "ada-ec-2-primary-interface.pcap"
    cut.write_bytes(cut.read_bytes()[:10])
    again = place.vxtrace("analyze", str(loose), "-o", "json", cwd=tmp_path)
    assert again.code == 4, again.stderr
    assert again.report["verdict"] == "delivered"
    assert any(blind["node"] == "ada-ec-2" for blind in again.report["completeness"]["blind"])


def test_the_pods_of_a_killed_trace_are_removed_at_once_with_all(place: Lab, tmp_path: Path) -> None:
    """They would end by themselves within a minute, which tests/promises waits for."""
    before = pods(place.kubeconfig)
    process = subprocess.Popen(
        [sys.executable, "-m", "kubectl_vxtrace", "pod", CLIENT, "--to", "kube-dns", "--duration", "60s"],
        cwd=tmp_path,
        env={**os.environ, **place.environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("listening" in line for line in process.stderr)
    process.kill()
    process.wait()
    left = pods(place.kubeconfig) - before
    assert len(left) == 3
    run = place.vxtrace("cleanup", "--all", cwd=tmp_path)
    assert run.code == 0, run.stderr
    assert "3 of 3" in run.stdout
    deadline = time.monotonic() + 10
    while pods(place.kubeconfig) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pods(place.kubeconfig) == before
