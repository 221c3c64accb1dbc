"""Do only large packets die between the nodes?"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np

from kubectl_vxtrace.diagnosis.causes.pod.mtu import TooBig, overhead_bytes, too_big
from kubectl_vxtrace.diagnosis.evidence import nic
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.outer_headers import rows_between
from kubectl_vxtrace.diagnosis.evidence.segment_packets import Crossing, crossing
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_ETHERNET_BYTES = 14
# IEEE 802.1Q: a tag that the capture may hold, and that no MTU counts.
_TAG_BYTES = 4
# IPv4 and ICMP, which `ping -s` does not count; IPv6 has 20 more.
_PING_BYTES = {50: 28, 70: 48}
# RFC 791, 3.1: every host takes datagrams of 576 bytes. Smaller ones do not die of an MTU.
_SMALLEST_MTU_BYTES = 576
# RFC 8200, 5: every IPv6 link carries 1280; what is larger may die of an MTU even where nothing smaller was sent.
_LARGE_BYTES = 1280
# Of packets that are lost at random, the largest would all be among the lost once in so many cases.
_CHANCE = 200
_FEW_PACKETS = 3


def check(case: Case) -> Iterator[Finding]:
    """Findings `underlay-mtu`: packets above a size do not get from one node to the other, and none of them left in fragments."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is not Place.WIRE or stretch.end is None:
                continue
            packets = crossing(case, stretch)
            if (packets.lost & packets.fragmented).any():
                continue
            split = _split(packets, _passed(case, trouble, stretch))
            if split is not None:
                yield _too_large(case, trouble, stretch, packets, split)


@dataclass(frozen=True, slots=True)
class _Split:
    """All lost frames are larger than all that passed: the smallest lost and the largest passed, in bytes (0: none passed).

    lost, passed: how many frames that is said of.
    """

    lost_bytes: int
    passed_bytes: int
    lost: int
    passed: int


def _passed(case: Case, trouble: Trouble, stretch: Stretch) -> I32:
    """Lengths of all VXLAN frames between the same outer addresses that the receiver's capture holds, of whichever flow.

    A first fragment is a frame that passed like any other. One that was merged (GRO) counts with the length it has then: it may be
    that of a packet that passed.
    """
    table = case.tables.get(stretch.end.tap) if stretch.end is not None else None
    if table is None:
        return np.zeros(0, dtype=np.int32)
    lengths: I32 = table.wire_bytes[rows_between(table, encapsulations(case, trouble, stretch.start))]
    return lengths


def _split(packets: Crossing, passed: I32) -> _Split | None:
    """None if size does not tell lost from passed. Of merged frames that were lost nobody knows which of their packets were."""
    lost = packets.wire_bytes[packets.lost & ~packets.merged]
    if not len(lost):
        return None
    largest = max(int(sizes.max(initial=0)) for sizes in (passed, packets.wire_bytes[~packets.lost]))
    count = max(len(passed), int((~packets.lost).sum()))
    found = _Split(lost_bytes=int(lost.min()), passed_bytes=largest, lost=len(lost), passed=count)
    least = (_SMALLEST_MTU_BYTES if count else _LARGE_BYTES) + _ETHERNET_BYTES
    return found if found.lost_bytes > max(largest, least) else None


def _too_large(case: Case, trouble: Trouble, stretch: Stretch, packets: Crossing, split: _Split) -> Finding:
    refused = [answer for answer in too_big(case, trouble) if answer.hop.role is Role.UNDERLAY]
    doubts = [] if refused and split.passed else _doubts(case, stretch, packets, split)
    return explain(
        case,
        trouble,
        "underlay-mtu",
        _confidence(split, told=bool(refused), narrow=_narrow(case, stretch, split), doubts=doubts),
        _summary(trouble, stretch, split),
        _proofs(case, stretch, split, refused),
        remediation=_remedy(case, trouble, stretch, split),
        not_ruled_out=doubts,
    )


def _confidence(split: _Split, *, told: bool, narrow: bool, doubts: list[str]) -> Confidence:
    """Told by ICMP, or by size alone where nothing else fits."""
    if not split.passed:
        return Confidence.LIKELY if told or narrow else Confidence.POSSIBLE
    if told or not doubts:
        return Confidence.CERTAIN
    return Confidence.LIKELY if narrow or split.lost >= _FEW_PACKETS else Confidence.POSSIBLE


def _narrow(case: Case, stretch: Stretch, split: _Split) -> bool:
    """Whether the receiver's NIC has an MTU that lies between what passed and what was lost."""
    end = stretch.end or stretch.start
    mtu = nodes.mtu_bytes(case, end)
    around = _ETHERNET_BYTES + _TAG_BYTES
    return mtu is not None and split.passed_bytes - around <= mtu < split.lost_bytes - around


def _doubts(case: Case, stretch: Stretch, packets: Crossing, split: _Split) -> list[str]:
    """What else fits `all lost are larger than all that passed`."""
    if not split.passed:
        return ["a block of the VXLAN port: nothing smaller was sent"]
    found = []
    if split.lost < _FEW_PACKETS or comb(split.lost + split.passed, split.lost) < _CHANCE:
        found.append(f"an accident: {split.passed} passed, {split.lost} did not")
    through = ~packets.lost
    shared = np.intersect1d(packets.outer_port[packets.lost], packets.outer_port[through])
    if not len(shared):
        found.append("a broken path of several: no outer source port has both lost and passing packets")
    name = nic.driver(case, stretch.start)
    if name is None:
        found.append(f"segmentation offload of {place_text(stretch.start)}, whose driver is not known")
    elif name == "vmxnet3":
        found.append("a hypervisor that takes VXLAN for its own (vmxnet3)")
    elif nic.offloads_tunnels(case, stretch.start) and bool((packets.lost & packets.merged).any()):
        found.append(f"segmentation offload of {place_text(stretch.start)} ({name}): super-packets were lost")
    return found


def _summary(trouble: Trouble, stretch: Stretch, split: _Split) -> str:
    noun = direction_noun(trouble.path.direction, trouble.packets)
    start, end = stretch.start.tap.node, (stretch.end or stretch.start).tap.node
    limit = f"the largest frame that passes has {split.passed_bytes}" if split.passed else "nothing smaller was sent"
    return f"{trouble.packets} {noun} in frames of {split.lost_bytes} bytes and more do not get from {start} to {end}; {limit}"


def _proofs(case: Case, stretch: Stretch, split: _Split, refused: list[TooBig]) -> list[Evidence]:
    text = f"of {split.lost} lost frames the smallest has {split.lost_bytes} bytes"
    if split.passed:
        text += f"; of {split.passed} that passed the largest has {split.passed_bytes}"
    ends = dict.fromkeys((stretch.start, stretch.end or stretch.start))
    mtus = "MTU of " + ", ".join(f"{place_text(hop)}: {nodes.mtu_bytes(case, hop) or 'not read'}" for hop in ends)
    # An MTU that does not lie between the two explains nothing: it is no configuration that will hurt.
    kind = EvidenceKind.CONFIG if _narrow(case, stretch, split) else EvidenceKind.ABSENCE
    return [
        Evidence(kind=EvidenceKind.PACKETS, text=text),
        Evidence(kind=kind, text=mtus if kind is EvidenceKind.CONFIG else f"no NIC is known to limit the size: {mtus}"),
        Evidence(kind=EvidenceKind.ABSENCE, text=f"no fragment of a lost packet was seen leaving {place_text(stretch.start)}"),
        *(answer.evidence for answer in refused),
    ]


def _remedy(case: Case, trouble: Trouble, stretch: Stretch, split: _Split) -> str:
    peer = encapsulations(case, trouble, stretch.start)[0].destination
    overhead = overhead_bytes(peer)
    packet = split.lost_bytes - _ETHERNET_BYTES
    look = f"Look from {stretch.start.tap.node}: ping -M do -s {packet - _PING_BYTES[overhead]} {peer} (an IP packet of {packet} bytes)."
    if not split.passed:
        return f"{look} Raise the MTU on the way, or set the CNI's MTU to the largest that crosses less {overhead}."
    largest = split.passed_bytes - _ETHERNET_BYTES
    return (
        f"{look} Raise the MTU on the way, or set the CNI's MTU to {overhead} less than the largest outer packet that crosses; "
        f"{largest - overhead} is safe by this trace ({largest} bytes crossed). WireGuard takes 60 (IPv6: 80) more."
    )
