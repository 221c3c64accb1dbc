"""Has a node an address on its VXLAN device that the other nodes take for another node's?"""

from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, conversations_at, direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.facts import NodeFacts, Route
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

TUNNEL_ADDRESS_CONFLICT = Cause(
    slug="tunnel-address-conflict",
    remediation=(
        "Look on {node}: ip addr show {device}; kubectl get node {node} -o yaml (projectcalico.org/IPv4VXLANTunnelAddr); calicoctl ipam "
        "show --ip={address}; calicoctl ipam check. Restart the network agent of {node}, so that it takes a tunnel address from a block "
        "of its own; the routes and entries of the other nodes are right."
    ),
    source="projectcalico/calico issues 5595, 3589; Calico felix/dataplane/linux/vxlan_mgr.go",
)
CAUSES = (TUNNEL_ADDRESS_CONFLICT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """`address` is on the VXLAN device `device` of `home`; the packets' sender has `way` for it, the way of another node or to itself."""

    address: str
    home: str
    device: str
    rival: str
    way: str
    always: bool


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `tunnel-address-conflict`, for packets to a node's own tunnel address that go to another node."""
    conflict = conflict_of(case, loss)
    if conflict is None or segment is not loss.segments[0]:
        return
    sender, noun = loss.path.hops[0].tap.node, direction_noun(loss.path.direction, loss.packets)
    sent = encapsulations(case, loss, loss.start)
    proofs = [
        f"{conflict.home}/{conflict.device} has the address {conflict.address}",
        f"the route of {sender} for {conflict.address}: {conflict.way}"
        + (", its own block" if conflict.rival == sender else f", the way to {conflict.rival}"),
    ]
    evidence = [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in proofs]
    if sent:
        text = f"{sent[0].frames} of them left {place_text(loss.start)} for {sent[0].destination}"
        evidence.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    yield error_finding(
        case,
        loss,
        TUNNEL_ADDRESS_CONFLICT,
        Confidence.CERTAIN if conflict.always and sent else Confidence.LIKELY,
        f"the tunnel address {conflict.address} of {conflict.home} lies in the block of {conflict.rival}, and {sender} sends "
        f"{loss.packets} {noun} for it there",
        evidence,
        remediation=TUNNEL_ADDRESS_CONFLICT.remedy(node=conflict.home, device=conflict.device, address=conflict.address),
    )


def conflict_of(case: Case, loss: Loss) -> Conflict | None:
    """What is wrong with the tunnel address to which the loss's packets go, None if nothing is or they go to none."""
    sender = loss.path.hops[0].tap.node
    looks = node_facts.looks(case, sender)
    if not looks:
        return None
    for address in address_texts(conversations_at(case, loss, loss.start).destination):
        owner = _device_with(case, address)
        if owner is None or owner[0] == sender:
            continue
        home, device = owner
        ways = [_way(facts, address) for facts in looks]
        wrong = [way for way in ways if way is not None and _leads_elsewhere(case, way, home, address)]
        if wrong:
            rival = _rival(case, loss, wrong[-1].gateway) if wrong[-1].type != "blackhole" else sender
            way = routes.line_text(wrong[-1])
            return Conflict(address=address, home=home, device=device, rival=rival, way=way, always=len(wrong) == len(ways))
    return None


def _device_with(case: Case, address: str) -> tuple[str, str] | None:
    """The node and the VXLAN device that has the address, by the node's own word."""
    for facts in (*case.recording.after, *case.recording.before):
        for link in facts.links:
            if link.vxlan is not None and address in link.addresses:
                return facts.node, link.name
    return None


def _way(facts: NodeFacts, address: str) -> Route | None:
    """The route by which a node sends to an address; None where only the default route covers it."""
    lines = [line for line in routes.lines_for(facts, address) if line.table is None]
    if not lines or lines[0].destination == "default":
        return None
    return lines[0]


def _leads_elsewhere(case: Case, way: Route, home: str, address: str) -> bool:
    """Whether a route's gateway is none of the home node's addresses (flannel's and Calico's routes name the tunnel's own), or the block
    is the sender's own (Calico's blackhole)."""
    gateway = way.gateway
    if way.type == "blackhole":
        return True
    return gateway is not None and gateway != address and gateway not in node_facts.all_addresses(case, home)


def _rival(case: Case, loss: Loss, gateway: str | None) -> str:
    """The node to which the packets go: by its VTEP, by the API's word for the outer address, or as the gateway's address."""
    by_tunnel = [vtep.node for vtep in case.recording.overlay.vteps if gateway is not None and vtep.address == gateway]
    snapshot = case.recording.snapshot
    outer = {header.destination for header in encapsulations(case, loss, loss.start)}
    by_api = [node.name for node in (snapshot.nodes if snapshot is not None else ()) if outer & set(node.addresses)]
    return next(iter([*by_tunnel, *by_api]), f"the node of {gateway}")
