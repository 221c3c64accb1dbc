"""Captures that were begun and ended one after the other, as by hand, and some that are missing: nothing that arrived is called lost."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kubectl_vxtrace.model.report import TraceReport, Verdict
from tests.handover import build
from tests.wire.places import EPOCH, FIRST, NIC, SECOND, SECOND_SERVER, VXLAN, TapName
from tests.wire.simulator import Simulator

HEALTHY, FAULTY = build.recorded(lost=False), build.recorded()
ROLES = {NIC: "primary-interface", VXLAN: "vxlan-calico"}
MISSING = 0.1
SHORTEST_S = 1.0
FIN, SYN, PSH, ACK = 1, 2, 8, 16


def _spans(taps: build.Shots, rng: random.Random) -> dict[TapName, tuple[float, float]]:
    """From which second to which each tap was captured: its node's with a stagger of its own, or any."""
    apart = rng.choice([0.0, 0.5, 2.0])
    nodes = {node: (rng.uniform(0, 1.5), rng.uniform(2, 4.2)) for node in sorted({node for node, _ in taps})}
    spans = {}
    for tap in sorted(taps):
        begin_s, end_s = nodes[tap[0]]
        begin_s += rng.uniform(0, apart)
        spans[tap] = (begin_s, max(end_s - rng.uniform(0, apart), begin_s + SHORTEST_S))
    return {tap: span for tap, span in spans.items() if rng.random() > MISSING}


def _report(shots: build.Shots, seed: int, place: Path) -> TraceReport:
    cut = {
        f"{node}-{ROLES.get(interface, 'pod')}.pcap": build.pcap(
            [shot for shot in shots[node, interface] if EPOCH + begin_s * SECOND <= shot[0] <= EPOCH + end_s * SECOND]
        )
        for (node, interface), (begin_s, end_s) in _spans(shots, random.Random(seed)).items()
    }
    return build.report_of(place, cut)


def _lost(report: TraceReport) -> list[int]:
    """Requests and replies."""
    return [sum(leg.lost for flow in report.flows for leg in flow.directions[number].legs) for number in (0, 1)]


def _udp(world: Simulator, server: str, at_ns: int, number: int) -> None:
    port = 40_000 + number
    world.udp(server, time_ns=at_ns, payload=b"q%d" % number, client_port=port, ident=number + 1)
    world.udp(server, time_ns=at_ns + 500_000, payload=b"a%d" % number, client_port=port, ident=number + 1, reply=True)


def _tcp(world: Simulator, server: str, at_ns: int, number: int) -> None:
    """A connection with a request and its answer, ended by the client."""
    sent = [
        (0, False, SYN, 1000, 0, b""),
        (500_000, True, SYN | ACK, 9000, 1001, b""),
        (1_000_000, False, ACK, 1001, 9001, b""),
        (1_100_000, False, ACK | PSH, 1001, 9001, b"GET"),
        (1_600_000, True, ACK | PSH, 9001, 1004, b"200"),
        (2_200_000, False, ACK | FIN, 1004, 9004, b""),
        (2_700_000, True, ACK | FIN, 9004, 1005, b""),
        (3_200_000, False, ACK, 1005, 9005, b""),
    ]
    for place, (after_ns, reply, flags, seq, ack, payload) in enumerate(sent):
        world.tcp(
            server, time_ns=at_ns + after_ns, client_port=42_000 + number, flags=flags, seq=seq, ack=ack, payload=payload,
            ident=number * 10 + place + 1, reply=reply,
        )  # fmt: skip


def _service(talk: Callable[[Simulator, str, int, int], None], seed: int) -> build.Shots:
    """Forty talks with a Service of two backends in four seconds, all of which arrive."""
    rng, world = random.Random(seed), Simulator()
    for number in range(40):
        talk(world, rng.choice([FIRST, SECOND_SERVER]), EPOCH + number * SECOND // 10, number)
    return {tap: sorted(shots) for tap, shots in world.files.items()}


@pytest.mark.parametrize("seed", range(16))
def test_pings_that_arrived_are_not_lost(seed: int, tmp_path: Path) -> None:
    _assert_none_lost(_report(HEALTHY, seed, tmp_path))


@pytest.mark.parametrize("talk", [_udp, _tcp])
@pytest.mark.parametrize("seed", [16, 20, 40, 41, 44, 93, 95, 112, 126, 158])
def test_what_a_service_answered_is_not_lost(talk: Callable[[Simulator, str, int, int], None], seed: int, tmp_path: Path) -> None:
    _assert_none_lost(_report(_service(talk, seed), seed, tmp_path))


def _assert_none_lost(report: TraceReport) -> None:
    assert _lost(report) == [0, 0]
    assert report.verdict in (Verdict.DELIVERED, Verdict.UNDETERMINED), report.summary


@pytest.mark.parametrize("seed", range(20, 30))
def test_no_more_is_lost_than_was(seed: int, tmp_path: Path) -> None:
    lost = _lost(_report(FAULTY, seed, tmp_path))
    assert lost[0] <= build.LOST_REQUESTS
    assert lost[1] <= build.LOST_REPLIES
