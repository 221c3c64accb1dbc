"""Do the nodes send to each other's right underlay addresses, and has each address one owner?"""

from collections.abc import Iterator
from ipaddress import ip_interface

from kubectl_vxtrace.diagnosis import nodes
from kubectl_vxtrace.diagnosis.evidence import arp_questions, encapsulations, frame_refs, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.misrouted import misrouting
from kubectl_vxtrace.diagnosis.trouble import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# Where Calico (libcalico-go, lib/backend/k8s/conversion) and flannel (pkg/subnet/kube) publish a node's underlay address.
_PUBLISHED = (
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ip-overwrite",
    "flannel.alpha.coreos.com/public-ipv6",
)


def check(case: Case) -> Iterator[Finding]:
    """Findings `fdb-wrong-destination`, `wrong-node-address` and `duplicate-node-address`, for packets that left a VXLAN device and did not
    reach the other node's NIC."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place in (Place.ENCAPSULATE, Place.WIRE):
                # A route to another node's VTEP: the forwarding table is right, and does what the route asks for.
                if misrouting(case, trouble, stretch) is None:
                    yield from _at(case, trouble, stretch)
                break


def _at(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    receiver = _receiver(trouble)
    outer = _outer_destination(case, trouble, stretch)
    if receiver is None or outer is None or receiver == stretch.start.tap.node:
        return
    owned = nodes.underlay_addresses(case, receiver)
    others = _other_owners(case, outer, receiver)
    if owned and outer not in owned:
        yield _wrong(case, trouble, stretch, receiver, outer, others)
    elif others:
        yield _shared(case, trouble, receiver, outer, others)
    elif stretch.end is not None and _of_another_nic(case, stretch.end, outer):
        yield _wrong_nic(case, trouble, stretch.end, outer)


def _of_another_nic(case: Case, end: Hop, outer: str) -> bool:
    """Whether the address that the CNI has published is not the node's InternalIP and sits on another interface than packets come in by."""
    internal = {address for record in _records(case, end.tap.node) for address in record.addresses}
    links = [link for facts in nodes.looks(case, end.tap.node) if (link := nodes.link(facts, end.tap.interface)) is not None]
    here = {one.partition("/")[0] for link in links for one in link.addresses}
    return bool(internal) and outer not in internal and bool(here) and outer not in here and outer in published(case, end.tap.node)


def _wrong_nic(case: Case, trouble: Trouble, end: Hop, outer: str) -> Finding:
    """The published address is the receiver's, on a NIC that the other nodes cannot reach."""
    node = end.tap.node
    internal = sorted({address for one in _records(case, node) for address in one.addresses})
    text = f"published for {node}: {outer}, which is not on {place_text(end)}; its InternalIP is {', '.join(internal)}"
    return explain(
        case,
        trouble,
        "wrong-node-address",
        Confidence.LIKELY,
        f"the CNI has published {outer} for {node}, an address of another NIC than the one that holds its InternalIP",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        remediation=_remedy("wrong-node-address", trouble.path.hops[0].tap.node, node, ", ".join(internal), _device(trouble)),
        not_ruled_out=("a block of the VXLAN port between these addresses",),
    )


def _records(case: Case, node: str) -> list[Node]:
    snapshot = case.recording.snapshot
    return [one for one in snapshot.nodes if one.name == node] if snapshot is not None else []


def _receiver(trouble: Trouble) -> str | None:
    """The node to which the packets should go."""
    sender = trouble.path.hops[0].tap.node
    return next((hop.tap.node for hop in trouble.path.hops if hop.tap.node != sender), None)


def _outer_destination(case: Case, trouble: Trouble, stretch: Stretch) -> str | None:
    """The underlay address to which the packets went by their frames; where no frame left, that of the sender's FDB."""
    headers = encapsulations(case, trouble, stretch.start) if stretch.place is Place.WIRE else ()
    return headers[0].destination if headers else trouble.path.outer_destination if stretch.place is Place.ENCAPSULATE else None


def published(case: Case, node: str) -> frozenset[str]:
    """The underlay addresses that the CNI has published for a node; empty where none was read. Text that is no address is left out."""
    texts = [record.annotations[key] for record in _records(case, node) for key in _PUBLISHED if key in record.annotations]
    return frozenset(address for text in texts if (address := _address(text)) is not None)


def _address(text: str) -> str | None:
    try:
        return str(ip_interface(text).ip)
    except ValueError:
        return None


def _other_owners(case: Case, address: str, receiver: str) -> dict[str, str]:
    """Nodes but `receiver` that have an underlay address or claim it, each with how that is known; interfaces come before claims."""
    found: dict[str, str] = {}
    for facts in (*case.recording.before, *case.recording.after):
        for link in facts.links:
            if facts.node != receiver and address in (one.partition("/")[0] for one in link.addresses):
                found.setdefault(facts.node, f"{facts.node}/{link.name} has the address {address}")
    snapshot = case.recording.snapshot
    for node in snapshot.nodes if snapshot is not None else ():
        if node.name != receiver and address in published(case, node.name) | set(node.addresses):
            found.setdefault(node.name, f"the API says that {address} is {node.name}'s")
    return found


def _wrong(case: Case, trouble: Trouble, stretch: Stretch, receiver: str, outer: str, others: dict[str, str]) -> Finding:
    """The packets go to an address that the receiver does not have: whose mistake is it?"""
    sender = stretch.start.tap.node
    owned, said = nodes.underlay_addresses(case, receiver), published(case, receiver)
    agrees = outer in said
    cause = "wrong-node-address" if agrees else "fdb-wrong-destination"
    told = f"{', '.join(sorted(said))}" if said else "not read"
    shown = ", ".join(sorted(_shown(case, receiver)))
    text = f"{sender} encapsulates to {outer}; published for {receiver}: {told}; on its interfaces: {shown}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text), *_fdb_entries(case, sender, outer), *_whose(others)]
    doubts = [] if said else [f"wrong-node-address: what the CNI has published for {receiver} was not read"]
    confidence = Confidence.CERTAIN if said and _own_links(case, receiver) else Confidence.LIKELY
    if stretch.place is Place.ENCAPSULATE:
        asked = _asked(case, stretch, outer)
        proofs += asked
        if not asked:
            confidence = Confidence.LIKELY
            doubts.append(f"another drop on {sender}: nobody was seen asking for {outer}")
    right = ", ".join(sorted(said - {outer})) or next(iter(sorted(_vtep_address(case, receiver))), ", ".join(sorted(owned)))
    return explain(
        case,
        trouble,
        cause,
        confidence,
        f"{sender} sends the packets for {receiver} to {outer}, which is no address of {receiver}",
        proofs,
        remediation=_remedy(cause, sender, receiver, right, _device(trouble)),
        not_ruled_out=doubts,
    )


def _shown(case: Case, node: str) -> frozenset[str]:
    """The addresses of the interface that has the node's VTEP address, or what is known of the node."""
    ends = _vtep_address(case, node)
    for facts in nodes.looks(case, node):
        for link in facts.links:
            mine = {one.partition("/")[0] for one in link.addresses}
            if mine & ends:
                return frozenset(mine)
    return ends or nodes.underlay_addresses(case, node)


def _vtep_address(case: Case, node: str) -> frozenset[str]:
    end = nodes.vtep(case, node)
    return frozenset({end.underlay_address} if end is not None and end.underlay_address else ())


def _own_links(case: Case, node: str) -> bool:
    """Whether the node itself has said which addresses it has."""
    return any(link.addresses for facts in nodes.looks(case, node) for link in facts.links)


def _device(trouble: Trouble) -> str:
    return next((hop.tap.interface for hop in trouble.path.hops if nodes.is_vxlan(hop)), "") or "DEVICE"


def _fdb_entries(case: Case, sender: str, outer: str) -> Iterator[Evidence]:
    entries = {
        f"{entry.mac} dev {entry.device} dst {entry.destination}"
        for facts in nodes.looks(case, sender)
        for entry in facts.fdb
        if entry.destination == outer
    }
    if entries:
        yield Evidence(kind=EvidenceKind.CONFIG, text=f"forwarding entries of {sender}: " + "; ".join(sorted(entries)))


def _whose(others: dict[str, str]) -> Iterator[Evidence]:
    if others:
        yield Evidence(kind=EvidenceKind.CONFIG, text="; ".join(others.values()))


def _asked(case: Case, stretch: Stretch, outer: str) -> list[Evidence]:
    """ARP requests for the wrong address on the NIC that nobody answered; they go to the gateway where it is in another network."""
    if stretch.end is None:
        return []
    rows, told = arp_questions(case, stretch.end.tap, outer)
    if not len(rows) or told:
        return []
    text = f"{len(rows)} x ARP who-has {outer} at {place_text(stretch.end)}, never answered"
    return [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, stretch.end.tap, rows))]


def _remedy(cause: str, sender: str, receiver: str, right: str, device: str) -> str:
    if cause == "wrong-node-address":
        return (
            f"Look: kubectl get node {receiver} -o yaml (projectcalico.org/IPv4Address, flannel.alpha.coreos.com/public-ip). The address "
            f"of {receiver} that carries VXLAN is {right}: set IP_AUTODETECTION_METHOD=kubernetes-internal-ip (Calico), --iface (flannel) "
            "or --flannel-iface (k3s), and restart the network agent there."
        )
    return (
        f"Look on {sender}: bridge fdb show dev {device}. The address of {receiver} is {right}. Restart the network agent of {sender}, "
        f"which writes these entries, or: bridge fdb replace MAC dev {device} dst {right} self permanent."
    )


def _shared(case: Case, trouble: Trouble, receiver: str, outer: str, others: dict[str, str]) -> Finding:
    """The packets go to the receiver's address, and another node has or claims it too."""
    on_links = [text for text in others.values() if "API" not in text]
    names = " and ".join([receiver, *others])
    text = f"{outer} is the underlay address of {receiver}; " + "; ".join(others.values())
    return explain(
        case,
        trouble,
        "duplicate-node-address",
        Confidence.CERTAIN if on_links and _own_links(case, receiver) else Confidence.LIKELY,
        f"{names} have the same underlay address {outer}",
        [Evidence(kind=EvidenceKind.CONFIG, text=text)],
        remediation=(
            f"Look on the nodes: ip addr; arping -D {outer}; kubectl get nodes -o wide. Give each node an address of its own on the "
            "network between the nodes, and let the CNI use that one (IP_AUTODETECTION_METHOD, --iface)."
        ),
    )
