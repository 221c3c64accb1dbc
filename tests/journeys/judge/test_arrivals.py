"""A question that nothing shows behind a tap, of a socket that was answered."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.model.journeys import OutcomeCode
from tests.journeys.build import follow_all, journeys_of, lookups, outcomes, record
from tests.wire import simulator as wire

LATER_NS = 1_000_000
CLIENT_TAP = wire.hops_to(wire.FIRST)[0]


def _changed_on_its_way(*, asked: int = 1, answered: bool) -> wire.Simulator:
    """Questions of a socket that only the client's tap has, then one that only this tap has not, and its answer."""
    missed_ns = wire.EPOCH + asked * LATER_NS
    simulator = wire.Simulator(gaps={CLIENT_TAP: (missed_ns, missed_ns + 100_000)})
    for number in range(asked):
        at_ns = wire.EPOCH + number * LATER_NS
        simulator.udp(wire.FIRST, time_ns=at_ns, payload=b"asked %d" % number, client_port=40_000, ident=number, vanished=1)
    simulator.udp(wire.FIRST, time_ns=missed_ns, payload=b"changed", client_port=40_000, ident=9)
    if answered:
        simulator.udp(wire.FIRST, time_ns=missed_ns + LATER_NS, payload=b"answer", client_port=40_000, ident=9, reply=True)
    return simulator


@pytest.mark.parametrize(
    ("asked", "answered", "outcome"),
    [
        pytest.param(1, True, OutcomeCode.UNDETERMINED, id="the only question of its tap was answered, in whatever form"),
        pytest.param(1, False, OutcomeCode.LOST, id="no answer"),
        pytest.param(2, True, OutcomeCode.LOST, id="of two questions one answer answers one"),
    ],
)
def test_what_is_not_seen_again(asked: int, answered: bool, outcome: OutcomeCode) -> None:
    case = follow_all(_changed_on_its_way(asked=asked, answered=answered))
    journeys = journeys_of(case, wire.FIRST)
    of_client_tap = journeys.row[:, 0] >= 0
    assert journeys.outcome[of_client_tap].tolist() == [outcome] * asked


@pytest.mark.parametrize("vanished", [None, 3], ids=["answered", "not answered"])
def test_the_last_hop_of_a_beginning_is_no_arrival_and_an_answer_is(vanished: int | None) -> None:
    simulator = wire.Simulator()
    lookups(simulator, 3, vanished=vanished)
    recording = record(simulator)
    # Of these questions nobody knows the backend then.
    flows = tuple(replace(flow, protocol="SCTP") if flow.server.address == wire.FIRST else flow for flow in recording.flows if flow.server)
    case = follow_all(simulator, replace(recording, flows=flows))
    expected = OutcomeCode.DELIVERED if vanished is None else OutcomeCode.LOST
    assert outcomes(case, None) == [expected] * 3
