"""Does a bridge send back to a pod what the pod sent to itself?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `unknown` that name the setting, for packets of a pod to itself behind a bridge port that is not in hairpin mode."""
    if loss.flow.client.address not in loss.receivers or segment.start.role not in (Role.POD, Role.BRIDGE):
        return
    node, interface = segment.start.tap.node, loss.path.hops[0].tap.interface
    links = [link for facts in node_facts.looks(case, node) if (link := facts.link(interface)) is not None]
    if not links or any(link.port is None or link.port.hairpin is not False for link in links):
        return
    bridge = links[-1].master
    noun = direction_noun(loss.path.direction, loss.packets)
    others = sorted(
        link.name
        for facts in node_facts.looks(case, node)[-1:]
        for link in facts.links
        if link.master == bridge and link.port is not None and link.port.hairpin
    )
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"hairpin is off on {node}/{interface}, a port of {bridge}, in all looks")]
    if others:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"hairpin is on on other ports of {bridge}: {', '.join(others[:5])}"))
    yield error_finding(
        case,
        loss,
        UNKNOWN,
        Confidence.LIKELY,
        f"the pod asks itself, and hairpin mode is off on its port {interface} of {bridge} on {node}: {loss.packets} {noun} did not come "
        f"back after {place_text(segment.start)}, since a bridge sends nothing out of the port that it came in by",
        proofs,
        remediation=(
            f"Look on {node}: bridge -d link show dev {interface}. Fix: bridge link set dev {interface} hairpin on; for new pods set "
            '"hairpinMode": true in the CNI configuration of the bridge.'
        ),
        not_ruled_out=("the pod's own packet filter, and a Service that translates to another pod",),
    )
