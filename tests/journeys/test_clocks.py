from kubectl_vxtrace.journeys.clocks import Interval, Samples, clocks_of
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts

MS = 1_000_000


def _read(node: str, offset_ns: int, *, width_ns: int = 2 * MS, at: int = 10**18, resolution_ns: int = 1) -> NodeFacts:
    return NodeFacts(
        node=node,
        clock=ClockReading(
            node_ns=(at + width_ns // 2 + offset_ns) // resolution_ns * resolution_ns,
            sent_ns=at,
            received_ns=at + width_ns,
            resolution_ns=resolution_ns,
        ),
    )


def test_both_directions_bound_the_offset() -> None:
    clocks = clocks_of("a", ["a", "b"], {"b": Samples(bounds=Interval(-2_000, 12_000), count=6)}, [], 10**9)
    (bound,) = clocks.bounds()
    assert (bound.reference, bound.node, bound.offset_ns.low, bound.offset_ns.high, bound.samples) == ("a", "b", -2_000, 12_000, 6)


def test_one_direction_bounds_one_side() -> None:
    clocks = clocks_of("a", ["a", "b"], {"b": Samples(bounds=Interval(None, 12_000), count=3)}, [], 10**9)
    assert clocks.offset("b", "a") == Interval(None, 12_000)
    assert clocks.offset("a", "b") == Interval(-12_000, None)


def test_readings_stand_in_where_nothing_arrives() -> None:
    clocks = clocks_of("a", ["a", "b"], {}, [_read("a", 0), _read("b", 7 * MS)], 10**9)
    offset = clocks.offset("b", "a")
    assert offset.low is not None
    assert offset.high is not None
    assert offset.low <= 7 * MS <= offset.high
    assert offset.high - offset.low <= 4 * MS


def test_a_clock_that_says_whole_seconds_is_bounded_by_its_resolution() -> None:
    clocks = clocks_of("a", ["b"], {}, [_read("a", 0), _read("b", 300 * MS, resolution_ns=10**9)], 10**9)
    offset = clocks.offset("b", "a")
    assert offset.low is not None
    assert offset.high is not None
    assert offset.low <= 300 * MS <= offset.high
    assert offset.high - offset.low >= 10**9 - 1


def test_bounds_are_intersected_and_contradictions_are_a_step() -> None:
    good = clocks_of("a", ["b"], {"b": Samples(bounds=Interval(6 * MS, 8 * MS), count=1)}, [_read("a", 0), _read("b", 7 * MS)], 10**9)
    assert good.offset("b", "a") == Interval(6 * MS, 8 * MS)
    stepped = clocks_of("a", ["b"], {"b": Samples(bounds=Interval(90 * MS, 95 * MS), count=1)}, [_read("a", 0), _read("b", 7 * MS)], 10**9)
    assert not stepped.steady("b")
    assert stepped.bounds()[0].offset_ns.low is None
    low, high = stepped.offset("b", "a").low, stepped.offset("b", "a").high
    assert low is not None
    assert high is not None
    assert low < 10 * MS < 90 * MS <= high


def test_slewing_is_no_step() -> None:
    clocks = clocks_of("a", ["b"], {"b": Samples(bounds=Interval(100, 40), count=9)}, [], 10**9)
    assert clocks.steady("b")
    assert clocks.offset("b", "a") == Interval(40, 100)


def test_nodes_that_nothing_relates() -> None:
    clocks = clocks_of("a", ["b", "c"], {}, [], 10**9)
    assert clocks.offset("b", "c") == Interval()
    assert clocks.offset("b", "b") == Interval(0, 0)
    assert Interval(5, None).middle_ns == 5
    assert Interval(None, 5).middle_ns == 0
