"""Does the wire between two nodes carry VXLAN: nothing, all but one of several paths, or most?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.wire.neighbour_mac import is_senders_fault
from kubectl_vxtrace.diagnosis.evidence import nic, node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import all_reset, expired_outer_answers
from kubectl_vxtrace.diagnosis.evidence.frame_macs import next_hop_doubt
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.outer_headers import Encapsulation, outer_headers
from kubectl_vxtrace.diagnosis.evidence.segment_packets import (
    SegmentPackets,
    passed_beside,
    passing_destinations,
    segment_packets,
)
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

UNDERLAY_UDP_BLOCKED = Cause(
    slug="underlay-udp-blocked",
    remediation=(
        "Look for them on the way: tcpdump -ni {receiver} 'host {source} and udp port {port}' on the receiver, and what the switch or "
        "hypervisor between counts (they left through {sender}). Then allow UDP {port} from {source} to {destination}, and back "
        "(security group, network ACL, firewall between the nodes)."
    ),
    source="rancher/rke2 issue 2989 (network ACL); projectcalico/calico issues 7178, 9403",
)
UNDERLAY_LOSS = Cause(
    slug="underlay-loss",
    remediation="Look at errors and drops of NICs and switch ports on the way{sizes}.",
    source="loss between two witnesses, without a counter of either node",
    # of what arrives damaged: the receiver counts wrong checksums
    admitted=True,
    gives_reason=False,
)
UNDERLAY_PATH_SUBSET = Cause(
    slug="underlay-path-subset",
    remediation=(
        "Send to the peer from a lost and from a passing source port (nping --udp -g PORT -p VXLANPORT PEER) and look which member each "
        "takes: error counters of the bond's slaves (cat /proc/net/bonding/*) and of the switch ports. Take the broken member out of the "
        "group."
    ),
    source="RFC 7348, section 5 (the outer source port is a hash of the inner headers); RFC 2992",
)
CAUSES = (
    UNDERLAY_UDP_BLOCKED,
    UNDERLAY_LOSS,
    UNDERLAY_PATH_SUBSET,
)

# What to do where all packets of a flow are lost on a way that others pass.
_SELECTIVE = (
    "Look for what tells these packets from the others between {sender} and {receiver}: a firewall, an intrusion detection or a shaper "
    "that looks into VXLAN, rules of the hypervisor or the cloud, a program below the NICs' taps. It has to let UDP {port} pass, whatever "
    "is inside."
)

_MOST_PORTS_SHOWN = 8


def check(case: LossCase, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `underlay-udp-blocked` (nothing arrives), `underlay-path-subset` (some outer source ports never do) and `underlay-loss`
    for what vanished between two nodes' NICs.

    Packets that were sent to an address that the receiver does not have are not the wire's fault, nor are those whose
    receiving NIC is down, nor those that a reset answered or whose time to live ended, nor those that the sender itself led
    elsewhere: nothing is said of those.
    """
    headers = encapsulations(case, loss, segment.start)
    if not headers or _elsewhere(case, segment, headers) or node_facts.interface_state(case, segment.end) is not None:
        return
    if all_reset(case, loss) or expired_outer_answers(case, loss, case.losses) or is_senders_fault(case, loss, segment):
        return
    if loss.arrived == 0 and not _others_arrive(case, segment, headers):
        yield _blocked(case, loss, segment, headers[0])
        return
    packets = segment_packets(case, segment)
    ports = _ports(packets)
    if ports is not None:
        yield _subset(case, loss, segment, headers[0], ports, list(_look_alikes(packets)))
    else:
        yield _partial(case, loss, segment, headers[0], packets)


def _elsewhere(case: Case, segment: Segment, headers: tuple[Encapsulation, ...]) -> bool:
    """Whether no outer destination is an address of the node that should receive, or one at which others reach it (behind a 1:1 NAT);
    False where its addresses are not known."""
    known = node_facts.underlay_addresses(case, segment.end.tap.node)
    return bool(known) and known.union(passing_destinations(case, segment)).isdisjoint(header.destination for header in headers)


def _others_arrive(case: Case, segment: Segment, headers: tuple[Encapsulation, ...]) -> bool:
    """Whether the receiver's capture, its whole file, holds any VXLAN packet between the same outer addresses."""
    table = case.tables.get(segment.end.tap)
    if table is None:
        return False
    pairs = {(header.source, header.destination) for header in headers}
    every_row = np.arange(len(table), dtype=np.int32)
    return any((header.source, header.destination) in pairs for header in outer_headers(table, every_row))


def _blocked(case: Case, loss: Loss, segment: Segment, header: Encapsulation) -> Finding:
    sender, receiver = segment.start, segment.end
    counters, unread = _nic_evidence(case, segment)
    doubts = [*counters, *unread, *_programs(case, segment), *_hypervisor(case, segment), *_deaf(loss, receiver)]
    confidence = Confidence.LIKELY if doubts else Confidence.CERTAIN
    if loss.packets < judgement.FEW_PACKETS:
        confidence = Confidence.LIKELY
        doubts.append(f"an accident: only {loss.packets} of them")
    smallest = _smallest_bytes(case, loss, segment)
    if smallest > judgement.LARGE_BYTES:
        confidence = Confidence.POSSIBLE
        doubts.append(f"the underlay's MTU: the smallest of the lost frames has {smallest} bytes")
    if nic.has_xdp(case, receiver):
        confidence = Confidence.POSSIBLE
    next_hop = next_hop_doubt(case, loss, segment.start, header.destination)
    if next_hop is not None:
        confidence = Confidence.LIKELY if confidence is Confidence.CERTAIN else confidence
        doubts.append(next_hop)
    doubts.append(f"a drop below {place_text(receiver)}'s tap (NIC ring)")
    noun = direction_noun(loss.path.direction, loss.packets)
    outer = f"{header.source} > {host_port(header.destination, header.port)}"
    return error_finding(
        case,
        loss,
        UNDERLAY_UDP_BLOCKED,
        confidence,
        f"{loss.packets} encapsulated {noun} {outer} were handed to {sender.tap.node}'s driver, {receiver.tap.node}'s kernel saw none",
        [_wire_evidence(segment, counters, unread)],
        remediation=UNDERLAY_UDP_BLOCKED.remedy(
            receiver=receiver.tap.interface or "NIC",
            sender=sender.tap.interface or "the NIC",
            source=header.source,
            destination=header.destination,
            port=str(header.port),
        ),
        not_ruled_out=doubts,
    )


def _deaf(loss: Loss, receiver: Hop) -> list[str]:
    """That the receiver's NIC saw nothing at all, whoever sent it: then the NIC or its link is as suspect as what lies before."""
    count = loss.traced.hop_count(receiver.hop)
    silent = count is not None and not count.frames and not count.control
    return [f"a NIC that receives nothing: {place_text(receiver)} saw no packet of anybody"] if silent else []


def _hypervisor(case: Case, segment: Segment) -> list[str]:
    """The look-alike of a block on VMware: the virtual NIC or NSX takes VXLAN for its own."""
    ends = (segment.start, segment.end)
    drivers = {hop: nic.driver(case, hop) for hop in ends}
    clashing = [f"a hypervisor that takes VXLAN for its own: {place_text(hop)} is vmxnet3" for hop in ends if drivers[hop] == "vmxnet3"]
    return clashing + [f"a hypervisor's virtual NIC: the driver of {place_text(hop)} is not known" for hop in ends if drivers[hop] is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    """Outer source ports: those of enough packets that `lost` all and that `passed` all, or all that passed where none of those has
    enough; of all `total` ports `whole` lost all."""

    lost: list[int]
    passed: list[int]
    whole: int
    total: int


def _ports(packets: SegmentPackets) -> _Ports | None:
    """The outer source ports, if each is lost or passes as a whole.

    None where it is not so: fewer than two ports of three or more packets are lost as a whole, fewer packets than that pass, or a port
    has both lost and passing packets.
    """
    ports, place = np.unique(packets.outer_port, return_inverse=True)
    total = np.bincount(place.reshape(-1), minlength=len(ports))
    gone = np.bincount(place.reshape(-1), weights=packets.lost, minlength=len(ports))
    telling = (total >= judgement.FEW_PACKETS) & (ports >= 0)
    lost, passed = telling & (gone == total), (gone == 0) & (ports >= 0)
    mixed = (gone > 0) & (gone < total)
    if lost.sum() < judgement.FEW_LOST_PORTS or total[passed].sum() < judgement.FEW_PACKETS or mixed.any():
        return None
    if (passed & telling).any():
        passed &= telling
    return _Ports(lost=ports[lost].tolist(), passed=ports[passed].tolist(), whole=int((gone == total).sum()), total=len(ports))


def _look_alikes(packets: SegmentPackets) -> Iterator[str]:
    """What else than the port tells the lost packets from those that pass: the flow (protocol, backend, service) or the size."""
    if not np.intersect1d(packets.flow[packets.lost], packets.flow[~packets.lost]).size:
        yield "something about the flows: each is lost or passes as a whole"
    if packets.wire_bytes[packets.lost].min() > packets.wire_bytes[~packets.lost].max():
        yield "a limit on the size: every lost frame is larger than every one that passes"


def _subset(case: Case, loss: Loss, segment: Segment, header: Encapsulation, ports: _Ports, doubts: list[str]) -> Finding:
    counters, unread = _nic_evidence(case, segment)
    noun = direction_noun(loss.path.direction, loss.packets)
    text = f"every packet with the outer source port {_shown(ports.lost)} was lost, every one with {_shown(ports.passed)} passed"
    return error_finding(
        case,
        loss,
        UNDERLAY_PATH_SUBSET,
        Confidence.POSSIBLE if doubts else Confidence.LIKELY,
        f"{loss.packets} {noun} {header.source} > {header.destination} were lost: {ports.whole} of {ports.total} outer source ports "
        "lost every packet, the others none, so that one of several paths is broken",
        [Evidence(kind=EvidenceKind.PACKETS, text=text), _wire_evidence(segment, counters, unread)],
        not_ruled_out=[
            *counters,
            *unread,
            *_programs(case, segment),
            *doubts,
            f"a receive queue of {place_text(segment.end)} that does not work: queues are chosen by the same hash",
        ],
    )


def _shown(ports: list[int]) -> str:
    shown = ", ".join(str(port) for port in ports[:_MOST_PORTS_SHOWN])
    return shown if len(ports) <= _MOST_PORTS_SHOWN else f"{shown} and {len(ports) - _MOST_PORTS_SHOWN} more"


def _partial(case: Case, loss: Loss, segment: Segment, header: Encapsulation, packets: SegmentPackets) -> Finding:
    counters, unread = _nic_evidence(case, segment)
    noun = direction_noun(loss.path.direction, loss.packets)
    outer = f"{header.source} > {host_port(header.destination, header.port)}"
    summary = f"{loss.packets} of {loss.sent} encapsulated {noun} {outer} were lost on the way"
    proofs, doubts = [_wire_evidence(segment, counters, unread)], [*counters, *unread, *_programs(case, segment)]
    beside = passed_beside(case, loss, segment)
    larger = _is_larger(case, segment, packets, beside)
    remediation = UNDERLAY_LOSS.remedy(sizes=", and compare the sizes of lost packets with the MTU" if larger else "")
    sender, receiver = segment.start.tap.node, segment.end.tap.node
    if not loss.arrived and not larger and min(loss.packets, len(beside)) >= judgement.FEW_PACKETS:
        passed = f"{len(beside)} other VXLAN packets from {sender} to {receiver} passed meanwhile"
        summary += f", and {passed}: something on the way looks at ports or contents"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=f"{passed}, and none of this flow"))
        remediation = _SELECTIVE.format(sender=sender, receiver=receiver, port=header.port)
        ports = np.unique(packets.outer_port[packets.lost & (packets.flow == loss.flow.id)])
        if len(ports) < judgement.FEW_PACKETS:
            doubts.append(f"a broken path of several: they have {len(ports)} outer source port{'s' if len(ports) > 1 else ''} only")
    return error_finding(
        case,
        loss,
        UNDERLAY_LOSS,
        Confidence.POSSIBLE if counters or unread else Confidence.LIKELY,
        summary,
        proofs,
        remediation=remediation,
        not_ruled_out=doubts,
    )


def _is_larger(case: Case, segment: Segment, packets: SegmentPackets, beside: I32) -> bool:
    """Whether some lost frame is larger than all that passed, those `beside` among them, and may so die of an MTU; a merged one's size is
    that of no packet."""
    mtu_bytes = node_facts.mtu_bytes(case, segment.end)
    most_bytes = judgement.LARGE_BYTES if mtu_bytes is None else mtu_bytes + ETHERNET_BYTES
    lost = packets.wire_bytes[packets.lost & ~packets.merged]
    passed = np.concatenate([packets.wire_bytes[~packets.lost & ~packets.merged], beside[beside <= most_bytes]])
    return bool(lost.max(initial=0) > max(passed.max(initial=0), judgement.LARGE_BYTES))


def _smallest_bytes(case: Case, loss: Loss, segment: Segment) -> int:
    table = case.tables.get(segment.start.tap)
    rows = rows_at(loss, segment.start)
    return 0 if table is None or not len(rows) else int(table.wire_bytes[rows].min())


def _wire_evidence(segment: Segment, counters: list[str], unread: list[str]) -> Evidence:
    sender, receiver = segment.start, segment.end
    if counters or unread:
        return Evidence(kind=EvidenceKind.ABSENCE, text="the NICs' own counters do not clear them: " + "; ".join([*counters, *unread]))
    text = f"no receive-missed or softnet counter of {receiver.tap.node} and no transmit-error counter of {sender.tap.node} grew"
    return Evidence(kind=EvidenceKind.ABSENCE, text=text)


def _nic_evidence(case: Case, segment: Segment) -> tuple[list[str], list[str]]:
    """Counters of both NICs that grew, and NICs whose counters were not read twice, each as a sentence."""
    grown = [*nic.sender_losses(case, segment.start), *nic.receiver_losses(case, segment.end), *nic.xdp_drops(case, segment.end)]
    return [counter.text for counter in grown], nic.unread(case, segment)


def _programs(case: Case, segment: Segment) -> list[str]:
    return [f"the XDP program on {place_text(hop)}" for hop in (segment.start, segment.end) if nic.has_xdp(case, hop)]
