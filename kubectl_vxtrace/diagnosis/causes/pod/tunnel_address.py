"""Does the receiver take the pod's address for its own?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

POD_IS_TUNNEL_ADDRESS = Cause(
    slug="pod-is-tunnel-address",
    remediation=(
        "Look on {node}: ip addr show {device}; calicoctl ipam check. Delete the pod, so that it gets another address, and restart the "
        "network agent of that node, which picks the tunnel's address anew."
    ),
    source="projectcalico/calico issue 3589; ip-route(8), table local",
    stage=Stage.ROUTE_INPUT,
)
CAUSES = (POD_IS_TUNNEL_ADDRESS,)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `pod-is-tunnel-address`: packets for the pod end on the node, which has the pod's address on an interface of its own."""
    end = loss.flow.server if loss.path.direction is Direction.REQUEST else loss.flow.client
    if end is None or end.host_network or segment.start.role is not Role.VXLAN:
        return
    node = segment.start.tap.node
    looks = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "links")]
    owning = [[link.name for link in facts.links if end.address in link.addresses] for facts in looks]
    if not any(owning):
        return
    device = next(names[0] for names in owning if names)
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{node}/{device} has the address {end.address}, which is the pod's")]
    local = [lookup for facts in looks for lookup in facts.lookups if lookup.destination == end.address and lookup.type == "local"]
    if local:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"{node}: ip route get {end.address} answers `local`"))
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        POD_IS_TUNNEL_ADDRESS,
        Confidence.CERTAIN if all(owning) and len(looks) > 1 else Confidence.LIKELY,
        f"{loss.packets} {noun} to {end.pod or end.address} end on {node} itself: its {device} has the pod's address {end.address}",
        proofs,
        remediation=POD_IS_TUNNEL_ADDRESS.remedy(node=node, device=device),
    )
