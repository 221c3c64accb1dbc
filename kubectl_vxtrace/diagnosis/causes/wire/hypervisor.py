"""Does a hypervisor take VXLAN for its own?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.outer_headers import rows_between
from kubectl_vxtrace.diagnosis.evidence.segment_packets import SegmentPackets, segment_packets
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

VMWARE_VXLAN_CLASH = Cause(
    slug="vmware-vxlan-clash",
    remediation=(
        "Look on the nodes: ethtool -i {device}; ethtool -k {device} | grep udp_tnl. On all nodes: ethtool -K {device} "
        "tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off; if that is not enough: tx-checksum-ip-generic off. Else move "
        "VXLAN to another port (Calico: vxlanPort and FELIX_VXLANPORT), or upgrade ESXi (7.0U3, 8.0U3 or later)."
    ),
    source="cilium/cilium issue 21801; flannel-io/flannel issue 2388; projectcalico/calico issues 4727, 9433, 10692",
    is_circumstance=True,
)
CAUSES = (VMWARE_VXLAN_CLASH,)


_VMWARE = "vmxnet3"
_ICMP = (IpProtocol.ICMP, IpProtocol.ICMPV6)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `vmware-vxlan-clash`: a vmxnet3 NIC at an end of the wire, and ICMP crosses while TCP and UDP do not."""
    ends = [hop for hop in (segment.start, segment.end) if nic.driver(case, hop) == _VMWARE]
    if not ends or not encapsulations(case, loss, segment.start):
        return
    icmp, others = _arrived(case, loss, segment)
    packets = segment_packets(case, segment)
    data_dies, handshake_passes = _only_data_dies(packets)
    if others and not data_dies:
        return
    told = bool(icmp) or handshake_passes
    doubts = _doubts(packets, told=told)
    offloading = any(nic.offloads_tunnels(case, hop) for hop in ends)
    noun = direction_noun(loss.path.direction, loss.packets)
    node, receiver = segment.start.tap.node, segment.end.tap.node
    yield error_finding(
        case,
        loss,
        VMWARE_VXLAN_CLASH,
        Confidence.CERTAIN if offloading and not doubts else Confidence.LIKELY if told else Confidence.POSSIBLE,
        f"{loss.packets} encapsulated {noun} did not get from {node} to {receiver}: their virtual NICs are VMware's",
        list(_proofs(case, ends, icmp, others, handshake_passes=handshake_passes)),
        remediation=VMWARE_VXLAN_CLASH.remedy(device=segment.start.tap.interface or "NIC"),
        not_ruled_out=doubts,
    )


def _doubts(packets: SegmentPackets, *, told: bool) -> list[str]:
    """What else keeps TCP and UDP from a receiver."""
    doubts = []
    if not told:
        doubts.append("a block of the VXLAN port: no encapsulated ICMP was sent that could have crossed")
    ports = len(np.unique(packets.outer_port[packets.lost]))
    if ports < judgement.FEW_PACKETS:
        doubts.append(f"a broken path of several: only {ports} outer source ports were lost")
    sizes = packets.wire_bytes[packets.lost]
    if len(sizes) and int(sizes.min()) > judgement.LARGE_BYTES:
        doubts.append(f"the underlay's MTU: the smallest of the lost frames has {int(sizes.min())} bytes")
    return doubts


def _proofs(case: Case, ends: list[Hop], icmp: int, others: int, *, handshake_passes: bool) -> Iterator[Evidence]:
    features = ", ".join(
        f"{place_text(hop)}: tx-udp_tnl-segmentation {nic.feature(case, hop, 'tx-udp_tnl-segmentation') or 'not read'}" for hop in ends
    )
    config = f"the driver of {', '.join(map(place_text, ends))} is {_VMWARE}; {features}"
    yield Evidence(kind=EvidenceKind.CONFIG, text=config)
    if icmp:
        rest = f"{others} others" if others else "nothing else did"
        text = f"{icmp} encapsulated ICMP packets between the same nodes arrived, {rest}"
        yield Evidence(kind=EvidenceKind.PACKETS, text=text)
    if handshake_passes:
        text = "TCP segments without data passed, none with data did, small ones neither"
        yield Evidence(kind=EvidenceKind.PACKETS, text=text)


def _arrived(case: Case, loss: Loss, segment: Segment) -> tuple[int, int]:
    """Frames between the packets' outer addresses that the receiver's whole capture holds: those with ICMP inside, and all others."""
    table = case.tables.get(segment.end.tap)
    if table is None:
        return 0, 0
    conversation = table.conversation[rows_between(table, encapsulations(case, loss, segment.start))]
    inside = table.conversations.protocol[conversation[conversation >= 0]]
    icmp = int(np.isin(inside, _ICMP).sum())
    return icmp, len(inside) - icmp


def _only_data_dies(packets: SegmentPackets) -> tuple[bool, bool]:
    """Whether all TCP segments with data are lost, small ones among them, and whether segments without data passed."""
    tcp = packets.protocol == IpProtocol.TCP
    data = tcp & (packets.payload_bytes > 0)
    short = data & (packets.wire_bytes <= judgement.LARGE_BYTES)
    dies = bool(data.sum() >= judgement.FEW_PACKETS) and bool(packets.lost[data].all()) and bool(short.any())
    rest = ~packets.lost & ~tcp & ~np.isin(packets.protocol, _ICMP)
    dies = dies and not rest.any()
    return dies, dies and bool((tcp & ~data & ~packets.lost).any())
