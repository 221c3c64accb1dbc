"""The kernel's own drops as a further proof of what is lost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.places_to_look import look_text
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import EvidenceKind, Finding, LossPlace, Severity

# What says why packets were lost, whatever the cause is called.
_REASONS = (EvidenceKind.COUNTER, EvidenceKind.CONFIG)


def with_kernel_drops(case: Case, findings: Sequence[Finding], losses: Iterable[Loss]) -> tuple[Finding, ...]:
    """`findings`, those about a loss that the kernel's drops fit with these as a further proof; where a cause only says that packets were
    lost, the kernel's word says why."""
    if not case.recording.kernel_drops:
        return tuple(findings)
    by_place = {loss.place: loss for loss in losses}
    return tuple(_with_kernel_drop(case, finding, by_place) for finding in findings)


def _with_kernel_drop(case: Case, finding: Finding, losses: Mapping[LossPlace, Loss]) -> Finding:
    has_one = any(proof.kind is EvidenceKind.KERNEL for proof in finding.evidence)
    loss = losses.get(finding.place)
    if loss is None or has_one or finding.severity is not Severity.ERROR:
        return finding
    word = kernel_word(case, loss)
    if word is None:
        return finding
    finding = replace(finding, evidence=(*finding.evidence, word.evidence))
    if CAUSES[finding.cause].gives_reason or any(proof.kind in _REASONS for proof in finding.evidence):
        return finding
    look = look_text(case, loss, word)
    return replace(
        finding,
        summary=f"{finding.summary}; the kernel of {word.node} dropped {word.packets} of {word.lost}, {word.text}",
        remediation=finding.remediation if look is None else f"{look} {finding.remediation}",
    )
