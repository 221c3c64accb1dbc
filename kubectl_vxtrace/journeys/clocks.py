"""What can be claimed of the nodes' clocks.

For a packet that is seen on both nodes, t_B - t_A = delay + offset with delay >= 0. Packets from A to B bound the offset from above,
packets from B to A from below: -min(t_A - t_B) <= offset <= min(t_B - t_A). No other assumption is made, but that a clock drifts by
no more than the kernel slews it (see corridor). Each node's clock, read over exec between two readings of the client's, bounds it as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kubectl_vxtrace.journeys.corridor import F64, NOTHING, Bounds, Corridor, course
from kubectl_vxtrace.model.facts import ClockReading, NodeFacts
from kubectl_vxtrace.model.packets import I64
from kubectl_vxtrace.model.report import ClockBound, OffsetBound

STAMP_NS = 2_000
"""Two stamps of whole microseconds: bounds may contradict each other by that much and mean the same offset."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds in ns, both included; None where nothing bounds that side."""

    low: int | None = None
    high: int | None = None

    def minus(self, other: "Interval") -> "Interval":
        """Bounds of the difference."""
        low = None if self.low is None or other.high is None else self.low - other.high
        high = None if self.high is None or other.low is None else self.high - other.low
        return Interval(low, high)

    @property
    def middle_ns(self) -> int:
        """The middle; the bound nearer to 0 where only one is known and 0 is outside; 0 where nothing is known."""
        if self.low is not None and self.high is not None:
            return (self.low + self.high) // 2
        if self.low is not None:
            return max(self.low, 0)
        return min(self.high, 0) if self.high is not None else 0


EXACT = Interval(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClock:
    """A node's clock minus the reference's.

    bounds: where one offset fits all that was seen, of that offset; else of all that the clock was at any time. ever: of all that it can
    have been at any time, also between packets. begin, end: of what it was when the captures began and ended. drift: how it went, where
    no one offset fits. stepped: what was seen contradicts itself, so that no latency can be claimed.
    """

    bounds: Interval = Interval()
    ever: Interval = Interval()
    begin: Interval = Interval()
    end: Interval = Interval()
    drift: Corridor | None = None
    samples: int = 0
    stepped: bool = False


_REFERENCE = NodeClock(bounds=EXACT, ever=EXACT, begin=EXACT, end=EXACT)
_UNKNOWN = NodeClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks of all nodes against the reference node's."""

    reference: str
    nodes: Mapping[str, NodeClock]

    def offset(self, node: str, other: str) -> Interval:
        """Bounds of `node`'s clock minus `other`'s over the whole capture."""
        return EXACT if node == other else self._clock(node).bounds.minus(self._clock(other).bounds)

    def offset_at_begin(self, node: str, other: str) -> Interval:
        """The same when the captures began."""
        return EXACT if node == other else self._clock(node).begin.minus(self._clock(other).begin)

    def offset_at_end(self, node: str, other: str) -> Interval:
        """The same when they ended."""
        return EXACT if node == other else self._clock(node).end.minus(self._clock(other).end)

    def least_ns(self, node: str, other: str) -> int | None:
        """The least that `node`'s clock minus `other`'s can have been at any time; None where nothing says so."""
        if not self.steady(node) or not self.steady(other):
            return None
        return 0 if node == other else self._clock(node).ever.minus(self._clock(other).ever).low

    def over(self, node: str, other: str, times_ns: I64) -> tuple[F64, F64] | None:
        """Bounds of `node`'s clock minus `other`'s at times of the latter's; None where they are open, or one of the two was stepped."""
        if not self.steady(node) or not self.steady(other):
            return None
        if node == other:
            return np.zeros(len(times_ns)), np.zeros(len(times_ns))
        reference_ns = times_ns - self._clock(other).bounds.middle_ns
        low, high = self._over(node, reference_ns)
        other_low, other_high = self._over(other, reference_ns)
        low, high = low - other_high, high - other_low
        return (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None

    def to_reference(self, node: str, times_ns: I64) -> I64:
        """Times of a node on the reference's clock, by the middle of its bounds."""
        middle_ns = self.middle_ns(node, self.reference)
        clock = self._clock(node)
        if clock.drift is None:
            return times_ns - middle_ns
        low, high = clock.drift.over(times_ns - middle_ns)
        known = np.isfinite(low) & np.isfinite(high)
        return np.asarray(times_ns - np.where(known, (low + high) / 2, middle_ns).astype(np.int64), dtype=np.int64)

    def middle_ns(self, node: str, other: str) -> int:
        """The likeliest of `node`'s clock minus `other`'s; a clock that nothing bounds is taken for the reference's."""
        return self._middle_ns(self.offset(node, other), node, other)

    def middle_at_begin_ns(self, node: str, other: str) -> int:
        """The same when the captures began."""
        return self._middle_ns(self.offset_at_begin(node, other), node, other)

    def middle_at_end_ns(self, node: str, other: str) -> int:
        """The same when they ended."""
        return self._middle_ns(self.offset_at_end(node, other), node, other)

    def steady(self, node: str) -> bool:
        """Whether nothing says that the clock was stepped. If every clock seems to have been, it may have been the reference's."""
        if node != self.reference:
            return not self._clock(node).stepped
        stepped = [clock.stepped for clock in self.nodes.values() if clock.samples or clock.stepped]
        return not stepped or not all(stepped)

    def bounds(self) -> tuple[ClockBound, ...]:
        """As the report shows them; a clock that stepped has no bounds."""
        return tuple(
            ClockBound(
                reference=self.reference,
                node=node,
                offset_ns=OffsetBound(low=None, high=None) if clock.stepped else OffsetBound(low=clock.bounds.low, high=clock.bounds.high),
                samples=clock.samples,
                stepped=clock.stepped,
            )
            for node, clock in sorted(self.nodes.items())
        )

    def _clock(self, node: str) -> NodeClock:
        return _REFERENCE if node == self.reference else self.nodes.get(node, _UNKNOWN)

    def _middle_ns(self, bounds: Interval, node: str, other: str) -> int:
        known = bounds.low is not None and bounds.high is not None
        return bounds.middle_ns if known else self._clock(node).bounds.middle_ns - self._clock(other).bounds.middle_ns

    def _over(self, node: str, reference_ns: I64) -> tuple[F64, F64]:
        clock = self._clock(node)
        if clock.drift is not None:
            return clock.drift.over(reference_ns)
        low = -np.inf if clock.bounds.low is None else float(clock.bounds.low)
        high = np.inf if clock.bounds.high is None else float(clock.bounds.high)
        return np.full(len(reference_ns), low), np.full(len(reference_ns), high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What packets between the reference and one node say: bounds of the offset, and how many packets said so."""

    bounds: Bounds = field(default=NOTHING)
    count: int = 0

    def with_(self, other: "Samples") -> "Samples":
        """Both."""
        return Samples(bounds=self.bounds.with_(other.bounds), count=self.count + other.count)


def clocks_of(
    reference: str, nodes: Iterable[str], samples: Mapping[str, Samples], facts: Sequence[NodeFacts], ran_ns: tuple[int, int]
) -> Clocks:
    """The clocks of `nodes` against `reference`, from packets and from clock readings; `ran_ns` is from when to when the captures ran, on
    the reference's clock."""
    found = {}
    for node in nodes:
        if node != reference:
            mine = samples.get(node, Samples())
            found[node] = _clock_of(mine.with_(Samples(bounds=_readings(node, reference, facts))), ran_ns)
    return Clocks(reference=reference, nodes=found)


def _clock_of(samples: Samples, ran_ns: tuple[int, int]) -> NodeClock:
    bounds = samples.bounds
    low = int(bounds.low_ns.max()) if len(bounds.low_ns) else None
    high = int(bounds.high_ns.min()) if len(bounds.high_ns) else None
    found = course(bounds, *ran_ns)
    whole = _interval(found.hull())
    begin, end = (_interval(found.at(time_ns)) for time_ns in ran_ns)
    if found.stepped:
        return NodeClock(bounds=whole, ever=whole, begin=begin, end=end, samples=samples.count, stepped=True)
    if low is None or high is None or low - high <= STAMP_NS:
        one = Interval(low, high) if low is None or high is None else Interval(min(low, high), max(low, high))
        return NodeClock(bounds=one, ever=whole, begin=one, end=one, samples=samples.count)
    return NodeClock(bounds=whole, ever=whole, begin=begin, end=end, drift=found.late[0], samples=samples.count)


def _interval(bounds: tuple[float, float]) -> Interval:
    low, high = bounds
    return Interval(int(np.floor(low)) if np.isfinite(low) else None, int(np.ceil(high)) if np.isfinite(high) else None)


def _readings(node: str, reference: str, facts: Sequence[NodeFacts]) -> Bounds:
    """Bounds from readings of both clocks; each of the node's is compared with the one of the reference's that is next to it."""
    mine, theirs = ([one.clock for one in facts if one.node == name and one.clock is not None] for name in (node, reference))
    if not theirs:
        return NOTHING
    pairs = [(one, min(theirs, key=lambda other: abs(other.sent_ns - one.sent_ns))) for one in mine]
    apart = [_against_client(one).minus(_against_client(other)) for one, other in pairs]
    at_ns = np.array([other.node_ns for _, other in pairs], dtype=np.int64)
    low, high = (np.array([getattr(one, side) for one in apart], dtype=np.int64) for side in ("low", "high"))
    return Bounds(low_at_ns=at_ns, low_ns=low, high_at_ns=at_ns, high_ns=high)


def _against_client(clock: ClockReading) -> Interval:
    """A node's clock minus the client's."""
    return Interval(clock.node_ns - clock.received_ns, clock.node_ns + max(clock.resolution_ns, 1) - 1 - clock.sent_ns)
