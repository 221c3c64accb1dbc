"""Do encapsulated packets that had to be fragmented arrive whole?"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis import judgement
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.fragments import outer_fragmented, pieces_seen
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.outer_headers import rows_between
from kubectl_vxtrace.diagnosis.evidence.segment_packets import SegmentPackets, segment_packets
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, SegmentKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

OUTER_FRAGMENTS_DROPPED = Cause(
    slug="outer-fragments-dropped",
    remediation=(
        "Look: nstat -az IpFragCreates on the sender, IpReasmFails on the receiver. Fix: lower the network plugin's MTU to the NIC's "
        "MTU less 50 (IPv6: 70), so that nothing is fragmented."
    ),
    source="RFC 7348, section 4.3; RFC 8900; Linux net/ipv4/ip_fragment.c",
)
CAUSES = (OUTER_FRAGMENTS_DROPPED,)


# RFC 1213 ipFragCreates and the like, of /proc/net/snmp and snmp6.
_SENT = ("Ip.FragCreates", "Ip6FragCreates")
_RECEIVED = ("Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails", "Ip6ReasmFails")
_FAILED = ("Ip.ReasmFails", "Ip6ReasmFails")


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `outer-fragments-dropped`: fragments were seen leaving, and did not all arrive or were not put together."""
    if segment.kind is SegmentKind.WIRE:
        yield from _on_the_way(case, loss, segment)
    else:
        yield from _at_the_receiver(case, loss, segment)


def _on_the_way(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    end = segment.end
    here, there = case.tables.get(segment.start.tap), case.tables.get(end.tap)
    packets = segment_packets(case, segment)
    lost = packets.lost & packets.fragmented
    if here is None or there is None or not lost.any():
        return
    own = int(outer_fragmented(here)[rows_at(loss, segment.start)].sum())
    if not own:
        return
    pieces = pieces_seen(here, np.unique(packets.row[lost]), there)
    whole = _whole(there, case, loss, segment)
    doubts = _doubts(packets, pieces, whole)
    others = int((packets.lost & ~packets.fragmented).sum()) + int((~packets.lost & packets.fragmented).sum())
    count = int(lost.sum())
    text = (
        f"{count} lost packets left {place_text(segment.start)} in fragments; at {place_text(end)} the first fragment of {pieces[0]} and a "
    )
    yield replace(
        error_finding(
            case,
            loss,
            OUTER_FRAGMENTS_DROPPED,
            Confidence.CERTAIN if not doubts else Confidence.POSSIBLE if others else Confidence.LIKELY,
            f"{own} {direction_noun(loss.path.direction, own)} left {segment.start.tap.node} in outer fragments and did not reach "
            f"{end.tap.node} whole",
            [
                Evidence(kind=EvidenceKind.PACKETS, text=f"{text}later one of {pieces[1]} of them was seen"),
                Evidence(kind=EvidenceKind.PACKETS, text=f"{whole} VXLAN packets between the same nodes that were not fragmented arrived"),
                *_counters(case, segment.start.tap.node, end.tap.node),
            ],
            not_ruled_out=doubts,
        ),
        packets=own,
    )


def _whole(there: PacketTable, case: Case, loss: Loss, segment: Segment) -> int:
    """How many VXLAN frames of the same nodes that are no fragments the receiver's capture holds, of whichever flow."""
    rows = rows_between(there, encapsulations(case, loss, segment.start))
    return int((~outer_fragmented(there)[rows]).sum())


def _doubts(packets: SegmentPackets, pieces: tuple[int, int], whole: int) -> list[str]:
    lost = packets.lost & packets.fragmented
    others, arrived = int((packets.lost & ~packets.fragmented).sum()), int((~packets.lost & packets.fragmented).sum())
    doubts = []
    if others:
        doubts.append(f"a loss that is not about fragments: {others} whole packets were lost as well")
    if arrived:
        doubts.append(f"a loss at random: {arrived} fragmented packets arrived whole")
    if not whole and not any(pieces):
        doubts.append("a block of the VXLAN port: nothing at all arrived")
    if pieces[1] and not pieces[0]:
        doubts.append("an MTU on the way that is smaller than the NIC's: only the first fragments, the long ones, are missing")
    if int(lost.sum()) < judgement.FEW_PACKETS:
        doubts.append(f"an accident: only {int(lost.sum())} of them")
    return doubts


def _counters(case: Case, sender: str, receiver: str) -> Iterator[Evidence]:
    asked = ((sender, _SENT), (receiver, _RECEIVED))
    grown = [f"{name} of {node} by {growth}" for node, names in asked for name in names if (growth := node_facts.grown(case, node, name))]
    if grown:
        yield Evidence(kind=EvidenceKind.COUNTER, text="grown: " + ", ".join(grown))


def _at_the_receiver(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Fragments that all reached the receiver's tap, and that its kernel did not put together."""
    table, rows = case.tables.get(segment.start.tap), rows_at(loss, segment.start)
    if table is None or not len(rows) or not outer_fragmented(table)[rows].all():
        return
    node = segment.start.tap.node
    failed = max((node_facts.grown(case, node, name) or 0 for name in _FAILED), default=0)
    if not failed:
        return
    text = f"Ip.ReasmFails (IPv6: Ip6ReasmFails) of {node} grew by {failed}; {len(rows)} fragmented packets were lost"
    enough = failed >= len(rows)
    yield error_finding(
        case,
        loss,
        OUTER_FRAGMENTS_DROPPED,
        Confidence.LIKELY if enough else Confidence.POSSIBLE,
        f"{node} received the outer fragments of {loss.packets} packets and did not put them together",
        [Evidence(kind=EvidenceKind.COUNTER, text=text)],
        not_ruled_out=() if enough else ("another drop of the receiver: not so many reassemblies failed",),
    )
