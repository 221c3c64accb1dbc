"""Does anybody answer for the next hop's address: on the wire between the nodes, or for what the pod asks its node?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import arp_questions, unresolved
from kubectl_vxtrace.diagnosis.evidence.diversions import outer_answer
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.neighbours import next_hops
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

ARP_UNANSWERED = Cause(
    slug="arp-unanswered",
    remediation=(
        "Look: ip neigh show {address} dev {device} on {node}; tcpdump -ni {peer_device} arp on {peer}. Find what takes ARP (IPv6: "
        "neighbour discovery) between the two: filters of bridge and switch (ebtables, nft bridge, port security), VLANs that differ, "
        "arp_ignore and arp_filter on {peer}."
    ),
    source="RFC 826; RFC 1122, 2.3.2.2; projectcalico/calico issue 3270; Linux net/ipv4/arp.c (arp_process, arp_fwd_proxy)",
    stage=Stage.NEIGHBOUR,
    of_table=True,
)
CAUSES = (ARP_UNANSWERED,)


# Calico gives every pod the gateway 169.254.1.1, for which the node answers by proxy ARP (Calico's FAQ).
_LINK_LOCAL = "169.254."
_POD_REMEDY = "Look on {node}: ip route get {address}; ip route show default; sysctl net.ipv4.conf.{setting}.proxy_arp. Fix: {fix}."

_BARE_REMEDY = (
    "Look on {node}: ip neigh show {address} dev {device}; ip route get {address}. Find who should answer for {address}: the machine or "
    "gateway itself, or what announces a load balancer's address on this link (MetalLB's speaker, kube-vip); if the address is elsewhere, "
    "the route that has it on this link is wrong."
)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `arp-unanswered`: encapsulated packets that wait on the sender for the MAC address of the peer, or of the gateway to it."""
    sender, nic = segment.start.tap.node, segment.end
    looks = node_facts.looks(case, sender)
    outer = loss.path.outer_destination
    if outer is None or not looks or not _is_receivers(case, loss, outer):
        return
    answer = outer_answer(looks[-1], node_facts.underlay_addresses(case, sender), outer)
    address = answer.gateway or outer if answer is not None else outer
    states = _states(looks, address, nic.tap.interface)
    asked = unresolved(case, nic, address)
    if not asked and not states:
        return
    peer = next((hop for hop in loss.path.hops if hop.tap.node != sender and hop.role is Role.UNDERLAY), None)
    remediation = ARP_UNANSWERED.remedy(
        address=address,
        device=nic.tap.interface,
        node=sender,
        peer=peer.tap.node if peer is not None else "the peer",
        peer_device=(peer.tap.interface if peer is not None else "") or "NIC",
    )
    at_peer = tuple(_at_peer(case, peer, address)) if peer is not None and address == outer else ()
    yield _unanswered(case, loss, nic, address, states, asked, at_peer=at_peer, remediation=remediation)


def check_bare(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `arp-unanswered`: packets that leave the overlay and wait on the node for the MAC address of the next hop on its NIC."""
    node, nic = segment.start.tap.node, segment.end
    looks = node_facts.looks(case, node)
    if nic.role is not Role.UNDERLAY or not looks:
        return
    for address in next_hops(case, loss, nic):
        states, asked = _states(looks, address, nic.tap.interface), unresolved(case, nic, address)
        if asked or states:
            remediation = _BARE_REMEDY.format(node=node, address=address, device=nic.tap.interface)
            yield _unanswered(case, loss, nic, address, states, asked, remediation=remediation)


def _unanswered(
    case: Case,
    loss: Loss,
    nic: Hop,
    address: str,
    states: Sequence[str],
    asked: Sequence[Evidence],
    *,
    remediation: str,
    at_peer: Sequence[Evidence] = (),
) -> Finding:
    """That nobody answers for an address at a node's NIC, by the questions seen there and the states of the neighbour entry."""
    node = nic.tap.node
    config = [f"the neighbour entry of {address} on {place_text(nic)} is {', '.join(states)}"] if states else []
    return error_finding(
        case,
        loss,
        ARP_UNANSWERED,
        Confidence.CERTAIN if asked and states else Confidence.LIKELY,
        f"{node} asks for the MAC address of {address} on {nic.tap.interface} (ARP) and gets no answer: nothing for it leaves",
        [*asked, *(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in config), *at_peer],
        remediation=remediation,
        not_ruled_out=() if asked else (f"an earlier drop on {node}: no ARP request for {address} was seen",),
    )


def _is_receivers(case: Case, loss: Loss, outer: str) -> bool:
    """Whether the address is one of the node's that should receive; a wrong one is another check's."""
    sender = loss.path.hops[0].tap.node
    receiver = next((hop.tap.node for hop in loss.path.hops if hop.tap.node != sender), None)
    known = node_facts.underlay_addresses(case, receiver) if receiver is not None else frozenset()
    return not known or outer in known


def _states(looks: tuple[NodeFacts, ...], address: str, device: str) -> tuple[str, ...]:
    """INCOMPLETE or FAILED, if the last look that has an entry found it so: asked for, and not answered (RFC 4861, 7.3.2)."""
    entries = [entry for entry in looks[-1].neighbours if (entry.address, entry.device) == (address, device) and not entry.proxy]
    return next((entry.states for entry in entries if {"INCOMPLETE", "FAILED"}.intersection(entry.states)), ())


def _at_peer(case: Case, peer: Hop, address: str) -> Iterator[Evidence]:
    """Whether the question got to the peer's NIC, and whether an answer left it."""
    rows, told = arp_questions(case, peer.tap, address)
    if peer.tap not in case.tables:
        return
    if not len(rows):
        yield Evidence(kind=EvidenceKind.ABSENCE, text=f"no ARP request for {address} was seen at {place_text(peer)}")
    else:
        text = f"{len(rows)} x ARP who-has {address} at {place_text(peer)}, {'answered there' if told else 'not answered there either'}"
        yield Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, peer.tap, rows))


def check_first_hop(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `arp-unanswered`: a pod that asks for the MAC address of its next hop in vain, and sends no packet."""
    hop, client = segment.start, loss.flow.client.address
    for address in loss.receivers:
        node, cause_text, fix = hop.tap.node, *_why(case, hop, address)
        yield error_finding(
            case,
            loss,
            ARP_UNANSWERED,
            Confidence.CERTAIN,
            f"the pod {client} sends nothing: it asks for the MAC address of {address}, its next hop, and {node} does not answer"
            + (f" ({cause_text})" if cause_text else ""),
            [Evidence(kind=EvidenceKind.ABSENCE, text=f"no answer for {address} was seen at {place_text(hop)}")],
            remediation=_POD_REMEDY.format(node=node, address=address, setting=hop.tap.interface.replace(".", "/"), fix=fix),
        )


def _why(case: LossCase, hop: Hop, address: str) -> tuple[str | None, str]:
    """Why the node does not answer, where its tables say it, and what to do about it.

    By proxy ARP a node answers only where it has a route to the address that leads to another interface (arp_process).
    """
    looks = node_facts.looks(case, hop.tap.node)
    if not looks or not address.startswith(_LINK_LOCAL):
        return None, f"find why {hop.tap.node} does not answer for {address} on {hop.tap.interface}"
    setting = f"net.ipv4.conf.{hop.tap.interface.replace('.', '/')}.proxy_arp"
    default = any(route.destination == "default" and ":" not in (route.gateway or "") for route in looks[-1].routes)
    if node_facts.answered(looks[-1], "routes") and not default:
        text = f"proxy ARP answers only where the node has a route to {address}, and {hop.tap.node} has no default route"
        return text, f"give {hop.tap.node} its default route back (ip route add default via GATEWAY dev NIC)"
    if looks[-1].sysctls.get(setting) == "0":
        return f"proxy ARP is off: {setting} = 0", f"sysctl -w {setting}=1"
    return "proxy ARP does not answer", f"find why {hop.tap.node} does not answer for {address} on {hop.tap.interface}"
