"""Did an offload or a hypervisor spoil the packets: checksums, segmentation, ports that it takes for its own?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis import nic, nodes
from kubectl_vxtrace.diagnosis.crossing import Crossing, crossing
from kubectl_vxtrace.diagnosis.drops import words
from kubectl_vxtrace.diagnosis.evidence import direction_noun, encapsulations, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.outers import outer_headers
from kubectl_vxtrace.diagnosis.trouble import Kind, Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import IpProtocol, PacketTable, address_text
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_VMWARE = "vmxnet3"
_ICMP = (IpProtocol.ICMP, IpProtocol.ICMPV6)
_FEW_PACKETS = 3
# RFC 7348, 5: outer IPv4, UDP and VXLAN, inner Ethernet and IPv4: no packet needs less to be carried inside another's frame.
_GLUED_BYTES = 8 + 8 + 14 + 20
# What a frame has beside the inner UDP payload: outer Ethernet, IPv4, UDP, VXLAN, inner Ethernet, IPv4, UDP.
_AROUND_UDP_BYTES = 14 + 20 + 8 + 8 + 14 + 20 + 8
_MOST_L4_BYTES = 60 - 8
_CHECKSUM_WORDS = ("UDP_CSUM", "TCP_CSUM", "ICMP_CSUM", "SKB_CSUM", "IP_CSUM")


def check(case: Case) -> Iterator[Finding]:
    """Findings `vmware-vxlan-clash`, `zero-udp-checksum-v6`, `vxlan-tx-checksum`, `nic-tunnel-offload` and `tunnel-gso-bug`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.WIRE and stretch.end is not None:
                yield from _hypervisor(case, trouble, stretch)
            elif stretch.place is Place.DECAPSULATE:
                yield from _outer_checksum(case, trouble, stretch)
            elif stretch.place is Place.ENCAPSULATE and stretch.end is not None:
                yield from _glued(case, trouble, stretch.end)
            elif trouble.kind is Kind.SILENT or (stretch.place is Place.FORWARD and stretch.start.role is Role.VXLAN):
                yield from _inner_checksum(case, trouble, stretch.start.tap.node)


def _hypervisor(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """vmxnet3 at an end of the wire, and ICMP crosses while TCP and UDP do not."""
    ends = [hop for hop in (stretch.start, stretch.end) if hop is not None and nic.driver(case, hop) == _VMWARE]
    if not ends or not encapsulations(case, trouble, stretch.start):
        return
    icmp, others = _arrived(case, trouble, stretch)
    packets = crossing(case, stretch)
    data_dies, handshake_passes = _only_data_dies(packets)
    offloading = [hop for hop in ends if nic.offloads_tunnels(case, hop)]
    if others and not data_dies:
        return
    features = ", ".join(f"{place_text(hop)}: tx-udp_tnl-segmentation {_feature(case, hop)}" for hop in ends)
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"the driver of {', '.join(map(place_text, ends))} is vmxnet3; {features}")]
    told = bool(icmp) or handshake_passes
    if icmp:
        proofs.append(
            Evidence(
                kind=EvidenceKind.PACKETS, text=f"{icmp} encapsulated ICMP packets between the same nodes arrived, {_no_other(others)}"
            )
        )
    if handshake_passes:
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text="TCP segments without data passed, none with data did, small ones neither"))
    enough = int(packets.lost.sum()) >= _FEW_PACKETS
    confidence = Confidence.CERTAIN if told and offloading and enough else Confidence.LIKELY if told else Confidence.POSSIBLE
    noun = direction_noun(trouble.path.direction, trouble.packets)
    node, receiver = stretch.start.tap.node, (stretch.end or stretch.start).tap.node
    yield explain(
        case,
        trouble,
        "vmware-vxlan-clash",
        confidence,
        f"{trouble.packets} encapsulated {noun} did not get from {node} to {receiver}: their virtual NICs are VMware's",
        proofs,
        remediation=_vmware_remedy(stretch.start),
        not_ruled_out=() if told else ("a block of the VXLAN port: no encapsulated ICMP was sent that could have crossed",),
    )


def _no_other(others: int) -> str:
    return f"{others} others" if others else "nothing else did"


def _feature(case: Case, hop: Hop) -> str:
    return nic.feature(case, hop, "tx-udp_tnl-segmentation") or "not read"


def _arrived(case: Case, trouble: Trouble, stretch: Stretch) -> tuple[int, int]:
    """Frames between the packets' outer addresses that the receiver's whole capture holds: those with ICMP inside, and all others."""
    table = case.tables.get(stretch.end.tap) if stretch.end is not None else None
    if table is None or not len(table.tunnels):
        return 0, 0
    pairs = {(header.source, header.destination) for header in encapsulations(case, trouble, stretch.start)}
    mine = [
        number
        for number in range(len(table.tunnels))
        if (address_text(table.tunnels.source[number]), address_text(table.tunnels.destination[number])) in pairs
    ]
    rows = np.isin(table.tunnel, mine) & (table.conversation >= 0)
    inside = table.conversations.protocol[table.conversation[rows]]
    icmp = int(np.isin(inside, _ICMP).sum())
    return icmp, int(rows.sum()) - icmp


def _only_data_dies(packets: Crossing) -> tuple[bool, bool]:
    """Whether all TCP segments with data are lost, small ones among them, and whether segments without data passed."""
    tcp = packets.protocol == IpProtocol.TCP
    data = tcp & (packets.payload_bytes > 0)
    small = data & (packets.wire_bytes < 1280)
    dies = bool(data.sum() >= _FEW_PACKETS) and bool(packets.lost[data].all()) and bool(small.any())
    rest = ~packets.lost & ~tcp & ~np.isin(packets.protocol, _ICMP)
    dies = dies and not rest.any()
    return dies, dies and bool((tcp & ~data & ~packets.lost).any())


def _vmware_remedy(hop: Hop) -> str:
    name = hop.tap.interface or "NIC"
    return (
        f"Look on the nodes: ethtool -i {name}; ethtool -k {name} | grep udp_tnl. On all nodes: ethtool -K {name} "
        f"tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off; if that is not enough: tx-checksum-ip-generic off. Else move VXLAN "
        "to another port (Calico: vxlanPort and FELIX_VXLANPORT), or upgrade ESXi (7.0U3, 8.0U3 or later)."
    )


def _outer_checksum(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """The receiver's UDP layer dropped the outer packets for their checksum."""
    headers = encapsulations(case, trouble, stretch.start)
    if not headers:
        return
    version6 = ":" in headers[0].source
    name = "Udp6InCsumErrors" if version6 else "Udp.InCsumErrors"
    node = stretch.start.tap.node
    errors = nodes.grown(case, node, name)
    frames = len(rows_at(case, trouble, stretch.start))
    if not errors or errors < frames:
        return
    sender = next((hop for hop in trouble.path.hops if nodes.is_vxlan(hop) and hop.tap.node != node), None)
    counter = Evidence(kind=EvidenceKind.COUNTER, text=f"{name} of {node} grew by {errors}; {frames} frames were lost")
    if version6 and sender is not None and _zero_checksum(case, sender, stretch):
        yield _zero(case, trouble, stretch, sender, counter)
    elif sender is not None:
        yield _bad_checksum(case, trouble, sender, counter)


def _zero_checksum(case: Case, sender: Hop, stretch: Stretch) -> bool:
    """Whether the sender omits the outer checksum, or is not known to make one, and the receiver does not accept that."""
    sent, accepted = _zero_flag(case, sender, "zero_checksum6_sent"), _zero_flag(case, stretch.end, "zero_checksum6_accepted")
    return sent is True and accepted is not True


def _zero_flag(case: Case, device: Hop | None, name: str) -> bool | None:
    if device is None:
        return None
    links = [nodes.link(facts, device.tap.interface) for facts in nodes.looks(case, device.tap.node)]
    found = [getattr(link.vxlan, name) for link in links if link is not None and link.vxlan is not None]
    return found[-1] if found else None


def _zero(case: Case, trouble: Trouble, stretch: Stretch, sender: Hop, counter: Evidence) -> Finding:
    device = stretch.end or stretch.start
    known = _zero_flag(case, device, "zero_checksum6_accepted") is False
    text = f"{place_text(sender)} sends UDP over IPv6 without a checksum (udp6zerocsumtx), {place_text(device)} does not accept it"
    return explain(
        case,
        trouble,
        "zero-udp-checksum-v6",
        Confidence.CERTAIN if known else Confidence.LIKELY,
        f"{device.tap.node} refuses the outer packets of {sender.tap.node}: IPv6 without a UDP checksum",
        [Evidence(kind=EvidenceKind.CONFIG, text=text if known else f"{text}, as far as is known"), counter],
        remediation=(
            f"Look on both nodes: ip -d link show {device.tap.interface}. Give both ends the same setting: the device is made with "
            "udp6zerocsumrx (accept) on the receiver, or with noudp6zerocsumtx (send a checksum) on the sender."
        ),
    )


def _bad_checksum(case: Case, trouble: Trouble, sender: Hop, counter: Evidence) -> Finding:
    """A wrong outer checksum: the VXLAN device of the sender left it wrong, or a NIC that makes it itself did."""
    exit_nic = next((hop for hop in trouble.path.hops if hop.tap.node == sender.tap.node and hop.role is Role.UNDERLAY), sender)
    offload = nic.feature(case, sender, "tx-checksum-ip-generic")
    hardware = nic.offloads_tunnels(case, exit_nic)
    translated = _from_the_node(case, trouble, sender)
    config = f"{place_text(sender)}: tx-checksum-ip-generic {offload or 'not read'}; {place_text(exit_nic)}: driver "
    config += f"{nic.driver(case, exit_nic) or 'not read'}, tunnel offload {'on' if hardware else 'off'}; inner source is "
    config += "the node's own address (translated)" if translated else "the pod's"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config), counter]
    if offload != "off" and (translated or not hardware):
        sure = Confidence.CERTAIN if offload == "on" and translated and not hardware else Confidence.LIKELY
        doubts = [] if translated else ["damage on the way: packets that nobody translated seldom have this fault"]
        return _checksum_finding(
            case, trouble, "vxlan-tx-checksum", sure if offload == "on" else Confidence.POSSIBLE, sender, proofs, doubts
        )
    doubts = ["damage on the way between the nodes"]
    return _checksum_finding(
        case, trouble, "nic-tunnel-offload", Confidence.LIKELY if hardware else Confidence.POSSIBLE, exit_nic, proofs, doubts
    )


def _from_the_node(case: Case, trouble: Trouble, sender: Hop) -> bool:
    """Whether the packets bear an address of the sending node itself inside: they were masqueraded, or it sent them."""
    table, rows = case.tables.get(trouble.start.tap), rows_at(case, trouble, trouble.start)
    if table is None or not len(rows):
        return False
    talk = np.unique(table.conversation[rows])
    own = {one.partition("/")[0] for facts in nodes.looks(case, sender.tap.node) for link in facts.links for one in link.addresses}
    end = nodes.vtep(case, sender.tap.node)
    own |= {end.address} if end is not None and end.address else set()
    return all(address_text(table.conversations.source[number]) in own for number in talk[talk >= 0])


def _checksum_finding(
    case: Case, trouble: Trouble, cause: str, confidence: Confidence, place: Hop, proofs: list[Evidence], doubts: list[str]
) -> Finding:
    interface, node = place.tap.interface or "NIC", place.tap.node
    mend = "tx-checksum-ip-generic off" if cause == "vxlan-tx-checksum" else "tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off"
    look = f"Look on {node}: ethtool -k {interface}; on the receiver: nstat -az UdpInCsumErrors UdpInErrors. "
    keep = (
        "It does not survive a reboot: Calico keeps it by featureDetectOverride ChecksumOffloadBroken=true, flannel by a udev rule; a "
        "newer kernel (5.7 or later) mends it."
        if cause == "vxlan-tx-checksum"
        else "If that is not enough: tx-checksum-ip-generic off there as well, and a newer firmware and driver."
    )
    return explain(
        case,
        trouble,
        cause,
        confidence,
        f"the outer UDP checksum of {trouble.packets} packets from {node} is wrong when they arrive, and the receiver drops them",
        proofs,
        remediation=f"{look}On every node: ethtool -K {interface} {mend}. {keep}",
        not_ruled_out=doubts,
    )


def _inner_checksum(case: Case, trouble: Trouble, node: str) -> Iterator[Finding]:
    """Whole outer packets whose inner checksum is wrong: the receiver's conntrack or the pod's own kernel drops them."""
    exit_nic = next((hop for hop in trouble.path.hops if hop.tap.node != node and hop.role is Role.UNDERLAY), None)
    if exit_nic is None or not nic.offloads_tunnels(case, exit_nic):
        return
    invalid = nodes.grown(case, node, "conntrack.invalid") if trouble.kind is not Kind.SILENT and _is_datagrams(trouble) else None
    word = next((word for word in words(case, trouble, reasons=_CHECKSUM_WORDS) if word.node == node), None)
    counted = invalid is not None and invalid >= trouble.packets
    if not counted and word is None:
        return
    config = f"{place_text(exit_nic)}: driver {nic.driver(case, exit_nic)}, tx-udp_tnl-segmentation {_feature(case, exit_nic)}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config)]
    if counted:
        text = f"conntrack.invalid of {node} grew by {invalid}; {trouble.packets} datagrams were lost, which are invalid only if damaged"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    proofs += [word.evidence] if word is not None else []
    interface = exit_nic.tap.interface
    yield explain(
        case,
        trouble,
        "nic-tunnel-offload",
        Confidence.LIKELY,
        f"the inner checksum of {trouble.packets} packets from {exit_nic.tap.node} is wrong when they arrive: its NIC offloads tunnels",
        proofs,
        remediation=(
            f"Look on {exit_nic.tap.node}: ethtool -i {interface}; ethtool -k {interface} | grep udp_tnl; in the receiving pod: nstat -az "
            f"'*CsumErrors'. Mend: ethtool -K {interface} tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off; if that is not "
            "enough: tx-checksum-ip-generic off, and a newer firmware."
        ),
        not_ruled_out=("damage on the way between the nodes",),
    )


def _is_datagrams(trouble: Trouble) -> bool:
    """TCP segments may be invalid for other reasons (out of the window)."""
    return trouble.flow.protocol in ("UDP", "ICMP")


def _glued(case: Case, trouble: Trouble, out: Hop) -> Iterator[Finding]:
    """Frames at the NIC that are longer than the packet in them: another packet was appended to the first by UDP segmentation."""
    table = case.tables.get(out.tap)
    if table is None:
        return
    rows = _overlong(table)
    if not len(rows):
        return
    pairs = {(header.source, header.destination) for header in outer_headers(table, np.arange(len(table), dtype=np.int32)[rows])}
    proofs = [
        Evidence(
            kind=EvidenceKind.PACKETS,
            text=f"{len(rows)} frames at {place_text(out)} are longer than the one packet that their inner IP header names",
            frames=frame_refs(case, out.tap, rows.astype(np.int32)),
        )
    ]
    expected = trouble.path.outer_destination
    fits = expected is None or any(destination == expected for _, destination in pairs)
    spare = int((table.wire_bytes[rows] - table.payload_bytes[rows] - _AROUND_UDP_BYTES).sum())
    enough = spare >= _GLUED_BYTES * trouble.packets
    yield explain(
        case,
        trouble,
        "tunnel-gso-bug",
        Confidence.CERTAIN if fits and enough and len(rows) >= _FEW_PACKETS else Confidence.POSSIBLE,
        f"{place_text(out)} sends frames with more than one VXLAN packet under one outer header: only the first of them arrives",
        proofs,
        remediation=(
            f"Look on {out.tap.node}: uname -r; ethtool -k {out.tap.interface} | grep -E 'gso|udp'. Mend: ethtool -K {out.tap.interface} "
            "tx-udp-segmentation off; ethtool -K with gro off on the interface that the packets come in by; and a newer kernel."
        ),
        not_ruled_out=() if enough else ("another cause for some of the packets: the frames have no room for all of them",),
    )


def _overlong(table: PacketTable) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows of IPv4 VXLAN frames longer than outer and inner headers, the longest L4 header and the payload by the inner length."""
    inner4 = (table.conversation >= 0) & (table.tunnel >= 0)
    least = table.payload_bytes + _AROUND_UDP_BYTES + _GLUED_BYTES
    udp = np.zeros(len(table), dtype=np.bool_)
    udp[inner4] = table.conversations.protocol[table.conversation[inner4]] == IpProtocol.UDP
    v4 = np.zeros(len(table), dtype=np.bool_)
    if inner4.any():
        mapped = (table.conversations.source[:, :10] == 0).all(axis=1) & (table.tunnels.source[:, :10] == 0).all(axis=1).all()
        v4[inner4] = mapped[table.conversation[inner4]]
    return np.flatnonzero(inner4 & v4 & (table.wire_bytes >= least + np.where(udp, 0, _MOST_L4_BYTES)))
