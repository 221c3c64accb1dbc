"""`check` against an API that lacks one thing or another; its own pod is always removed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import call
from tests.kube.fake import Fake, Stream

IMAGE = "docker.io/nicolaka/netshoot:v0.16"
NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}
EXECS = "/exec"
CONFIGURATION = "get configmaps kube-flannel-cfg in namespaces kube-flannel, kube-system"


def _node(name: str, *, images: tuple[str, ...] = (IMAGE,), pressure: str = "False") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": pressure}]
    annotations = {"flannel.alpha.coreos.com/public-ip": "10.128.0.1"}
    return {
        "metadata": {"name": name, "annotations": annotations},
        "status": {"conditions": conditions, "images": [{"names": list(images)}]},
    }


def _answer(argv: list[str], stream: Stream) -> None:
    if stream.wants_input:
        stream.receive()
    stream.exit(0)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        server.lists["/api/v1/nodes"] = [_node("a"), _node("b")]
        server.lists["/api/v1/namespaces/default/resourcequotas"] = []
        server.exec = _answer
        yield server


def _check(fake: Fake, folder: Path, *more: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """The exit code, what was looked at by kind and name, and stderr; no pod is left."""
    done = call("check", "-o=json", "--kubeconfig", str(fake.kubeconfig(folder)), *more, **NO_PROXY)
    found = json.loads(done.stdout)
    assert found["ok"] is (done.returncode in (0, 5))
    return done.returncode, {f"{item['kind']} {item['name']}": item for item in found["checks"]}, done.stderr


def test_all_well(fake: Fake, tmp_path: Path) -> None:
    code, looked, said = _check(fake, tmp_path)
    assert code == 0, said
    assert {item["state"] for item in looked.values()} == {"ok"}
    assert {"right create pods in namespace default", "node a", "image b", "admission a", "exec a"} <= looked.keys()
    assert f"right {CONFIGURATION}" in looked
    assert sum(path.endswith(EXECS) for _, path, _, _ in fake.seen) == 1
    assert fake.pods == {}


def test_what_a_trace_can_do_without_is_told_with_what_it_would_have_told(fake: Fake, tmp_path: Path) -> None:
    fake.denied = {("list", "networkpolicies"), ("get", "configmaps"), ("list", "pods/exec")}
    code, looked, _ = _check(fake, tmp_path)
    assert code == 0
    less = {name: item["detail"] for name, item in looked.items() if item["state"] == "less"}
    assert less == {
        "right list networkpolicies.networking.k8s.io in all namespaces": "the bundle does not say which policies may apply to the pods",
        f"right {CONFIGURATION}": "the bundle does not say how the network is configured",
    }


def test_what_no_trace_can_do_without_is_all_named_and_nothing_made(fake: Fake, tmp_path: Path) -> None:
    fake.denied = {("create", "pods/exec"), ("list", "events"), ("delete", "pods")}
    code, looked, said = _check(fake, tmp_path)
    assert code == 2
    assert [name for name, item in looked.items() if item["state"] == "fails"] == [
        "right delete pods in namespace default",
        "right create pods/exec in namespace default",
    ]
    assert "missing rights:\n  delete pods in namespace default\n  create pods/exec in namespace default" in said
    assert not any(path.endswith("/pods") and method == "POST" for method, path, _, _ in fake.seen)


@pytest.mark.parametrize(("policy", "state"), [("IfNotPresent", "ok"), ("Never", "less")])
def test_an_image_that_a_node_lacks(fake: Fake, tmp_path: Path, policy: str, state: str) -> None:
    fake.lists["/api/v1/nodes"] = [_node("a"), _node("b", images=("docker.io/library/busybox:1",))]
    _, looked, _ = _check(fake, tmp_path, "--image-pull-policy", policy)
    assert looked["image a"]["detail"] == f"{IMAGE} is there"
    assert looked["image b"]["state"] == state
    assert "is not there" in looked["image b"]["detail"]


def test_a_node_whose_disk_is_full_starts_no_pod(fake: Fake, tmp_path: Path) -> None:
    fake.lists["/api/v1/nodes"] = [_node("a"), _node("b", pressure="True")]
    _, looked, _ = _check(fake, tmp_path)
    assert (looked["node b"]["state"], looked["node b"]["detail"]) == ("less", "DiskPressure: its kubelet starts no pod now")


def test_a_quota_that_leaves_room_for_one_of_two(fake: Fake, tmp_path: Path) -> None:
    status = {"hard": {"pods": "10", "limits.memory": "2Gi"}, "used": {"pods": "3", "limits.memory": "1Gi"}}
    small = {"hard": {"requests.cpu": "25m"}, "used": {"requests.cpu": "10m"}}
    quotas = [{"metadata": {"name": name}, "status": each} for name, each in (("large", status), ("small", small))]
    fake.lists["/api/v1/namespaces/default/resourcequotas"] = quotas
    code, looked, _ = _check(fake, tmp_path)
    assert code == 0
    assert (looked["quota large"]["state"], looked["quota large"]["detail"]) == ("ok", "room for 2 of 2 debug pods")
    assert (looked["quota small"]["state"], looked["quota small"]["detail"]) == (
        "less",
        "requests.cpu 10m of 25m used: room for 1 of 2 debug pods",
    )


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((200, b"<html>log in</html>"), "does not let an exec through, an upgrade to WebSocket"),
        ((404, b"default backend - 404"), "does not let an exec through, an upgrade to WebSocket"),
        ((403, b"<html>WAF</html>"), "does not let an exec through, an upgrade to WebSocket"),
    ],
)
def test_a_front_end_that_passes_on_no_upgrade(fake: Fake, tmp_path: Path, refusal: tuple[int, bytes], said: str) -> None:
    fake.upgrade_refusal = refusal
    code, looked, error = _check(fake, tmp_path)
    assert code == 1
    assert looked["exec a"]["state"] == "fails"
    assert said in error
    assert f"HTTP {refusal[0]}" in error
    assert "<html>" not in error
    assert fake.pods == {}


def test_a_front_end_that_takes_no_long_request_line(fake: Fake, tmp_path: Path) -> None:
    fake.longest_line = 250
    code, _, error = _check(fake, tmp_path)
    assert code == 1
    assert "takes no request line as long as an exec's" in error
    assert "large_client_header_buffers" in error
    assert fake.pods == {}


def test_a_stream_that_is_cut(fake: Fake, tmp_path: Path) -> None:
    fake.exec = lambda _, stream: stream.send(1, b"half")
    code, _, error = _check(fake, tmp_path)
    assert code == 1
    assert "its answer did not come whole" in error
    assert fake.pods == {}


def test_an_image_without_the_tools(fake: Fake, tmp_path: Path) -> None:
    def fails(argv: list[str], stream: Stream) -> None:
        if stream.wants_input:
            stream.receive()
        stream.send(2, b"sh: eval: not found\n")
        stream.exit(127)

    fake.exec = fails
    code, _, error = _check(fake, tmp_path)
    assert code == 1
    assert "exit code 127: sh: eval: not found" in error


def test_its_own_pod_that_may_be_left(fake: Fake, tmp_path: Path) -> None:
    """The API refuses to delete it, so nobody waits."""
    made: list[str] = []

    def answer(argv: list[str], stream: Stream) -> None:
        made.extend(fake.pods)
        fake.replies["DELETE", f"/api/v1/namespaces/default/pods/{made[0]}"] = [
            (403, {"kind": "Status", "apiVersion": "v1", "message": "no", "reason": "Forbidden"}, {})
        ] * 9
        _answer(argv, stream)

    fake.exec = answer
    done = call("check", "--kubeconfig", str(fake.kubeconfig(tmp_path)), **NO_PROXY)
    assert done.returncode == 5
    assert f"a debug pod of this check may be left: default/{made[0]}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_removes_its_pod(fake: Fake, tmp_path: Path, number: signal.Signals) -> None:
    asked = threading.Event()

    def hang(argv: list[str], stream: Stream) -> None:
        asked.set()
        time.sleep(5)

    fake.exec = hang
    command = [sys.executable, "-m", "kubectl_vxtrace", "check", "--kubeconfig", str(fake.kubeconfig(tmp_path))]
    with subprocess.Popen(command, env={**os.environ, **NO_PROXY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert asked.wait(30)
        assert len(fake.pods) == 1
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert fake.pods == {}


def test_the_table(fake: Fake, tmp_path: Path) -> None:
    fake.denied = {("list", "events")}
    done = call("check", "--kubeconfig", str(fake.kubeconfig(tmp_path)), **NO_PROXY)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["right", "list", "pods", "in", "namespace", "default", "ok"] in lines
    assert ["right", "list", "events", "in", "namespace", "default", "less", "why"] in [line[:8] for line in lines]
    assert done.stdout.splitlines()[-1] == "ok: debug pods are admitted on 2 nodes: a, b"
