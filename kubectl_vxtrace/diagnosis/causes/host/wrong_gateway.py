"""Does the sender's route lead to the VTEP of the node on which the pod runs?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.causes.host.routes import DUPLICATE_POD_CIDR, ROUTE_MISSING
from kubectl_vxtrace.diagnosis.causes.vxlan.tunnel_conflict import conflict_of
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import frames_between
from kubectl_vxtrace.diagnosis.evidence.routes import WrongGateway
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `duplicate-pod-cidr` where that node takes the pod's block for its own, else `route-missing`, for packets that left the
    sender's VXLAN device and did not come to the pod's node."""
    gateway = routes.wrong_gateway(case, loss, segment)
    if conflict_of(case, loss) is not None:
        return
    if gateway is not None and segment is loss.segment(SegmentKind.ENCAPSULATE, SegmentKind.WIRE):
        yield _finding(case, loss, segment, gateway)


def _finding(case: Case, loss: Loss, segment: AnySegment, gateway: WrongGateway) -> Finding:
    node, target, owner = segment.start.tap.node, gateway.answer.destination, gateway.owner
    owners = routes.block_owners(case, target)
    text = f"{node} on the way to {target}: {routes.answer_text(gateway.answer)}, the VTEP of {owner.node}; the pod runs on {gateway.home}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    proofs += [
        Evidence(kind=EvidenceKind.CONFIG, text=f"{name} takes the block of {target} for its own: {owners[name]}")
        for name in (owner.node, gateway.home)
        if name in owners
    ]
    sent = [header for header in encapsulations(case, loss, segment.start) if header.destination == owner.underlay_address]
    if sent:
        text = f"{sent[0].frames} of them left {place_text(segment.start)} for {owner.underlay_address}, an address of {owner.node}"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    proofs += [frames.evidence(", the wrong node") for frames in frames_between(case, owner.node, loss.senders, (target,))]
    peer = node_facts.vtep(case, gateway.home)
    right = peer.address if peer is not None and peer.address is not None else f"the VTEP of {gateway.home}"
    look = f"Look on {node}: ip route get {target}; on {owner.node} and {gateway.home}: ip route | grep blackhole; calicoctl ipam check. "
    return error_finding(
        case,
        loss,
        DUPLICATE_POD_CIDR if {owner.node, gateway.home} <= owners.keys() else ROUTE_MISSING,
        Confidence.CERTAIN if gateway.always and sent else Confidence.LIKELY,
        f"{node} sends packets for {target}, a pod of {gateway.home}, to {owner.node}",
        proofs,
        remediation=f"{look}Fix: the route of {node} belongs to {right}; give the block to one node, restart the agents of the others.",
    )
