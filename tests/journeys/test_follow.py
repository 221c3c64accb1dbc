"""Each sentence of the contract that a count rests on."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.journeys import follow, shown
from kubectl_vxtrace.model.facts import ConntrackEntry, Link, NodeFacts
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint, Hop, Tap
from kubectl_vxtrace.model.recording import CaptureStatus, Gap, Recording
from kubectl_vxtrace.model.report import Verdict
from tests.journeys.build import (
    STOP,
    change,
    follow_all,
    hop_packets,
    index_of,
    journeys_of,
    lost_of,
    outcomes,
    record,
    tables_of,
)
from tests.wire import frames
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
TAPS = [Tap(node=node, interface=name) for node, name in wire.hops_to(A)]
AT = wire.EPOCH
SECOND = wire.SECOND
SYN, RST, ACK, SYN_ACK = 0x02, 0x04, 0x10, 0x12


def _lookups(simulator: wire.Simulator, count: int, *, server: str = A, vanished: int | None = None, first: int = 0) -> None:
    for number in range(first, first + count):
        at = AT + number * 10_000_000
        simulator.udp(server, time_ns=at, payload=b"q%d" % number, client_port=40_000 + number, ident=number + 1, vanished=vanished)
        if vanished is None:
            simulator.udp(server, time_ns=at + 500_000, payload=b"a%d" % number, client_port=40_000 + number, ident=number + 1, reply=True)


def test_two_backends_are_two_flows() -> None:
    simulator = wire.Simulator()
    _lookups(simulator, 4)
    _lookups(simulator, 3, server=B, first=4)
    case = follow_all(simulator)
    assert [(flow.id, flow.server.address if flow.server else None, flow.client.port) for flow in case.flows] == [
        (1, A, None),
        (2, B, None),
    ]
    assert case.connections == {1: 4, 2: 3}
    assert hop_packets(case, A) == [4] * 6
    assert hop_packets(case, B, Direction.REPLY) == [3] * 6
    first, second, third = case.hops[0][:3]
    assert (first.tuple, second.tuple) == (f"{wire.CLIENT} > 10.96.0.10:53", f"{wire.CLIENT} > {A}:53")
    assert first.outer is None
    assert third.outer is not None
    assert (third.outer.source, third.outer.destination, third.outer.port, third.outer.vni) == ("10.128.0.72", "10.128.0.95", 4789, 4096)
    assert case.hops[1][5].tuple == f"10.96.0.10:53 > {wire.CLIENT}"
    assert first.control == 4 + 3 + 3


def test_one_client_port_is_named() -> None:
    simulator = wire.Simulator()
    _lookups(simulator, 1)
    (flow,) = follow_all(simulator).flows
    assert flow.client.port == 40_000


def test_no_traffic_has_no_flows() -> None:
    simulator = wire.Simulator()
    simulator.noise(wire.hops_to(A)[2], [AT])
    case = follow_all(simulator)
    assert (case.flows, case.paths, case.journeys) == ((), (), ())
    assert follow(record(simulator), {}).flows == ()


class TestUnknownBackend:
    def test_it_is_a_flow_with_candidates_and_the_shared_beginning(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=1)
        _lookups(simulator, 3, server=B, first=2)
        case = follow_all(simulator)
        unnamed = next(flow for flow in case.flows if flow.server is None)
        assert [one.address for one in unnamed.candidates] == [A, B]
        assert lost_of(case, None) == {(1, 2): 2}
        index = index_of(case, None)
        assert [hop.role for hop in case.paths[index].hops] == ["pod", "vxlan", "underlay"]
        assert [(leg.from_, leg.to, leg.sent, leg.lost) for leg in case.legs[index]] == [(1, 2, 2, 2), (2, 3, 0, 0)]

    def test_only_the_first_hop_is_shared(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=1)
        recording = _parted(record(simulator))
        case = follow(recording, tables_of(simulator))
        (index,) = range(len(case.paths))
        assert len(case.paths[index].hops) == 1
        assert [(leg.from_, leg.to, leg.lost) for leg in case.legs[index]] == [(1, None, 2)]
        assert lost_of(case, None) == {(1, 0): 2}

    def test_a_blind_next_hop_leaves_it_open(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=1)
        recording = change(_parted(record(simulator)), TAPS[3], status=CaptureStatus.FAILED)
        case = follow(recording, tables_of(simulator))
        assert outcomes(case, None) == [OutcomeCode.UNDETERMINED] * 2

    def test_conntrack_names_it(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 1, vanished=1)
        entry = ConntrackEntry(
            protocol="udp",
            original_source=wire.CLIENT,
            original_destination=wire.SERVICE,
            original_source_port=40_000,
            original_destination_port=53,
            reply_source=B,
            reply_source_port=53,
            reply_destination=wire.CLIENT,
            reply_destination_port=40_000,
        )
        recording = replace(record(simulator), after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=(entry,)),))
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, B) == {(1, 2): 1}
        assert len(case.flows) == 1

    def test_another_connection_names_nothing(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 1)
        _lookups(simulator, 1, first=1, vanished=1)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [1] * 6
        assert lost_of(case, None) == {(1, 2): 1}


def _parted(recording: Recording) -> Recording:
    """The recording with ways that part behind the client's pod."""
    paths = []
    for path in recording.paths:
        if path.flow == 1 and path.direction is Direction.REQUEST:
            path = replace(path, hops=(path.hops[0], replace(path.hops[3], hop=2)))
        paths.append(path)
    return replace(recording, paths=tuple(paths))


def test_one_port_that_went_to_two_backends() -> None:
    simulator = wire.Simulator()
    for number, (server, fate) in enumerate([(A, None), (B, None), (A, 3), (B, 1), (B, None)]):
        simulator.udp(server, time_ns=AT + number * SECOND, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=fate)
    case = follow_all(simulator)
    assert hop_packets(case, A) == [2, 2, 2, 1, 1, 1]
    assert hop_packets(case, B) == [2] * 6
    assert lost_of(case, A) == {(3, 4): 1}
    assert lost_of(case, None) == {(1, 2): 1}


class TestWindow:
    def test_what_was_first_seen_outside_is_not_counted(self) -> None:
        simulator = wire.Simulator()
        for number, at in enumerate([AT - 6 * SECOND, AT, STOP - SECOND // 2]):
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=3)
        assert lost_of(follow_all(simulator), A) == {(3, 4): 1}

    def test_received_but_not_captured_moves_the_end_to_the_last_frame(self) -> None:
        simulator = wire.Simulator()
        for number in range(5):
            fate = None if number < 3 else 3
            at = AT + number * 2 * SECOND
            simulator.udp(A, time_ns=at, payload=b"%d" % number, client_port=40_000, ident=number + 1, vanished=fate)
        recording = change(record(simulator), TAPS[3], received=5)
        case = follow(recording, tables_of(simulator))
        assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 2
        assert all(hop.witness for hop in case.hops[0])

    def test_files_of_others_run_from_the_latest_first_to_the_latest_last_frame(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 3)
        _lookups(simulator, 2, first=3, vanished=3)
        recording = record(simulator, status=CaptureStatus.PRESUMED)
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, A) == {(3, 4): 2}
        assert hop_packets(case, A)[0] == 4
        assert all(hop.witness for hop in case.hops[0])

    def test_a_clock_that_is_hours_off_does_not_move_the_window(self) -> None:
        simulator = wire.Simulator(skew_ns={"ada-ec-2": 7200 * SECOND})
        _lookups(simulator, 3)
        _lookups(simulator, 2, first=3, vanished=3)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [5, 5, 5, 3, 3, 3]
        assert hop_packets(case, A, Direction.REPLY) == [3] * 6


class TestWitness:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"dropped_by_kernel": 2}, "2 packets"),
            ({"status": CaptureStatus.PARTIAL, "reason": "timeout ended it"}, "timeout ended it"),
            ({"status": CaptureStatus.FAILED, "reason": "permission denied"}, "permission denied"),
        ],
    )
    def test_what_is_none_lies_inside_the_leg(self, fields: dict[str, object], words: str) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 3)
        _lookups(simulator, 2, first=3, vanished=3)
        case = follow(change(record(simulator), TAPS[3], **fields), tables_of(simulator))
        hop = case.hops[0][3]
        assert (hop.witness, words in (hop.reason or "")) == (False, True)
        assert lost_of(case, A) == {(3, 5): 2}
        assert [(leg.from_, leg.to) for leg in case.legs[0]] == [(1, 2), (2, 3), (3, 5), (5, 6)]

    def test_a_device_that_is_not_there_is_a_witness_of_zero(self) -> None:
        simulator = wire.Simulator(blind=frozenset({wire.hops_to(A)[4]}))
        _lookups(simulator, 2, vanished=4)
        recording = change(record(simulator), TAPS[4], status=CaptureStatus.ZERO, reason="vxlan.calico is down")
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, A) == {(4, 5): 2}
        assert (case.hops[0][4].witness, case.hops[0][4].reason) == (True, "vxlan.calico is down")

    def test_bpf_that_can_take_packets_away(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=3)
        links = (Link(name=wire.NIC, index=2, xdp=True),)
        case = follow(replace(record(simulator), before=(NodeFacts(node="ada-ec-2", links=links),)), tables_of(simulator))
        assert lost_of(case, A) == {(3, 5): 2}
        assert "XDP" in (case.hops[0][3].reason or "")

    def test_a_hop_that_was_never_captured(self) -> None:
        simulator = wire.Simulator(blind=frozenset({wire.hops_to(A)[3]}))
        _lookups(simulator, 2)
        recording = record(simulator)
        recording = replace(
            recording,
            captures=tuple(one for one in recording.captures if one.task.tap != TAPS[3]),
            gaps=(Gap(node="ada-ec-2", interface=wire.NIC, reason="no debug pod"),),
        )
        case = follow(recording, tables_of(simulator))
        assert (case.hops[0][3].witness, case.hops[0][3].reason, case.hops[0][3].capture) == (False, "no debug pod", None)
        assert outcomes(case, A) == [OutcomeCode.DELIVERED] * 2

    def test_what_comes_out_again_was_not_lost(self) -> None:
        tap = wire.hops_to(A)[3]
        simulator = wire.Simulator(gaps={tap: (AT + 10_000_000, AT + 25_000_000)})
        _lookups(simulator, 4)
        _lookups(simulator, 1, first=4, vanished=3)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [5, 5, 5, 2, 4, 4]
        assert "2 packets" in (case.hops[0][3].reason or "")
        assert lost_of(case, A) == {(3, 5): 1}

    def test_nothing_can_be_said_behind_the_last_witness(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=3)
        recording = record(simulator)
        for tap in TAPS[3:]:
            recording = change(recording, tap, status=CaptureStatus.FAILED)
        case = follow(recording, {tap: table for tap, table in tables_of(simulator).items() if tap not in TAPS[3:]})
        assert outcomes(case, A) == [OutcomeCode.UNDETERMINED] * 2


class TestRejected:
    def _syn(self, simulator: wire.Simulator, *, vanished: int | None = None, at: int = AT, seq: int = 100) -> None:
        simulator.tcp(A, time_ns=at, client_port=40_000, flags=SYN, seq=seq, ident=at % 1000 + 1, vanished=vanished)

    def _rst(self, simulator: wire.Simulator, *, at: int = AT + 1_000_000, first: int = 1) -> None:
        simulator.tcp(A, time_ns=at, client_port=40_000, flags=RST | ACK, ack=101, reply=True, first=first)

    def _case_outcome(self, simulator: wire.Simulator) -> list[tuple[OutcomeCode, int, int]]:
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        table = journeys_of(case, A)
        columns = zip(table.outcome, table.lost_from, table.lost_to, strict=True)
        return [(OutcomeCode(int(code)), int(start), int(end)) for code, start, end in columns]

    def test_by_the_server(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator)
        self._rst(simulator)
        assert self._case_outcome(simulator) == [(OutcomeCode.REJECTED, 6, 0)]
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        assert sum(leg.lost for leg in case.legs[0]) == 0

    def test_by_a_firewall_on_the_way(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator, vanished=5)
        self._rst(simulator, first=2)
        assert self._case_outcome(simulator) == [(OutcomeCode.REJECTED, 5, 6)]
        case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
        assert {(leg.from_, leg.to): leg.lost for leg in case.legs[0] if leg.lost} == {(5, 6): 1}

    def test_the_copy_that_was_answered(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator, vanished=3)
        self._syn(simulator, at=AT + SECOND + 7)
        self._rst(simulator, at=AT + SECOND + 1_000_000)
        assert self._case_outcome(simulator) == [(OutcomeCode.LOST, 3, 4), (OutcomeCode.REJECTED, 6, 0)]

    def test_an_rst_after_data_is_none(self) -> None:
        simulator = wire.Simulator()
        self._syn(simulator)
        simulator.tcp(A, time_ns=AT + 500_000, client_port=40_000, flags=SYN_ACK, seq=9, ack=101, reply=True)
        self._rst(simulator)
        assert self._case_outcome(simulator) == [(OutcomeCode.DELIVERED, 0, 0)]

    @pytest.mark.parametrize(("code", "outcome"), [(3, OutcomeCode.REJECTED), (10, OutcomeCode.REJECTED), (4, OutcomeCode.DELIVERED)])
    def test_by_icmp(self, code: int, outcome: OutcomeCode) -> None:
        simulator = wire.Simulator()
        datagram = frames.udp(b"q", source=40_000, destination=53)
        simulator.udp(A, time_ns=AT, payload=b"q", client_port=40_000, ident=77)
        quoted = simulator.asked(A, datagram, protocol=frames.UDP, ident=77)
        simulator.refusal(A, time_ns=AT + 1_000_000, quoted=quoted, to_client=False, code=code)
        assert outcomes(follow_all(simulator), A) == [outcome]

    def test_a_service_without_endpoints_refuses_on_the_client_s_node(self) -> None:
        simulator = wire.Simulator()
        datagram = frames.udp(b"q", source=40_000, destination=53)
        simulator.udp(A, time_ns=AT, payload=b"q", client_port=40_000, ident=77, vanished=1)
        simulator.refusal(A, time_ns=AT + 1_000, quoted=simulator.asked(A, datagram, protocol=frames.UDP, ident=77))
        recording = record(simulator)
        flow = replace(recording.flows[0], server=None)
        path = replace(recording.paths[0], hops=recording.paths[0].hops[:1])
        case = follow(replace(recording, flows=(flow,), paths=(path,)), tables_of(simulator))
        table = case.journeys[0]
        assert (table.outcome[0], table.lost_from[0], table.lost_to[0]) == (OutcomeCode.REJECTED, 1, 0)
        assert [(leg.from_, leg.to, leg.lost) for leg in case.legs[0]] == [(1, None, 1)]

    def test_a_reply_that_is_quoted_is_none(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 1)
        answer = frames.ipv4(
            frames.udp(b"a0", source=53, destination=40_000), source=wire.SERVICE, destination=wire.CLIENT, protocol=frames.UDP, ident=1
        )
        simulator.refusal(A, time_ns=AT + 900_000, quoted=answer)
        case = follow_all(simulator)
        assert outcomes(case, A) == [OutcomeCode.DELIVERED]
        assert outcomes(case, A, Direction.REPLY) == [OutcomeCode.DELIVERED]


class TestUnexpected:
    def test_bare_on_a_nic(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 2, vanished=2)
        for number in range(2):
            packet = frames.ipv4(
                frames.udp(b"q%d" % number, source=40_000 + number, destination=53),
                source=wire.CLIENT, destination=A, protocol=frames.UDP, ident=number + 1, ttl=63,
            )  # fmt: skip
            simulator.put(wire.hops_to(A)[2], AT + number * 10_000_000 + 8_000, frames.ethernet(packet))
        case = follow_all(simulator)
        assert lost_of(case, A) == {(2, 3): 2}
        odd = [hop for hop in case.hops[0] if not hop.expected]
        assert [(hop.hop, hop.node, hop.interface, hop.packets, hop.outer) for hop in odd] == [(7, wire.CLIENT_NODE, wire.NIC, 2, None)]

    def test_at_another_node(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 1, vanished=3)
        packet = frames.ipv4(
            frames.udp(b"q0", source=40_000, destination=53), source=wire.CLIENT, destination=A, protocol=frames.UDP, ident=1, ttl=63
        )
        outer = frames.encapsulate(frames.ethernet(packet), source="10.128.0.72", destination="10.128.0.96")
        simulator.put(("ada-ec-3", wire.NIC), AT + 200_000, outer)
        case = follow_all(simulator)
        assert lost_of(case, A) == {(3, 4): 1}
        (odd,) = (hop for hop in case.hops[0] if not hop.expected)
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


def test_pings_are_told_from_pings_the_other_way() -> None:
    simulator = wire.Simulator(service=None)
    for seq in range(4):
        at = AT + seq * SECOND
        simulator.ping(A, time_ns=at, ident=9, seq=seq, ip_id=0, vanished=3 if seq == 2 else None)
        if seq != 2:
            simulator.ping(A, time_ns=at + 600_000, ident=9, seq=seq, ip_id=0, reply=True)
        # the server pings the client with the same identifier
        message = frames.echo(9, seq, b"other way")
        simulator.packet(A, message, protocol=frames.ICMP, time_ns=at + 3_000, ident=3, reply=True)
    case = follow_all(simulator, record(simulator, protocol="ICMP", port=None))
    assert hop_packets(case, A) == [4, 4, 4, 3, 3, 3]
    assert hop_packets(case, A, Direction.REPLY) == [3] * 6
    assert case.hops[0][0].tuple == f"{wire.CLIENT} > {A}"
    assert case.connections == {1: 1}


def test_a_target_without_port_takes_the_port_that_was_used() -> None:
    simulator = wire.Simulator(service=None)
    for number in range(6):
        port = 8080 if number % 3 else 9090
        simulator.udp(A, time_ns=AT + number * 1_000_000, payload=b"%d" % number, client_port=40_000 + number, port=port, ident=number + 1)
    case = follow_all(simulator, record(simulator, port=None))
    assert [(flow.id, flow.server.port if flow.server else None, case.connections[flow.id]) for flow in case.flows] == [
        (1, 8080, 4),
        (3, 9090, 2),
    ]


def test_a_client_whose_address_is_rewritten() -> None:
    simulator = wire.Simulator()
    datagram = {port: frames.udp(b"q", source=port, destination=53) for port in (40_000, 1_234)}
    tunnel = "10.244.114.64"
    for hop, tap in enumerate(wire.hops_to(A)):
        source, target = (wire.CLIENT, wire.SERVICE) if hop == 0 else (tunnel, A)
        packet = frames.ethernet(
            frames.ipv4(datagram[40_000 if hop == 0 else 1_234], source=source, destination=target, protocol=17, ident=8)
        )
        if tap[1] == wire.NIC:
            packet = frames.encapsulate(packet, source="10.128.0.72", destination="10.128.0.95")
        simulator.put(tap, AT + hop * 1_000, packet)
    entry = ConntrackEntry(
        protocol="udp",
        original_source=wire.CLIENT,
        original_destination=wire.SERVICE,
        original_source_port=40_000,
        original_destination_port=53,
        reply_source=A,
        reply_source_port=53,
        reply_destination=tunnel,
        reply_destination_port=1_234,
    )
    recording = record(simulator)
    known = replace(recording, before=(NodeFacts(node=wire.CLIENT_NODE, conntrack=(entry,)),))
    for one in (known, recording):
        case = follow(one, tables_of(simulator))
        assert hop_packets(case, A) == [1] * 6
        assert case.connections == {1: 1}


def test_two_services_with_the_same_backends() -> None:
    simulator = wire.Simulator()
    _lookups(simulator, 3)
    recording = record(simulator)
    other = tuple(
        replace(flow, id=flow.id + 10, service=replace(flow.service, address="10.96.0.99") if flow.service else None)
        for flow in recording.flows
    )
    paths = recording.paths + tuple(replace(path, flow=path.flow + 10) for path in recording.paths)
    case = follow(replace(recording, flows=other + recording.flows, paths=paths), tables_of(simulator))
    assert [flow.id for flow in case.flows] == [1]


def test_a_client_in_the_host_s_network() -> None:
    simulator = wire.Simulator(service=None)
    recording = record(simulator)
    vteps = tuple(replace(one, address="10.244.114.64" if one.node == wire.CLIENT_NODE else None) for one in recording.overlay.vteps)
    client = Endpoint(address="10.128.0.72", node=wire.CLIENT_NODE, host_network=True)
    for hop, tap in enumerate(wire.hops_to(A)[1:]):
        datagram = frames.udp(b"q", source=40_000, destination=53)
        packet = frames.ethernet(frames.ipv4(datagram, source="10.244.114.64", destination=A, protocol=17, ident=8))
        if tap[1] == wire.NIC:
            packet = frames.encapsulate(packet, source="10.128.0.72", destination="10.128.0.95")
        simulator.put(tap, AT + hop * 1_000, packet)
    path = recording.paths[0]
    path = replace(path, hops=tuple(replace(hop, hop=hop.hop - 1) for hop in path.hops[1:]))
    recording = replace(
        recording, flows=(replace(recording.flows[0], client=client),), paths=(path,), overlay=replace(recording.overlay, vteps=vteps)
    )
    assert hop_packets(follow(recording, tables_of(simulator)), A) == [1] * 5


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
    assert [hop.frames for hop in case.hops[0]] == [2, 2, 2, 1, 1, 1]
    assert {(leg.from_, leg.to): leg.lost for leg in case.legs[0] if leg.lost} == {(3, 4): 45}


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


def test_frames_that_overlap_everywhere_prove_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.journeys.segments.MAX_PIECES", 3)
    simulator = wire.Simulator(service=None)
    simulator.bulk(A, time_ns=AT, client_port=40_000, seq=1, segments=8, mss=1358, ident=1, merge=(8, 8, 8, 1, 8, 8), vanished={3: 3})
    case = follow_all(simulator, record(simulator, protocol="TCP", port=80))
    assert OutcomeCode.LOST not in outcomes(case, A)


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
    assert [hop.frames for hop in case.hops[0]] == [2, 2, 4, 2, 1, 1]


class TestLatency:
    def test_one_node_is_exact(self) -> None:
        simulator = wire.Simulator()
        _lookups(simulator, 3)
        latency = follow_all(simulator).legs[0][0].latency_ns
        assert latency is not None
        assert (latency.min, latency.median, latency.max, latency.uncertainty) == (4_000, 4_000, 4_000, 0)

    def test_two_nodes_are_bounded_by_both_directions(self) -> None:
        simulator = wire.Simulator(skew_ns={"ada-ec-2": 5 * SECOND})
        _lookups(simulator, 3)
        latency = follow_all(simulator).legs[0][2].latency_ns
        assert latency is not None
        assert latency.median - latency.uncertainty <= 120_000 <= latency.median + latency.uncertainty

    def test_one_direction_claims_nothing(self) -> None:
        simulator = wire.Simulator()
        for number in range(3):
            simulator.udp(A, time_ns=AT + number, payload=b"%d" % number, client_port=40_000, ident=number + 1)
        case = follow_all(simulator)
        assert case.legs[0][2].latency_ns is None
        assert case.clocks[0].offset_ns.low is None
        assert case.clocks[0].offset_ns.high == 120_000


def test_shown_lists_a_few_delivered_and_all_lost() -> None:
    simulator = wire.Simulator()
    _lookups(simulator, 6)
    _lookups(simulator, 4, first=6, vanished=3)
    case = follow_all(simulator)
    picked = shown(case, delivered=2)
    assert [one.outcome for one in picked] == [Verdict.DELIVERED] * 2 + [Verdict.LOST] * 4
    assert picked[2].sightings == tuple((number, tap, picked[2].sightings[0][2]) for number, tap in enumerate(TAPS[:3], 1))
    assert picked[2].client_port == 40_006
    assert len(shown(case, delivered=0, lost=3)) == 3
    assert shown(case, delivered=-1, lost=0) == ()


def test_arrays_are_read_only_and_rows_point_at_the_frames() -> None:
    simulator = wire.Simulator()
    _lookups(simulator, 2)
    case = follow_all(simulator)
    table = journeys_of(case, A)
    assert not table.row.flags.writeable
    for hop, rows in zip(table.path.hops, table.row.T, strict=True):
        assert np.array_equal(case.tables[hop.tap].ip_id[rows], [1, 2])
