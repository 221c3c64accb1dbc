"""Sightings that stand at no hop, loops, and taps that a path visits twice."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.path import Hop, Tap
from tests.journeys.build import (
    follow_all,
    journeys_of,
    lookups,
    lost_of,
    record,
    tables_of,
)
from tests.wire import frames
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
AT = wire.EPOCH


class TestUnexpected:
    def test_bare_on_a_nic(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=2)
        for number in range(2):
            packet = frames.ipv4(
                frames.udp(b"q%d" % number, source=40_000 + number, destination=53),
                source=wire.CLIENT, destination=A, protocol=frames.UDP, ident=number + 1, ttl=63,
            )  # fmt: skip
            simulator.put(wire.hops_to(A)[2], AT + number * 10_000_000 + 8_000, frames.ethernet(packet))
        case = follow_all(simulator)
        assert lost_of(case, A) == {(2, 3): 2}
        odd = [hop for hop in case.paths[0].hops if not hop.expected]
        assert [(hop.hop, hop.node, hop.interface, hop.packets, hop.outer) for hop in odd] == [(7, wire.CLIENT_NODE, wire.NIC, 2, None)]

    def test_at_another_node(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 1, vanished=3)
        packet = frames.ipv4(
            frames.udp(b"q0", source=40_000, destination=53), source=wire.CLIENT, destination=A, protocol=frames.UDP, ident=1, ttl=63
        )
        outer = frames.encapsulate(frames.ethernet(packet), source="10.128.0.72", destination="10.128.0.96")
        simulator.put(("ada-ec-3", wire.NIC), AT + 200_000, outer)
        case = follow_all(simulator)
        assert lost_of(case, A) == {(3, 4): 1}
        (odd,) = (hop for hop in case.paths[0].hops if not hop.expected)
        assert (odd.node, odd.packets, odd.outer and odd.outer.destination) == ("ada-ec-3", 1, "10.128.0.96")


def test_a_routing_loop_is_one_packet() -> None:
    simulator = wire.Simulator(service=None)
    simulator.udp(A, time_ns=AT, payload=b"q", client_port=40_000, ident=5, vanished=5)
    datagram = frames.udp(b"q", source=40_000, destination=53)
    for ttl in range(62, 40, -1):
        for tap in wire.hops_to(A)[1:5]:
            packet = frames.ethernet(frames.ipv4(datagram, source=wire.CLIENT, destination=A, protocol=17, ident=5, ttl=ttl))
            if tap[1] == wire.NIC:
                packet = frames.encapsulate(packet, source="10.128.0.72", destination="10.128.0.95")
            simulator.put(tap, AT + (63 - ttl) * 1_000_000, packet)
    case = follow_all(simulator)
    assert lost_of(case, A) == {(5, 6): 1}
    assert len(journeys_of(case, A)) == 1


@pytest.mark.parametrize("routed", [True, False])
def test_a_path_that_visits_a_tap_twice(routed: bool) -> None:
    """Same node with a bridge: the tap sees each packet going in and coming out."""
    simulator = wire.Simulator(service=None)
    pod, bridge, far = ("ada-ec-1", wire.PODS[wire.CLIENT]), ("ada-ec-1", wire.VXLAN), ("ada-ec-2", wire.PODS[A])
    for number in range(3):
        datagram = frames.udp(b"q%d" % number, source=40_000, destination=53)
        for step, tap in enumerate((pod, bridge, bridge, far)):
            if (number, step) in ((2, 3), (1, 2), (1, 3)) and (routed or number == 2):
                continue
            ttl = 63 if routed and step > 1 else 64
            packet = frames.ipv4(datagram, source=wire.CLIENT, destination=A, protocol=17, ident=number + 1, ttl=ttl)
            simulator.put(tap, AT + number * 1_000_000 + step * 1_000, frames.ethernet(packet))
    recording = record(simulator)
    taps = [Tap(node=tap[0], interface=tap[1]) for tap in (pod, bridge, bridge, far)]
    hops = tuple(Hop(hop=number, role=recording.paths[0].hops[0].role, tap=tap) for number, tap in enumerate(taps, 1))
    case = follow(replace(recording, flows=recording.flows[:1], paths=(replace(recording.paths[0], hops=hops),)), tables_of(simulator))
    assert lost_of(case, A) == ({(3, 4): 1, (2, 3): 1} if routed else {(3, 4): 1})
