"""Did an offload write a wrong checksum, outside or inside?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.wire.underlay import UNDERLAY_LOSS
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_drop_on
from kubectl_vxtrace.diagnosis.evidence.lost_packets import (
    address_texts,
    conversations_at,
    direction_noun,
    encapsulations,
    place_text,
    rows_at,
)
from kubectl_vxtrace.diagnosis.evidence.segment_packets import segment_packets
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind, Segment
from kubectl_vxtrace.model.facts import VxlanDevice
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

VXLAN_TX_CHECKSUM = Cause(
    slug="vxlan-tx-checksum",
    remediation=(
        "Look on {node}: ethtool -k {device}; on the receiver: nstat -az UdpInCsumErrors UdpInErrors. On every node: ethtool -K {device} "
        "tx-checksum-ip-generic off. It does not survive a reboot: Calico keeps it by featureDetectOverride ChecksumOffloadBroken=true, "
        "flannel by a udev rule; a newer kernel (5.7 or later) fixes it."
    ),
    source="flannel-io/flannel issue 1279; projectcalico/calico issues 3145, 8860; kubernetes/kubernetes pull request 92035",
    admitted=True,
    is_circumstance=True,
)
ZERO_UDP_CHECKSUM_V6 = Cause(
    slug="zero-udp-checksum-v6",
    remediation=(
        "Look on both nodes: ip -d link show {device}. Give both ends the same setting: the device is made with udp6zerocsumrx (accept) "
        "on the receiver, or with noudp6zerocsumtx (send a checksum) on the sender."
    ),
    source="RFC 6935; RFC 8200, section 8.1; Linux net/ipv6/udp.c (udp6_csum_init)",
    admitted=True,
)
NIC_TUNNEL_OFFLOAD = Cause(
    slug="nic-tunnel-offload",
    remediation=(
        "Look on {node}: ethtool -i {device}; ethtool -k {device} | grep udp_tnl; in the receiving pod: nstat -az '*CsumErrors'. Fix: "
        "ethtool -K {device} tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off; if that is not enough: tx-checksum-ip-generic "
        "off, and a newer firmware."
    ),
    source="projectcalico/calico issue 4384; cloudnativelabs/kube-router issue 1436; Linux Documentation/networking/checksum-offloads.rst",
    admitted=True,
    is_circumstance=True,
)
CAUSES = (
    VXLAN_TX_CHECKSUM,
    ZERO_UDP_CHECKSUM_V6,
    NIC_TUNNEL_OFFLOAD,
)


# Where the NIC writes the outer checksum as well.
_OUTER_REMEDIATION = (
    "Look on {node}: ethtool -k {device}; on the receiver: nstat -az UdpInCsumErrors UdpInErrors. On every node: ethtool -K {device} "
    "tx-udp_tnl-csum-segmentation off tx-udp_tnl-segmentation off. If that is not enough: tx-checksum-ip-generic off there as well, and "
    "a newer firmware and driver."
)
# Where the packets left whole.
_DAMAGE = (
    "Look at the error counters of NICs and switch ports on the way (ethtool -S NIC | grep -iE 'crc|err|fcs'; the switch's own), and "
    "compare a damaged packet in both NICs' captures: where its bytes differ tells what changed them. No offload of the nodes is to blame."
)
_CHECKSUM_REASONS = ("UDP_CSUM", "TCP_CSUM", "ICMP_CSUM", "SKB_CSUM", "IP_CSUM")


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `zero-udp-checksum-v6`, `vxlan-tx-checksum` and `nic-tunnel-offload`, where the receiver's UDP layer dropped the
    outer packets for their checksum; and `underlay-loss`, where it did so with some of a flow only."""
    headers = encapsulations(case, loss, segment.start)
    if not headers:
        return
    version6 = ":" in headers[0].source
    name = "Udp6InCsumErrors" if version6 else "Udp.InCsumErrors"
    node = segment.start.tap.node
    errors = node_facts.grown(case, node, name)
    frames = len(rows_at(loss, segment.start))
    if not errors or errors < frames:
        return
    sender = next((hop for hop in loss.path.hops if node_facts.is_vxlan(hop) and hop.tap.node != node), None)
    counter = Evidence(kind=EvidenceKind.COUNTER, text=f"{name} of {node} grew by {errors}; {frames} frames were lost")
    if version6 and sender is not None and _zero_checksum(case, sender, segment):
        yield _zero(case, loss, segment, sender, counter)
    elif sender is not None:
        intact, translated = _intact_beside(case, loss, segment), _from_the_node(case, loss, sender)
        if intact and not translated:
            yield _damaged(case, loss, sender, counter, intact)
        else:
            yield from _bad_checksum(case, loss, sender, counter, intact)


def check_inner(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `nic-tunnel-offload`, for packets that came out of the tunnel."""
    if loss.kind is LossKind.SILENT or segment.start.role is Role.VXLAN:
        yield from _inner_checksum(case, loss, segment.start.tap.node)


def _zero_checksum(case: Case, sender: Hop, segment: Segment) -> bool:
    """Whether the sender omits the outer checksum, and the receiver is not known to accept that."""
    sending = _vxlan_device(case, sender)
    return sending is not None and sending.zero_checksum6_sent is True and _accepts_zero(case, segment.end) is not True


def _accepts_zero(case: Case, device: Hop) -> bool | None:
    """Whether a VXLAN device accepts IPv6 without a UDP checksum, None where that was not read."""
    receiving = _vxlan_device(case, device)
    return None if receiving is None else receiving.zero_checksum6_accepted


def _vxlan_device(case: Case, hop: Hop) -> VxlanDevice | None:
    """What the last look that knows it said of the VXLAN device at a hop."""
    devices = [link.vxlan for link in node_facts.links_of(case, hop) if link.vxlan is not None]
    return devices[-1] if devices else None


def _zero(case: Case, loss: Loss, segment: Segment, sender: Hop, counter: Evidence) -> Finding:
    device = segment.end
    known = _accepts_zero(case, device) is False
    text = f"{place_text(sender)} sends UDP over IPv6 without a checksum (udp6zerocsumtx), {place_text(device)} does not accept it"
    return error_finding(
        case,
        loss,
        ZERO_UDP_CHECKSUM_V6,
        Confidence.CERTAIN if known else Confidence.LIKELY,
        f"{device.tap.node} refuses the outer packets of {sender.tap.node}: IPv6 without a UDP checksum",
        [Evidence(kind=EvidenceKind.CONFIG, text=text if known else f"{text}, as far as is known"), counter],
        remediation=ZERO_UDP_CHECKSUM_V6.remedy(device=device.tap.interface),
    )


def _intact_beside(case: Case, loss: Loss, segment: Segment) -> int:
    """How many packets of the loss's own path the receiver took, none of them smaller than all that it refused.

    What a sender writes wrong is wrong in all packets of a flow that are alike; a NIC may do so in large ones alone (segmentation), and
    of translated ones some pass in the end (kubernetes/kubernetes issue 88986).
    """
    packets = segment_packets(case, segment)
    own = packets.flow == loss.flow.id
    lost, passed = packets.wire_bytes[own & packets.lost], packets.wire_bytes[own & ~packets.lost]
    return int(packets.weight[own & ~packets.lost].sum()) if len(lost) and len(passed) and passed.max() >= lost.min() else 0


def _damaged(case: Case, loss: Loss, sender: Hop, counter: Evidence, intact: int) -> Finding:
    """Outer checksums that are wrong in some packets of a flow and right in others: these were damaged on the way."""
    noun, node = direction_noun(loss.path.direction, loss.packets), sender.tap.node
    text = f"{intact} other packets of the flow, none of them smaller than all of these, arrived with a right checksum"
    return error_finding(
        case,
        loss,
        UNDERLAY_LOSS,
        Confidence.LIKELY,
        f"{loss.packets} encapsulated {noun} from {node} were damaged on the way: their checksum is wrong when they arrive, that of "
        f"{intact} others of the flow is right, so that it is not the sender's",
        [Evidence(kind=EvidenceKind.PACKETS, text=text), counter],
        remediation=_DAMAGE,
    )


def _bad_checksum(case: Case, loss: Loss, sender: Hop, counter: Evidence, intact: int) -> Iterator[Finding]:
    """A wrong outer checksum: the VXLAN device of the sender left it wrong, or a NIC that makes it itself did; else nothing is known."""
    exit_nic = next((hop for hop in loss.path.hops if hop.tap.node == sender.tap.node and hop.role is Role.UNDERLAY), sender)
    offload = nic.feature(case, sender, "tx-checksum-ip-generic")
    hardware = nic.offloads_tunnels(case, exit_nic)
    translated = _from_the_node(case, loss, sender)
    config = f"{place_text(sender)}: tx-checksum-ip-generic {offload or 'not read'}; {place_text(exit_nic)}: driver "
    config += f"{nic.driver(case, exit_nic) or 'not read'}, tunnel offload {'on' if hardware else 'off'}; inner source is "
    config += "the node's own address (translated)" if translated else "the pod's"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config), counter]
    if offload != "off" and (translated or not hardware):
        sure = Confidence.CERTAIN if translated and not hardware else Confidence.LIKELY
        doubts = [] if translated else ["damage on the way: packets that were not translated seldom have this fault"]
        if intact:
            sure = Confidence.LIKELY
            doubts.append(f"damage on the way: {intact} other packets of the flow arrived with a right checksum")
        if nic.driver(case, exit_nic) is None:
            sure = Confidence.LIKELY
            doubts.append(f"a NIC that checksums inside tunnels: the driver of {place_text(exit_nic)} is not known")
        confidence = sure if offload == "on" else Confidence.POSSIBLE
        yield _checksum_finding(case, loss, VXLAN_TX_CHECKSUM, confidence, sender, proofs, doubts)
    elif hardware:
        doubts = ["damage on the way between the nodes"]
        yield _checksum_finding(case, loss, NIC_TUNNEL_OFFLOAD, Confidence.LIKELY, exit_nic, proofs, doubts)


def _from_the_node(case: Case, loss: Loss, sender: Hop) -> bool:
    """Whether the packets bear an address of the sending node itself inside: they were masqueraded, or it sent them."""
    if not len(rows_at(loss, loss.start)):
        return False
    return set(address_texts(conversations_at(case, loss, loss.start).source)) <= node_facts.all_addresses(case, sender.tap.node)


def _checksum_finding(
    case: Case, loss: Loss, cause: Cause, confidence: Confidence, place: Hop, proofs: list[Evidence], doubts: list[str]
) -> Finding:
    interface, node = place.tap.interface or "NIC", place.tap.node
    remediation = VXLAN_TX_CHECKSUM.remediation if cause is VXLAN_TX_CHECKSUM else _OUTER_REMEDIATION
    return error_finding(
        case,
        loss,
        cause,
        confidence,
        f"the outer UDP checksum of {loss.packets} packets from {node} is wrong when they arrive, and the receiver drops them",
        proofs,
        remediation=remediation.format(node=node, device=interface),
        not_ruled_out=doubts,
    )


def _inner_checksum(case: Case, loss: Loss, node: str) -> Iterator[Finding]:
    """Whole outer packets whose inner checksum is wrong: the receiver's conntrack or the pod's own kernel drops them."""
    exit_nic = next((hop for hop in loss.path.hops if hop.tap.node != node and hop.role is Role.UNDERLAY), None)
    if exit_nic is None or not nic.offloads_tunnels(case, exit_nic):
        return
    # TCP segments may be invalid for other reasons (out of the window), ICMP ones too (no request was seen).
    invalid = (
        node_facts.grown(case, node, "conntrack.invalid") if loss.kind is not LossKind.SILENT and loss.flow.protocol == "UDP" else None
    )
    told = kernel_drop_on(case, loss, node, _CHECKSUM_REASONS)
    counted = invalid is not None and invalid >= loss.packets
    if not counted and not told:
        return
    config = f"{place_text(exit_nic)}: driver {nic.driver(case, exit_nic)}, which segments or checksums inside tunnels"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config)]
    if counted:
        text = f"conntrack.invalid of {node} grew by {invalid}; {loss.packets} datagrams were lost, which are invalid only if damaged"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    proofs += told
    interface = exit_nic.tap.interface
    yield error_finding(
        case,
        loss,
        NIC_TUNNEL_OFFLOAD,
        Confidence.LIKELY,
        f"the inner checksum of {loss.packets} packets from {exit_nic.tap.node} is wrong when they arrive: its NIC offloads tunnels",
        proofs,
        remediation=NIC_TUNNEL_OFFLOAD.remedy(node=exit_nic.tap.node, device=interface),
        not_ruled_out=("damage on the way between the nodes",),
    )
