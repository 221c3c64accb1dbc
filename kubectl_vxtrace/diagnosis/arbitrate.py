"""From what all checks found to one explanation for each loss; where no check named a cause, the one that the kernel's word has."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.drop_reasons import DropReason
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.places_to_look import look_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, LossPlace, Severity

_CONFIDENCE = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}
_SEVERITY = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def rank(finding: Finding) -> tuple[int, int, bool, int, int]:
    """Sort key: severity, confidence, explained before unexplained, most packets, then the flow."""
    unexplained = not CAUSES[finding.cause].explains
    return _SEVERITY[finding.severity], _CONFIDENCE[finding.confidence], unexplained, -finding.packets, finding.flow or 0


def is_admitted(finding: Finding) -> bool:
    """Whether a counter or the kernel's own drops account for all packets of an error finding.

    That makes packets that vanished `dropped`. The kernel's word does so whatever the finding is sure of: why is one thing, that is
    another. A counter proves it only for causes whose drop the kernel counts (`Cause.admitted`): that UDP took the packets, for one, is no
    admission that they were dropped.
    """
    if finding.severity is not Severity.ERROR or finding.leg is None:
        return False
    counted = any(proof.kind is EvidenceKind.COUNTER for proof in finding.evidence) and CAUSES[finding.cause].admitted
    return is_kernels_word(finding) or (counted and finding.confidence is not Confidence.POSSIBLE)


def is_kernels_word(finding: Finding) -> bool:
    """Whether the kernel itself said that it dropped the packets (skb:kfree_skb)."""
    return any(proof.kind is EvidenceKind.KERNEL for proof in finding.evidence)


def said_by_kernel(case: Case, loss: Loss) -> Finding | None:
    """A `likely` finding where the reason for which the kernel dropped the packets has one cause only; its remedy is to look."""
    word = kernel_word(case, loss)
    if word is None or word.meaning is None or word.meaning.cause not in CAUSES:
        return None
    noun = direction_noun(loss.path.direction, loss.packets)
    return error_finding(
        case,
        loss,
        CAUSES[word.meaning.cause],
        Confidence.LIKELY,
        f"the kernel of {word.node} dropped {loss.packets} {noun} after {place_text(loss.start)}, {word.text}",
        [word.evidence],
        remediation=look_text(case, loss, word),
    )


def comes_later(finding: Finding, reason: DropReason | None) -> bool:
    """Whether the packets, which the kernel says to have dropped for `reason`, never came as far as where the cause of a finding has them.

    What was dropped at one stage of a node does not come to a later one, however wrong what is found there looks. A finding that has the
    kernel's word for its own proof speaks of that stage.
    """
    stage = None if is_kernels_word(finding) else CAUSES[finding.cause].stage
    return reason is not None and stage is not None and stage > reason.last and reason.cause != finding.cause


def rests_on_table(finding: Finding) -> bool:
    """Whether a finding rests on an entry of a table alone, and nothing counted or answered shows that packets met it."""
    kinds = {proof.kind for proof in finding.evidence[1:]}  # the first one says where the packets were seen last
    shown = kinds & {EvidenceKind.COUNTER, EvidenceKind.KERNEL, EvidenceKind.PACKETS}
    return finding.severity is Severity.ERROR and CAUSES[finding.cause].of_table and not shown


def arbitrate(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One error finding for each place that any speaks of; warnings and infos as they are; sorted, best first.

    Among explanations of the same loss the one that a counter admits stands, then the surest. A weaker one that rests on configuration
    stays as a warning (it will hurt once the first is healed), any other becomes something that is not ruled out, unless the first
    is surer than `possible` and the other is not.
    """
    rivals: dict[LossPlace, list[Finding]] = defaultdict(list)
    others = []
    for finding in findings:
        if finding.severity is Severity.ERROR:
            rivals[finding.place].append(finding)
        else:
            others.append(finding)
    errors = [finding for explanations in rivals.values() for finding in _best(explanations)]
    return tuple(sorted([*errors, *others], key=rank))


def _best(rivals: list[Finding]) -> Iterator[Finding]:
    ordered = sorted(rivals, key=lambda finding: (not is_admitted(finding), *rank(finding)))
    best, rest = ordered[0], ordered[1:]
    evidence, doubts = list(best.evidence), list(best.not_ruled_out)
    for finding in rest:
        if finding.cause == best.cause:
            evidence += [proof for proof in finding.evidence if proof not in evidence]
        elif _is_mistake(finding, best):
            yield replace(finding, severity=Severity.WARNING)
        elif not CAUSES[finding.cause].gives_reason:
            continue
        elif finding.confidence is not Confidence.POSSIBLE or best.confidence is Confidence.POSSIBLE:
            doubts.append(f"{finding.cause}: {finding.summary}")
    yield replace(best, evidence=tuple(evidence), not_ruled_out=tuple(doubts))


def _is_mistake(finding: Finding, best: Finding) -> bool:
    """Whether a finding rests on configuration that is wrong whatever else is, and not on one that many healthy nodes have."""
    if CAUSES[finding.cause].is_circumstance and (finding.confidence is Confidence.POSSIBLE or is_admitted(best)):
        return False
    return any(proof.kind is EvidenceKind.CONFIG for proof in finding.evidence)
