"""Each sentence of the contract that a count rests on."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.journeys import follow, shown
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint, Hop, Role, Tap
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from kubectl_vxtrace.model.report import Verdict
from kubectl_vxtrace.model.request import Request, Target
from tests.journeys.build import (
    change,
    follow_all,
    hop_packets,
    journeys_of,
    lookups,
    lost_of,
    outcomes,
    record,
    tables_of,
    traced_of,
)
from tests.wire import frames
from tests.wire import simulator as wire

A, B = wire.FIRST, wire.SECOND_SERVER
TAPS = [Tap(node=node, interface=name) for node, name in wire.hops_to(A)]
AT = wire.EPOCH
SECOND = wire.SECOND


def test_two_backends_are_two_flows() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 4)
    lookups(simulator, 3, server=B, first=4)
    case = follow_all(simulator)
    assert [(flow.id, flow.server.address if flow.server else None, flow.client.port) for flow in case.flows] == [
        (1, A, None),
        (2, B, None),
    ]
    assert case.connections == {1: 4, 2: 3}
    assert hop_packets(case, A) == [4] * 6
    assert hop_packets(case, B, Direction.REPLY) == [3] * 6
    first, second, third = case.paths[0].hops[:3]
    assert (first.tuple, second.tuple) == (f"{wire.CLIENT} > 10.96.0.10:53", f"{wire.CLIENT} > {A}:53")
    assert first.outer is None
    assert third.outer is not None
    assert (third.outer.source, third.outer.destination, third.outer.port, third.outer.vni) == ("10.128.0.72", "10.128.0.95", 4789, 4096)
    assert case.paths[1].hops[5].tuple == f"10.96.0.10:53 > {wire.CLIENT}"
    assert first.control == 4 + 3 + 3


def test_one_client_port_is_named() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 1)
    (flow,) = follow_all(simulator).flows
    assert flow.client.port == 40_000


def test_no_traffic_has_no_flows() -> None:
    simulator = wire.Simulator()
    simulator.noise(wire.hops_to(A)[2], [AT])
    case = follow_all(simulator)
    assert (case.flows, case.paths) == ((), ())
    assert follow(record(simulator), {}).flows == ()


class TestUnknownBackend:
    def test_it_is_a_flow_with_candidates_and_the_shared_beginning(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=1)
        lookups(simulator, 3, server=B, first=2)
        case = follow_all(simulator)
        unnamed = next(flow for flow in case.flows if flow.server is None)
        assert [one.address for one in unnamed.candidates] == [A, B]
        assert lost_of(case, None) == {(1, 2): 2}
        traced = traced_of(case, None)
        assert [hop.role for hop in traced.path.hops] == ["pod", "vxlan", "underlay"]
        assert [(leg.from_, leg.to, leg.sent, leg.lost) for leg in traced.legs] == [(1, 2, 2, 2), (2, 3, 0, 0)]

    def test_only_the_first_hop_is_shared(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=1)
        recording = _parted(record(simulator))
        case = follow(recording, tables_of(simulator))
        (traced,) = case.paths
        assert len(traced.path.hops) == 1
        assert [(leg.from_, leg.to, leg.lost) for leg in traced.legs] == [(1, None, 2)]
        assert lost_of(case, None) == {(1, 0): 2}

    def test_a_blind_next_hop_leaves_it_open(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 2, vanished=1)
        recording = change(_parted(record(simulator)), TAPS[3], status=CaptureStatus.FAILED)
        case = follow(recording, tables_of(simulator))
        assert outcomes(case, None) == [OutcomeCode.UNDETERMINED] * 2

    def test_conntrack_names_it(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 1, vanished=1)
        recording = replace(record(simulator), after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=(_connection(B, 40_000),)),))
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, B) == {(1, 2): 1}
        assert len(case.flows) == 1

    def test_another_connection_names_nothing(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 1)
        lookups(simulator, 1, first=1, vanished=1)
        case = follow_all(simulator)
        assert hop_packets(case, A) == [1] * 6
        assert lost_of(case, None) == {(1, 2): 1}


class TestABackendThatIsNone:
    """A translation to what is no backend: the packets are followed over the client's node, and nobody is made up as their server."""

    @staticmethod
    def _known(simulator: wire.Simulator, *, told: bool = True, ports: int = 1) -> Recording:
        """A recording whose plan knows B alone; conntrack leads to A, if it is `told`."""
        recording = record(simulator)
        flow = recording.flows[1]
        entries = tuple(_connection(A, 40_000 + number) for number in range(ports)) if told else ()
        return replace(
            recording,
            flows=(flow,),
            paths=tuple(path for path in recording.paths if path.flow == flow.id),
            after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=entries),),
        )

    def test_it_is_followed_over_the_clients_node(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3, vanished=3)
        lookups(simulator, 2, server=B, first=3)
        case = follow(self._known(simulator, ports=3), tables_of(simulator))
        assert lost_of(case, None) == {(3, 0): 3}
        assert hop_packets(case, None) == [3, 3, 3]
        traced = traced_of(case, None)
        assert [(hop.tap.node, hop.role) for hop in traced.path.hops] == [(wire.CLIENT_NODE, role) for role in ("pod", "vxlan", "underlay")]
        assert [one.address for one in case.flows[-1].candidates] == [B]
        assert hop_packets(case, B) == [2] * 6

    def test_packets_alone_tell_where_no_conntrack_was_read(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3, vanished=3)
        lookups(simulator, 2, server=B, first=3)
        case = follow(self._known(simulator, told=False), tables_of(simulator))
        assert lost_of(case, None) == {(3, 0): 3}
        assert hop_packets(case, B) == [2] * 6

    def test_a_question_that_goes_to_another_server_as_well_is_no_translation(self) -> None:
        """As some resolvers do, from one port; what was asked of the service vanished at once."""
        simulator, direct = wire.Simulator(), wire.Simulator(service=None)
        lookups(simulator, 2, vanished=1)
        lookups(direct, 2, vanished=3)
        for tap, shots in direct.files.items():
            simulator.files[tap] += shots
        case = follow(self._known(simulator, told=False), tables_of(simulator))
        assert hop_packets(case, None)[:2] == [2, 0]

    def test_it_may_die_before_the_nic(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3, vanished=2)
        case = follow(self._known(simulator, ports=3), tables_of(simulator))
        assert lost_of(case, None) == {(2, 3): 3}

    def test_where_a_local_backend_parts_the_ways_it_goes_the_way_that_saw_it(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3, vanished=3)
        recording = self._known(simulator, ports=3)
        local = Tap(node=wire.CLIENT_NODE, interface="calilocal")
        flow = replace(recording.flows[0], id=9, server=Endpoint(address="10.244.114.99", port=53, node=wire.CLIENT_NODE))
        taps = (recording.paths[0].hops[0].tap, local)
        hops = tuple(Hop(hop=number, role=Role.POD, tap=tap) for number, tap in enumerate(taps, 1))
        way = HopPath(flow=9, direction=Direction.REQUEST, hops=hops)
        back = HopPath(flow=9, direction=Direction.REPLY, hops=tuple(replace(hop, hop=3 - hop.hop) for hop in hops[::-1]))
        case = follow(replace(recording, flows=(*recording.flows, flow), paths=(*recording.paths, way, back)), tables_of(simulator))
        assert lost_of(case, None) == {(3, 0): 3}

    def test_a_port_that_went_to_both(self) -> None:
        """Packet by packet: kube-proxy heard of the change in between."""
        simulator = wire.Simulator()
        lookups(simulator, 1, vanished=3)
        simulator.udp(B, time_ns=AT + 60 * SECOND, payload=frames.dns_question("other.example"), client_port=40_000, ident=777)
        recording = self._known(simulator)
        case = follow(recording, tables_of(simulator))
        assert lost_of(case, None) == {(3, 0): 1}
        assert hop_packets(case, B) == [1] * 6

    def test_what_is_asked_of_that_address_itself_is_none_of_it(self) -> None:
        simulator = wire.Simulator(service=None)
        lookups(simulator, 2, first=5)
        recording = replace(self._known(wire.Simulator()), captures=record(simulator).captures)
        assert follow(recording, tables_of(simulator)).flows == ()


def _connection(server: str, port: int) -> ConntrackEntry:
    """From the client to the Service, translated to `server`, which does not answer."""
    return ConntrackEntry(
        protocol="udp",
        original_source=wire.CLIENT,
        original_destination=wire.SERVICE,
        original_source_port=port,
        original_destination_port=53,
        reply_source=server,
        reply_source_port=53,
        reply_destination=wire.CLIENT,
        reply_destination_port=port,
        unreplied=True,
    )


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
    assert case.paths[0].hops[0].tuple == f"{wire.CLIENT} > {A}"
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
    lookups(simulator, 3)
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


class TestLatency:
    def test_one_node_is_exact(self) -> None:
        simulator = wire.Simulator()
        lookups(simulator, 3)
        latency = follow_all(simulator).paths[0].legs[0].latency_ns
        assert latency is not None
        assert (latency.min, latency.median, latency.max, latency.uncertainty) == (4_000, 4_000, 4_000, 0)

    def test_two_nodes_are_bounded_by_both_directions(self) -> None:
        simulator = wire.Simulator(skew_ns={"ada-ec-2": 5 * SECOND})
        lookups(simulator, 3)
        latency = follow_all(simulator).paths[0].legs[2].latency_ns
        assert latency is not None
        assert latency.median - latency.uncertainty <= 120_000 <= latency.median + latency.uncertainty

    def test_one_direction_claims_nothing(self) -> None:
        simulator = wire.Simulator()
        for number in range(3):
            simulator.udp(A, time_ns=AT + number, payload=b"%d" % number, client_port=40_000, ident=number + 1)
        case = follow_all(simulator)
        assert case.paths[0].legs[2].latency_ns is None
        assert case.clocks[0].offset_ns.low is None
        assert case.clocks[0].offset_ns.high == 120_000


def test_shown_lists_a_few_delivered_and_all_lost() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 6)
    lookups(simulator, 4, first=6, vanished=3)
    case = follow_all(simulator)
    picked = shown(case, delivered=2)
    assert [one.outcome for one in picked] == [Verdict.DELIVERED] * 2 + [Verdict.LOST] * 4
    assert picked[2].sightings == tuple((number, tap, picked[2].sightings[0][2]) for number, tap in enumerate(TAPS[:3], 1))
    assert picked[2].client_port == 40_006
    assert len(shown(case, delivered=0, lost=3)) == 3
    assert shown(case, delivered=-1, lost=0) == ()


def test_arrays_are_read_only_and_rows_point_at_the_frames() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 2)
    case = follow_all(simulator)
    table = journeys_of(case, A)
    assert not table.row.flags.writeable
    for hop, rows in zip(table.path.hops, table.row.T, strict=True):
        assert np.array_equal(case.tables[hop.tap].ip_id[rows], [1, 2])


def test_only_what_the_user_s_filter_picked_at_the_first_hop_is_followed() -> None:
    """The filter kept the other request away from the first hop's file; its later sightings are not a packet without a beginning."""
    simulator = wire.Simulator(gaps={wire.hops_to(wire.FIRST)[0]: (wire.EPOCH + wire.SECOND, wire.EPOCH + 2 * wire.SECOND)})
    for number, (port, at) in enumerate([(40_000, wire.EPOCH), (40_001, wire.EPOCH + wire.SECOND)]):
        simulator.udp(wire.FIRST, time_ns=at, payload=b"%d" % number, client_port=port, ident=number + 1)
    request = Request(command="pod", source=Target(name="kotsadm"), filter="src port 40000")
    case = follow(replace(record(simulator), request=request), tables_of(simulator))
    assert [hop.packets for hop in case.paths[0].hops] == [1] * 6
    assert case.connections == {1: 1}


@pytest.mark.parametrize("mtu_bytes", [-1, (1 << 63) - 40])
def test_an_mtu_that_no_device_can_have_is_none(mtu_bytes: int) -> None:
    simulator = wire.Simulator()
    simulator.bulk(A, time_ns=AT, client_port=40_000, seq=1, segments=4, mss=1000, ident=1, merge=(1, 1, 1, 1, 1, 1))
    case = follow_all(simulator, record(simulator, protocol="TCP", port=80, mtu_bytes=mtu_bytes))
    assert hop_packets(case, A) == [4] * 6
