"""Does the sender's neighbour entry of the peer name a MAC address that the peer has?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.frame_macs import destination_macs, peer_macs
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.facts import Neighbour
from kubectl_vxtrace.model.journeys import Case
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
    """Findings `wrong-neighbour-mac`: encapsulated packets that left for a MAC address that is none of the peer's."""
    entry = foreign_entry(case, loss, segment)
    if entry is None:
        return
    node, peer = segment.start.tap.node, segment.end.tap.node
    right = ", ".join(sorted(peer_macs(case, segment.start.tap, entry.address) or _macs(case, peer)))
    noun = direction_noun(loss.path.direction, loss.packets)
    entry_text = f"neighbour entry of {node}: {entry.address} lladdr {entry.mac} on {entry.device} ({', '.join(entry.states)})"
    frames = f"at {place_text(segment.start)} the frames are for {entry.mac}; {peer} has {right}"
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


def foreign_entry(case: Case, loss: Loss, segment: Segment) -> Neighbour | None:
    """The sender's neighbour entry that put a MAC address on the loss's frames which is none of the receiver's.

    None where frames of the receiver's address do not come with a MAC address of its own: there a router or a cloud's virtual switch
    stands between the nodes, and answers ARP for them. Where no such frame was seen, only an entry that somebody wrote (PERMANENT) counts.
    """
    sender, peer = segment.start.tap, segment.end.tap.node
    own, sent = _macs(case, peer), destination_macs(case, loss, segment.start)
    if not own or not sent or sent & own:
        return None
    for outer in {header.destination for header in encapsulations(case, loss, segment.start)}:
        received = peer_macs(case, sender, outer)
        if not received <= own:
            continue
        for facts in reversed(node_facts.looks(case, sender.node)):
            for entry in facts.neighbours:
                named = (entry.address, entry.device) == (outer, sender.interface) and entry.mac is not None and {entry.mac.lower()} == sent
                if named and (received or "PERMANENT" in entry.states):
                    return entry
    return None


def _macs(case: Case, node: str) -> frozenset[str]:
    """The MAC addresses of a node's interfaces."""
    return frozenset(link.mac.lower() for facts in node_facts.looks(case, node) for link in facts.links if link.mac)
