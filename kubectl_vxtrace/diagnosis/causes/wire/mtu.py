"""Do only large packets die between the nodes?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.wire.neighbour_mac import is_senders_fault
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import IcmpAnswer, too_big_answers
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.outer_headers import rows_between
from kubectl_vxtrace.diagnosis.evidence.segment_packets import SegmentPackets, segment_packets
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES, TAG_BYTES, overhead_bytes
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

UNDERLAY_MTU = Cause(
    slug="underlay-mtu",
    remediation=(
        "Look from {node}: ping -M do -s {payload} {peer} (an IP packet of {packet} bytes). Raise the MTU on the way, or set the CNI's "
        "MTU to {overhead} less than the largest outer packet that crosses; {safe} is safe by this trace ({largest} bytes crossed). "
        "WireGuard takes 60 (IPv6: 80) more."
    ),
    source="RFC 7348, section 4.3; RFC 1191; projectcalico/calico issues 12432, 1709; siderolabs/talos issue 13457",
    is_circumstance=True,
)
CAUSES = (UNDERLAY_MTU,)


_NOTHING_CROSSED = (
    "Look from {node}: ping -M do -s {payload} {peer} (an IP packet of {packet} bytes). Raise the MTU on the way, or set the CNI's MTU "
    "to the largest that crosses less {overhead}."
)
# IPv4 and ICMP, which `ping -s` does not count; IPv6 has 20 more.
_PING_BYTES = {50: 28, 70: 48}
# RFC 791, 3.1: every host takes datagrams of 576 bytes. Smaller ones do not die of an MTU.
_SMALLEST_MTU_BYTES = 576


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `underlay-mtu`: packets above a size do not get from one node to the other, and none of them left in fragments."""
    if is_senders_fault(case, loss, segment):
        return
    packets = segment_packets(case, segment)
    split = None if (packets.lost & packets.fragmented).any() else _split(packets, _passed(case, loss, segment))
    if split is not None:
        yield _too_large(case, loss, segment, packets, split)


@dataclass(frozen=True, slots=True)
class _Split:
    """All lost frames are larger than all that passed: the smallest lost and the largest passed, in bytes (0: none passed).

    lost, passed: how many frames that is said of.
    """

    lost_bytes: int
    passed_bytes: int
    lost: int
    passed: int


def _passed(case: Case, loss: Loss, segment: Segment) -> I32:
    """Lengths of all VXLAN frames between the same outer addresses that the receiver's capture holds, of whichever flow.

    A first fragment is a frame that passed like any other. One that was merged (GRO) counts with the length it has then: it may be
    that of a packet that passed.
    """
    table = case.tables.get(segment.end.tap)
    if table is None:
        return np.zeros(0, dtype=np.int32)
    lengths: I32 = table.wire_bytes[rows_between(table, encapsulations(case, loss, segment.start))]
    return lengths


def _split(packets: SegmentPackets, passed: I32) -> _Split | None:
    """None if size does not tell lost from passed. Of merged frames that were lost it is not known which of their packets were."""
    lost = packets.wire_bytes[packets.lost & ~packets.merged]
    if not len(lost):
        return None
    largest = max(int(sizes.max(initial=0)) for sizes in (passed, packets.wire_bytes[~packets.lost]))
    count = max(len(passed), int((~packets.lost).sum()))
    split = _Split(lost_bytes=int(lost.min()), passed_bytes=largest, lost=len(lost), passed=count)
    least = (_SMALLEST_MTU_BYTES if count else judgement.LARGE_BYTES) + ETHERNET_BYTES
    return split if split.lost_bytes > max(largest, least) else None


def _too_large(case: Case, loss: Loss, segment: Segment, packets: SegmentPackets, split: _Split) -> Finding:
    refused = [answer for answer in too_big_answers(case, loss) if answer.hop.role is Role.UNDERLAY]
    doubts = [] if refused and split.passed else _doubts(case, segment, packets, split)
    return error_finding(
        case,
        loss,
        UNDERLAY_MTU,
        _confidence(split, told=bool(refused), narrow=_narrow(case, segment, split), doubts=doubts),
        _summary(loss, segment, split),
        _proofs(case, segment, split, refused),
        remediation=_remedy(case, loss, segment, split),
        not_ruled_out=doubts,
    )


def _confidence(split: _Split, *, told: bool, narrow: bool, doubts: list[str]) -> Confidence:
    """Told by ICMP, or by size alone where nothing else fits."""
    if not split.passed:
        return Confidence.LIKELY if told or narrow else Confidence.POSSIBLE
    if told or not doubts:
        return Confidence.CERTAIN
    return Confidence.LIKELY if narrow or split.lost >= judgement.FEW_PACKETS else Confidence.POSSIBLE


def _narrow(case: Case, segment: Segment, split: _Split) -> bool:
    """Whether the receiver's NIC has an MTU that lies between what passed and what was lost."""
    mtu = node_facts.mtu_bytes(case, segment.end)
    around = ETHERNET_BYTES + TAG_BYTES
    return mtu is not None and split.passed_bytes - around <= mtu < split.lost_bytes - around


def _doubts(case: Case, segment: Segment, packets: SegmentPackets, split: _Split) -> list[str]:
    """What else fits `all lost are larger than all that passed`."""
    if not split.passed:
        return ["a block of the VXLAN port: nothing smaller was sent"]
    doubts = []
    if split.lost < judgement.FEW_PACKETS or judgement.largest_by_chance(split.lost, split.passed) > judgement.MAX_SIZE_CHANCE:
        doubts.append(f"an accident: {split.passed} passed, {split.lost} did not")
    through = ~packets.lost
    shared = np.intersect1d(packets.outer_port[packets.lost], packets.outer_port[through])
    if not len(shared):
        doubts.append("a broken path of several: no outer source port has both lost and passing packets")
    name = nic.driver(case, segment.start)
    if name is None:
        doubts.append(f"segmentation offload of {place_text(segment.start)}, whose driver is not known")
    elif name == "vmxnet3":
        doubts.append("a hypervisor that takes VXLAN for its own (vmxnet3)")
    elif nic.offloads_tunnels(case, segment.start) and bool((packets.lost & packets.merged).any()):
        doubts.append(f"segmentation offload of {place_text(segment.start)} ({name}): super-packets were lost")
    return doubts


def _summary(loss: Loss, segment: Segment, split: _Split) -> str:
    noun = direction_noun(loss.path.direction, loss.packets)
    start, end = segment.start.tap.node, segment.end.tap.node
    limit = f"the largest frame that passes has {split.passed_bytes}" if split.passed else "nothing smaller was sent"
    return f"{loss.packets} {noun} in frames of {split.lost_bytes} bytes and more do not get from {start} to {end}; {limit}"


def _proofs(case: Case, segment: Segment, split: _Split, refused: list[IcmpAnswer]) -> list[Evidence]:
    text = f"of {split.lost} lost frames the smallest has {split.lost_bytes} bytes"
    if split.passed:
        text += f"; of {split.passed} that passed the largest has {split.passed_bytes}"
    ends = (segment.start, segment.end)
    mtus = "MTU of " + ", ".join(f"{place_text(hop)}: {node_facts.mtu_bytes(case, hop) or 'not read'}" for hop in ends)
    # An MTU that does not lie between the two explains nothing: it is no configuration that will hurt.
    kind = EvidenceKind.CONFIG if _narrow(case, segment, split) else EvidenceKind.ABSENCE
    return [
        Evidence(kind=EvidenceKind.PACKETS, text=text),
        Evidence(kind=kind, text=mtus if kind is EvidenceKind.CONFIG else f"no NIC is known to limit the size: {mtus}"),
        Evidence(kind=EvidenceKind.ABSENCE, text=f"no fragment of a lost packet was seen leaving {place_text(segment.start)}"),
        *(answer.evidence("too big") for answer in refused),
    ]


def _remedy(case: Case, loss: Loss, segment: Segment, split: _Split) -> str:
    peer = encapsulations(case, loss, segment.start)[0].destination
    overhead = overhead_bytes(peer)
    packet, largest = split.lost_bytes - ETHERNET_BYTES, split.passed_bytes - ETHERNET_BYTES
    known: dict[str, str | int] = {"node": segment.start.tap.node, "peer": peer, "packet": packet, "overhead": overhead}
    known["payload"] = packet - _PING_BYTES[overhead]
    if not split.passed:
        return _NOTHING_CROSSED.format(**known)
    return UNDERLAY_MTU.remedy(**known, safe=largest - overhead, largest=largest)
