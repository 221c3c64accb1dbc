"""What differs between two recordings, as records."""

from dataclasses import dataclass

from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import Confidence, Severity, TraceReport, Verdict
from kubectl_vxtrace.report.changes import NodeChanges

Pair = tuple[str | None, str | None]
"""The same of the first and of the second; None where one has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: what it is called, its verdict and the reason."""

    name: str
    verdict: Verdict
    summary: str
    cause: str | None
    session: str
    started: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value that is not the same."""

    name: str
    values: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class HopDifference:
    """A hop that is another interface, or saw something where the other saw nothing. Each side: `worker-1/ens4: 10`."""

    hop: int
    sides: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionDifference:
    """A direction of a flow. verdicts: with the place where packets ended. latencies: legs that are much slower on one side."""

    heading: str
    verdicts: Pair
    hops: tuple[HopDifference, ...]
    latencies: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDifference:
    """A flow of either or both; `differs` is false where all that is told of it is the same."""

    protocol: str
    clients: Pair
    targets: Pair
    verdicts: Pair
    directions: tuple[DirectionDifference, ...]

    @property
    def differs(self) -> bool:
        """Whether anything of it does."""
        return self.verdicts[0] != self.verdicts[1] or bool(self.directions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingDifference:
    """A finding that only one of the two has; `side` is 0 or 1."""

    side: int
    cause: str
    severity: Severity
    confidence: Confidence
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCounter:
    """A counter of lost packets, and by how much it grew during each; None where it did not, or was not read."""

    node: str
    counter: str
    grown: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that differs. `nodes`: settings that only the first has are `gone`, those that only the second has `new`.

    unread: nodes whose settings are not compared, as one of the two does not say them.
    """

    sides: tuple[Side, Side]
    settings: tuple[Setting, ...]
    flows: tuple[FlowDifference, ...]
    findings: tuple[FindingDifference, ...]
    counters: tuple[LossCounter, ...]
    nodes: tuple[NodeChanges, ...]
    unread: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs but when they were made."""
        told = (self.settings, self.findings, self.counters, self.nodes)
        return not any(told) and not any(flow.differs for flow in self.flows) and self.sides[0].verdict == self.sides[1].verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One of the two: what it is called, its report, and the recording that it was made from."""

    name: str
    report: TraceReport
    recording: Recording
