"""Which leg's loss has which cause. Pure: from a matched case to findings and a report.

In: a `Case`, packets matched over the hops of their paths, and what the nodes said before and after. Out: `Finding`s, the best first, one
error for each loss; then the report.

    losses.py        what has to be explained: packets that met the same fate at the same leg, and the segments that the leg consists of
    case.py          the case with its losses and the dropping rules of their nodes, computed once
    causes/          CHECKS: what is asked of each loss, a plain function for each question; the page of each cause beside its module
    arbitrate.py     one explanation for each loss, by the fields of its `Cause` (cause.py) and its evidence alone
    annotate/        what is added: the kernel's drops, rewritten outer addresses, the profile of a partial loss, sightings off the path
    dropped.py       which packets are `dropped` and not only `lost`: those that an admitted finding accounts for
    report/          verdict, impact, sections and the first line of the report

A check proves with evidence/ (frames, answers, outer headers, counters, routes, NICs, the kernel's drops: facts about a loss, without a
cause) and rules/ (packet filter rules: which drop, which packets they can match, what they are made for). It writes with finding.py, and
decides by judgement.py, where the thresholds are that no standard gives. Imports run one way, from the report down to the losses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubectl_vxtrace.diagnosis.annotate.kernel_drops import with_kernel_drops
from kubectl_vxtrace.diagnosis.annotate.loss_profile import with_profiles
from kubectl_vxtrace.diagnosis.annotate.off_path import with_off_path_sightings
from kubectl_vxtrace.diagnosis.annotate.rewritten_outer import with_rewritten_outer
from kubectl_vxtrace.diagnosis.arbitrate import arbitrate, comes_later, rests_on_table, said_by_kernel
from kubectl_vxtrace.diagnosis.case import LossCase, with_losses
from kubectl_vxtrace.diagnosis.causes import CASE_CHECKS, CHECKS
from kubectl_vxtrace.diagnosis.causes.capture.unexplained import unexplained, unexplained_away_from_path
from kubectl_vxtrace.diagnosis.checks import ask
from kubectl_vxtrace.diagnosis.drop_reasons import DropReason
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_word
from kubectl_vxtrace.diagnosis.evidence.off_path import vanished_astray
from kubectl_vxtrace.diagnosis.evidence.segment_packets import passed_meanwhile
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, Finding, LossPlace, Severity


def diagnose(case: Case) -> tuple[Finding, ...]:
    """All findings of a case, the best first: one error for each loss, then warnings and infos."""
    losing = with_losses(case)
    found = [*_errors(losing), *(finding for check in CASE_CHECKS for finding in check(losing))]
    findings = arbitrate([*found, *_away_from_path(losing, found)])
    findings = with_kernel_drops(case, findings, losing.losses)
    findings = with_rewritten_outer(case, findings, losing.losses)
    findings = with_profiles(case, findings, losing.losses)
    findings = with_off_path_sightings(case, findings)
    if any(capture.status is CaptureStatus.PRESUMED for capture in case.recording.captures):
        return tuple(_at_most_likely(finding) for finding in findings)
    return findings


def _words(case: LossCase) -> dict[LossPlace, DropReason]:
    """Why the kernel says to have dropped the packets of losses; of a leg with blind hops in it nobody knows how far these came."""
    words = {loss.place: kernel_word(case, loss) for loss in case.losses if len(loss.segments) == 1}
    return {place: word.meaning for place, word in words.items() if word is not None and word.meaning is not None}


def _errors(case: LossCase) -> list[Finding]:
    """What all checks say of each loss, what follows from the kernel's word alone, or that nothing explains it."""
    words = _words(case)
    working = {loss.place for loss in case.losses if passed_meanwhile(case, loss)}
    findings = [
        finding
        for finding in ask(case, CHECKS)
        if not comes_later(finding, words.get(finding.place)) and not (finding.place in working and rests_on_table(finding))
    ]
    named = {finding.place for finding in findings}
    for loss in case.losses:
        if loss.place not in named:
            named.add(loss.place)
            findings.append(said_by_kernel(case, loss) or unexplained(case, loss))
    return findings


def _away_from_path(case: LossCase, found: Sequence[Finding]) -> Iterator[Finding]:
    """That nothing explains requests which were seen away from their path and never came, where no finding does."""
    named = {finding.flow for finding in found if finding.severity is Severity.ERROR and finding.direction is Direction.REQUEST}
    for flow in case.flows:
        if flow.id not in named and vanished_astray(case, flow):
            yield unexplained_away_from_path(case, flow)


def _at_most_likely(finding: Finding) -> Finding:
    """Captures without closing numbers make nothing certain."""
    return replace(finding, confidence=Confidence.LIKELY) if finding.confidence is Confidence.CERTAIN else finding
