"""How a check writes a finding about a loss."""

from collections.abc import Sequence

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.answers import unanswered_text
from kubectl_vxtrace.diagnosis.evidence.lost_packets import last_seen, not_seen
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity


def error_finding(
    case: Case,
    loss: Loss,
    cause: Cause,
    confidence: Confidence,
    summary: str,
    proofs: Sequence[Evidence],
    *,
    remediation: str | None = None,
    not_ruled_out: Sequence[str] = (),
) -> Finding:
    """An error: `cause` explains the loss's packets.

    The frames and the absence that every loss has are put before `proofs`. Confidence is bounded by what the captures allow.
    """
    beside = unanswered_text(case, loss)
    silent = () if beside is None else (Evidence(kind=EvidenceKind.ABSENCE, text=beside),)
    return Finding(
        cause=cause.slug,
        confidence=bounded(confidence, loss),
        severity=Severity.ERROR,
        packets=loss.packets,
        summary=summary,
        flow=loss.flow.id,
        direction=loss.path.direction,
        leg=loss.leg,
        evidence=(last_seen(case, loss), *not_seen(loss), *silent, *proofs),
        remediation=remediation or cause.remedy(),
        not_ruled_out=tuple(not_ruled_out),
    )


def bounded(confidence: Confidence, loss: Loss) -> Confidence:
    """At most `likely` where a file's completeness is presumed, or where blind hops make the leg longer than one segment."""
    if confidence is Confidence.CERTAIN and (loss.presumed or len(loss.segments) > 1):
        return Confidence.LIKELY
    return confidence
