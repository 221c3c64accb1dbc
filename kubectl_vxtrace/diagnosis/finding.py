"""How a check writes a finding about a trouble."""

from collections.abc import Sequence

from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence.lost_packets import bounded, last_seen, not_seen
from kubectl_vxtrace.diagnosis.evidence.unanswered import beside_text
from kubectl_vxtrace.diagnosis.losses import Trouble
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity


def explain(
    case: Case,
    trouble: Trouble,
    cause: str,
    confidence: Confidence,
    summary: str,
    proofs: Sequence[Evidence],
    *,
    remediation: str | None = None,
    packets: int | None = None,
    not_ruled_out: Sequence[str] = (),
) -> Finding:
    """An error finding: `cause` explains the trouble's packets, or `packets` of them.

    The frames and the absence that every trouble has are put before `proofs`. Confidence is bounded by what the captures allow.
    """
    beside = beside_text(case, trouble)
    silent = () if beside is None else (Evidence(kind=EvidenceKind.ABSENCE, text=beside),)
    return Finding(
        cause=cause,
        confidence=bounded(confidence, trouble),
        severity=Severity.ERROR,
        packets=trouble.packets if packets is None else packets,
        summary=summary,
        flow=trouble.flow.id,
        direction=trouble.path.direction,
        leg=trouble.leg,
        evidence=(last_seen(case, trouble), *not_seen(trouble), *silent, *proofs),
        remediation=remediation or CAUSES[cause].remediation,
        not_ruled_out=tuple(not_ruled_out),
    )
