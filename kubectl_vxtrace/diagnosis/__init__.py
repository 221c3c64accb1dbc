"""Which leg's loss has which cause. Pure: from a matched case to findings and a report."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.annotate.loss_profile import with_profiles
from kubectl_vxtrace.diagnosis.annotate.off_path import with_sightings
from kubectl_vxtrace.diagnosis.arbitrate import settle_findings
from kubectl_vxtrace.diagnosis.causes.capture import blind as sight
from kubectl_vxtrace.diagnosis.causes.host import bridging, conntrack, forwarding
from kubectl_vxtrace.diagnosis.causes.host import interfaces as links
from kubectl_vxtrace.diagnosis.causes.host import loops as looping
from kubectl_vxtrace.diagnosis.causes.host import next_hop as neighbours
from kubectl_vxtrace.diagnosis.causes.host import packet_filter as rules
from kubectl_vxtrace.diagnosis.causes.host import routes as routing
from kubectl_vxtrace.diagnosis.causes.host import wrong_gateway as misrouted
from kubectl_vxtrace.diagnosis.causes.nic import checksums, queues
from kubectl_vxtrace.diagnosis.causes.nic import tunnel_gso as glued
from kubectl_vxtrace.diagnosis.causes.pod import anti_spoofing as foreign
from kubectl_vxtrace.diagnosis.causes.pod import mtu as refused
from kubectl_vxtrace.diagnosis.causes.server import endpoint, resets
from kubectl_vxtrace.diagnosis.causes.service import translation as service
from kubectl_vxtrace.diagnosis.causes.vxlan import destinations
from kubectl_vxtrace.diagnosis.causes.vxlan import device as vtep
from kubectl_vxtrace.diagnosis.causes.vxlan import port_clash as clash
from kubectl_vxtrace.diagnosis.causes.vxlan import vtep_macs as owners
from kubectl_vxtrace.diagnosis.causes.wire import fragments as reassembly
from kubectl_vxtrace.diagnosis.causes.wire import hypervisor, mtu, underlay
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import with_words
from kubectl_vxtrace.diagnosis.losses import troubles
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
