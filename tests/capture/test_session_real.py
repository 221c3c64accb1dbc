"""Sessions for real: tcpdump on both ends of a wire between two namespaces."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path as FilePath

import pytest

from kubectl_vxtrace.capture import commands, tcpdump
from kubectl_vxtrace.capture.nodeanswer import State, read_report
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus
from kubectl_vxtrace.model.request import Limits
from kubectl_vxtrace.packets import read_pcap
from tests.capture import netns
from tests.capture.pings import LEFT, RIGHT
from tests.capture.pings import plan as ping_plan

_WHY_NOT = netns.missing()
pytestmark = [
    pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or ""),
    pytest.mark.parametrize("shell", list(netns.SHELLS)),
    pytest.mark.root,
    pytest.mark.usefixtures("wired"),
]


# From an address that nobody traces to a broadcast address, which nobody answers.
_FLOOD = """
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sender.bind(("10.9.0.3", 0))
end = time.monotonic() + 30
while time.monotonic() < end:
    sender.sendto(b"x", ("10.9.0.255", 9))
    time.sleep(0.0003)
"""


@pytest.fixture
def wired() -> Iterator[None]:
    with netns.namespaces(LEFT, RIGHT):
        netns.wire(LEFT, RIGHT)
        yield


def _ping(count: int = 4) -> None:
    netns.run("ip", "netns", "exec", LEFT, "ping", "-q", "-c", str(count), "-i", "0.05", "10.9.0.2")


def _by_interface(results: Sequence[CaptureResult]) -> dict[tuple[str, str], CaptureResult]:
    return {(result.task.tap.node, result.task.tap.interface): result for result in results}


def _read(path: FilePath) -> list[str]:
    done = subprocess.run(["tcpdump", "-Z", "root", "-nn", "-r", str(path)], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "ICMP" in line]


def _settle(path: FilePath, packets: int) -> None:
    """Wait until tcpdump has written what the kernel gave it, which may take a while on a busy machine."""
    end_s = time.monotonic() + 3.0
    while len(_read(path)) < packets and time.monotonic() < end_s:
        time.sleep(0.05)


def test_both_ends_of_a_wire(shell: str, tmp_path: FilePath) -> None:
    session = CaptureSession(netns.NamespaceNodes(shell, tmp_path), ping_plan(), netns.DIRECTORY)
    before_ns = time.time_ns()
    session.start()
    _ping(4)
    session.wait(threading.Event())
    session.stop()
    results = session.collect(Store(folder=tmp_path))
    for result in results:
        assert (result.status, result.reason) == (CaptureStatus.COMPLETE, None)
        assert result.captured is not None
        assert result.captured >= 8
        assert result.dropped_by_kernel == 0
        assert len(_read(tmp_path / (result.file or ""))) == 8
        assert result.started_ns is not None
        assert result.stopped_ns is not None
        slack_ns = 1_000_000_000 if shell == "busybox" and shutil.which("bash") is None else 0
        assert before_ns - slack_ns <= result.started_ns < result.stopped_ns <= time.time_ns()
        assert result.task.argv[:3] == ("tcpdump", "-Z", "root")


class Forgetful(netns.NamespaceNodes):
    """Nodes that do what they are asked, and whose first answers to that question are lost."""

    def __init__(self, shell: str, root: FilePath, key: str) -> None:
        super().__init__(shell, root)
        self._key, self._lost = key, {LEFT, RIGHT}

    def answer(self, command: NodeCommand) -> NodeAnswer:
        answer = super().answer(command)
        if command.key != self._key or command.node not in self._lost:
            return answer
        self._lost.remove(command.node)
        return replace(answer, status=AnswerStatus.TRUNCATED, stdout=answer.stdout[:30])


def _captures(node: str) -> int:
    names = [FilePath(f"/proc/{pid}/comm").read_text().strip() for pid in netns.run("ip", "netns", "pids", node).split()]
    return names.count("tcpdump")


@pytest.mark.parametrize("key", ["capture-start", "capture-stop"])
def test_an_answer_that_is_lost_loses_nothing_and_no_tap_has_two_captures(shell: str, key: str, tmp_path: FilePath) -> None:
    session = CaptureSession(Forgetful(shell, tmp_path, key), ping_plan(), netns.DIRECTORY)
    session.start()
    assert (_captures(LEFT), _captures(RIGHT)) == (1, 1)
    _ping(4)
    session.stop()
    for result in session.collect(Store(folder=tmp_path)):
        assert (result.status, result.reason, result.cut_off) == (CaptureStatus.COMPLETE, None, 0)
        assert len(_read(tmp_path / (result.file or ""))) == 8
    assert (_captures(LEFT), _captures(RIGHT)) == (0, 0)


def test_two_starts_at_once_begin_each_capture_once(shell: str, tmp_path: FilePath) -> None:
    nodes, plan = netns.NamespaceNodes(shell, tmp_path), ping_plan()
    first, *_ = reports = [read_report(answer) for answer in nodes.ask([commands.start(LEFT, plan.tasks[:1], plan, netns.DIRECTORY)] * 4)]
    assert _captures(LEFT) == 1
    assert [(report.reason, report.records[plan.tasks[0].id].state) for report in reports] == [(None, State.LISTENING)] * 4
    assert {tcpdump.received_early(report.records[plan.tasks[0].id].said) for report in reports} == {
        tcpdump.received_early(first.records[plan.tasks[0].id].said)
    }
    stopped = [read_report(answer) for answer in nodes.ask([commands.stop(LEFT, plan.tasks[:1], netns.DIRECTORY)] * 4)]
    assert {report.records[plan.tasks[0].id].state for report in stopped} == {State.STOPPED}
    assert len({report.records[plan.tasks[0].id].sha256 for report in stopped} - {None}) == 1
    assert all(report.records[plan.tasks[0].id].sha256 is not None for report in stopped)


def test_packets_that_came_before_the_filter_do_not_count_as_cut_off(shell: str, tmp_path: FilePath) -> None:
    """On a busy NIC the ring holds other traffic before the filter is attached."""
    netns.run("ip", "-n", LEFT, "addr", "add", "10.9.0.3/24", "brd", "+", "dev", "eth0")
    flood = ["ip", "netns", "exec", LEFT, sys.executable, "-I", "-S", "-c", _FLOOD]
    early = 0
    with subprocess.Popen(flood, stdout=subprocess.DEVNULL) as others:
        try:
            for turn in range(40):  # whether one comes in time is chance
                folder = tmp_path / str(turn)
                folder.mkdir()
                session = CaptureSession(netns.NamespaceNodes(shell, folder), ping_plan(), netns.DIRECTORY)
                session.start()
                session.stop()
                results = session.collect(Store(folder=folder))
                assert {(result.status, result.captured, result.cut_off) for result in results} == {(CaptureStatus.COMPLETE, 0, 0)}
                early += sum(result.received_early for result in results)
                if early and turn > 4:
                    break
        finally:
            others.terminate()
    assert early > 0


def test_devices_that_are_down_or_not_there_are_witnesses_of_zero(shell: str, tmp_path: FilePath) -> None:
    netns.run("ip", "-n", LEFT, "link", "add", "down0", "type", "veth", "peer", "name", "down1")
    plan = ping_plan((Role.POD, LEFT, "eth0"), (Role.VXLAN, LEFT, "down0"), (Role.UNDERLAY, LEFT, "nope"), (Role.POD, LEFT, "-w"))
    session = CaptureSession(netns.NamespaceNodes(shell, tmp_path), plan, netns.DIRECTORY)
    session.start()
    session.stop()
    results = _by_interface(session.collect(Store(folder=tmp_path)))
    assert results[LEFT, "eth0"].status is CaptureStatus.COMPLETE
    assert (results[LEFT, "down0"].status, results[LEFT, "down0"].reason) == (CaptureStatus.ZERO, "down0 is down")
    assert (results[LEFT, "nope"].status, results[LEFT, "nope"].reason) == (CaptureStatus.ZERO, "there is no interface nope")
    assert results[LEFT, "-w"].status is CaptureStatus.FAILED


def test_a_device_that_goes_away_leaves_a_partial_file(shell: str, tmp_path: FilePath) -> None:
    nodes = netns.NamespaceNodes(shell, tmp_path)
    session = CaptureSession(nodes, ping_plan(), netns.DIRECTORY)
    session.start()
    _ping(2)
    for node, file in ((LEFT, "fc-left-pod.pcap"), (RIGHT, "fc-right-pod.pcap")):
        _settle(nodes.folder(node) / file, 4)
    netns.run("ip", "-n", LEFT, "link", "del", "eth0")
    time.sleep(0.3)
    session.stop()
    for result in session.collect(Store(folder=tmp_path)):
        assert result.status is CaptureStatus.PARTIAL
        assert (result.reason or "").startswith("the capture ended by itself")
        assert len(_read(tmp_path / (result.file or ""))) == 4
        assert result.stopped_ns is None


def test_a_file_never_grows_beyond_its_limit(shell: str, tmp_path: FilePath) -> None:
    session = CaptureSession(
        netns.NamespaceNodes(shell, tmp_path), ping_plan(limits=Limits(duration_s=5.0, file_bytes=1024)), netns.DIRECTORY
    )
    session.start()
    _ping(10)
    time.sleep(0.1)
    session.stop()
    for result in session.collect(Store(folder=tmp_path)):
        assert (result.status, result.reason) == (CaptureStatus.PARTIAL, "the capture reached its limit of 1024 bytes and ended")
        assert result.size_bytes <= 1024


@contextmanager
def _small_disk(folder: FilePath, kibibytes: int) -> Iterator[None]:
    """A disk of its own for a node's captures."""
    folder.mkdir()
    netns.run("mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "small", str(folder))
    try:
        yield
    finally:
        netns.run("umount", str(folder))


def test_what_a_full_disk_holds_is_kept_and_said(shell: str, tmp_path: FilePath) -> None:
    """The other node is not touched by it. 1,100 KiB: the reserve and what 100 pings of 1,400 bytes do not fit into."""
    nodes = netns.NamespaceNodes(shell, tmp_path)
    limits = Limits(duration_s=5.0, snaplen_bytes=1500)
    with _small_disk(nodes.folder(LEFT), 1100):
        session = CaptureSession(nodes, ping_plan(limits=limits), netns.DIRECTORY)
        session.start()
        netns.run("ip", "netns", "exec", LEFT, "ping", "-q", "-c", "100", "-i", "0.005", "-s", "1400", "10.9.0.2")
        session.stop()
        full, whole = session.collect(Store(folder=tmp_path))
        session._stopped.clear()
        session.stop()
        assert session.collect(Store(folder=tmp_path))[0] == full
    assert full.status is CaptureStatus.PARTIAL
    assert (full.reason or "").startswith("disk full: ")
    assert full.dropped_by_kernel == 0
    assert 200 <= (full.captured or 0) < 210, "its closing numbers came through, ARP is counted as well"
    assert 20 < len(read_pcap(tmp_path / (full.file or ""))) < 200
    assert whole.status is CaptureStatus.COMPLETE
    assert len(read_pcap(tmp_path / (whole.file or ""))) == whole.captured
    assert _all_gone()


def test_a_disk_that_is_full_before_is_said(shell: str, tmp_path: FilePath) -> None:
    nodes = netns.NamespaceNodes(shell, tmp_path)
    with _small_disk(nodes.folder(LEFT), 512):
        session = CaptureSession(nodes, ping_plan(), netns.DIRECTORY)
        session.start()
        session.stop()
        full, whole = session.collect(Store(folder=tmp_path))
    assert (full.status, full.reason) == (CaptureStatus.FAILED, f"no space is left in {nodes.folder(LEFT)} on the node")
    assert whole.status is CaptureStatus.COMPLETE


def test_enough_packets_end_it_early(shell: str, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.session._COUNTING_S", 0.1)
    session = CaptureSession(netns.NamespaceNodes(shell, tmp_path), ping_plan(limits=Limits(duration_s=20.0, packets=6)), netns.DIRECTORY)
    session.start()
    _ping(4)
    started_s = time.monotonic()
    session.wait(threading.Event())
    assert time.monotonic() - started_s < 5.0
    session.stop()
    assert {result.status for result in session.collect(Store(folder=tmp_path))} == {CaptureStatus.COMPLETE}


@pytest.mark.parametrize("bad", ["udp and and", "foo bar", "port 53)", "port 53; touch /tmp/x"])
def test_a_filter_that_libpcap_refuses_starts_nothing(shell: str, bad: str, tmp_path: FilePath) -> None:
    session = CaptureSession(netns.NamespaceNodes(shell, tmp_path), ping_plan(user_filter=bad), netns.DIRECTORY)
    with pytest.raises(UsageError, match="--filter"):
        session.start()
    session.stop()
    assert {result.status for result in session.collect(Store(folder=tmp_path))} == {CaptureStatus.FAILED}
    assert not list(tmp_path.glob("*/*.pcap"))


def test_the_users_filter_is_applied(shell: str, tmp_path: FilePath) -> None:
    session = CaptureSession(netns.NamespaceNodes(shell, tmp_path), ping_plan(user_filter="icmp and greater 500"), netns.DIRECTORY)
    session.start()
    _ping(3)
    session.wait(threading.Event())
    session.stop()
    left, right = session.collect(Store(folder=tmp_path))
    assert [line.split()[4] for line in _read(tmp_path / (left.file or ""))] == ["10.9.0.1:"] * 3
    assert len(_read(tmp_path / (right.file or ""))) == 6


def test_an_interrupted_start_is_stopped_all_the_same(shell: str, tmp_path: FilePath) -> None:
    """The answer to start never came: the captures run, and the session knows nothing of it."""
    nodes = netns.NamespaceNodes(shell, tmp_path)
    CaptureSession(nodes, ping_plan(), netns.DIRECTORY).start()
    late = CaptureSession(nodes, ping_plan(), netns.DIRECTORY)
    late.stop()
    assert _all_gone()
    assert {result.status for result in late.collect(Store(folder=tmp_path))} == {CaptureStatus.PARTIAL}


def test_nothing_starts_after_a_stop(shell: str, tmp_path: FilePath) -> None:
    nodes = netns.NamespaceNodes(shell, tmp_path)
    session = CaptureSession(nodes, ping_plan(), netns.DIRECTORY)
    session.stop()
    with pytest.raises(CannotRunError):
        session.start()
    assert _processes() == []
    assert {result.reason for result in session.collect(Store(folder=tmp_path))} == {"it was stopped before it began"}


def test_a_stopped_session_leaves_no_process_and_answers_alike_when_asked_again(shell: str, tmp_path: FilePath) -> None:
    nodes = netns.NamespaceNodes(shell, tmp_path)
    session = CaptureSession(nodes, ping_plan(), netns.DIRECTORY)
    session.start()
    assert len(_processes()) >= 2
    session.stop()
    first = session.collect(Store(folder=tmp_path))
    session._stopped.clear()
    session.stop()
    assert session.collect(Store(folder=tmp_path)) == first
    assert _all_gone()


def test_what_does_not_end_is_killed(shell: str, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.capture.commands._STOP_TURNS", 2)
    nodes = netns.NamespaceNodes(shell, tmp_path)
    session = CaptureSession(nodes, ping_plan((Role.POD, LEFT, "eth0")), netns.DIRECTORY)
    session.start()
    _ping(2)
    _settle(nodes.folder(LEFT) / "fc-left-pod.pcap", 4)
    for pid in netns.run("ip", "netns", "pids", LEFT).split():
        if FilePath("/proc", pid, "comm").read_text().strip() in ("timeout", "tcpdump"):
            os.kill(int(pid), signal.SIGSTOP)
    session.stop()
    (result,) = session.collect(Store(folder=tmp_path))
    assert (result.status, result.reason) == (CaptureStatus.PARTIAL, "tcpdump did not end when it was told to")
    assert len(_read(tmp_path / (result.file or ""))) == 4
    assert [line for line in _processes() if line.startswith("tcpdump")] == []


def test_a_stranger_under_a_captures_number_is_left_alone(shell: str, tmp_path: FilePath) -> None:
    nodes = netns.NamespaceNodes(shell, tmp_path)
    stranger = subprocess.Popen(["sleep", "30"])
    try:
        nodes.folder(LEFT).mkdir()
        (nodes.folder(LEFT) / "1.pid").write_text(f"{stranger.pid}\n")
        CaptureSession(nodes, ping_plan((Role.POD, LEFT, "eth0")), netns.DIRECTORY).stop()
        assert stranger.poll() is None
    finally:
        stranger.terminate()
        stranger.wait()


def _all_gone() -> bool:
    """Whether nothing runs in the namespaces any more. Busybox' timeout looks once a second whether what it bounds is still there."""
    end_s = time.monotonic() + 3.0
    while _processes() and time.monotonic() < end_s:
        time.sleep(0.1)
    return _processes() == []


def _processes() -> list[str]:
    """What runs in the namespaces."""
    found = []
    for name in (LEFT, RIGHT):
        for pid in netns.run("ip", "netns", "pids", name).split():
            path = FilePath("/proc", pid, "cmdline")
            if path.exists():
                found.append(path.read_text().replace("\0", " "))
    return found
