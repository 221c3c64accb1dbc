"""Client ports that ask a Service and a backend of it directly."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from tests.journeys import worlds
from tests.journeys.build import hop_packets, outcomes
from tests.wire import simulator as wire
from tests.wire.emit import emit
from tests.wire.places import Shape
from tests.wire.reuse import SHIFT, reusing
from tests.wire.traffic import Numbering, numbers
from tests.wire.world import Capture, Flow

A = wire.FIRST
KEPT, MOVED = Flow(service_port=53), Flow(port_shift=SHIFT)
LOST_ON_THE_WAY_BACK = ((None,) * 8, (4, None, 3, None))
"""What the Service answers to the first and third socket vanishes behind the client's NIC, and before it."""


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("known", [True, False], ids=["conntrack was read", "nobody wrote it down"])
def test_one_port_asks_a_service_that_nobody_traces_and_its_backend(shape: Shape, known: bool) -> None:
    """As on a healthy flannel: the backend itself is traced, and the Service's lookups from the same ports look like its own."""
    through, straight = replace(KEPT, known=known), replace(MOVED, known=known)
    emitted = emit(reusing(through, straight, shape=shape, losses=LOST_ON_THE_WAY_BACK))
    recording = worlds.record(emitted)
    traced = replace(recording, flows=recording.flows[1:], paths=tuple(path for path in recording.paths if path.flow == 2))
    case = follow(traced, worlds.tables(emitted))
    for direction in Direction:
        assert set(hop_packets(case, A, direction)) == {4}
        assert set(outcomes(case, A, direction)) == {OutcomeCode.DELIVERED}
    assert [(one.client_port, one.seen_port, one.in_conntrack) for one in case.rewritten_ports] == [
        (40_000 + number, 40_000 + number + SHIFT, known) for number in range(4)
    ]


@pytest.mark.parametrize("known", [True, False], ids=["conntrack was read", "nobody wrote it down"])
def test_one_port_asks_a_service_and_a_backend_that_nobody_traces(known: bool) -> None:
    through, straight = replace(MOVED, service_port=53, known=known), Flow(known=known)
    emitted = emit(reusing(through, straight))
    recording = worlds.record(emitted)
    traced = replace(recording, flows=recording.flows[:1], paths=tuple(path for path in recording.paths if path.flow == 1))
    case = follow(traced, worlds.tables(emitted))
    assert [(flow.service is None, flow.id) for flow in case.flows] == [(False, 1), (True, 2)]
    for path in case.paths:
        assert path.journeys.outcome.tolist() == [OutcomeCode.DELIVERED] * 4


def test_equal_packets_of_both_are_told_apart_by_their_time() -> None:
    """On a bridge that translates both have one tuple, and without IP IDs nothing else tells them apart."""
    ids = numbers(Numbering.ZERO), numbers(Numbering.ZERO)
    case = worlds.run(reusing(KEPT, MOVED, ids=ids, payloads=(b"same", b"same"), shape=Shape.BR_NETFILTER)).case
    requests = [path for path in case.paths if path.path.direction is Direction.REQUEST]
    assert [[hop.packets for hop in path.hops if hop.expected] for path in requests] == [[4] * 8] * 2


def test_where_the_clients_interface_is_blind_conntrack_tells() -> None:
    """What the bridge shows with one tuple is known by what goes on with another port."""
    own = {(wire.CLIENT_NODE, wire.PODS[wire.CLIENT]): Capture(blind=True)}
    case = worlds.run(replace(reusing(KEPT, MOVED, shape=Shape.BR_NETFILTER), captures=own)).case
    requests = [path for path in case.paths if path.path.direction is Direction.REQUEST]
    assert [[hop.packets for hop in path.hops if hop.expected] for path in requests] == [[0] + [4] * 7] * 2


def test_which_of_two_what_nothing_tells_stays_undetermined() -> None:
    """Both kept one port, all captures on the server's node are too short to compare packets, and no answer comes back that would tell."""
    node = wire.SERVERS[A]
    captures = {tap: Capture(snaplen=92 if tap[1] == wire.NIC else 42) for tap in wire.hops_to(A) if tap[0] == node}
    world = reusing(Flow(service_port=53, known=False), Flow(known=False), later_ns=5 * wire.SECOND, losses=((), (1,) * 8))
    case = worlds.run(replace(world, captures=captures)).case
    requests = [path.journeys.outcome.tolist() for path in case.paths if path.path.direction is Direction.REQUEST]
    assert requests == [[OutcomeCode.UNDETERMINED] * 4] * 2
