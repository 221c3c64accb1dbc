"""Each node's clock against the reference's, from packets that cross between the nodes and from readings of the clocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kubectl_vxtrace.journeys.clock.drift_bounds import NOTHING, OffsetBounds, clock_history
from kubectl_vxtrace.journeys.clock.offsets import Clocks, Interval, NodeClock
from kubectl_vxtrace.journeys.judgement import SAME_OFFSET_NS
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What packets between the reference and one node say: bounds of the offset, and how many packets said so."""

    bounds: OffsetBounds = field(default=NOTHING)
    count: int = 0

    def with_(self, other: "Samples") -> "Samples":
        """Both."""
        return Samples(bounds=self.bounds.with_(other.bounds), count=self.count + other.count)


def clocks_of(
    reference: str, nodes: Iterable[str], samples: Mapping[str, Samples], facts: Sequence[NodeFacts], ran_ns: tuple[int, int]
) -> Clocks:
    """The clocks of `nodes` against `reference`, from packets and from clock readings; `ran_ns` is from when to when the captures ran, on
    the reference's clock."""
    clocks = {}
    for node in nodes:
        if node != reference:
            of_packets = samples.get(node, Samples())
            clocks[node] = _clock_of(of_packets.with_(Samples(bounds=_readings(node, reference, facts))), ran_ns)
    return Clocks(reference=reference, nodes=clocks)


def _clock_of(samples: Samples, ran_ns: tuple[int, int]) -> NodeClock:
    bounds = samples.bounds
    low = int(bounds.low_ns.max()) if len(bounds.low_ns) else None
    high = int(bounds.high_ns.min()) if len(bounds.high_ns) else None
    history = clock_history(bounds, *ran_ns)
    whole = _interval(history.extremes())
    begin, end = (_interval(history.at(time_ns)) for time_ns in ran_ns)
    if history.stepped:
        return NodeClock(bounds=whole, ever=whole, begin=begin, end=end, samples=samples.count, stepped=True)
    (drift,) = history.late
    if low is None or high is None or low - high <= SAME_OFFSET_NS:
        fixed = Interval(low, high) if low is None or high is None else Interval(min(low, high), max(low, high))
        return NodeClock(bounds=fixed, ever=whole, begin=fixed, end=fixed, drift_bounds=drift, samples=samples.count)
    return NodeClock(bounds=whole, ever=whole, begin=begin, end=end, drift_bounds=drift, drift=drift, samples=samples.count)


def _interval(bounds: tuple[float, float]) -> Interval:
    low, high = bounds
    return Interval(int(np.floor(low)) if np.isfinite(low) else None, int(np.ceil(high)) if np.isfinite(high) else None)


def _readings(node: str, reference: str, facts: Sequence[NodeFacts]) -> OffsetBounds:
    """Bounds from readings of both clocks; each of the node's is compared with the one of the reference's that is next to it."""
    of_node, of_reference = ([read.clock for read in facts if read.node == name and read.clock is not None] for name in (node, reference))
    if not of_reference:
        return NOTHING
    pairs = [(reading, min(of_reference, key=lambda other: abs(other.sent_ns - reading.sent_ns))) for reading in of_node]
    offsets = [_against_client(reading).minus(_against_client(other)) for reading, other in pairs]
    at_ns = np.array([other.node_ns for _, other in pairs], dtype=np.int64)
    low, high = (np.array(side, dtype=np.int64) for side in ([offset.low for offset in offsets], [offset.high for offset in offsets]))
    return OffsetBounds(low_at_ns=at_ns, low_ns=low, high_at_ns=at_ns, high_ns=high)


def _against_client(clock: ClockReading) -> Interval:
    """A node's clock minus the client's."""
    return Interval(clock.node_ns - clock.received_ns, clock.node_ns + max(clock.resolution_ns, 1) - 1 - clock.sent_ns)
