"""Do the nodes send to each other's right underlay addresses, and has each address one owner?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.vxlan.vtep_macs import inner_macs
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.answers import unresolved
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.node_addresses import (
    other_owners,
    owned_addresses,
    published_addresses,
    recorded_addresses,
    right_address,
)
from kubectl_vxtrace.diagnosis.evidence.segment_packets import passing_destinations
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

FDB_WRONG_DESTINATION = Cause(
    slug="fdb-wrong-destination",
    remediation=(
        "Look on {sender}: bridge fdb show dev {device}. The address of {receiver} is {right}. Restart the network agent of {sender}, "
        "which writes these entries{by_hand}."
    ),
    source="k3s-io/k3s issues 6177, 12056; projectcalico/calico issue 7281; bridge(8)",
    of_table=True,
)
WRONG_NODE_ADDRESS = Cause(
    slug="wrong-node-address",
    remediation=(
        "Look: kubectl get node {receiver} -o yaml (projectcalico.org/IPv4Address, flannel.alpha.coreos.com/public-ip). The address of "
        "{receiver} that carries VXLAN is {right}: set IP_AUTODETECTION_METHOD=kubernetes-internal-ip (Calico), --iface (flannel) or "
        "--flannel-iface (k3s), and restart the network agent there."
    ),
    source="projectcalico/calico issues 8203, 6141, 6927; poseidon/typhoon issue 124",
    of_table=True,
)
DUPLICATE_NODE_ADDRESS = Cause(
    slug="duplicate-node-address",
    remediation=(
        "Look on the nodes: ip addr; arping -D {address}; kubectl get nodes -o wide. Give each node an address of its own on the network "
        "between the nodes, and let the CNI use that one (IP_AUTODETECTION_METHOD, --iface)."
    ),
    source="RFC 5227; flannel-io/flannel Documentation/troubleshooting.md (machines that all have 10.0.2.15)",
)
CAUSES = (
    FDB_WRONG_DESTINATION,
    WRONG_NODE_ADDRESS,
    DUPLICATE_NODE_ADDRESS,
)


_NAT = "an address translation between the nodes (1:1 NAT) behind which {} is {}, and that does not carry VXLAN"


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `fdb-wrong-destination`, `wrong-node-address` and `duplicate-node-address`, for packets that left a VXLAN device and did not
    reach the other node's NIC."""
    # A route to another node's VTEP: the forwarding table is right, and does what the route asks for.
    if segment is not loss.segment(SegmentKind.ENCAPSULATE, SegmentKind.WIRE) or routes.wrong_gateway(case, loss, segment) is not None:
        return
    receiver, outer = _receiver(loss), _outer_destination(case, loss, segment)
    if receiver is None or outer is None:
        return
    owned, passes = owned_addresses(case, receiver), _passes(case, loss, segment, outer)
    others = other_owners(case, outer, receiver)
    if segment.kind is SegmentKind.ENCAPSULATE:
        # What the sender gives to itself never leaves it; what another node has, does.
        others = {node: text for node, text in others.items() if node == segment.start.tap.node}
    if owned and outer not in owned:
        if not passes and not _is_of_another_node(case, loss, receiver, outer):
            yield _wrong(case, loss, segment, receiver, outer, others)
    elif others:
        yield _shared(case, loss, receiver, outer, others)
    elif segment.kind is SegmentKind.WIRE and segment.end is not None and not passes and _of_another_nic(case, segment.end, outer):
        yield _wrong_nic(case, loss, segment.end, outer)


def _receiver(loss: Loss) -> str | None:
    """The node to which the packets should go."""
    sender = loss.path.hops[0].tap.node
    return next((hop.tap.node for hop in loss.path.hops if hop.tap.node != sender), None)


def _outer_destination(case: Case, loss: Loss, segment: AnySegment) -> str | None:
    """The one underlay address to which the lost packets went by their frames; where no frame left, that of the sender's FDB."""
    if segment.kind is SegmentKind.ENCAPSULATE:
        return loss.path.outer_destination
    lost = {header.destination for header in encapsulations(case, loss, segment.start)}
    return lost.pop() if len(lost) == 1 else None


def _passes(case: Case, loss: Loss, segment: AnySegment, outer: str) -> bool:
    """Whether packets to that address get to the receiver: it is then the receiver's, whatever its interfaces say (1:1 NAT)."""
    return loss.arrived > 0 if segment.kind is SegmentKind.ENCAPSULATE else outer in passing_destinations(case, segment)


def _wrong(case: Case, loss: Loss, segment: AnySegment, receiver: str, outer: str, others: dict[str, str]) -> Finding:
    """The packets go to an address that the receiver does not have, and do not arrive: whose mistake is it?"""
    sender = segment.start.tap.node
    said = published_addresses(case, receiver)
    cause = WRONG_NODE_ADDRESS if outer in said else FDB_WRONG_DESTINATION
    right = right_address(case, receiver, outer)
    told = ", ".join(sorted(said)) or "not read"
    text = f"{sender} encapsulates to {outer}; published for {receiver}: {told}; on its interfaces: {right}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text), *_fdb_entries(case, sender, receiver, outer), *_whose(others)]
    asked = _asked(case, segment, outer)
    doubts = _doubts(case, segment, receiver, outer, owned_by_another=bool(others), asked=bool(asked))
    confidence = Confidence.LIKELY if doubts or not node_facts.own_addresses(case, receiver) else Confidence.CERTAIN
    if not said or outer in recorded_addresses(case, receiver):
        confidence = Confidence.POSSIBLE
    return error_finding(
        case,
        loss,
        cause,
        confidence,
        f"{sender} sends the packets for {receiver} to {outer}, which is no address of {receiver}",
        [*proofs, *asked],
        remediation=cause.remedy(
            sender=sender, receiver=receiver, right=right, device=_device(loss), by_hand=_by_hand(case, loss, receiver, right)
        ),
        not_ruled_out=doubts,
    )


def _doubts(case: Case, segment: AnySegment, receiver: str, outer: str, *, owned_by_another: bool, asked: bool) -> list[str]:
    """What else fits packets to a foreign address that do not arrive."""
    said = published_addresses(case, receiver)
    doubts = [] if said else [f"{WRONG_NODE_ADDRESS.slug}: what the CNI has published for {receiver} was not read"]
    if (outer in said or (said and not said & owned_addresses(case, receiver))) and not owned_by_another and not asked:
        doubts.append(_NAT.format(outer, receiver))
    if segment.kind is SegmentKind.ENCAPSULATE and not asked and not owned_by_another:
        doubts.append(f"another drop on {segment.start.tap.node}: no ARP request for {outer} was seen")
    return doubts


def _is_of_another_node(case: Case, loss: Loss, receiver: str, outer: str) -> bool:
    """Whether the frames are for the MAC address of another node's VTEP: then the forwarding entry of that MAC is about that node, and
    what led the packets there is a route or an address, not the entry.

    Whose a MAC is, a VTEP of the overlay says, or the sender's own neighbour entry: it names the tunnel address behind it.
    """
    macs, sender = inner_macs(case, loss, source=False), loss.path.hops[0].tap.node
    vteps = case.recording.overlay.vteps
    owners = {end.node: end for end in vteps if end.mac is not None and end.mac.lower() in macs}
    if owners:
        return receiver not in owners and any(end.underlay_address in (None, outer) for end in owners.values())
    own = node_facts.all_addresses(case, receiver)
    named = {
        entry.address
        for facts in node_facts.looks(case, sender)
        for entry in facts.neighbours
        if entry.device == _device(loss) and entry.mac is not None and entry.mac.lower() in macs
    }
    return bool(named) and bool(own) and own.isdisjoint(named) and outer not in published_addresses(case, receiver)


def _by_hand(case: Case, loss: Loss, receiver: str, right: str) -> str:
    """The command that writes the entry anew, only where the MAC address of the frames is known to be the receiver's."""
    macs, end = inner_macs(case, loss, source=False), node_facts.vtep(case, receiver)
    if end is None or end.mac is None or macs != {end.mac.lower()} or "," in right or right == "not known":
        return ""
    return f", or: bridge fdb replace {end.mac.lower()} dev {_device(loss)} dst {right} self permanent"


def _device(loss: Loss) -> str:
    return next((hop.tap.interface for hop in loss.path.hops if node_facts.is_vxlan(hop)), "") or "DEVICE"


def _fdb_entries(case: Case, sender: str, receiver: str, outer: str) -> Iterator[Evidence]:
    """The sender's forwarding entries for that address, but those that it has for the VTEPs of other nodes."""
    others = {end.mac.lower() for end in case.recording.overlay.vteps if end.mac is not None and end.node != receiver}
    entries = {
        f"{entry.mac} dev {entry.device} dst {entry.destination}"
        for facts in node_facts.looks(case, sender)
        for entry in facts.fdb
        if entry.destination == outer and entry.mac.lower() not in others
    }
    if entries:
        yield Evidence(kind=EvidenceKind.CONFIG, text=f"forwarding entries of {sender}: " + "; ".join(sorted(entries)))


def _whose(others: dict[str, str]) -> Iterator[Evidence]:
    if others:
        yield Evidence(kind=EvidenceKind.CONFIG, text="; ".join(others.values()))


def _asked(case: Case, segment: AnySegment, outer: str) -> list[Evidence]:
    """ARP requests for the wrong address on the NIC that were not answered; they go to the gateway where it is in another network."""
    if segment.kind is not SegmentKind.ENCAPSULATE or segment.end is None:
        return []
    return list(unresolved(case, segment.end, outer))


def _shared(case: Case, loss: Loss, receiver: str, outer: str, others: dict[str, str]) -> Finding:
    """The packets go to the receiver's address, and another node has or claims it too."""
    together = any(_has(looks, receiver, outer) and _has(looks, node, outer) for looks in _both_looks(case) for node in others)
    names = " and ".join([receiver, *others])
    text = f"{outer} is the underlay address of {receiver}; " + "; ".join(others.values())
    return error_finding(
        case,
        loss,
        DUPLICATE_NODE_ADDRESS,
        Confidence.CERTAIN if together else Confidence.LIKELY,
        f"{names} have the same underlay address {outer}",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        remediation=DUPLICATE_NODE_ADDRESS.remedy(address=outer),
        not_ruled_out=() if together else (f"an address that moved from one node to the other: no look found {outer} on both",),
    )


def _both_looks(case: Case) -> tuple[tuple[NodeFacts, ...], ...]:
    return case.recording.before, case.recording.after


def _has(looks: tuple[NodeFacts, ...], node: str, address: str) -> bool:
    """Whether a node had an address on an interface at the time of these looks."""
    return any(address in link.addresses for facts in looks if facts.node == node for link in facts.links)


def _of_another_nic(case: Case, end: Hop, outer: str) -> bool:
    """Whether the address that the CNI has published is not the node's InternalIP and sits on another interface than packets come in by."""
    here = {address for link in node_facts.links_of(case, end) for address in link.addresses}
    known = recorded_addresses(case, end.tap.node)
    return bool(known) and outer not in known and bool(here) and outer not in here and outer in published_addresses(case, end.tap.node)


def _wrong_nic(case: Case, loss: Loss, end: Hop, outer: str) -> Finding:
    """The published address is the receiver's, on a NIC that the other nodes cannot reach."""
    node = end.tap.node
    known = ", ".join(sorted(recorded_addresses(case, node)))
    text = f"published for {node}: {outer}, which is not on {place_text(end)}; the API's address of {node} is {known}"
    return error_finding(
        case,
        loss,
        WRONG_NODE_ADDRESS,
        Confidence.LIKELY,
        f"the CNI has published {outer} for {node}, an address of another NIC than the one that holds its InternalIP",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        remediation=WRONG_NODE_ADDRESS.remedy(receiver=node, right=known),
        not_ruled_out=("a block of the VXLAN port between these addresses",),
    )
