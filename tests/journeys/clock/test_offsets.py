"""What can be claimed of clocks, against clocks that are known."""

from collections.abc import Callable

import numpy as np
import pytest

from kubectl_vxtrace.journeys.clock.drift_bounds import above, below
from kubectl_vxtrace.journeys.clock.estimate import Samples, clocks_of
from kubectl_vxtrace.journeys.clock.offsets import Clocks, Interval
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts

MS = 1_000_000
SECOND = 1_000 * MS
HOUR = 3_600 * SECOND
AT = 10**18

Offset = Callable[[int], int]
"""What node b's clock is ahead of a's, at a time of a's."""


def _read(node: str, offset_ns: int, *, width_ns: int = 2 * MS, at: int = AT, resolution_ns: int = 1) -> NodeFacts:
    return NodeFacts(
        node=node,
        clock=ClockReading(
            node_ns=(at + width_ns // 2 + offset_ns) // resolution_ns * resolution_ns,
            sent_ns=at,
            received_ns=at + width_ns,
            resolution_ns=resolution_ns,
        ),
    )


def _bounded(low: int | None, high: int | None, *, at: int = AT, count: int = 6) -> Samples:
    found = Samples(count=count)
    for make, value in ((below, low), (above, high)):
        if value is not None:
            found = found.with_(Samples(bounds=make(np.array([at]), np.array([value]))))
    return found


def _crossed(offset: Offset, seconds: float, *, every_ns: int = 10 * MS, delay_ns: int = 40_000, replies: bool = True) -> Samples:
    """Packets between two nodes all the time: each takes `delay_ns` and up to twice as much more."""
    leaves = np.arange(AT, AT + int(seconds * SECOND), every_ns)
    takes = delay_ns + np.random.default_rng(7).integers(0, 2 * delay_ns, len(leaves))
    ahead = np.array([offset(int(time)) for time in leaves + takes])
    found = Samples(bounds=above(leaves, takes + ahead), count=len(leaves))
    if not replies:
        return found
    ahead = np.array([offset(int(time)) for time in leaves])
    return found.with_(Samples(bounds=below(leaves + takes, ahead - takes), count=len(leaves)))


def _clocks(samples: Samples, seconds: float = 1.0, facts: tuple[NodeFacts, ...] = ()) -> Clocks:
    return clocks_of("a", ["a", "b"], {"b": samples}, facts, (AT, AT + int(seconds * SECOND)))


def _width(found: tuple[np.ndarray, np.ndarray] | None) -> float:
    assert found is not None
    return float((found[1] - found[0]).max())


def _holds(bounds: Interval, value: int) -> bool:
    return bounds.low is not None and bounds.high is not None and bounds.low <= value <= bounds.high


def test_both_directions_bound_the_offset() -> None:
    (bound,) = _clocks(_bounded(-2_000, 12_000)).bounds()
    assert (bound.reference, bound.node, bound.offset_ns.low, bound.offset_ns.high, bound.samples) == ("a", "b", -2_000, 12_000, 6)
    assert not bound.stepped


def test_one_direction_bounds_one_side() -> None:
    clocks = _clocks(_bounded(None, 12_000))
    assert clocks.offset("b", "a") == Interval(None, 12_000)
    assert clocks.offset("a", "b") == Interval(-12_000, None)
    assert clocks.over("b", "a", np.array([AT])) is None


def test_readings_stand_in_where_nothing_arrives() -> None:
    offset = _clocks(Samples(), facts=(_read("a", 0), _read("b", 7 * MS))).offset("b", "a")
    assert _holds(offset, 7 * MS)
    assert _holds(Interval(0, 4 * MS), (offset.high or 0) - (offset.low or 0))


def test_a_clock_that_says_whole_seconds_is_bounded_by_its_resolution() -> None:
    offset = _clocks(Samples(), facts=(_read("a", 0), _read("b", 300 * MS, resolution_ns=SECOND))).offset("b", "a")
    assert _holds(offset, 300 * MS)
    assert (offset.high or 0) - (offset.low or 0) >= SECOND - 1


def test_readings_and_packets_are_intersected() -> None:
    readings = (_read("a", 0), _read("b", 7 * MS))
    assert _clocks(_bounded(6 * MS, 8 * MS), facts=readings).offset("b", "a") == Interval(6 * MS, 8 * MS)


def test_contradictions_are_a_step() -> None:
    stepped = _clocks(_bounded(90 * MS, 95 * MS), facts=(_read("a", 0), _read("b", 7 * MS)))
    assert not stepped.steady("b")
    (bound,) = stepped.bounds()
    assert (bound.offset_ns.low, bound.offset_ns.high, bound.stepped) == (None, None, True)
    low, high = stepped.offset("b", "a").low, stepped.offset("b", "a").high
    assert low is not None
    assert high is not None
    assert low < 10 * MS < 90 * MS <= high


def test_rounded_stamps_are_no_step() -> None:
    clocks = _clocks(_bounded(100, 40))
    assert clocks.steady("b")
    assert clocks.offset("b", "a") == Interval(40, 100)


def test_nodes_that_nothing_relates() -> None:
    clocks = clocks_of("a", ["b", "c"], {}, [], (AT, AT + SECOND))
    assert clocks.offset("b", "c") == Interval()
    assert clocks.offset("b", "b") == Interval(0, 0)
    assert clocks.least_ns("b", "c", np.array([AT])) is None
    assert Interval(5, None).middle_ns == 5
    assert Interval(None, 5).middle_ns == 0


@pytest.mark.parametrize("ahead", [0, 5 * HOUR, -5 * HOUR])
def test_a_steady_clock_has_one_offset_however_far_off(ahead: int) -> None:
    clocks = _clocks(_crossed(lambda _: ahead, 4.0), 4.0)
    offset = clocks.offset("b", "a")
    assert _holds(offset, ahead)
    assert _width(clocks.over("b", "a", np.array([AT]))) <= 100_000
    assert clocks.offset_at_begin("b", "a") == clocks.offset_at_end("b", "a") == offset
    least = clocks.least_ns("b", "a", np.arange(AT, AT + 4 * SECOND, SECOND) + ahead)
    assert least is not None
    assert ahead - 200_000 <= least.min() <= least.max() <= ahead


@pytest.mark.parametrize("ppm", [50, -50])
@pytest.mark.parametrize("ahead", [0, 3 * HOUR])
def test_drift_over_ten_minutes(ppm: int, ahead: int) -> None:
    def offset(time: int) -> int:
        return ahead + (time - AT) * ppm // 1_000_000

    clocks = _clocks(_crossed(offset, 600.0, every_ns=100 * MS), 600.0)
    assert clocks.steady("b")
    # 30 ms in all: one offset would be 15 ms wrong at both ends
    times = np.arange(AT, AT + 600 * SECOND, SECOND)
    found = clocks.over("b", "a", times)
    assert _width(found) < 1 * MS
    truth = np.array([offset(int(time)) for time in times])
    assert found is not None
    assert ((found[0] <= truth) & (truth <= found[1])).all()
    for bounds, time in ((clocks.offset_at_begin("b", "a"), AT), (clocks.offset_at_end("b", "a"), AT + 600 * SECOND)):
        assert _holds(bounds, offset(time))
        assert (bounds.high or 0) - (bounds.low or 0) < 1 * MS
    (bound,) = clocks.bounds()
    assert _holds(Interval(bound.offset_ns.low, bound.offset_ns.high), offset(AT))
    assert _holds(Interval(bound.offset_ns.low, bound.offset_ns.high), offset(AT + 600 * SECOND))
    least = clocks.least_ns("b", "a", times + truth)
    assert least is not None
    assert ((truth - 1 * MS <= least) & (least <= truth)).all()
    assert abs(clocks.to_reference("b", times + truth) - times).max() < 1 * MS


def test_drift_while_nothing_was_sent_leaves_more_open() -> None:
    def offset(time: int) -> int:
        return (time - AT) * 50 // 1_000_000

    early = _crossed(offset, 10.0)
    late = _crossed(lambda time: offset(time + 590 * SECOND), 10.0)
    moved = Samples(
        bounds=below(late.bounds.low_at_ns + 590 * SECOND, late.bounds.low_ns).with_(
            above(late.bounds.high_at_ns + 590 * SECOND, late.bounds.high_ns)
        )
    )
    clocks = _clocks(early.with_(moved), 600.0)
    assert clocks.steady("b")
    middle, end = np.array([AT + 300 * SECOND]), np.array([AT + 599 * SECOND])
    assert _width(clocks.over("b", "a", end)) < 1 * MS < 50 * MS < _width(clocks.over("b", "a", middle))
    least = clocks.least_ns("b", "a", np.array([AT, *middle, *end]))
    assert least is not None
    assert least[1] < -50 * MS < min(least[0], least[2])


@pytest.mark.parametrize("step", [2 * SECOND, -2 * SECOND])
@pytest.mark.parametrize("replies", [True, False])
def test_a_step_in_the_middle(step: int, replies: bool) -> None:
    def offset(time: int) -> int:
        return 3 * MS + (step if time >= AT + 5 * SECOND else 0)

    facts = tuple(
        _read(node, at_offset, at=at)
        for at, ahead in ((AT - SECOND, 3 * MS), (AT + 11 * SECOND, 3 * MS + step))
        for node, at_offset in (("a", 0), ("b", ahead))
    )
    clocks = _clocks(_crossed(offset, 10.0, replies=replies), 10.0, facts)
    assert not clocks.steady("b")
    assert clocks.over("b", "a", np.array([AT])) is None
    assert clocks.least_ns("b", "a", np.array([AT])) is None
    assert clocks.least_ns("b", "b", np.array([AT])) == np.zeros(1)
    assert clocks.step_ns("b") == clocks.step_ns("a") >= abs(step)  # nothing tells which of the two was set
    assert clocks.bounds()[0].stepped
    assert _holds(clocks.offset_at_begin("b", "a"), 3 * MS)
    assert _holds(clocks.offset_at_end("b", "a"), 3 * MS + step)


def test_a_step_of_the_reference_looks_like_one_of_every_other() -> None:
    def offset(time: int) -> int:
        return 2 * SECOND if time >= AT + 5 * SECOND else 0

    stepped, steady = _crossed(offset, 10.0), _crossed(lambda _: 0, 10.0)
    ran = (AT, AT + 10 * SECOND)
    assert not clocks_of("a", ["b", "c"], {"b": stepped, "c": stepped}, [], ran).steady("a")
    one = clocks_of("a", ["b", "c"], {"b": stepped, "c": steady}, [], ran)
    assert one.steady("a")
    assert (one.step_ns("a"), one.step_ns("c")) == (0, 0)
    assert one.step_ns("b") >= 2 * SECOND
