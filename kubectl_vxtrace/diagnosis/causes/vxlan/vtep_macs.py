"""Whose addresses are in the frames: do the MAC addresses and overlay addresses belong to the nodes that they should?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.ends import frames_taken
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.outer_headers import udp_counter
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.facts import Link
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding


def check(case: Case) -> Iterator[Finding]:
    """Findings `stale-vtep-mac`, `duplicate-vtep-mac` and `pod-is-tunnel-address`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.DECAPSULATE and stretch.end is not None:
                yield from _duplicate_mac(case, trouble, stretch, stretch.end)
            elif stretch.place is Place.FORWARD and stretch.start.role is Role.VXLAN:
                yield from _stale_mac(case, trouble, stretch.start)
                yield from _pod_is_tunnel(case, trouble, stretch)


def _inner_macs(case: Case, trouble: Trouble, *, source: bool) -> frozenset[str]:
    """The inner MAC addresses of the trouble's packets, as the last NIC that saw them has them."""
    for hop in reversed(trouble.path.hops[: trouble.leg.from_]):
        table = case.tables.get(hop.tap)
        rows = rows_at(trouble, hop)
        if hop.role is not Role.UNDERLAY or table is None or not len(rows):
            continue
        tunnel = np.unique(table.tunnel[rows])
        column = table.tunnels.inner_source_mac if source else table.tunnels.inner_destination_mac
        return frozenset(_mac_text(int(mac)) for mac in column[tunnel[tunnel >= 0]])
    return frozenset()


def _mac_text(number: int) -> str:
    return ":".join(f"{octet:02x}" for octet in number.to_bytes(6, "big"))


def _device_macs(case: Case, device: Hop) -> frozenset[str]:
    """The MAC addresses with which the looks found a VXLAN device; two if it changed in between."""
    return frozenset(link.mac.lower() for link in _device_links(case, device) if link.mac)


def _device_links(case: Case, device: Hop) -> list[Link]:
    return [link for facts in nodes.looks(case, device.tap.node) if (link := nodes.link(facts, device.tap.interface)) is not None]


def _is_routed(case: Case, device: Hop) -> bool:
    """Whether the device takes frames for itself only: not as a port of a bridge, and not in metadata mode, where BPF or OVS decides."""
    links = _device_links(case, device)
    return not any(link.master is not None or (link.vxlan is not None and link.vxlan.external) for link in links)


def _multicast(mac: str) -> bool:
    """IEEE 802.3, 3.2.3: the lowest bit of the first octet; broadcast is one of those. Such frames are for everybody."""
    return bool(int(mac[:2], 16) & 1)


def _stale_mac(case: Case, trouble: Trouble, device: Hop) -> Iterator[Finding]:
    """The sender writes a MAC address that the receiver's VXLAN device does not have: the kernel takes the packets for somebody else's."""
    sent, own = _inner_macs(case, trouble, source=False), _device_macs(case, device)
    if not sent or not own or sent & own or any(_multicast(mac) for mac in sent) or not _is_routed(case, device):
        return
    node, interface = device.tap.node, device.tap.interface
    sender = trouble.path.hops[0].tap.node
    config = f"the frames are for the MAC address {_listed(sent)}; {place_text(device)} has {_listed(own)}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config), *_senders_entries(case, sender, sent)]
    others = nodes.link_grown_from_zero(case, node, interface, "rx.otherhost")
    confidence = Confidence.LIKELY
    if others is not None:
        confidence = Confidence.CERTAIN if others >= len(rows_at(trouble, device)) else Confidence.POSSIBLE
        text = f"rx.otherhost of {place_text(device)} grew by {others}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    wanted = min(own)
    peer = nodes.vtep(case, node)
    gateway = peer.address if peer is not None and peer.address else "REMOTE-VTEP"
    underlay = peer.underlay_address if peer is not None and peer.underlay_address else "REMOTE-NODE"
    yield explain(
        case,
        trouble,
        "stale-vtep-mac",
        confidence,
        f"{sender} sends to the VTEP MAC address {_listed(sent)}, but {place_text(device)} has {_listed(own)}",
        proofs,
        remediation=(
            f"Look on {sender}: ip neigh show dev {interface}; bridge fdb show dev {interface}. Restart the network agent of both nodes, "
            f"or on {sender}: bridge fdb replace {wanted} dev {interface} dst {underlay} self permanent && "
            f"ip neigh replace {gateway} lladdr {wanted} dev {interface} nud permanent. If it comes back, set MACAddressPolicy=none for "
            f"the device in a systemd .link file on {node}."
        ),
    )


def _senders_entries(case: Case, sender: str, macs: frozenset[str]) -> Iterator[Evidence]:
    """Where the sender has the MAC address from: its neighbour entries."""
    entries = {
        f"{entry.address} lladdr {entry.mac} on {entry.device} ({', '.join(entry.states)})"
        for facts in nodes.looks(case, sender)
        for entry in facts.neighbours
        if entry.mac is not None and entry.mac.lower() in macs
    }
    if entries:
        yield Evidence(kind=EvidenceKind.CONFIG, text=f"{sender} has the neighbour entry " + "; ".join(sorted(entries)))


def _duplicate_mac(case: Case, trouble: Trouble, stretch: Stretch, device: Hop) -> Iterator[Finding]:
    """The receiver's VXLAN device has the MAC address that the sender's has: it drops such frames as its own (vxlan_set_mac)."""
    sent, own = _inner_macs(case, trouble, source=True), _device_macs(case, device)
    shared = sent & own
    headers = encapsulations(case, trouble, stretch.start)
    vnis = nodes.device_vnis(case, device)
    # A VNI that the device does not have is refused before any MAC address is looked at (vxlan_rcv).
    if not shared or sent != shared or not headers or (vnis and vnis.isdisjoint(header.vni for header in headers)):
        return
    node, interface = device.tap.node, device.tap.interface
    sender = trouble.path.hops[0].tap.node
    text = f"the inner source MAC address of the frames, {_listed(shared)}, is that of {place_text(device)} itself"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    counter = udp_counter(headers, "InDatagrams")
    taken = nodes.grown(case, node, counter)
    if taken is not None:
        received = nodes.link_grown(case, node, interface, "rx.packets")
        device_text = "" if received is None else f", rx.packets of {interface} by {received}"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {taken}{device_text}"))
    confidence = Confidence.LIKELY
    if taken is not None:
        confidence = Confidence.CERTAIN if taken >= frames_taken(trouble) and own == shared else Confidence.POSSIBLE
    yield explain(
        case,
        trouble,
        "duplicate-vtep-mac",
        confidence,
        f"the VXLAN devices of {sender} and {node} have the same MAC address {_listed(shared)}",
        proofs,
        remediation=(
            f"Look on both nodes: ip link show {interface}; cat /etc/machine-id. Give cloned machines an identity of their own (rm "
            f"/etc/machine-id && systemd-machine-id-setup), then ip link delete {interface} and restart the network agent there."
        ),
    )


def _pod_is_tunnel(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """The receiver has the pod's address on one of its own interfaces: packets for the pod end on the node."""
    end = trouble.flow.server if trouble.path.direction is Direction.REQUEST else trouble.flow.client
    if end is None or end.host_network:
        return
    node = stretch.start.tap.node
    looks = [facts for facts in nodes.looks(case, node) if nodes.answered(facts, "links")]
    owning = [[link.name for link in facts.links if end.address in (addr.partition("/")[0] for addr in link.addresses)] for facts in looks]
    if not any(owning):
        return
    device = next(names[0] for names in owning if names)
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"{node}/{device} has the address {end.address}, which is the pod's")]
    local = [lookup for facts in looks for lookup in facts.lookups if lookup.destination == end.address and lookup.type == "local"]
    if local:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"{node}: ip route get {end.address} answers `local`"))
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "pod-is-tunnel-address",
        Confidence.CERTAIN if all(owning) and len(looks) > 1 else Confidence.LIKELY,
        f"{trouble.packets} {noun} to {end.pod or end.address} end on {node} itself: its {device} has the pod's address {end.address}",
        proofs,
        remediation=(
            f"Look on {node}: ip addr show {device}; calicoctl ipam check. Delete the pod, so that it gets another address, and restart "
            "the network agent of that node, which picks the tunnel's address anew."
        ),
    )


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values))
