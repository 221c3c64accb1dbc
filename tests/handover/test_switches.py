"""A switch's capture beside a trace: on which side of it packets vanish, and what it is no witness for."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.bundle.given import read_given
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.handover import settle
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.recording import LooseFile, Recording
from kubectl_vxtrace.model.report import Confidence, TraceReport
from kubectl_vxtrace.topology.infer import infer
from tests.calico.recorded import recording as calico
from tests.calico.test_recorded import bundled
from tests.handover.build import LOST_REPLIES, LOST_REQUESTS, SERVER_NODE, by_procedure, pcap, recorded
from tests.wire.places import CLIENT_NODE, NIC

SHOTS = recorded()
HERE, THERE = SHOTS[CLIENT_NODE, NIC], SHOTS[SERVER_NODE, NIC]
Frames = Sequence[tuple[int, bytes]]


@pytest.fixture
def trace(tmp_path: Path) -> Recording:
    """The recording of a trace: flows and paths are known, as the plan of one knows them."""
    folder = tmp_path / "captures"
    folder.mkdir()
    for name, content in by_procedure(SHOTS).items():
        (folder / name).write_bytes(content)
    settled = settle(open_recording([folder], tmp_path / "scratch"))
    return infer(settled.recording, settled.tables)


def _report(trace: Recording, tmp_path: Path, frames: Frames) -> TraceReport:
    (tmp_path / "tor.pcap").write_bytes(pcap(frames))
    file = LooseFile(path=str(tmp_path / "tor.pcap"), name="tor.pcap", node="tor", role=Role.UNDERLAY, fabric=True)
    return analyse(replace(trace, loose=(file,)))


def _losses(report: TraceReport) -> dict[tuple[str, str, str], int]:
    """By direction and the nodes on both sides of the leg."""
    found: dict[tuple[str, str, str], int] = {}
    for flow in report.flows:
        for each in flow.directions:
            nodes = {hop.hop: hop.node for hop in each.hops}
            found |= {(each.direction.value, nodes[leg.from_], nodes[leg.to]): leg.lost for leg in each.legs if leg.lost and leg.to}
    return found


def _sent_by(frames: Frames, source: bytes) -> Frames:
    return [(time_ns, frame) for time_ns, frame in frames if frame[26:30] == source]


CLIENT_OUTER = HERE[0][1][26:30]


def test_what_it_saw_was_lost_behind_it(trace: Recording, tmp_path: Path) -> None:
    report = _report(trace, tmp_path, HERE)
    assert _losses(report) == {("request", "tor", SERVER_NODE): LOST_REQUESTS, ("reply", SERVER_NODE, "tor"): LOST_REPLIES}
    assert all(finding.confidence is not Confidence.CERTAIN for finding in report.findings)
    [line] = [capture for capture in report.captures if capture.node == "tor"]
    assert line.file == "tor.pcap"


def test_what_it_did_not_see_was_lost_before_it(trace: Recording, tmp_path: Path) -> None:
    report = _report(trace, tmp_path, THERE)
    assert _losses(report) == {("request", CLIENT_NODE, "tor"): LOST_REQUESTS, ("reply", "tor", CLIENT_NODE): LOST_REPLIES}


def test_a_direction_that_it_does_not_show_is_as_without_it(trace: Recording, tmp_path: Path) -> None:
    """Its filter may have left it out, or the way back be another."""
    report = _report(trace, tmp_path, _sent_by(HERE, CLIENT_OUTER))
    assert _losses(report) == {("request", "tor", SERVER_NODE): LOST_REQUESTS, ("reply", SERVER_NODE, CLIENT_NODE): LOST_REPLIES}
    assert [note for note in report.completeness.notes if "tor.pcap shows no replies of flow 1" in note]


def test_it_bounds_what_is_counted(trace: Recording, tmp_path: Path) -> None:
    """Before it began nothing is said of anything, and so no loss."""
    late = [shot for shot in HERE if shot[0] > HERE[len(HERE) // 3][0]]
    assert sum(_losses(_report(trace, tmp_path, late)).values()) == LOST_REPLIES


@pytest.mark.parametrize("content", [b"", b"not a capture"])
def test_one_that_cannot_be_read_is_said(trace: Recording, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tor.pcap").write_bytes(content)
    file = LooseFile(path=str(tmp_path / "tor.pcap"), name="tor.pcap", node="tor", role=Role.UNDERLAY, fabric=True)
    report = analyse(replace(trace, loose=(file,)))
    assert _losses(report) == _losses(analyse(trace))
    assert [blind for blind in report.completeness.blind if "tor.pcap" in blind.reason]


def test_beside_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    bundled(calico("netpol-ingress", tmp_path / "captures"), "netpol-ingress", tmp_path)
    shutil.copy(next((tmp_path / "captures").glob("ada-ec-1-primary*.pcap")), tmp_path / "tor.pcap")
    alone = analyse(open_recording([tmp_path / "bundle.zip"], _made(tmp_path / "1")))
    given = read_given([], [f"tor={tmp_path / 'tor.pcap'}"])
    for number, paths in enumerate(([tmp_path / "bundle.zip"], [tmp_path / "bundle.zip", tmp_path / "tor.pcap"])):
        report = analyse(open_recording(paths, _made(tmp_path / f"with{number}"), given))
        assert (report.verdict, report.cause) == (alone.verdict, alone.cause)
        [flow] = report.flows
        request = next(each for each in flow.directions if each.direction is Direction.REQUEST)
        assert [hop.node for hop in request.hops] == ["ada-ec-1", "ada-ec-1", "ada-ec-1", "tor", "ada-ec-3", "ada-ec-3", "ada-ec-3"]


def test_beside_a_bundle_nothing_else_is_taken(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    bundled(calico("healthy", tmp_path / "captures"), "healthy", tmp_path)
    (tmp_path / "tor.pcap").write_bytes(pcap(HERE))
    for hop in (f"n1:pod={tmp_path / 'tor.pcap'}", "tor=elsewhere.pcap"):
        with pytest.raises(UsageError):
            open_recording([tmp_path / "bundle.zip", tmp_path / "tor.pcap"], _made(tmp_path / hop[:2]), read_given([], [hop]))


def _made(place: Path) -> Path:
    place.mkdir()
    return place
