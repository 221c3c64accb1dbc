"""What the runner asks of a loss: plain functions, each with the segments that it is about."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment, SegmentKind
from kubectl_vxtrace.model.report import Finding


@dataclass(frozen=True, slots=True)
class OfSegment:
    """A check of each segment of those kinds that lies between two hops."""

    check: Callable[[LossCase, Loss, Segment], Iterator[Finding]]
    kinds: tuple[SegmentKind, ...]

    def findings(self, case: LossCase, loss: Loss) -> Iterator[Finding]:
        """What the check finds on the loss's segments, in their order."""
        for segment in loss.segments:
            if segment.kind in self.kinds and isinstance(segment, Segment):
                yield from self.check(case, loss, segment)


@dataclass(frozen=True, slots=True)
class OfAnySegment:
    """A check of each segment of those kinds, also of one after which nothing names the next hop."""

    check: Callable[[LossCase, Loss, AnySegment], Iterator[Finding]]
    kinds: tuple[SegmentKind, ...]

    def findings(self, case: LossCase, loss: Loss) -> Iterator[Finding]:
        """What the check finds on the loss's segments, in their order."""
        for segment in loss.segments:
            if segment.kind in self.kinds:
                yield from self.check(case, loss, segment)


@dataclass(frozen=True, slots=True)
class OfLoss:
    """A check of a loss as a whole."""

    check: Callable[[LossCase, Loss], Iterator[Finding]]

    def findings(self, case: LossCase, loss: Loss) -> Iterator[Finding]:
        """What the check finds."""
        yield from self.check(case, loss)


LossCheck = OfSegment | OfAnySegment | OfLoss
CaseCheck = Callable[[LossCase], Iterator[Finding]]
"""A check of what is no loss: warnings, and what is worth knowing."""


def ask(case: LossCase, checks: Iterable[LossCheck]) -> Iterator[Finding]:
    """What `checks` find: check by check, so that of explanations that are equally sure the one of the earlier check stands."""
    for check in checks:
        for loss in case.losses:
            yield from check.findings(case, loss)
