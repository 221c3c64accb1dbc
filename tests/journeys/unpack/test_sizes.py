"""Packets that are not frames: segments, datagrams and fragments."""

import pytest

from kubectl_vxtrace.model.journeys import OutcomeCode
from tests.journeys.build import (
    follow_all,
    hop_packets,
    lost_of,
    outcomes,
    record,
)
from tests.wire import frames
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
AT = wire.EPOCH
SYN, RST, ACK, SYN_ACK = 0x02, 0x04, 0x10, 0x12


def test_a_pure_ack_between_witnesses_is_lost_even_if_later_ones_cover_it() -> None:
    simulator = wire.Simulator(service=None)
    for number in range(5):
        simulator.tcp(
            A, time_ns=AT + number * 1_000_000, client_port=40_000, flags=ACK, seq=7, ack=1_000 * number + 1, ident=number + 1,
            vanished=3 if number == 1 else None,
        )  # fmt: skip
    case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
    assert lost_of(case, A) == {(3, 4): 1}


def test_super_packets_that_nobody_saw_in_parts_count_as_segments() -> None:
    simulator = wire.Simulator(service=None)
    for number, gone in enumerate((False, True)):
        simulator.bulk(
            A, time_ns=AT + number * 10_000_000, client_port=40_000, seq=number * 45 * 1358, segments=45, mss=1358, ident=1 + number * 45,
            merge=(45,) * 6, vanished=dict.fromkeys(range(45), 3) if gone else {},
        )  # fmt: skip
    case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
    assert hop_packets(case, A) == [90, 90, 90, 45, 45, 45]
    assert [hop.frames for hop in case.paths[0].hops] == [2, 2, 2, 1, 1, 1]
    assert {(leg.from_, leg.to): leg.lost for leg in case.paths[0].legs if leg.lost} == {(3, 4): 45}


def test_datagrams_of_udp_super_packets() -> None:
    """UDP_SEGMENT: one frame before the wire, datagrams on it."""
    simulator = wire.Simulator(service=None)
    payload = b"".join(bytes([number]) * 1200 for number in range(5)) + b"end"
    for hop, tap in enumerate(wire.hops_to(A)):
        for index in range(6) if hop > 2 else (0,):
            if index == 3 and hop > 3:
                continue
            part = payload[index * 1200 : (index + 1) * 1200] if hop > 2 else payload
            packet = frames.ethernet(
                frames.ipv4(
                    frames.udp(part, source=40_000, destination=53), source=wire.CLIENT, destination=A, protocol=17, ident=9 + index
                )
            )
            if tap[1] == wire.NIC:
                packet = frames.encapsulate(packet, source="10.128.0.72", destination="10.128.0.95")
            simulator.put(tap, AT + hop * 1_000 + index, packet)
    case = follow_all(simulator)
    assert hop_packets(case, A) == [6, 6, 6, 6, 5, 5]
    assert lost_of(case, A) == {(4, 5): 1}


def overlapping(monkeypatch: pytest.MonkeyPatch, spare: int) -> list[OutcomeCode]:
    """Outcomes of eight segments, the fourth lost, where so many pieces may be made beyond twice the segments."""
    monkeypatch.setattr("kubectl_vxtrace.journeys.unpack.segments.SPARE_PIECES", spare)
    simulator = wire.Simulator(service=None)
    simulator.bulk(A, time_ns=AT, client_port=40_000, seq=1, segments=8, mss=1358, ident=1, merge=(8, 8, 8, 1, 8, 8), vanished={3: 3})
    return outcomes(follow_all(simulator, record(simulator, protocol="TCP", port=80)), A)


def test_frames_that_overlap_everywhere_prove_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OutcomeCode.LOST not in overlapping(monkeypatch, -100)


def test_segments_are_compared_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert overlapping(monkeypatch, 0).count(OutcomeCode.LOST) == 1


def test_cut_payloads_are_not_compared() -> None:
    """Files of others with a short snaplen: the underlay's frames hold less of the payload than the pod's."""
    simulator = wire.Simulator(snaplen=110)
    for number in range(3):
        simulator.udp(A, time_ns=AT + number, payload=b"%050d" % number, client_port=40_000 + number, ident=number + 1)
    case = follow_all(simulator)
    assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 3


def test_an_outer_fragment_that_is_missing() -> None:
    simulator = wire.Simulator(service=None)
    for number, complete in enumerate((True, False)):
        datagram = frames.udp(b"z" * 1300, source=40_000, destination=53)
        for hop, tap in enumerate(wire.hops_to(A)):
            inner = frames.ethernet(frames.ipv4(datagram, source=wire.CLIENT, destination=A, protocol=17, ident=number + 1))
            at = AT + number * 1_000_000 + hop * 1_000
            if tap[1] != wire.NIC:
                if complete or hop < 3:
                    simulator.put(tap, at, inner)
                continue
            carried = frames.udp(frames.vxlan(inner, vni=4096), source=5_000, destination=4789)
            for offset in (0, 1200):
                if offset and not complete and hop == 3:
                    continue
                part = carried[offset : offset + 1200]
                flag = offset // 8 | (0 if offset else 0x2000)
                outer = frames.ipv4(part, source="10.128.0.72", destination="10.128.0.95", protocol=17, ident=50 + number, fragment=flag)
                simulator.put(tap, at + offset, frames.ethernet(outer))
    case = follow_all(simulator)
    assert hop_packets(case, A) == [2, 2, 2, 1, 1, 1]
    assert lost_of(case, A) == {(3, 4): 1}
    assert [hop.frames for hop in case.paths[0].hops] == [2, 2, 4, 2, 1, 1]


@pytest.mark.parametrize("merge", [(8, 8, 1, 1, 8, 8), (4, 4, 1, 1, 2, 2)])
def test_a_port_that_is_used_again_far_away(merge: tuple[int, ...]) -> None:
    """A second connection's numbers may lie just where those of the first one are thought to wrap."""
    simulator = wire.Simulator(service=None)
    for number, seq in enumerate((1, 1 + 2**31 - 3 * 1358 - 700, 2**32 - 2_000)):
        at = AT + number * wire.SECOND
        simulator.bulk(A, time_ns=at, client_port=40_000, seq=seq, segments=8, mss=1358, ident=1 + 100 * number, merge=merge)
    case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
    assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 24
