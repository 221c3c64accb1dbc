"""What can be claimed of the nodes' clocks, and the window in which all captures ran.

For a packet that is seen on both nodes, t_B - t_A = delay + offset with delay >= 0. Packets from A to B bound the offset from above,
packets from B to A from below: -min(t_A - t_B) <= offset <= min(t_B - t_A). No other assumption is made. Each node's clock, read
over exec between two readings of the client's, bounds it as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.report import ClockBound, OffsetBound

DRIFT_PPM = 500
"""The fastest that the kernel slews a clock (adjtimex(2)): bounds may disagree by that much over a capture without a clock step."""


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

    def intersect(self, other: "Interval") -> "Interval":
        """Bounds that meet both; `low` > `high` where the two contradict each other."""
        lows = [bound for bound in (self.low, other.low) if bound is not None]
        highs = [bound for bound in (self.high, other.high) if bound is not None]
        return Interval(max(lows, default=None), min(highs, default=None))

    @property
    def excess_ns(self) -> int:
        """By how much low exceeds high, 0 for bounds that agree."""
        return 0 if self.low is None or self.high is None else max(self.low - self.high, 0)

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
    """A node's clock minus the reference's. `stepped`: its bounds contradict each other, so no latency can be claimed."""

    bounds: Interval
    samples: int = 0
    stepped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks of all nodes against the reference node's."""

    reference: str
    nodes: Mapping[str, NodeClock]

    def offset(self, node: str, other: str) -> Interval:
        """Bounds of `node`'s clock minus `other`'s."""
        if node == other:
            return EXACT
        return self._bounds(node).minus(self._bounds(other))

    def middle_ns(self, node: str, other: str) -> int:
        """The likeliest of `node`'s clock minus `other`'s; a clock that nothing bounds is taken for the reference's."""
        bounds = self.offset(node, other)
        known = bounds.low is not None and bounds.high is not None
        return bounds.middle_ns if known else self._bounds(node).middle_ns - self._bounds(other).middle_ns

    def steady(self, node: str) -> bool:
        """Whether the clock's bounds agree."""
        return node not in self.nodes or not self.nodes[node].stepped

    def bounds(self) -> tuple[ClockBound, ...]:
        """As the report shows them; a clock that stepped has no bounds."""
        return tuple(
            ClockBound(
                reference=self.reference,
                node=node,
                offset_ns=OffsetBound(low=None, high=None) if clock.stepped else OffsetBound(low=clock.bounds.low, high=clock.bounds.high),
                samples=clock.samples,
            )
            for node, clock in sorted(self.nodes.items())
        )

    def _bounds(self, node: str) -> Interval:
        if node == self.reference:
            return EXACT
        return self.nodes[node].bounds if node in self.nodes else Interval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What packets between the reference and one node say: bounds of the offset and how many packets said so."""

    bounds: Interval
    count: int = 0


def clocks_of(reference: str, nodes: Iterable[str], samples: Mapping[str, Samples], facts: Iterable[NodeFacts], span_ns: int) -> Clocks:
    """The clocks of `nodes` against `reference`, from packets and from clock readings; `span_ns` is how long the captures ran."""
    readings = _readings(facts)
    drift = span_ns * DRIFT_PPM // 1_000_000
    found = {}
    for node in nodes:
        if node == reference:
            continue
        sample = samples.get(node, Samples(bounds=Interval()))
        read = readings.get(node, Interval()).minus(readings.get(reference, Interval()))
        both = sample.bounds.intersect(read)
        stepped = both.excess_ns > drift
        # bounds that disagree meet somewhere between: the two swapped contain every clock that either side claims
        agreed = Interval(both.high, both.low) if both.excess_ns else both
        found[node] = NodeClock(bounds=agreed, samples=sample.count, stepped=stepped)
    return Clocks(reference=reference, nodes=found)


def _readings(facts: Iterable[NodeFacts]) -> dict[str, Interval]:
    """Each node's clock minus the client's; several readings are joined by what they share, or all of it where they share nothing."""
    found: dict[str, Interval] = {}
    for one in facts:
        if one.clock is None:
            continue
        clock = one.clock
        bounds = Interval(clock.node_ns - clock.received_ns, clock.node_ns + max(clock.resolution_ns, 1) - 1 - clock.sent_ns)
        both = found.get(one.node, bounds).intersect(bounds)
        found[one.node] = Interval(both.high, both.low) if both.excess_ns else both
    return found
