"""Which packets count: what may still have been under way when the captures stopped does not."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.journeys import follow
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode
from kubectl_vxtrace.model.path import Direction
from tests.journeys.build import follow_all, journeys_of, lookups, record, tables_of
from tests.wire import simulator as wire

SERVER, SECOND, MS = wire.FIRST, wire.SECOND, 1_000_000
LASTS_S = 10


def questions(*, slow_ns: int, gone: int | None = None) -> JourneyTable:
    """A question each tenth of a second for ten seconds, when all captures stop, over a wire that takes so long. `gone` vanishes on it.

    The nodes' clocks are read, and agree within a millisecond.
    """
    stop_ns = wire.EPOCH + LASTS_S * SECOND
    simulator = wire.Simulator(delay_ns=(4_000, 3_000, slow_ns, 5_000, 6_000))
    for number in range(LASTS_S * 10):
        sent_ns = wire.EPOCH + number * SECOND // 10
        vanished = 3 if number == gone or sent_ns + slow_ns + MS > stop_ns else None
        simulator.udp(SERVER, time_ns=sent_ns, payload=b"q%d" % number, client_port=40_000 + number, ident=number + 1, vanished=vanished)
    recording = record(simulator)
    captures = tuple(replace(capture, stopped_ns=stop_ns) if capture.stopped_ns else capture for capture in recording.captures)
    looks = [tuple(_clock_read(node, at_ns) for node in wire.UNDERLAY) for at_ns in (wire.EPOCH, stop_ns)]
    recording = replace(recording, captures=captures, before=looks[0], after=looks[1])
    return journeys_of(follow(recording, tables_of(simulator)), SERVER, Direction.REQUEST)


def _clock_read(node: str, at_ns: int) -> NodeFacts:
    return NodeFacts(node=node, clock=ClockReading(node_ns=at_ns, sent_ns=at_ns - MS // 2, received_ns=at_ns + MS // 2))


@pytest.mark.parametrize(
    ("slow_ns", "least"),
    [pytest.param(100_000, 90, id="a quick wire"), pytest.param(400 * MS, 80, id="0.4 s"), pytest.param(1300 * MS, 50, id="1.3 s")],
)
def test_what_may_be_under_way_at_the_end_is_not_lost(slow_ns: int, least: int) -> None:
    found = questions(slow_ns=slow_ns)
    assert set(found.outcome.tolist()) == {OutcomeCode.DELIVERED}
    assert len(found) >= least


def test_what_had_time_to_arrive_is_lost_on_a_slow_wire_too() -> None:
    found = questions(slow_ns=1300 * MS, gone=60)
    assert found.outcome.tolist().count(OutcomeCode.LOST) == 1


def stopped_after_1_s(simulator: wire.Simulator) -> Case:
    """Captures that began with the traffic and ran for a second, all of which lies in the margin at the end."""
    recording = record(simulator)
    stop_ns = wire.EPOCH + SECOND
    captures = tuple(replace(capture, started_ns=wire.EPOCH - MS, stopped_ns=stop_ns) for capture in recording.captures)
    return follow_all(simulator, replace(recording, captures=captures))


def counted_of(case: Case, direction: Direction) -> list[int]:
    return [code for path in case.paths if path.path.direction is direction for code in path.journeys.outcome.tolist()]


def test_of_a_short_capture_of_which_nothing_is_missing_all_is_counted() -> None:
    simulator = wire.Simulator()
    lookups(simulator, 9)
    case = stopped_after_1_s(simulator)
    assert counted_of(case, Direction.REQUEST) == [OutcomeCode.DELIVERED] * 9
    assert counted_of(case, Direction.REPLY) == [OutcomeCode.DELIVERED] * 9


@pytest.mark.parametrize("missing", [pytest.param(2, id="a question"), pytest.param(None, id="an answer")])
def test_of_a_short_capture_of_which_something_is_missing_nothing_is_counted(missing: int | None) -> None:
    simulator = wire.Simulator()
    if missing:
        lookups(simulator, 9)
        lookups(simulator, 1, first=9, vanished=missing)
    else:
        simulator.udp(SERVER, time_ns=wire.EPOCH, payload=b"q", client_port=40_000, ident=1)
    assert not any(counted_of(stopped_after_1_s(simulator), direction) for direction in Direction)
