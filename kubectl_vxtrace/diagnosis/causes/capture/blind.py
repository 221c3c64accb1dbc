"""What could not be seen."""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, HopCount, Severity


def check(case: Case) -> Iterator[Finding]:
    """Warnings `capture-blind`, one for each blind interface."""
    warned: set[tuple[str, str | None]] = set()
    for count in (count for traced in case.paths for count in traced.hops):
        if count.expected and not count.witness and (count.node, count.interface) not in warned:
            warned.add((count.node, count.interface))
            yield _blind(count)


def _blind(count: HopCount) -> Finding:
    reason = count.reason or "its capture is not complete"
    return Finding(
        cause="capture-blind",
        confidence=Confidence.CERTAIN,
        severity=Severity.WARNING,
        packets=0,
        summary=f"{count.node}/{count.interface or count.role} cannot testify: {reason}",
        evidence=(Evidence(kind=EvidenceKind.ABSENCE, text=reason),),
        remediation=CAUSES["capture-blind"].remediation,
    )
