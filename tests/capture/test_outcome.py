"""What became of a capture."""

import pytest

from kubectl_vxtrace.capture.nodeanswer import Device, NodeReport, Record, State
from kubectl_vxtrace.capture.outcome import Course, fetched, judge
from kubectl_vxtrace.model.cluster import FetchResult
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureStatus, CaptureTask

_LISTENING = "tcpdump: listening on ens4, link-type EN10MB (Ethernet), snapshot length 512 bytes\n"
_NUMBERS = "4 packets captured\n6 packets received by filter\n1 packet dropped by kernel\n"
_DOWN = "tcpdump: ens4: That device is not up\n"
_TASK = CaptureTask(id=3, tap=Tap(node="a", interface="ens4"), role=Role.UNDERLAY, file="a.pcap", argv=("tcpdump", "-p"))


def _course(begun: Record | None, ended: Record | None, *, task: CaptureTask = _TASK) -> Course:
    return Course(
        task=task,
        start=NodeReport(node_ns=100, options=("-Z", "root"), records={3: begun} if begun else {}, reason=None if begun else "lost"),
        stop=NodeReport(node_ns=900, records={3: ended} if ended else {}, reason=None if ended else "gone"),
    )


def _begun(state: State = State.LISTENING, device: Device = Device.UP, said: str = _LISTENING) -> Record:
    return Record(state=state, device=device, said=said)


def _ended(
    state: State = State.STOPPED, device: Device = Device.UP, said: str = _LISTENING + _NUMBERS, digest: str | None = "d" * 64
) -> Record:
    return Record(state=state, device=device, number=500, sha256=digest, said=said)


def test_complete() -> None:
    result = judge(_course(_begun(), _ended()))
    assert (result.status, result.reason) == (CaptureStatus.COMPLETE, None)
    assert (result.started_ns, result.stopped_ns) == (100, 900)
    assert (result.captured, result.received, result.dropped_by_kernel) == (4, 6, 1)
    assert result.task.argv == ("tcpdump", "-Z", "root", "-p")
    assert (result.size_bytes, result.sha256, result.file) == (500, "d" * 64, None)


def test_what_came_before_the_filter_is_told_apart() -> None:
    early = "tcpdump: 1 packet captured, 2 packets received by filter, 0 packets dropped by kernel\n"
    result = judge(_course(_begun(said=_LISTENING + early), _ended()))
    assert (result.received, result.received_early, result.cut_off) == (6, 1, 1)
    assert judge(_course(_begun(), _ended())).cut_off == 2


@pytest.mark.parametrize(
    ("begun", "ended", "status", "reason"),
    [
        (_begun(), _ended(State.STOPPED, said=_LISTENING), CaptureStatus.PARTIAL, "tcpdump ended without its closing numbers"),
        (_begun(), _ended(State.ENDED), CaptureStatus.PARTIAL, "the capture ended by itself"),
        (
            _begun(),
            _ended(State.ENDED, said=_LISTENING + "tcpdump: pcap_loop: The interface disappeared\n"),
            CaptureStatus.PARTIAL,
            "the capture ended by itself: pcap_loop: The interface disappeared",
        ),
        (
            _begun(),
            _ended(State.FULL, said=_LISTENING),
            CaptureStatus.PARTIAL,
            f"the capture reached its limit of {64 * 1024 * 1024} bytes and ended",
        ),
        (
            _begun(),
            _ended(State.NOSPACE, said=_LISTENING),
            CaptureStatus.PARTIAL,
            "disk full: the node had no space left for captures when they were stopped, so packets may be missing",
        ),
        (_begun(), _ended(State.KILLED), CaptureStatus.PARTIAL, "tcpdump did not end when it was told to"),
        (_begun(State.WAITING, said=""), _ended(), CaptureStatus.PARTIAL, "it began after the captures of the other nodes"),
        (None, _ended(), CaptureStatus.PARTIAL, "it began after the captures of the other nodes"),
        (_begun(), None, CaptureStatus.FAILED, "gone"),
        (None, None, CaptureStatus.FAILED, "gone"),
        (None, _ended(State.NONE, said="", digest=None), CaptureStatus.FAILED, "lost"),
        (
            _begun(State.ENDED, said="tcpdump: ens4: You don't have permission\n"),
            _ended(State.ENDED, said="tcpdump: ens4: You don't have permission\n", digest=None),
            CaptureStatus.FAILED,
            "ens4: You don't have permission",
        ),
        (
            _begun(State.ENDED, Device.DOWN, _DOWN),
            _ended(State.ENDED, Device.UP, _DOWN, digest=None),
            CaptureStatus.FAILED,
            "ens4 was absent or down when the captures started, and is up now",
        ),
        (_begun(State.ENDED, Device.DOWN, _DOWN), _ended(State.ENDED, Device.DOWN, _DOWN, digest=None), CaptureStatus.ZERO, "ens4 is down"),
        (
            _begun(State.ENDED, Device.ABSENT, _DOWN),
            _ended(State.ENDED, Device.ABSENT, _DOWN, None),
            CaptureStatus.ZERO,
            "there is no interface ens4",
        ),
    ],
)
def test_everything_else(begun: Record | None, ended: Record | None, status: CaptureStatus, reason: str) -> None:
    result = judge(_course(begun, ended))
    assert (result.status, result.reason) == (status, reason)
    assert result.file is None


def test_a_witness_of_zero_has_a_window() -> None:
    result = judge(_course(_begun(State.ENDED, Device.DOWN, _DOWN), _ended(State.ENDED, Device.DOWN, _DOWN, None)))
    assert (result.started_ns, result.stopped_ns) == (100, 900)


def test_the_end_of_a_capture_that_ended_by_itself_is_not_known() -> None:
    assert judge(_course(_begun(), _ended(State.ENDED))).stopped_ns is None


def test_a_node_without_tcpdump() -> None:
    start = NodeReport(node_ns=100, records={0: Record(state=State.REFUSED, said="tcpdump is not in the image\n")})
    stop = NodeReport(node_ns=900, records={3: Record(state=State.NONE)})
    result = judge(Course(task=_TASK, start=start, stop=stop))
    assert (result.status, result.reason) == (CaptureStatus.FAILED, "tcpdump is not in the image")


@pytest.mark.parametrize(
    ("interface", "reason"), [("", "the interface is not known"), ("a;id", "an interface called 'a;id' cannot be named in a command")]
)
def test_an_interface_that_cannot_be_used(interface: str, reason: str) -> None:
    task = CaptureTask(id=3, tap=Tap(node="a", interface=interface), role=Role.POD, file="a.pcap")
    result = judge(_course(None, None, task=task))
    assert (result.status, result.reason) == (CaptureStatus.FAILED, reason)


def test_fetched() -> None:
    whole = judge(_course(_begun(), _ended()))
    kept = fetched(whole, FetchResult(node="a", content=bytearray(500), sha256="d" * 64))
    assert (kept.status, kept.file, kept.size_bytes) == (CaptureStatus.COMPLETE, "a.pcap", 500)
    cut = fetched(whole, FetchResult(node="a", content=bytearray(200), reason="connection lost"))
    assert (cut.status, cut.file, cut.sha256) == (CaptureStatus.PARTIAL, "a.pcap", None)
    assert cut.reason == "the file could not be fetched whole: connection lost"
    gone = fetched(whole, FetchResult(node="a", reason="no pod"))
    assert (gone.status, gone.file) == (CaptureStatus.FAILED, None)
