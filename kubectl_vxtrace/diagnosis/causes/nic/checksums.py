"""Did an offload write a wrong checksum, outside or inside?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import words
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Kind, Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import address_text
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_CHECKSUM_WORDS = ("UDP_CSUM", "TCP_CSUM", "ICMP_CSUM", "SKB_CSUM", "IP_CSUM")


def check(case: Case) -> Iterator[Finding]:
    """Findings `zero-udp-checksum-v6`, `vxlan-tx-checksum` and `nic-tunnel-offload`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.DECAPSULATE:
                yield from _outer_checksum(case, trouble, stretch)
            elif trouble.kind is Kind.SILENT or (stretch.place is Place.FORWARD and stretch.start.role is Role.VXLAN):
                yield from _inner_checksum(case, trouble, stretch.start.tap.node)


def _outer_checksum(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """The receiver's UDP layer dropped the outer packets for their checksum."""
    headers = encapsulations(case, trouble, stretch.start)
    if not headers:
        return
    version6 = ":" in headers[0].source
    name = "Udp6InCsumErrors" if version6 else "Udp.InCsumErrors"
    node = stretch.start.tap.node
    errors = nodes.grown(case, node, name)
    frames = len(rows_at(trouble, stretch.start))
    if not errors or errors < frames:
        return
    sender = next((hop for hop in trouble.path.hops if nodes.is_vxlan(hop) and hop.tap.node != node), None)
    counter = Evidence(kind=EvidenceKind.COUNTER, text=f"{name} of {node} grew by {errors}; {frames} frames were lost")
    if version6 and sender is not None and _zero_checksum(case, sender, stretch):
        yield _zero(case, trouble, stretch, sender, counter)
    elif sender is not None:
        yield from _bad_checksum(case, trouble, sender, counter)


def _zero_checksum(case: Case, sender: Hop, stretch: Stretch) -> bool:
    """Whether the sender omits the outer checksum, and the receiver is not known to accept that."""
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


def _bad_checksum(case: Case, trouble: Trouble, sender: Hop, counter: Evidence) -> Iterator[Finding]:
    """A wrong outer checksum: the VXLAN device of the sender left it wrong, or a NIC that makes it itself did; else nobody is known."""
    exit_nic = next((hop for hop in trouble.path.hops if hop.tap.node == sender.tap.node and hop.role is Role.UNDERLAY), sender)
    offload = nic.feature(case, sender, "tx-checksum-ip-generic")
    hardware = nic.offloads_tunnels(case, exit_nic)
    translated = _from_the_node(case, trouble, sender)
    config = f"{place_text(sender)}: tx-checksum-ip-generic {offload or 'not read'}; {place_text(exit_nic)}: driver "
    config += f"{nic.driver(case, exit_nic) or 'not read'}, tunnel offload {'on' if hardware else 'off'}; inner source is "
    config += "the node's own address (translated)" if translated else "the pod's"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config), counter]
    if offload != "off" and (translated or not hardware):
        sure = Confidence.CERTAIN if translated and not hardware else Confidence.LIKELY
        doubts = [] if translated else ["damage on the way: packets that nobody translated seldom have this fault"]
        if nic.driver(case, exit_nic) is None:
            sure = Confidence.LIKELY
            doubts.append(f"a NIC that checksums inside tunnels: the driver of {place_text(exit_nic)} is not known")
        confidence = sure if offload == "on" else Confidence.POSSIBLE
        yield _checksum_finding(case, trouble, "vxlan-tx-checksum", confidence, sender, proofs, doubts)
    elif hardware:
        doubts = ["damage on the way between the nodes"]
        yield _checksum_finding(case, trouble, "nic-tunnel-offload", Confidence.LIKELY, exit_nic, proofs, doubts)


def _from_the_node(case: Case, trouble: Trouble, sender: Hop) -> bool:
    """Whether the packets bear an address of the sending node itself inside: they were masqueraded, or it sent them."""
    table, rows = case.tables.get(trouble.start.tap), rows_at(trouble, trouble.start)
    if table is None or not len(rows):
        return False
    talk = np.unique(table.conversation[rows])
    end = nodes.vtep(case, sender.tap.node)
    own = nodes.underlay_addresses(case, sender.tap.node) | ({end.address} if end is not None else set())
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
    # TCP segments may be invalid for other reasons (out of the window), ICMP ones too (no request was seen).
    invalid = nodes.grown(case, node, "conntrack.invalid") if trouble.kind is not Kind.SILENT and trouble.flow.protocol == "UDP" else None
    word = next((word for word in words(case, trouble, reasons=_CHECKSUM_WORDS) if word.node == node), None)
    counted = invalid is not None and invalid >= trouble.packets
    if not counted and word is None:
        return
    config = f"{place_text(exit_nic)}: driver {nic.driver(case, exit_nic)}, which segments or checksums inside tunnels"
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
