"""Captures of a dry run's scripts, which people start on the nodes one after the other."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from kubectl_vxtrace.model.report import TraceReport
from tests.handover import build
from tests.wire.places import CLIENT_NODE, EPOCH, SECOND

STARTS = {CLIENT_NODE: EPOCH - SECOND // 20, build.SERVER_NODE: EPOCH + SECOND}
"""The client's node captures a second before the server's does."""

ONE_AFTER_THE_OTHER = {CLIENT_NODE: EPOCH + 5 * SECOND // 2, build.SERVER_NODE: EPOCH + 4 * SECOND}
TOGETHER = dict.fromkeys(STARTS, EPOCH + 5 * SECOND)


def _files(ends: Mapping[str, int], *, lost: bool, timed: bool = True, dropped: int = 0, short: str = "") -> dict[str, bytes]:
    """An archive of each node, with its files as they were recorded and what its script writes of them.

    short: the name of a capture that had ended before it was stopped.
    """
    members: dict[str, dict[str, bytes]] = {node: {} for node in STARTS}
    lines: dict[str, list[str]] = {node: [] for node in STARTS}
    for tap, shots in build.recorded(lost=lost).items():
        node, name = tap[0], build.procedure_name(tap)
        members[node][name] = build.pcap([shot for shot in shots if STARTS[node] <= shot[0] <= ends[node]])
        lines[node].append(f"{dropped} {STARTS[node]} {'-' if name == short else ends[node]} {name}\n")
    for node, said in lines.items() if timed else ():
        members[node]["capture-times.txt"] = "".join(said).encode()
    return {f"vxtrace-{node}.tgz": _packed(found) for node, found in members.items()}


def _packed(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _lost(report: TraceReport) -> int:
    return sum(leg.lost for flow in report.flows for direction in flow.directions for leg in direction.legs)


def test_what_came_while_one_node_did_not_capture_is_not_lost(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, _files(ONE_AFTER_THE_OTHER, lost=False))
    assert (_lost(report), report.verdict, report.completeness.blind) == (0, "delivered", ())
    assert all(capture.started is not None and capture.stopped is not None for capture in report.captures)


def test_what_was_lost_while_all_captured_is(tmp_path: Path) -> None:
    """The requests that vanish within the first second do so before the server's node captured."""
    assert _lost(build.report_of(tmp_path, _files(TOGETHER, lost=True))) == build.LOST_REPLIES


def test_times_that_are_not_known_of_all_captures_are_known_of_none(tmp_path: Path) -> None:
    one, other = (_files(TOGETHER, lost=False, timed=timed) for timed in (True, False))
    report = build.report_of(tmp_path, {name: (one if number else other)[name] for number, name in enumerate(one)})
    assert {capture.started for capture in report.captures} == {None}


def test_a_capture_that_ended_before_it_was_stopped_is_no_witness(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, _files(TOGETHER, lost=True, short="ada-ec-2-pod.pcap"))
    assert [blind.reason for blind in report.completeness.blind] == ["it began late, or ended before it was stopped"]


def test_a_capture_whose_kernel_dropped_packets_is_no_witness(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, _files(TOGETHER, lost=True, dropped=3))
    assert _lost(report) == 0
    assert "the kernel dropped 3 packets" in str(report.completeness.blind)
