"""Do the inner MAC addresses of the frames belong to the VXLAN devices that they should?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, minimum_counter_growth, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.outer_headers import udp_counter
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, SegmentKind
from kubectl_vxtrace.model.address import mac_text
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

STALE_VTEP_MAC = Cause(
    slug="stale-vtep-mac",
    remediation=(
        "Look on {sender}: ip neigh show dev {device}; bridge fdb show dev {device}. Restart the network agent of both nodes, or on "
        "{sender}: bridge fdb replace {mac} dev {device} dst {underlay} self permanent && ip neigh replace {gateway} lladdr {mac} dev "
        "{device} nud permanent. If it comes back, set MACAddressPolicy=none for the device in a systemd .link file on {node}."
    ),
    source="flannel-io/flannel issues 1155, 1788; k3s-io/k3s issue 9957; Linux net/ipv4/ip_input.c (ip_rcv_core)",
    admitted=True,
    stage=Stage.IP_INPUT,
)
DUPLICATE_VTEP_MAC = Cause(
    slug="duplicate-vtep-mac",
    remediation=(
        "Look on both nodes: ip link show {device}; cat /etc/machine-id. Give cloned machines an identity of their own (rm "
        "/etc/machine-id && systemd-machine-id-setup), then ip link delete {device} and restart the network agent there."
    ),
    source="Linux drivers/net/vxlan/vxlan_core.c (vxlan_set_mac: SKB_DROP_REASON_LOCAL_MAC)",
    stage=Stage.TUNNEL_IN,
)
CAUSES = (
    STALE_VTEP_MAC,
    DUPLICATE_VTEP_MAC,
)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `stale-vtep-mac` and `duplicate-vtep-mac`."""
    if segment.kind is SegmentKind.DECAPSULATE:
        yield from _duplicate_mac(case, loss, segment, segment.end)
    elif segment.start.role is Role.VXLAN:
        yield from _stale_mac(case, loss, segment.start)


def inner_macs(case: Case, loss: Loss, *, source: bool) -> frozenset[str]:
    """The inner MAC addresses of the loss's packets, as the last NIC that saw them has them."""
    for hop in reversed(loss.path.hops[: loss.leg.from_]):
        table = case.tables.get(hop.tap)
        rows = rows_at(loss, hop)
        if hop.role is not Role.UNDERLAY or table is None or not len(rows):
            continue
        tunnel = np.unique(table.tunnel[rows])
        column = table.tunnels.inner_source_mac if source else table.tunnels.inner_destination_mac
        return frozenset(mac_text(int(mac)) for mac in column[tunnel[tunnel >= 0]])
    return frozenset()


def _device_macs(case: Case, device: Hop) -> frozenset[str]:
    """The MAC addresses with which the looks found a VXLAN device; two if it changed in between."""
    return frozenset(link.mac.lower() for link in node_facts.links_of(case, device) if link.mac)


def _is_routed(case: Case, device: Hop) -> bool:
    """Whether the device takes frames for itself only: not as a port of a bridge, and not in metadata mode, where BPF or OVS decides."""
    links = node_facts.links_of(case, device)
    return not any(link.master is not None or (link.vxlan is not None and link.vxlan.external) for link in links)


def _multicast(mac: str) -> bool:
    """IEEE 802.3, 3.2.3: the lowest bit of the first octet; broadcast is one of those. Such frames are for everybody."""
    return bool(int(mac[:2], 16) & 1)


def _stale_mac(case: Case, loss: Loss, device: Hop) -> Iterator[Finding]:
    """The sender writes a MAC address that the receiver's VXLAN device does not have: the kernel takes the packets for others'."""
    sent, own = inner_macs(case, loss, source=False), _device_macs(case, device)
    if not sent or not own or sent & own or any(_multicast(mac) for mac in sent) or not _is_routed(case, device):
        return
    node, interface = device.tap.node, device.tap.interface
    sender = loss.path.hops[0].tap.node
    config = f"the frames are for the MAC address {_listed(sent)}; {place_text(device)} has {_listed(own)}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config), *_senders_entries(case, sender, sent)]
    others = node_facts.link_grown_from_zero(case, node, interface, "rx.otherhost")
    confidence = Confidence.LIKELY
    if others is not None:
        confidence = Confidence.CERTAIN if others >= len(rows_at(loss, device)) else Confidence.POSSIBLE
        text = f"rx.otherhost of {place_text(device)} grew by {others}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    wanted = min(own)
    peer = node_facts.vtep(case, node)
    gateway = peer.address if peer is not None and peer.address else "REMOTE-VTEP"
    underlay = peer.underlay_address if peer is not None and peer.underlay_address else "REMOTE-NODE"
    yield error_finding(
        case,
        loss,
        STALE_VTEP_MAC,
        confidence,
        f"{sender} sends to the VTEP MAC address {_listed(sent)}, but {place_text(device)} has {_listed(own)}",
        proofs,
        remediation=STALE_VTEP_MAC.remedy(sender=sender, device=interface, mac=wanted, underlay=underlay, gateway=gateway, node=node),
    )


def _senders_entries(case: Case, sender: str, macs: frozenset[str]) -> Iterator[Evidence]:
    """Where the sender has the MAC address from: its neighbour entries."""
    entries = {
        f"{entry.address} lladdr {entry.mac} on {entry.device} ({', '.join(entry.states)})"
        for facts in node_facts.looks(case, sender)
        for entry in facts.neighbours
        if entry.mac is not None and entry.mac.lower() in macs
    }
    if entries:
        yield Evidence(kind=EvidenceKind.CONFIG, text=f"{sender} has the neighbour entry " + "; ".join(sorted(entries)))


def _duplicate_mac(case: Case, loss: Loss, segment: Segment, device: Hop) -> Iterator[Finding]:
    """The receiver's VXLAN device has the MAC address that the sender's has: it drops such frames as its own (vxlan_set_mac)."""
    sent, own = inner_macs(case, loss, source=True), _device_macs(case, device)
    shared = sent & own
    headers = encapsulations(case, loss, segment.start)
    vnis = node_facts.device_vnis(case, device)
    # A VNI that the device does not have is refused before any MAC address is looked at (vxlan_rcv).
    if not shared or sent != shared or not headers or (vnis and vnis.isdisjoint(header.vni for header in headers)):
        return
    node, interface = device.tap.node, device.tap.interface
    sender = loss.path.hops[0].tap.node
    text = f"the inner source MAC address of the frames, {_listed(shared)}, is that of {place_text(device)} itself"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    counter = udp_counter(headers, "InDatagrams")
    taken = node_facts.grown(case, node, counter)
    if taken is not None:
        received = node_facts.link_grown(case, node, interface, "rx.packets")
        device_text = "" if received is None else f", rx.packets of {interface} by {received}"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {taken}{device_text}"))
    confidence = Confidence.LIKELY
    if taken is not None:
        confidence = Confidence.CERTAIN if taken >= minimum_counter_growth(loss) and own == shared else Confidence.POSSIBLE
    yield error_finding(
        case,
        loss,
        DUPLICATE_VTEP_MAC,
        confidence,
        f"the VXLAN devices of {sender} and {node} have the same MAC address {_listed(shared)}",
        proofs,
        remediation=DUPLICATE_VTEP_MAC.remedy(device=interface),
    )


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values))
