"""The node gives the client's packets another port, and only the packets tell."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import ConntrackEntry, NodeFacts
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, PortRewriting
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from tests.journeys import worlds
from tests.journeys.build import change, hop_packets, outcomes, record, tables_of
from tests.wire import simulator as wire
from tests.wire.options import asked
from tests.wire.places import Shape
from tests.wire.reuse import SHIFT
from tests.wire.world import Capture, Flow

A = wire.FIRST
USED, NEW = 59_982, 4_016
OWN = (wire.CLIENT_NODE, wire.PODS[wire.CLIENT])


def rewritten(used: tuple[int, ...] = (USED,), new: tuple[int, ...] = (NEW,), *, answered: bool = True) -> wire.Simulator:
    """Lookups that leave the client with one port each and its node with another, and their answers."""
    sent, carried = wire.Simulator(service=None), wire.Simulator(service=None)
    for number, ports in enumerate(zip(used, new, strict=True)):
        for simulator, port in zip((sent, carried), ports, strict=True):
            at = wire.EPOCH + number * 1_000_000
            simulator.udp(A, time_ns=at, payload=b"n4-56", client_port=port, ident=0x9A74)
            if answered:
                simulator.udp(A, time_ns=at + 300_000, payload=b"NXDOMAIN", client_port=port, ident=0x8D70 + number, reply=True)
    carried.files[OWN] = sent.files[OWN]
    return carried


def told(recording: Recording, *entries: tuple[int, int]) -> Recording:
    """With what the client's node says: the port that the client used, and the one that replies go to."""
    conntrack = tuple(
        ConntrackEntry(
            protocol="udp", original_source=wire.CLIENT, original_destination=A, reply_source=A, reply_destination=wire.CLIENT,
            original_source_port=used, original_destination_port=53, reply_source_port=53, reply_destination_port=new,
        )
        for used, new in entries
    )  # fmt: skip
    return replace(recording, after=(NodeFacts(node=wire.CLIENT_NODE, conntrack=conntrack),))


def followed(simulator: wire.Simulator, *entries: tuple[int, int]) -> Case:
    return follow(told(record(simulator), *entries), tables_of(simulator))


@pytest.mark.parametrize("entries", [(), ((USED, NEW),)], ids=["nobody wrote it down", "conntrack says the same"])
def test_a_new_port_is_a_translation_and_no_loss(entries: tuple[tuple[int, int], ...]) -> None:
    case = followed(rewritten(), *entries)
    for direction in Direction:
        assert hop_packets(case, A, direction) == [1] * 6
        assert outcomes(case, A, direction) == [OutcomeCode.DELIVERED]
    assert case.connections == {1: 1}
    assert case.rewritten_ports == (PortRewriting(flow=1, client_port=USED, seen_port=NEW, in_conntrack=bool(entries)),)


@pytest.mark.parametrize(
    "entry", [pytest.param((USED, 4_017), id="the port became another"), pytest.param((USED + 1, NEW), id="the new port was another's")]
)
def test_where_conntrack_says_otherwise_nothing_is_concluded(entry: tuple[int, int]) -> None:
    case = followed(rewritten(answered=False), entry)
    assert outcomes(case, A) == [OutcomeCode.UNDETERMINED]
    assert case.rewritten_ports == ()


def test_another_nodes_conntrack_says_what_came_there() -> None:
    recording = told(record(rewritten()), (NEW, NEW))
    on_server = replace(recording, after=(replace(recording.after[0], node=wire.SERVERS[A]),))
    assert outcomes(follow(on_server, tables_of(rewritten())), A) == [OutcomeCode.DELIVERED]


def test_two_sockets_that_say_the_same_are_not_told_apart() -> None:
    case = followed(rewritten(used=(USED, USED + 1), new=(NEW, NEW + 1), answered=False))
    assert set(outcomes(case, A)) == {OutcomeCode.UNDETERMINED}


def test_what_passed_with_its_own_port_was_not_given_another() -> None:
    """A copy with another port, as in a routing loop that comes round to the client's node, stands for no other packet."""
    simulator, copies = wire.Simulator(service=None), wire.Simulator(service=None)
    for each, port, vanished in ((simulator, USED, 3), (copies, NEW, None)):
        each.udp(A, time_ns=wire.EPOCH, payload=b"n4-56", client_port=port, ident=0x9A74, vanished=vanished)
    for tap in wire.hops_to(A)[1:3]:
        simulator.files[tap] += copies.files[tap]
    case = follow(record(simulator), tables_of(simulator))
    assert outcomes(case, A) == [OutcomeCode.LOST]
    assert case.rewritten_ports == ()


def test_a_client_that_was_not_seen_whole_may_have_used_the_port_itself() -> None:
    simulator = rewritten()
    recording = change(record(simulator), Tap(node=OWN[0], interface=OWN[1]), status=CaptureStatus.PARTIAL, reason="ended")
    assert follow(recording, tables_of(simulator)).rewritten_ports == ()


def test_a_bridge_shows_the_clients_ports_as_well() -> None:
    own = {OWN: Capture(blind=True)}
    world = replace(asked(Flow(port_shift=SHIFT, known=False), fates=(None,) * 3), shape=Shape.FLANNEL, captures=own)
    (request, *_) = worlds.run(world).case.paths
    assert request.journeys.outcome.tolist() == [OutcomeCode.DELIVERED] * 3
