"""What can be claimed of the nodes' clocks.

For a packet that is seen on both nodes, t_B - t_A = delay + offset with delay >= 0. Packets from A to B bound the offset from above,
packets from B to A from below: -min(t_A - t_B) <= offset <= min(t_B - t_A). No other assumption is made, but that a clock drifts by
no more than the kernel slews it (see drift_bounds). Each node's clock, read over exec between two readings of the client's, bounds it
as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.journeys.clock.drift_bounds import DRIFT_PPM, F64, DriftBounds
from kubectl_vxtrace.model.packets import I64
from kubectl_vxtrace.model.report import ClockBound, OffsetBound


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
    have been at any time, also between packets. begin, end: of what it was when the captures began and ended. drift_bounds: how it can
    have gone, None where it was stepped. drift: the same, but only where no one offset fits. stepped: what was seen contradicts itself, so
    that no latency can be claimed.
    """

    bounds: Interval = Interval()
    ever: Interval = Interval()
    begin: Interval = Interval()
    end: Interval = Interval()
    drift_bounds: DriftBounds | None = None
    drift: DriftBounds | None = None
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

    def step_ns(self, node: str) -> int:
        """How far a node's own clock may have been set while captures ran: 0 if it was steady."""
        stepped = [clock.bounds for name, clock in self.nodes.items() if clock.stepped and node in (name, self.reference)]
        widths = [bounds.high - bounds.low for bounds in stepped if bounds.low is not None and bounds.high is not None]
        return 0 if self.steady(node) else max(widths, default=0)

    def least_ns(self, node: str, other: str, times_ns: I64) -> I64 | None:
        """The least that `node`'s clock minus `other`'s can have been at times of the former's; None where nothing says so."""
        if node == other:
            return np.zeros(len(times_ns), dtype=np.int64)
        ever_ns = self._clock(node).ever.minus(self._clock(other).ever).low
        if ever_ns is None or not self.steady(node) or not self.steady(other):
            return None
        (low, high), (_, other_high) = (self._went(name, times_ns - self._clock(node).bounds.middle_ns) for name in (node, other))
        with np.errstate(invalid="ignore"):
            # Where the bounds are wide, so is the doubt of when this was on the reference's clock, and of the drift meanwhile.
            least = np.floor(low - other_high - (high - low) * (2 * DRIFT_PPM / 1e6))
        return np.fmax(least, ever_ns).astype(np.int64)

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
        is_bounded = np.isfinite(low) & np.isfinite(high)
        return np.asarray(times_ns - np.where(is_bounded, (low + high) / 2, middle_ns).astype(np.int64), dtype=np.int64)

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

    def _went(self, node: str, reference_ns: I64) -> tuple[F64, F64]:
        """Bounds of a node's clock minus the reference's at times of the latter's, between packets too."""
        drift_bounds = self._clock(node).drift_bounds
        if drift_bounds is not None:
            return drift_bounds.over(reference_ns)
        edge = 0.0 if node == self.reference else np.inf
        return np.full(len(reference_ns), -edge), np.full(len(reference_ns), edge)

    def _middle_ns(self, bounds: Interval, node: str, other: str) -> int:
        is_closed = bounds.low is not None and bounds.high is not None
        return bounds.middle_ns if is_closed else self._clock(node).bounds.middle_ns - self._clock(other).bounds.middle_ns

    def _over(self, node: str, reference_ns: I64) -> tuple[F64, F64]:
        clock = self._clock(node)
        if clock.drift is not None:
            return clock.drift.over(reference_ns)
        low = -np.inf if clock.bounds.low is None else float(clock.bounds.low)
        high = np.inf if clock.bounds.high is None else float(clock.bounds.high)
        return np.full(len(reference_ns), low), np.full(len(reference_ns), high)
