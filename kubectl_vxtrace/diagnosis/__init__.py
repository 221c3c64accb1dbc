"""Which leg's loss has which cause. Pure: from a matched case to findings and a report."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.checks import (
    bridging,
    checksums,
    clash,
    conntrack,
    destinations,
    endpoint,
    foreign,
    forwarding,
    glued,
    hypervisor,
    links,
    looping,
    misrouted,
    mtu,
    neighbours,
    owners,
    queues,
    reassembly,
    refused,
    resets,
    routing,
    rules,
    service,
    sight,
    underlay,
    vtep,
)
from kubectl_vxtrace.diagnosis.drops import with_words
from kubectl_vxtrace.diagnosis.profile import with_profiles
from kubectl_vxtrace.diagnosis.resolve import settle_findings
from kubectl_vxtrace.diagnosis.sightings import with_sightings
from kubectl_vxtrace.diagnosis.trouble import troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, Finding

CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    vtep.check,
    owners.check,
    neighbours.check,
    destinations.check,
    links.check,
    routing.check,
    misrouted.check,
    looping.check,
    forwarding.check,
    clash.check,
    conntrack.check,
    rules.check,
    checksums.check,
    hypervisor.check,
    glued.check,
    refused.check,
    mtu.check,
    reassembly.check,
    queues.check,
    underlay.check,
    service.check,
    endpoint.check,
    resets.check,
    bridging.check,
    foreign.check,
    sight.check,
)


def diagnose(case: Case) -> tuple[Finding, ...]:
    """All findings of a case, the best first: one error for each loss, then warnings and infos."""
    found = [finding for check in CHECKS for finding in check(case)]
    lost = tuple(troubles(case))
    settled = with_sightings(case, with_profiles(case, with_words(case, settle_findings(case, found, lost), lost), lost))
    if any(capture.status is CaptureStatus.PRESUMED for capture in case.recording.captures):
        return tuple(_at_most_likely(finding) for finding in settled)
    return settled


def _at_most_likely(finding: Finding) -> Finding:
    """Captures without closing numbers make nothing certain."""
    return replace(finding, confidence=Confidence.LIKELY) if finding.confidence is Confidence.CERTAIN else finding
