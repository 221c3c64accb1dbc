"""Do only large packets die, and where do they become too large?"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np

from kubectl_vxtrace.diagnosis import nic, nodes
from kubectl_vxtrace.diagnosis.crossing import Crossing, crossing
from kubectl_vxtrace.diagnosis.evidence import IcmpAnswer, direction_noun, encapsulations, icmp_answers, place_text, rows_at
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.fragments import outer_fragmented, pieces_seen
from kubectl_vxtrace.diagnosis.trouble import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_ETHERNET_BYTES = 14
# RFC 7348, 5: outer Ethernet's place is taken by the inner one; VXLAN 8, UDP 8, IPv4 20 or IPv6 40.
_OVERHEAD_BYTES = {4: 50, 6: 70}
# RFC 791, 3.1: every IPv4 link carries datagrams of 576 bytes, or so a host may assume. Smaller ones do not die of an MTU.
_SMALLEST_MTU_BYTES = 576
# RFC 8200, 5: every IPv6 link carries 1280; what is larger may die of an MTU even where nothing smaller was sent.
_LARGE_BYTES = 1280
# Of packets that are lost at random, the largest would all be among the lost once in so many cases.
_CHANCE = 200
_FEW_PACKETS = 3
# RFC 792: fragmentation needed (RFC 1191). RFC 4443, 3.2: packet too big.
_TOO_BIG = frozenset({(3, 4), (2, 0)})


def check(case: Case) -> Iterator[Finding]:
    """Findings `pod-mtu` (too large for the VXLAN device), `underlay-mtu` (for the way between the nodes, nothing was fragmented) and
    `outer-fragments-dropped` (fragments were seen leaving)."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.FORWARD and nodes.is_vxlan(stretch.end):
                yield from _pod(case, trouble, stretch)
            elif stretch.place is Place.WIRE and stretch.end is not None:
                yield from _wire(case, trouble, stretch)
            elif stretch.place is Place.DECAPSULATE:
                yield from _reassembly(case, trouble, stretch)


def _pod(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """Packets that do not fit into the VXLAN device: their node answers with ICMP, and counts them."""
    device = stretch.end
    mtu = _mtu_bytes(case, device.tap.node, device.tap.interface) if device is not None else None
    table, rows = case.tables.get(stretch.start.tap), rows_at(case, trouble, stretch.start)
    if device is None or mtu is None or table is None or not len(rows):
        return
    too_large = table.wire_bytes[rows] - _ETHERNET_BYTES > mtu
    if not too_large.all():
        return
    node = device.tap.node
    answers = [answer for answer in icmp_answers(case, trouble, too_big=True) if (answer.type, answer.code) in _TOO_BIG]
    failed = max((nodes.grown(case, node, name) or 0 for name in ("Ip.FragFails", "Ip6InTooBigErrors")), default=0)
    pod_mtu = _mtu_bytes(case, node, stretch.start.tap.interface)
    sizes = table.wire_bytes[rows] - _ETHERNET_BYTES
    # A frame that is larger than the pod's own MTU is a super-packet: its size alone says nothing.
    if not failed and not answers and (pod_mtu is None or pod_mtu <= mtu or sizes.max() > pod_mtu):
        return
    config = f"MTU of {place_text(stretch.start)}: {pod_mtu or 'not read'}, of {place_text(device)}: {mtu}; lost packets have "
    proofs = [
        Evidence(kind=EvidenceKind.CONFIG, text=config + _span(int(sizes.min()), int(sizes.max()), "bytes")),
        *(_icmp(answer) for answer in answers),
    ]
    if failed:
        text = f"Ip.FragFails (IPv6: Ip6InTooBigErrors) of {node} grew by {failed}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    counted = failed >= len(rows)
    confidence = Confidence.CERTAIN if counted else Confidence.LIKELY if answers else Confidence.POSSIBLE
    noun = direction_noun(trouble.path.direction, trouble.packets)
    yield explain(
        case,
        trouble,
        "pod-mtu",
        confidence,
        f"{trouble.packets} {noun} do not fit into {place_text(device)}, whose MTU is {mtu}",
        proofs,
        remediation=(
            f"Look on {node}: ip link show {device.tap.interface}, and in the pod: ip link show eth0. Set the CNI's MTU to at most {mtu}, "
            "make the pods anew, and let ICMP type 3 code 4 (IPv6: type 2) reach the pods."
        ),
        not_ruled_out=() if counted or answers else ("another drop on the same leg: no counter and no ICMP error speaks of the size",),
    )


def _wire(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    packets = crossing(case, stretch)
    if not encapsulations(case, trouble, stretch.start) or not packets.lost.any():
        return
    if (packets.lost & packets.fragmented).any():
        yield from _fragments(case, trouble, stretch, packets)
        return
    split = _split(packets)
    if split is not None:
        yield from _too_large(case, trouble, stretch, packets, split)


@dataclass(frozen=True, slots=True)
class _Split:
    """All lost frames are larger than all that passed: the smallest lost and the largest passed, in bytes (0: none passed)."""

    lost_bytes: int
    passed_bytes: int


def _split(packets: Crossing) -> _Split | None:
    """None if size does not tell lost from passed. Merged frames are judged only as far as that full-sized packets passed."""
    single = ~packets.merged
    lost = packets.wire_bytes[packets.lost & single]
    passed = packets.wire_bytes[~packets.lost & ~packets.fragmented]
    if not len(lost):
        return None
    found = _Split(int(lost.min()), int(passed.max()) if len(passed) else 0)
    least = _SMALLEST_MTU_BYTES if len(passed) else _LARGE_BYTES
    return found if found.lost_bytes > max(found.passed_bytes, least + _ETHERNET_BYTES) else None


def _too_large(case: Case, trouble: Trouble, stretch: Stretch, packets: Crossing, split: _Split) -> Iterator[Finding]:
    end = stretch.end or stretch.start
    mtu = _mtu_bytes(case, end.tap.node, end.tap.interface)
    refused = [answer for answer in icmp_answers(case, trouble, too_big=True) if (answer.type, answer.code) in _TOO_BIG]
    narrow = mtu is not None and split.lost_bytes - _ETHERNET_BYTES > mtu
    doubts = _doubts(case, stretch, packets)
    proved = bool(refused) or (narrow and split.passed_bytes - _ETHERNET_BYTES <= (mtu or 0))
    if not split.passed_bytes:
        confidence = Confidence.LIKELY if proved else Confidence.POSSIBLE
        doubts.append("a block of the VXLAN port: nothing smaller was sent")
    else:
        confidence = Confidence.CERTAIN if proved or not doubts else Confidence.LIKELY
        if not proved and int(packets.lost.sum()) < _FEW_PACKETS:
            confidence = Confidence.POSSIBLE
            doubts.append(f"an accident: only {int(packets.lost.sum())} packets were lost")
    yield explain(
        case,
        trouble,
        "underlay-mtu",
        confidence,
        _size_summary(trouble, stretch, split),
        _size_proofs(case, stretch, packets, split, refused),
        remediation=_remedy(case, trouble, stretch, split),
        not_ruled_out=doubts,
    )


def _doubts(case: Case, stretch: Stretch, packets: Crossing) -> list[str]:
    """What else fits `all lost are larger than all that passed`."""
    single = ~packets.merged
    lost, passed = packets.lost & single, ~packets.lost
    found = []
    chance = comb(int(lost.sum() + passed.sum()), int(lost.sum()))
    if chance < _CHANCE:
        found.append(f"an accident: {int(passed.sum())} passed, {int(lost.sum())} did not")
    shared = np.intersect1d(packets.outer_port[lost], packets.outer_port[passed])
    if passed.any() and not len(shared):
        found.append("a broken path of several: no outer source port has both lost and passing packets")
    name = nic.driver(case, stretch.start)
    if name is None:
        found.append(f"segmentation offload of {place_text(stretch.start)}, whose driver is not known")
    elif nic.offloads_tunnels(case, stretch.start) and bool((packets.lost & packets.merged).any()):
        found.append(f"segmentation offload of {place_text(stretch.start)} ({name}): super-packets were lost")
    elif name == "vmxnet3":
        found.append("a hypervisor that takes VXLAN for its own (vmxnet3)")
    return found


def _size_summary(trouble: Trouble, stretch: Stretch, split: _Split) -> str:
    noun = direction_noun(trouble.path.direction, trouble.packets)
    start, end = stretch.start.tap.node, (stretch.end or stretch.start).tap.node
    limit = f"the largest that passes has {split.passed_bytes} bytes" if split.passed_bytes else "nothing smaller was sent"
    return f"{trouble.packets} {noun} of {split.lost_bytes} bytes and more do not get from {start} to {end}; {limit}"


def _size_proofs(case: Case, stretch: Stretch, packets: Crossing, split: _Split, refused: list[IcmpAnswer]) -> list[Evidence]:
    lost, passed = int(packets.lost.sum()), int((~packets.lost).sum())
    text = f"of {lost} lost frames the smallest has {split.lost_bytes} bytes; of {passed} that passed the largest has {split.passed_bytes}"
    end = stretch.end or stretch.start
    mtus = [
        f"{place_text(hop)}: {_mtu_bytes(case, hop.tap.node, hop.tap.interface) or 'not read'}"
        for hop in dict.fromkeys((stretch.start, end))
    ]
    return [
        Evidence(kind=EvidenceKind.PACKETS, text=text),
        Evidence(kind=EvidenceKind.CONFIG, text="MTU of " + ", ".join(mtus)),
        Evidence(kind=EvidenceKind.ABSENCE, text=f"no fragment of a lost packet was seen leaving {place_text(stretch.start)}"),
        *(_icmp(answer) for answer in refused),
    ]


def _remedy(case: Case, trouble: Trouble, stretch: Stretch, split: _Split) -> str:
    header = encapsulations(case, trouble, stretch.start)[0]
    overhead = _OVERHEAD_BYTES[6 if ":" in header.destination else 4]
    probe = split.lost_bytes - _ETHERNET_BYTES - 28
    look = (
        f"Look from {stretch.start.tap.node}: ping -M do -s {probe} {header.destination} (an IP packet of {split.lost_bytes - 14} bytes)."
    )
    if not split.passed_bytes:
        return f"{look} Raise the MTU on the way, or set the CNI's MTU to the largest that crosses less {overhead}."
    largest = split.passed_bytes - _ETHERNET_BYTES
    return (
        f"{look} Raise the MTU on the way, or set the CNI's MTU to {overhead} less than the largest outer packet that crosses; "
        f"{largest - overhead} is safe by this trace ({largest} bytes crossed). WireGuard takes 60 (IPv6: 80) more."
    )


def _fragments(case: Case, trouble: Trouble, stretch: Stretch, packets: Crossing) -> Iterator[Finding]:
    """Lost packets that left in fragments."""
    lost = packets.lost & packets.fragmented
    others = packets.lost & ~packets.fragmented
    arrived = ~packets.lost & packets.fragmented
    plain = ~packets.lost & ~packets.fragmented
    here, there = case.tables.get(stretch.start.tap), case.tables.get(stretch.end.tap) if stretch.end is not None else None
    if here is None or there is None:
        return
    firsts, laters = pieces_seen(here, np.unique(packets.row[lost]), there)
    doubts = []
    if others.any():
        doubts.append(f"a loss that is not about fragments: {int(others.sum())} whole packets were lost as well")
    if not plain.any() and not firsts and not laters:
        doubts.append("a block of the VXLAN port: nothing at all arrived")
    if arrived.any():
        doubts.append(f"a loss at random: {int(arrived.sum())} fragmented packets arrived whole")
    if int(lost.sum()) < _FEW_PACKETS:
        doubts.append(f"an accident: only {int(lost.sum())} of them")
    end = stretch.end or stretch.start
    noun = direction_noun(trouble.path.direction, int(lost.sum()))
    seen = f"{int(lost.sum())} lost packets left {place_text(stretch.start)} in fragments"
    text = f"{seen}; at {place_text(end)} the first fragment of {firsts} and a later one of {laters} of them was seen"
    confidence = Confidence.CERTAIN if not doubts else Confidence.POSSIBLE if others.any() or arrived.any() else Confidence.LIKELY
    yield explain(
        case,
        trouble,
        "outer-fragments-dropped",
        confidence,
        f"{int(lost.sum())} {noun} left {stretch.start.tap.node} in outer fragments and did not reach {end.tap.node} whole",
        [
            Evidence(kind=EvidenceKind.PACKETS, text=text),
            Evidence(kind=EvidenceKind.PACKETS, text=f"{int(plain.sum())} packets that were not fragmented passed on the same way"),
            *_fragment_counters(case, stretch.start.tap.node, end.tap.node),
        ],
        not_ruled_out=doubts,
    )


def _fragment_counters(case: Case, sender: str, receiver: str) -> Iterator[Evidence]:
    asked = ((sender, ("Ip.FragCreates", "Ip6FragCreates")), (receiver, ("Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails", "Ip6ReasmFails")))
    grown = [f"{name} of {node} by {growth}" for node, names in asked for name in names if (growth := nodes.grown(case, node, name))]
    if grown:
        yield Evidence(kind=EvidenceKind.COUNTER, text="grown: " + ", ".join(grown))


def _reassembly(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """Fragments that all reached the receiver's tap, and that its kernel did not put together."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(case, trouble, stretch.start)
    if table is None or not len(rows) or not outer_fragmented(table)[rows].all():
        return
    node = stretch.start.tap.node
    failed = max((nodes.grown(case, node, name) or 0 for name in ("Ip.ReasmFails", "Ip6ReasmFails")), default=0)
    if not failed:
        return
    text = f"Ip.ReasmFails (IPv6: Ip6ReasmFails) of {node} grew by {failed}; {len(rows)} fragmented packets were lost"
    yield explain(
        case,
        trouble,
        "outer-fragments-dropped",
        Confidence.LIKELY,
        f"{node} received the outer fragments of {trouble.packets} packets and did not put them together",
        [Evidence(kind=EvidenceKind.COUNTER, text=text)],
    )


def _icmp(answer: IcmpAnswer) -> Evidence:
    text = f"{answer.count} x {answer.text} (too big), seen at {place_text(answer.hop)}"
    return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames)


def _span(low: int, high: int, unit: str) -> str:
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _mtu_bytes(case: Case, node: str, interface: str) -> int | None:
    """What the last look said of an interface's MTU."""
    found = [link.mtu_bytes for facts in nodes.looks(case, node) if (link := nodes.link(facts, interface)) is not None]
    return next((mtu for mtu in reversed(found) if mtu), None)
