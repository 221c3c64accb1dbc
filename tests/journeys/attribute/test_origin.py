"""A pod that is asked directly, and through a Service beside that."""

from dataclasses import replace

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.journeys.attribute.addresses import address_book
from kubectl_vxtrace.journeys.attribute.conntrack import translations_of
from kubectl_vxtrace.journeys.attribute.groups import Connection, groups_of
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from tests.journeys.build import change, hop_packets, lookups, outcomes, record, tables_of
from tests.wire import simulator as wire

A = wire.FIRST
FIRST_TAP = Tap(node=wire.CLIENT_NODE, interface=wire.PODS[wire.CLIENT])


def direct(recording: Recording) -> Recording:
    """The same trace, of the servers themselves."""
    return replace(recording, flows=tuple(replace(flow, service=None) for flow in recording.flows))


def test_what_goes_through_a_service_is_not_the_pods_own_flow() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    assert follow(direct(record(simulator)), tables_of(simulator)).flows == ()


def test_what_is_asked_directly_beside_it_is_counted() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    simulator.service = None
    lookups(simulator, 2, first=10)
    case = follow(direct(record(simulator)), tables_of(simulator))
    assert hop_packets(case, A) == [2] * 6
    assert hop_packets(case, A, Direction.REPLY) == [2] * 6
    assert set(outcomes(case, A, Direction.REPLY)) == {0}


def test_a_request_that_vanishes_at_once_stays() -> None:
    simulator = wire.Simulator(service=None)
    lookups(simulator, 2, vanished=1)
    assert hop_packets(follow(direct(record(simulator)), tables_of(simulator)), A) == [2, 0, 0, 0, 0, 0]


def test_a_blind_first_hop_cannot_tell() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3)
    recording = change(direct(record(simulator)), FIRST_TAP, status=CaptureStatus.PARTIAL, reason="ended")
    tables = tables_of(simulator)
    assert hop_packets(follow(recording, {tap: table for tap, table in tables.items() if tap != FIRST_TAP}), A)[1:] == [3] * 5


def test_a_port_that_nat_rewrote_is_the_clients() -> None:
    """The client's own port clashed with a connection that conntrack knows: behind its node the packets have another one."""
    asked, carried = wire.Simulator(), wire.Simulator()
    for simulator, port in ((asked, 40_000), (carried, 50_000)):
        simulator.udp(A, time_ns=wire.EPOCH, payload=b"q", client_port=port, ident=1)
        simulator.udp(A, time_ns=wire.EPOCH + 500_000, payload=b"a", client_port=port, ident=1, reply=True)
    first = (FIRST_TAP.node, FIRST_TAP.interface)
    carried.files[first] = asked.files[first]
    entry = ConntrackEntry(
        protocol="UDP", original_source=wire.CLIENT, original_destination=wire.SERVICE, reply_source=A, reply_destination=wire.CLIENT,
        original_source_port=40_000, original_destination_port=53, reply_source_port=53, reply_destination_port=50_000,
    )  # fmt: skip
    recording = replace(record(carried), after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=(entry,)),))
    case = follow(recording, tables_of(carried))
    assert hop_packets(case, A) == [1] * 6
    assert hop_packets(case, A, Direction.REPLY) == [1] * 6
    assert case.connections == {1: 1}


def test_a_masqueraded_ping_has_one_identifier_at_both_ends() -> None:
    """MASQUERADE picks another identifier as it picks another port; in a ping it stands for both ports."""
    recording = direct(record(wire.Simulator(service=None), protocol="ICMP", port=None))
    entry = ConntrackEntry(
        protocol="ICMP", original_source=wire.CLIENT, original_destination=A, reply_source=A, reply_destination="10.128.0.72",
        original_source_port=31912, original_destination_port=31912, reply_source_port=12325, reply_destination_port=12325,
    )  # fmt: skip
    book = address_book(recording, (entry,))
    (found, _) = translations_of((Connection(entry=entry),), book, groups_of(recording, book)).masquerades  # of ICMP, and of ICMPv6
    assert (found.source_port, found.server_port, found.client_port) == (12325, 12325, 31912)


def test_what_was_asked_for_before_the_first_capture_ran_is_counted() -> None:
    """One datagram that the other captures just saw, and then a stream of answers."""
    simulator = wire.Simulator(service=None)
    simulator.udp(A, time_ns=wire.EPOCH, payload=b"q", client_port=40_000, ident=1)
    simulator.files[FIRST_TAP.node, FIRST_TAP.interface].clear()
    for number in range(5):
        simulator.udp(
            A, time_ns=wire.EPOCH + (1 + number) * wire.SECOND, payload=b"a%d" % number, client_port=40_000, ident=9 + number, reply=True
        )
    assert hop_packets(follow(direct(record(simulator)), tables_of(simulator)), A, Direction.REPLY) == [5] * 6


def test_what_conntrack_says_is_anothers_is_not_the_services() -> None:
    """In a routing loop the client's node sees its own packets again, takes them for new connections and gives them new ports; one of them
    the client uses as well, for a lookup that went elsewhere."""
    simulator = wire.Simulator()
    simulator.udp(wire.SECOND_SERVER, time_ns=wire.EPOCH, payload=b"q", client_port=40_000, ident=1)
    again = wire.Simulator()
    again.udp(A, time_ns=wire.EPOCH + 1_000_000, payload=b"other", client_port=40_000, ident=2, vanished=5)
    for tap in wire.hops_to(A)[1:5]:
        simulator.files[tap] += again.files[tap]
    entries = [
        ConntrackEntry(
            protocol="udp", original_source=wire.CLIENT, original_destination=asked, reply_source=server, reply_destination=wire.CLIENT,
            original_source_port=port, original_destination_port=53, reply_source_port=53, reply_destination_port=40_000,
        )
        for asked, server, port in ((wire.SERVICE, wire.SECOND_SERVER, 40_000), (A, A, 20_851))
    ]  # fmt: skip
    recording = replace(record(simulator), after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=tuple(entries)),))
    case = follow(recording, tables_of(simulator))
    assert [flow.server and flow.server.address for flow in case.flows] == [wire.SECOND_SERVER]
