"""Captures of traffic that nobody answers: no reply says who the backend is, or on which node an end is."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_vxtrace.model.report import TraceReport, Verdict
from tests.handover import build
from tests.wire.emit import emit
from tests.wire.places import EPOCH, FIRST, TapName
from tests.wire.world import Flow, Packet, World

BESIDE = "10.244.114.80"
"""A pod of the client's own node."""
MS = 1_000_000
SEGMENTS = 9


def said(world: World, *taps: TapName) -> TraceReport:
    """What is said of the captures of some taps, of all where none is named."""
    with TemporaryDirectory() as folder:
        written = emit(world).write(Path(folder))
        files = {f"{tap[0]}_{tap[1]}.pcap": path.read_bytes() for tap, path in written.items() if not taps or tap in taps}
    assert len(files) == (len(taps) or len(written))
    with TemporaryDirectory() as folder:
        return build.report_of(Path(folder), files)


def losses(report: TraceReport) -> list[tuple[int, int | None, int]]:
    return [(leg.from_, leg.to, leg.lost) for flow in report.flows for way in flow.directions for leg in way.legs if leg.lost]


def test_what_never_left_its_node_is_not_missing_at_the_nic() -> None:
    answers = tuple(
        Packet(reply=True, time_ns=EPOCH + number * MS, payload=b"answer %d" % number, ip_id=100 + number) for number in range(4)
    )
    others = Packet(flow=1, client_port=41_000, payload=b"of another pod", ip_id=5_001)
    asked = Packet(time_ns=EPOCH - MS, payload=b"asked", ip_id=1)
    world = World(flows=(Flow(server=BESIDE, server_port=4_000), Flow(server_port=3_010)), packets=(asked, *answers, others))
    report = said(world, ("ada-ec-1", "cali5555555555a"), ("ada-ec-1", "ens4"))
    assert losses(report) == []
    assert report.completeness.complete is False


def super_packets(*, count: int, lost_from: int | None = None, port_shift: int = 0) -> World:
    """UDP super-packets to a Service, which the pod's interface sees whole and the next hop in pieces."""
    packets = tuple(
        Packet(
            time_ns=EPOCH + burst * 10 * MS + part * 1_000,
            payload=b"%02d-%02d" % (burst, part) * (100 if part < SEGMENTS - 1 else 1),
            ip_id=100 + burst * SEGMENTS + part,
            burst=burst,
            lost_after=3 if lost_from is not None and burst >= lost_from else None,
        )
        for burst in range(count)
        for part in range(SEGMENTS)
    )
    flow = Flow(server_port=4_000, service_port=4_000, merge=(45, 1, 1, 1, 8, 8), port_shift=port_shift)
    return World(flows=(flow,), packets=packets)


@pytest.mark.parametrize("port_shift", [0, 500], ids=["the client's port", "another port"])
def test_super_packets_to_a_service_are_found_behind_the_pod(port_shift: int) -> None:
    report = said(super_packets(count=5, port_shift=port_shift))
    assert (report.verdict, losses(report)) == (Verdict.UNANSWERED, [])
    assert {flow.server.address for flow in report.flows if flow.server is not None} == {FIRST}


def test_two_services_of_one_client_are_told_apart_by_their_ports() -> None:
    one, other = super_packets(count=5), super_packets(count=5)
    flows = tuple(replace(one.flows[0], server_port=port, service_port=port) for port in (4_000, 4_010))
    later = tuple(replace(packet, flow=1, client_port=41_000, ip_id=packet.ip_id + 500) for packet in other.packets)
    report = said(World(flows=flows, packets=(*one.packets, *later)))
    assert (report.verdict, losses(report)) == (Verdict.UNANSWERED, [])
    assert {flow.server.port for flow in report.flows if flow.server is not None} == {4_000, 4_010}


def test_those_that_vanish_later_are_lost_there() -> None:
    report = said(super_packets(count=6, lost_from=3))
    assert report.verdict is Verdict.LOST
    assert {(start, end) for start, end, _ in losses(report)} == {(3, 4)}
