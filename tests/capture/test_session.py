"""Sessions with nodes that say what a test wants."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import pytest

from kubectl_vxtrace.capture.enough import Place, Question, Questions
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import AnswerStatus, FetchResult, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.request import Limits
from tests.capture.pings import LEFT, RIGHT
from tests.capture.pings import plan as ping_plan

LOST = b"lost"


class Actor:
    """Nodes that answer by a script of the test's: (what was asked) -> stdout, LOST, or None where they cannot be asked."""

    def __init__(self, play: Callable[[NodeCommand], bytes | None]) -> None:
        self._play = play
        self.asked: list[NodeCommand] = []

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        self.asked += commands
        return tuple(self._answer(command) for command in commands)

    def _answer(self, command: NodeCommand) -> NodeAnswer:
        stdout = self._play(command)
        if stdout is None:
            return NodeAnswer(command=command, status=AnswerStatus.ABSENT, reason="connection refused")
        if stdout == LOST:
            return NodeAnswer(command=command, status=AnswerStatus.TRUNCATED, reason="the stream broke")
        return NodeAnswer(command=command, status=AnswerStatus.OK, exit_code=0, stdout=stdout)

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        return FetchResult(node=node, content=bytearray(b"x"), reason="connection lost")


_LISTENING = b"tcpdump: listening on eth0, link-type EN10MB\n"
_DONE = _LISTENING + b"1 packet captured\n1 packet received by filter\n0 packets dropped by kernel\n"


def _report(record: int, state: str, said: bytes, *, number: str = "0", digest: str = "-") -> bytes:
    return b"vxtrace-capture 1 1795413650114222219\n" + f"{record} {state} up {number} {digest} {len(said)}\n".encode() + said + b"\n"


def _all_well(command: NodeCommand) -> bytes:
    record = 1 if command.node == LEFT else 2
    if command.key == "capture-stop":
        return _report(record, "stopped", _DONE, number="24", digest="a" * 64)
    return _report(record, "listening" if command.key == "capture-start" else "running", _LISTENING)


def test_a_node_that_cannot_be_asked_fails_alone(tmp_path: FilePath) -> None:
    session = CaptureSession(Actor(lambda command: _all_well(command) if command.node == LEFT else None), ping_plan(), "/capture")
    session.start()
    session.stop()
    left, right = session.collect(Store(folder=tmp_path))
    assert left.reason == "the file could not be fetched whole: connection lost"
    assert (right.status, right.reason) == (CaptureStatus.FAILED, "connection refused")


def test_no_node_at_all_cannot_run() -> None:
    with pytest.raises(CannotRunError, match="connection refused") as caught:
        CaptureSession(Actor(lambda _: None), ping_plan(), "/capture").start()
    assert "image" not in caught.value.hint


def test_a_file_that_came_in_part_is_kept(tmp_path: FilePath) -> None:
    session = CaptureSession(Actor(_all_well), ping_plan(), "/capture")
    session.start()
    session.stop()
    results = session.collect(Store(folder=tmp_path))
    assert [(result.status, result.file) for result in results] == [
        (CaptureStatus.PARTIAL, "fc-left-pod.pcap"),
        (CaptureStatus.PARTIAL, "fc-right-pod.pcap"),
    ]


class Meeting(Actor):
    """Nodes that give a file away only when another one is asked for at the same time."""

    def __init__(self) -> None:
        super().__init__(lambda command: _all_well_on_both(command.key))
        self._both = threading.Barrier(2, timeout=10)

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        self._both.wait()
        return FetchResult(node=node, content=bytearray(size_bytes), sha256=sha256)


def _all_well_on_both(key: str) -> bytes:
    """As _all_well, for the records 1 and 2 of one node."""
    state, said, number, digest = ("stopped", _DONE, "24", "a" * 64) if key == "capture-stop" else ("listening", _LISTENING, "0", "-")
    first, second = (_report(record, state, said, number=number, digest=digest) for record in (1, 2))
    return first + second.partition(b"\n")[2]


def test_files_of_one_node_are_fetched_side_by_side(tmp_path: FilePath) -> None:
    session = CaptureSession(Meeting(), ping_plan((Role.POD, LEFT, "eth0"), (Role.UNDERLAY, LEFT, "eth1")), "/capture")
    session.start()
    session.stop()
    results = session.collect(Store(folder=tmp_path))
    assert [(result.status, result.file) for result in results] == [
        (CaptureStatus.COMPLETE, "fc-left-pod.pcap"),
        (CaptureStatus.COMPLETE, "fc-left-primary-interface.pcap"),
    ]


def test_files_are_fetched_while_another_node_is_waited_for(tmp_path: FilePath) -> None:
    fetched = threading.Event()

    class Hanging(Actor):
        def fetch(self, node: str, *arguments: Any, **more: Any) -> FetchResult:
            fetched.set()
            return super().fetch(node, *arguments, **more)

    def play(command: NodeCommand) -> bytes:
        if (command.key, command.node) == ("capture-stop", LEFT):
            assert fetched.wait(10)
        return _all_well(command)

    session = CaptureSession(Hanging(play), ping_plan(), "/capture")
    session.start()
    session.stop(Store(folder=tmp_path))
    assert [result.file for result in session.collect(Store(folder=tmp_path))] == ["fc-left-pod.pcap", "fc-right-pod.pcap"]


def test_nothing_is_written_any_more_when_fetching_was_given_up(tmp_path: FilePath) -> None:
    begun = threading.Event()

    class Slow(Actor):
        def fetch(self, node: str, remote_path: str, **more: Any) -> FetchResult:
            begun.set()
            time.sleep(0.2)
            return super().fetch(node, remote_path, **more)

    session = CaptureSession(Slow(_all_well), ping_plan(), "/capture")
    session.start()
    session.stop(Store(folder=tmp_path))
    assert begun.wait(10)
    session._fetching.clear()  # as where Ctrl-C comes while they are begun
    session.give_up()
    there = sorted(tmp_path.iterdir())
    time.sleep(0.5)
    assert sorted(tmp_path.iterdir()) == there != []


class Giving(Actor):
    """Nodes that give every file away; `fetched` has which were asked for."""

    def __init__(self) -> None:
        super().__init__(_all_well)
        self.fetched: list[str] = []
        self.held_bytes: list[int] = []
        self._held_bytes = 0

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        self.fetched.append(remote_path)
        self._held_bytes += size_bytes
        self.held_bytes.append(self._held_bytes)
        time.sleep(0.05)
        self._held_bytes -= size_bytes
        return FetchResult(node=node, content=bytearray(size_bytes), sha256=sha256)


class Outdating:
    """A scrubber for which the left node's file is stale, `times` times."""

    def __init__(self, times: int) -> None:
        self._left = times
        self._done: set[Tap] = set()

    def scrub(self, tap: Tap, content: bytearray) -> bytearray:
        self._left -= tap.node == LEFT
        self._done.add(tap)
        return content

    @property
    def stale(self) -> frozenset[Tap]:
        return frozenset(tap for tap in self._done if tap.node == LEFT and self._left >= 0)


def test_a_stale_file_is_fetched_again(tmp_path: FilePath) -> None:
    nodes = Giving()
    session = CaptureSession(nodes, ping_plan(), "/capture")
    session.start()
    store = Store(folder=tmp_path, scrubber=Outdating(2))
    session.stop(store)
    results = session.collect(store)
    assert sorted(nodes.fetched) == ["/capture/fc-left-pod.pcap"] * 3 + ["/capture/fc-right-pod.pcap"]
    assert [(result.status, result.file) for result in results] == [
        (CaptureStatus.COMPLETE, "fc-left-pod.pcap"),
        (CaptureStatus.COMPLETE, "fc-right-pod.pcap"),
    ]


def test_a_file_that_stays_stale_is_not_kept(tmp_path: FilePath) -> None:
    session = CaptureSession(Giving(), ping_plan(), "/capture")
    session.start()
    session.stop()
    left, right = session.collect(Store(folder=tmp_path, scrubber=Outdating(100)))
    assert (left.status, left.file) == (CaptureStatus.FAILED, None)
    assert left.reason == "its payload could not be taken out as that of the other captures was"
    assert right.file is not None
    assert [path.name for path in tmp_path.iterdir()] == ["fc-right-pod.pcap"]


def test_files_wait_for_memory(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has 24 bytes."""
    monkeypatch.setattr("kubectl_vxtrace.capture.session.MEMORY_BYTES", 30)
    nodes = Giving()
    session = CaptureSession(nodes, ping_plan(), "/capture")
    session.start()
    session.stop()
    assert all(result.file for result in session.collect(Store(folder=tmp_path)))
    assert nodes.held_bytes == [24, 24]


@pytest.mark.parametrize("step", ["capture-start", "capture-stop"])
@pytest.mark.parametrize("lost", [LOST, _report(2, "listening", _LISTENING)[:-3], b""])
def test_a_node_whose_answer_is_lost_is_asked_again_and_the_other_not(tmp_path: FilePath, step: str, lost: bytes) -> None:
    losses = iter([lost, lost])
    actor = Actor(lambda command: next(losses, _all_well(command)) if (command.key, command.node) == (step, RIGHT) else _all_well(command))
    session = CaptureSession(actor, ping_plan(), "/capture")
    session.start()
    session.stop()
    session.stop()
    assert sorted(command.node for command in actor.asked if command.key == step) == [LEFT, RIGHT, RIGHT, RIGHT]
    assert all(result.captured == 1 for result in session.collect(Store(folder=tmp_path)))


def test_an_end_of_which_one_capture_is_missing_is_asked_again(tmp_path: FilePath) -> None:
    """Cut between two records by what calls that the whole."""
    halves = iter([_report(1, "stopped", _DONE, number="24", digest="a" * 64)])
    actor = Actor(
        lambda command: next(halves, _all_well_on_both(command.key)) if command.key == "capture-stop" else _all_well_on_both(command.key)
    )
    session = CaptureSession(actor, ping_plan((Role.POD, LEFT, "eth0"), (Role.UNDERLAY, LEFT, "eth1")), "/capture")
    session.start()
    session.stop()
    assert all(result.captured == 1 for result in session.collect(Store(folder=tmp_path)))


def test_a_refusal_of_the_whole_node_is_a_whole_answer() -> None:
    actor = Actor(lambda _: _report(0, "filter", b"tcpdump: syntax error\n"))
    with pytest.raises(UsageError, match="--filter"):
        CaptureSession(actor, ping_plan(user_filter="bad"), "/capture").start()
    assert sorted(command.node for command in actor.asked) == [LEFT, RIGHT]


def test_an_answer_that_is_always_lost_is_given_up_and_what_is_waited_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.asking.PATIENCE_S", 1.0)
    monkeypatch.setattr("kubectl_vxtrace.capture.asking._TELL_AFTER_S", 0.1)
    told: list[str] = []
    session = CaptureSession(Actor(lambda command: LOST), ping_plan(), "/capture", told.append)
    started_s = time.monotonic()
    with pytest.raises(CannotRunError, match="the stream broke"):
        session.start()
    assert time.monotonic() - started_s < 3
    assert told[0].startswith(f"waiting for {LEFT}, {RIGHT} to say whether captures run (the stream broke), ")


def test_a_node_that_cannot_be_asked_is_not_asked_again() -> None:
    actor = Actor(lambda command: None if command.node == RIGHT else _all_well(command))
    CaptureSession(actor, ping_plan(), "/capture").start()
    assert [command.node for command in actor.asked] == [LEFT, RIGHT]


def test_wait_ends_when_nothing_runs_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._HEARTBEAT_S", 0.02)
    actor = Actor(lambda command: _report(1 if command.node == LEFT else 2, "ended", b""))
    session = CaptureSession(actor, ping_plan(limits=Limits(duration_s=30.0)), "/capture")
    session.wait(threading.Event())
    assert [command.key for command in actor.asked] == ["capture-poll", "capture-poll"]


def test_wait_goes_on_while_a_node_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._HEARTBEAT_S", 0.05)
    actor = Actor(lambda command: _report(1, "ended", b"") if command.node == LEFT else None)
    CaptureSession(actor, ping_plan(limits=Limits(duration_s=0.2)), "/capture").wait(threading.Event())
    assert len(actor.asked) >= 4


def test_wait_ends_a_moment_after_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._TAIL_S", 0.1)
    answered = threading.Event()
    answered.set()
    actor = Actor(lambda command: None)
    began_s = time.monotonic()
    CaptureSession(actor, ping_plan(limits=Limits(duration_s=30.0)), "/capture").wait(threading.Event(), answered)
    assert 0.1 <= time.monotonic() - began_s < 5
    assert actor.asked == []


def _whole() -> Questions:
    """Requests and replies at both ends of one flow."""
    tasks = ping_plan().tasks
    return Questions(
        counted=tuple(
            Question(task=tasks[place in (Place.ARRIVED, Place.ANSWERED)], place=place, target=0, backend=None, filter="icmp")
            for place in Place
        ),
        targets=(True,),
    )


def test_what_is_counted_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("session._WATCHING_S", "session._AGAIN_S", "enough.LEAST_S"):
        monkeypatch.setattr(f"kubectl_vxtrace.capture.{name}", 0.01)
    numbers = {LEFT: (0, 3), RIGHT: (1, 2)}
    head = _report(0, "running", b"").partition(b"\n")[0] + b"\n"
    actor = Actor(lambda command: head + b"".join(f"{number} running up 24 - 0\n\n".encode() for number in numbers[command.node]))
    why = CaptureSession(actor, ping_plan(), "/capture").watch(_whole(), threading.Event())
    assert (why or "").startswith("24 requests and 24 replies came through and none is missing;")
    assert len(actor.asked) == 4  # two nodes, twice


def test_a_watch_ends_with_the_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._WATCHING_S", 0.01)
    over = threading.Event()

    def silent(command: NodeCommand) -> None:
        over.set()  # and no answer

    assert CaptureSession(Actor(silent), ping_plan(), "/capture").watch(_whole(), over) is None


def test_packets_are_counted_for_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._SHOWING_S", 0.01)
    over = threading.Event()
    counted: list[Mapping[int, int]] = []

    def told(packets: Mapping[int, int]) -> None:
        counted.append(packets)
        over.set()

    actor = Actor(lambda command: _report(1, "running", b"", number="24") if command.node == LEFT else None)
    CaptureSession(actor, ping_plan(), "/capture").count(over, told)
    assert counted == [{1: 24}]


def test_nothing_of_a_plan_is_part_of_a_script() -> None:
    scripts = []
    for plan in (ping_plan(), ping_plan((Role.UNDERLAY, LEFT, "ens4"), limits=Limits(duration_s=0.01, packets=3))):
        actor = Actor(_all_well)
        session = CaptureSession(actor, plan, "/capture")
        session.start()
        session.stop()
        scripts.append({command.key: command.argv[:3] for command in actor.asked})
    assert scripts[0] == scripts[1]
    assert scripts[0].keys() == {"capture-start", "capture-stop"}
