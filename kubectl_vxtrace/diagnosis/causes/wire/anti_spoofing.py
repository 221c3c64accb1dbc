"""Does the network between the nodes carry what pods send without encapsulation?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.asymmetric import bare_path
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, conversations_at, direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.segment_packets import own_packets_passed
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

CLOUD_ANTI_SPOOFING = Cause(
    slug="cloud-anti-spoofing",
    remediation=(
        "Look: ip route get POD on the sender leads to the NIC, not to the VXLAN device. Fix: switch off the source/destination check "
        "of the instances (OpenStack: allowed address pairs), or encapsulate always (Calico: vxlanMode Always)."
    ),
    source="projectcalico/calico issues 9138, 8166, 8906; cloudnativelabs/kube-router issue 854",
)
CAUSES = (CLOUD_ANTI_SPOOFING,)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `cloud-anti-spoofing`: packets of pods that leave a node without encapsulation and do not reach the other one, and that
    no node answers for."""
    sender, end = segment.start.tap.node, segment.end
    sources = set(address_texts(conversations_at(case, loss, segment.start).source))
    if not sources or loss.answered >= loss.packets or encapsulations(case, loss, segment.start):
        return
    if sources & node_facts.underlay_addresses(case, sender) or loss.arrived or node_facts.interface_state(case, end) is not None:
        return
    if bare_path(case, loss.flow) is not None:  # the other direction is encapsulated: that the two differ is what is wrong
        return
    others = own_packets_passed(case, segment)
    noun = direction_noun(loss.path.direction, loss.packets)
    shown = ", ".join(sorted(sources)[:3])
    proofs = [
        Evidence(kind=EvidenceKind.PACKETS, text=f"they left {place_text(segment.start)} bare, with the pod's address {shown} as source")
    ]
    if others:
        text = f"{others} packets from the node's own address arrived at {place_text(end)} in the same time"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    yield error_finding(
        case,
        loss,
        CLOUD_ANTI_SPOOFING,
        Confidence.LIKELY if others else Confidence.POSSIBLE,
        f"{loss.packets} {noun} left {sender} without encapsulation and did not reach {end.tap.node}",
        proofs,
        not_ruled_out=("a firewall between the nodes that does not know the pods' addresses",),
    )
