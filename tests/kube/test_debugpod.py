import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube import debugpod, removal
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState, Node
from kubectl_vxtrace.model.request import PodOptions
from tests.kube.fake import Fake

NODES = tuple(Node(name=f"ada-ec-{number}", annotations={}) for number in (1, 2, 3))
PODS = "/api/v1/namespaces/default/pods"
WAITING: dict[str, Any] = {
    "phase": "Pending",
    "containerStatuses": [{"name": "vxtrace", "state": {"waiting": {"reason": "ContainerCreating"}}}],
}


def pods(connection: Connection, **more: Any) -> DebugPods:
    options = more.pop("options", PodOptions())
    return DebugPods(connection, session="7f3a", options=options, lifetime_s=60, **more)


def waiting(reason: str, message: str = "said the kubelet") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"name": "vxtrace", "state": {"waiting": {"reason": reason, "message": message}}}]}


def test_starts_in_parallel_and_removes(fake: Fake, connection: Connection) -> None:
    fake.start_s, fake.create_delay_s = 0.2, 0.1
    session = pods(connection)
    started = time.monotonic()
    assert session.start(NODES) == {}
    assert time.monotonic() - started < 0.6
    assert [session.pod(node.name) for node in NODES] == [f"vxtrace-7f3a-ada-ec-{number}" for number in (1, 2, 3)]
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=3)
    assert fake.pods == {}
    assert session.pod("ada-ec-1") is None


def test_pods_go_to_the_contexts_namespace_unless_told(fake: Fake, tmp_path: Path) -> None:
    connection = fake.connection(tmp_path, namespace="elsewhere")
    assert pods(connection).namespace == "default"
    assert pods(connection, options=PodOptions(debug_namespace="tools")).namespace == "tools"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (waiting("ErrImagePull"), "ErrImagePull: said the kubelet"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerError"), "CreateContainerError"),
        ({"phase": "Failed", "reason": "OutOfmemory", "message": "Node didn't have enough"}, "OutOfmemory: Node didn't have enough"),
        (
            {"phase": "Failed", "containerStatuses": [{"name": "vxtrace", "state": {"terminated": {"exitCode": 127, "reason": "Error"}}}]},
            "exit code 127 (Error)",
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"}]},
            "Unschedulable: m",
        ),
    ],
)
def test_a_node_that_cannot_run_it_leaves_the_rest(fake: Fake, connection: Connection, status: dict[str, Any], said: str) -> None:
    fake.broken["ada-ec-2"] = status
    session = pods(connection)
    started = time.monotonic()
    reasons = session.start(NODES)
    assert time.monotonic() - started < 1
    assert list(reasons) == ["ada-ec-2"]
    assert said in reasons["ada-ec-2"]
    assert session.pod("ada-ec-1")
    assert session.delete().pods == 3
    assert fake.pods == {}


def test_unfit_nodes_are_not_tried(fake: Fake, connection: Connection) -> None:
    unready = Node(name="dark", ready=False, not_ready_reason="Kubelet stopped posting", annotations={})
    reasons = pods(connection).start((NODES[0], unready, Node(name="win", os="windows", annotations={})))
    assert reasons == {"dark": "the node is not ready: Kubelet stopped posting", "win": "the node runs windows"}
    assert len(fake.pods) == 1


def test_a_node_that_goes_away(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debugpod, "_NODE_CHECK_S", 0.1)
    fake.broken["ada-ec-2"] = WAITING
    assert pods(connection).start(NODES) == {"ada-ec-2": "the node is gone"}


def test_too_late_says_what_it_waits_for(fake: Fake, connection: Connection) -> None:
    fake.broken["ada-ec-2"] = WAITING
    event = {"type": "Warning", "reason": "FailedMount", "message": "no such secret"}
    fake.lists["/api/v1/namespaces/default/events"] = [{"type": "Normal"}, event]
    reasons = pods(connection, start_timeout_s=0.3).start(NODES)
    assert reasons == {"ada-ec-2": "it does not run after 0.3 s: ContainerCreating; FailedMount: no such secret"}


def test_a_pod_that_somebody_removed(fake: Fake, connection: Connection) -> None:
    fake.broken["ada-ec-2"] = WAITING
    threading.Timer(0.3, lambda: fake.pods.pop("vxtrace-7f3a-ada-ec-2")).start()
    assert pods(connection).start(NODES) == {"ada-ec-2": "its pod was removed by somebody else"}


def test_an_image_that_must_not_be_pulled_is_told(fake: Fake, connection: Connection) -> None:
    fake.broken = {node.name: waiting("ErrImageNeverPull") for node in NODES}
    with pytest.raises(CannotRunError) as caught:
        pods(connection).start(NODES)
    assert "--image-pull-policy IfNotPresent" in (caught.value.hint or "")


def test_none_runs(fake: Fake, connection: Connection) -> None:
    fake.broken = {node.name: waiting("ErrImagePull") for node in NODES}
    session = pods(connection)
    with pytest.raises(CannotRunError, match="ada-ec-3: ErrImagePull") as caught:
        session.start(NODES)
    assert "--image" in caught.value.hint
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=3)


def test_admission_refuses_all(fake: Fake, connection: Connection) -> None:
    said = {"message": 'pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged', "reason": "Forbidden"}
    fake.replies["POST", PODS] = [(403, said, {})] * 3
    session = pods(connection)
    with pytest.raises(UsageError, match="violates PodSecurity") as caught:
        session.start(NODES)
    assert "kubectl label namespace default pod-security.kubernetes.io/enforce=privileged" in caught.value.hint
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED)


def test_a_creation_without_an_answer_is_repeated_and_found(fake: Fake, connection: Connection) -> None:
    fake.replies["POST", PODS] = [(0, b"", {}), (500, {"message": "later"}, {})]
    assert pods(connection).start(NODES[:1]) == {}
    session = pods(connection)
    assert session.start(NODES[:1]) == {}  # 409 AlreadyExists: the name is ours
    assert session.delete().pods == 1


def test_add_keeps_what_runs(fake: Fake, connection: Connection) -> None:
    session = pods(connection)
    assert session.start(NODES[:1]) == {}
    fake.broken["ada-ec-3"] = waiting("ErrImagePull")
    assert list(session.add(NODES)) == ["ada-ec-3"]
    assert session.pod("ada-ec-2")
    assert session.delete().pods == 3


def test_two_nodes_of_one_short_name(fake: Fake, connection: Connection) -> None:
    nodes = (Node(name="a.east", annotations={}), Node(name="a.west", annotations={}))
    session = pods(connection)
    assert next(body["metadata"]["name"] for body in session.manifests(nodes)) == "vxtrace-7f3a-a"
    assert session.start(nodes) == {}
    assert len(fake.pods) == 2


def test_stop_ends_the_waiting(fake: Fake, connection: Connection) -> None:
    fake.start_s = 60
    stop = threading.Event()
    session = pods(connection, stop=stop)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    assert set(session.start(NODES)) == {node.name for node in NODES}
    assert time.monotonic() - started < 1
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=3)


@pytest.mark.parametrize("after_s", [0.05, 0.3])
def test_ctrl_c_at_any_time_leaves_nothing(fake: Fake, connection: Connection, after_s: float) -> None:
    """At 0.05 s the creations are under way in the server, at 0.3 s the pods are awaited."""
    fake.create_delay_s, fake.start_s = 0.2, 60
    session = pods(connection)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        with pytest.raises(KeyboardInterrupt):
            session.start(NODES)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=3)
    time.sleep(0.3)
    assert fake.pods == {}


def test_a_pod_created_after_its_deletion_was_asked(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_LATE_CREATION_S", 0.6)
    fake.replies["POST", PODS] = [(504, {"message": "timed out"}, {})] * 3
    session = pods(connection)
    with pytest.raises(CannotRunError):
        session.start(NODES[:1])
    name = "vxtrace-7f3a-ada-ec-1"
    late = {"metadata": {"name": name}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}}

    def appear() -> None:
        fake.born[name] = time.monotonic()
        fake.pods[name] = late

    threading.Timer(0.2, appear).start()
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=1)
    assert fake.pods == {}


def test_what_does_not_go_is_named(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BOUND_S", 0.5)
    session = pods(connection)
    session.start(NODES)
    fake.undying.add("vxtrace-7f3a-ada-ec-2")
    assert session.delete() == Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-ada-ec-2",), pods=3)


def test_an_api_that_is_gone_is_unconfirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BOUND_S", 0.5)
    monkeypatch.setattr(removal, "_FIRST_BACKOFF_S", 0.01)
    with Fake() as fake:
        session = pods(fake.connection(tmp_path))
        session.start(NODES[:1])
    assert session.delete() == Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-ada-ec-1",), pods=1)


def test_deletion_is_tried_again(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_FIRST_BACKOFF_S", 0.01)
    session = pods(connection)
    session.start(NODES[:1])
    fake.replies["DELETE", f"{PODS}/vxtrace-7f3a-ada-ec-1"] = [(500, {}, {}), (0, b"", {})]
    assert session.delete() == Cleanup(state=CleanupState.CONFIRMED, pods=1)


def test_kept_pods_are_named(fake: Fake, connection: Connection) -> None:
    session = pods(connection, options=PodOptions(keep=True))
    session.start(NODES[:1])
    assert session.delete() == Cleanup(state=CleanupState.KEPT, left=("default/vxtrace-7f3a-ada-ec-1",), pods=1)
    assert len(fake.pods) == 1
