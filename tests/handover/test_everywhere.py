"""`tcpdump -i any`: which interfaces it watched, and what its filter let through, the files do not say."""

from pathlib import Path

import pytest

from kubectl_vxtrace.model.report import TraceReport, Verdict
from tests.handover import build
from tests.handover.build import SERVER_NODE, Shots
from tests.wire import links
from tests.wire.places import CLIENT, CLIENT_NODE, NIC, PODS, VXLAN, TapName

ONE_WAY = build.recorded(one_way=True, lost=False)
"""Requests that all arrive, and no answer to any."""
INDICES = {NIC: 2, VXLAN: 5}


def showing(shots: Shots, *interfaces: str) -> Shots:
    """What a filter leaves of it that shows these interfaces' packets alone."""
    return {tap: each if tap[1] in interfaces else [] for tap, each in shots.items()}


def said(shots: Shots, folder: Path, *nodes: str) -> TraceReport:
    return build.report_of(folder, {name: data for name, data in build.everywhere(shots).items() if name.removesuffix(".pcap") in nodes})


def lost(report: TraceReport) -> int:
    return sum(leg.lost for flow in report.flows for direction in flow.directions for leg in direction.legs)


@pytest.mark.parametrize(
    ("interfaces", "node"),
    [
        pytest.param((PODS[CLIENT], VXLAN), CLIENT_NODE, id="icmp: nothing encapsulated"),
        pytest.param((PODS[CLIENT],), CLIENT_NODE, id="host CLUSTERIP: nothing behind the translation"),
        pytest.param((NIC,), CLIENT_NODE, id="udp port 4789: nothing else, at the sender"),
        pytest.param((NIC,), SERVER_NODE, id="udp port 4789: nothing else, at the receiver"),
    ],
)
def test_what_a_filter_left_out_is_not_lost(interfaces: tuple[str, ...], node: str, tmp_path: Path) -> None:
    report = said(showing(ONE_WAY, *interfaces), tmp_path, node)
    assert lost(report) == 0
    assert report.verdict in (Verdict.UNDETERMINED, Verdict.UNANSWERED)


def test_what_it_would_have_shown_is(tmp_path: Path) -> None:
    """All die in the server's node behind its NIC; the capture there has shown packets of pods before."""
    dead = {tap: each[:2] if tap[0] == SERVER_NODE and tap[1] != NIC else each for tap, each in ONE_WAY.items()}
    report = said(dead, tmp_path, CLIENT_NODE, SERVER_NODE)
    assert report.verdict is Verdict.LOST
    assert build.PINGS - 8 < lost(report) <= build.PINGS - 2  # some lie before or behind what all captures saw


def test_an_interface_that_the_first_part_of_a_rotation_did_not_see(tmp_path: Path) -> None:
    """The kernel names in each frame where it passed: an interface that was quiet at first stands in the later files alone."""
    files = {}
    for node in (CLIENT_NODE, SERVER_NODE):
        of_node = sorted((time_ns, frame, tap) for tap, each in build.recorded().items() if tap[0] == node for time_ns, frame in each)
        half = len(of_node) // 2
        parts = ([shot for shot in of_node[:half] if shot[2][1] == NIC], of_node[half:])
        for number, part in enumerate(parts):
            files[f"{node}.pcap{number}"] = build.pcap([(time_ns, _cooked(frame, tap)) for time_ns, frame, tap in part], links.SLL2)
    report = build.report_of(tmp_path, files)
    assert report.verdict in (Verdict.LOST, Verdict.DELIVERED)
    assert report.packets


def _cooked(frame: bytes, tap: TapName) -> bytes:
    return links.sll2(frame[14:], interface=INDICES.get(tap[1], 17))
