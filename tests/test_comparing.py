"""That --ab sends what it says, once there are captures, and keeps why it did not; without a cluster."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kubectl_vxtrace import comparing
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.comparing import Comparer
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.recording import CapturePlan, CaptureResult, CaptureStatus, CaptureTask, PortComparison
from tests.capture.test_port_comparison import PATH, TASKS, _facts, _flow, _overlay
from tests.test_anonymous import Quiet


class Session:
    """Captures that do what they are told. did: what, in order, with what the nodes were asked."""

    did: list[str]
    refusal: Exception | None = None

    def __init__(self, nodes: object, plan: CapturePlan, directory: str, tell: object) -> None:
        self._tasks: tuple[CaptureTask, ...] = plan.tasks
        Session.did.append(directory)

    def start(self) -> None:
        Session.did.append("start")
        if Session.refusal is not None:
            raise Session.refusal

    def stop(self) -> None:
        Session.did.append("stop")

    def collect(self, store: Store) -> tuple[CaptureResult, ...]:
        Session.did.append("collect")
        return tuple(CaptureResult(task=task, status=CaptureStatus.COMPLETE) for task in self._tasks)


class Nodes:
    """Nodes that send all; but node-b, which has no perl."""

    def __init__(self, after: threading.Event | None = None) -> None:
        self._after = after

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        Session.did.append("send " + ", ".join(command.node for command in commands))
        if self._after is not None:
            self._after.set()
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command: NodeCommand) -> NodeAnswer:
        if command.node == "node-b":
            return NodeAnswer(command=command, status=AnswerStatus.FAILED, exit_code=4, stderr=b"the image has no perl\n")
        lines = "".join(f"{number}\n" for number in range(256))
        return NodeAnswer(command=command, status=AnswerStatus.OK, exit_code=0, stdout=lines.encode())


class Told(Quiet):
    """Keeps what is said, beside what is done."""

    def step(self, text: str) -> None:
        Session.did.append(text)


@pytest.fixture(autouse=True)
def _session(monkeypatch: pytest.MonkeyPatch) -> None:
    Session.did, Session.refusal = [], None
    monkeypatch.setattr(comparing, "CaptureSession", Session)
    monkeypatch.setattr(comparing, "_TAIL_S", 0.01)


COMPARER = Comparer(
    session="7f3a01",
    flows=[_flow(1, "node-a", "node-b")],
    paths=[PATH],
    overlay=_overlay(),
    facts=[_facts()],
    tasks=TASKS,
    directory="/capture/ab",
    folder=Path("nowhere"),
    console=Told(),
)


def _run(comparer: Comparer = COMPARER, *, stop: threading.Event | None = None, nodes: Nodes | None = None) -> PortComparison:
    return comparer.run(cast(Any, nodes or Nodes()), stop or threading.Event())


def test_it_is_said_before_it_is_sent_and_captured_while_it_is() -> None:
    found = _run()
    said = "sending 256 UDP datagrams of 128 or 1460 bytes from node-a (192.0.2.1) to node-b (192.0.2.2), ports 4789 and 64789"
    assert Session.did[0] == said
    assert Session.did[2:] == ["/capture/ab", "start", "send node-a, node-b", "stop", "collect"]
    assert [(pair.sender, len(pair.sent)) for pair in found.pairs] == [("node-a", 256), ("node-b", 0)]
    assert found.missing == ("node-b to node-a: 256 of 256 not sent: the image has no perl",)
    assert [capture.task.file for capture in found.captures] == ["node-a-primary-interface-ab.pcap", "node-b-primary-interface-ab.pcap"]


def test_nothing_is_sent_once_the_trace_is_to_end() -> None:
    stop = threading.Event()
    stop.set()
    found = _run(stop=stop)
    assert (found.missing, found.captures, Session.did) == (("none were sent: the trace was to end",), (), [])


def test_no_further_turn_begins_once_the_trace_is_to_end() -> None:
    stop = threading.Event()
    flows = [_flow(1, "node-a", "node-b"), _flow(2, "node-a", "node-c")]
    found = _run(replace(COMPARER, flows=flows), stop=stop, nodes=Nodes(stop))
    assert [each for each in Session.did if each.startswith("send ")] == ["send node-a, node-b, node-c"]
    assert "not all were sent: the trace was to end" in found.missing
    assert [len(pair.sent) for pair in found.pairs if pair.sender == "node-a"] == [256, 0]


def test_without_captures_nothing_is_sent() -> None:
    Session.refusal = CannotRunError("no capture could be started")
    found = _run()
    assert (found.missing, found.captures) == (("none were sent: no capture could be started",), ())
    assert Session.did[2:] == ["/capture/ab", "start", "stop"]
    assert _run(replace(COMPARER, tasks=TASKS[:1])).missing == ("none were sent: no NIC of the nodes is captured",)


def test_where_there_is_nobody_to_send_to_it_is_said() -> None:
    assert _run(replace(COMPARER, flows=[_flow(1, "node-a", "node-a")])).missing == ("the ends are not known to be on two nodes",)
    assert Session.did == ["--ab: the ends are not known to be on two nodes"]
