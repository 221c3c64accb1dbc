"""Does the sender's neighbour entry of the peer name a MAC address that the peer has?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.policy_route import diverted_outer
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.frame_macs import destination_macs, peer_macs
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.facts import Neighbour
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

WRONG_NEIGHBOUR_MAC = Cause(
    slug="wrong-neighbour-mac",
    remediation=(
        "Look on {node}: ip neigh show {address} dev {device}; arping -I {device} {address} (two answers: two machines have the address). "
        "The MAC address of {peer} is {right}. Where the entry is PERMANENT: ip neigh del {address} dev {device}; else find the machine "
        "that has {wrong}."
    ),
    source="RFC 826; RFC 5227; ip-neighbour(8)",
)
CAUSES = (WRONG_NEIGHBOUR_MAC,)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `wrong-neighbour-mac`: encapsulated packets that left for a MAC address that is none of the receiver's.

    They get lost on the wire, or, where a switch floods them, at the receiver's NIC, which takes them for another machine's.
    """
    entry, sender = foreign_entry(case, loss, segment), _sender(loss, segment)
    if entry is None or sender is None:
        return
    node, peer = sender.tap.node, segment.end.tap.node
    right = ", ".join(sorted(peer_macs(case, sender.tap, entry.address) or _macs(case, peer)))
    noun = direction_noun(loss.path.direction, loss.packets)
    entry_text = f"neighbour entry of {node}: {entry.address} lladdr {entry.mac} on {entry.device} ({', '.join(entry.states)})"
    frames = f"at {place_text(sender)} the frames are for {entry.mac}; {peer} has {right}"
    yield error_finding(
        case,
        loss,
        WRONG_NEIGHBOUR_MAC,
        Confidence.CERTAIN,
        f"{node} sends {loss.packets} encapsulated {noun} for {entry.address} to the MAC address {entry.mac}, which {peer} does not have",
        [Evidence(kind=EvidenceKind.CONFIG, text=entry_text), Evidence(kind=EvidenceKind.PACKETS, text=frames)],
        remediation=WRONG_NEIGHBOUR_MAC.remedy(
            node=node, address=entry.address, device=entry.device, peer=peer, right=right, wrong=entry.mac
        ),
    )


def is_senders_fault(case: Case, loss: Loss, segment: Segment) -> bool:
    """Whether the sender's own rules or neighbour entry sent the frames elsewhere, before any wire could lose them."""
    return diverted_outer(case, loss, segment) is not None or foreign_entry(case, loss, segment) is not None


def foreign_entry(case: Case, loss: Loss, segment: Segment) -> Neighbour | None:
    """The sender's neighbour entry that put a MAC address on the loss's frames which is none of the receiver's.

    None where frames of the receiver's address come with another MAC address than its own: there a router or a cloud's virtual switch
    stands between the nodes, and answers ARP for them. Where no such frame was seen, only an entry that somebody wrote (PERMANENT)
    counts. An address that another node has as well is no fault of the entry.
    """
    sender, peer = _sender(loss, segment), segment.end.tap.node
    if sender is None:
        return None
    own, sent = _macs(case, peer), destination_macs(case, loss, sender)
    if not own or len(sent) != 1 or sent & own:
        return None
    for outer in {header.destination for header in encapsulations(case, loss, sender)}:
        received = peer_macs(case, sender.tap, outer)
        entry = _entry(case, sender, outer)
        if entry is None or entry.mac is None or {entry.mac.lower()} != sent or not received <= own:
            continue
        if (received or "PERMANENT" in entry.states) and not _has_another_owner(case, peer, outer):
            return entry
    return None


def _sender(loss: Loss, segment: Segment) -> Hop | None:
    """The NIC from which the packets left for the segment's node."""
    peer = segment.end.tap.node
    passed = loss.path.hops[: segment.start.hop]
    return next((hop for hop in reversed(passed) if hop.role is Role.UNDERLAY and hop.tap.node != peer), None)


def _entry(case: Case, sender: Hop, address: str) -> Neighbour | None:
    """The sender's entry of an address on its NIC, as the last look that has one found it."""
    entries = (entry for facts in reversed(node_facts.looks(case, sender.tap.node)) for entry in facts.neighbours)
    return next((entry for entry in entries if (entry.address, entry.device) == (address, sender.tap.interface)), None)


def _has_another_owner(case: Case, peer: str, address: str) -> bool:
    looks = (*case.recording.before, *case.recording.after)
    return any(address in link.addresses for facts in looks if facts.node != peer for link in facts.links)


def _macs(case: Case, node: str) -> frozenset[str]:
    """The MAC addresses of a node's interfaces."""
    return frozenset(link.mac.lower() for facts in node_facts.looks(case, node) for link in facts.links if link.mac)
