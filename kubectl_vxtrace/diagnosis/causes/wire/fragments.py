"""Do encapsulated packets that had to be fragmented arrive whole?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.fragments import outer_fragmented, pieces_seen
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.outer_headers import rows_between
from kubectl_vxtrace.diagnosis.evidence.segment_packets import Crossing, crossing
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_FEW_PACKETS = 3
# RFC 1213 ipFragCreates and the like, of /proc/net/snmp and snmp6.
_SENT = ("Ip.FragCreates", "Ip6FragCreates")
_RECEIVED = ("Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails", "Ip6ReasmFails")
_FAILED = ("Ip.ReasmFails", "Ip6ReasmFails")


def check(case: Case) -> Iterator[Finding]:
    """Findings `outer-fragments-dropped`: fragments were seen leaving, and did not all arrive or were not put together."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.WIRE and stretch.end is not None:
                yield from _on_the_way(case, trouble, stretch)
            elif stretch.place is Place.DECAPSULATE:
                yield from _at_the_receiver(case, trouble, stretch)


def _on_the_way(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    end = stretch.end or stretch.start
    here, there = case.tables.get(stretch.start.tap), case.tables.get(end.tap)
    packets = crossing(case, stretch)
    lost = packets.lost & packets.fragmented
    if here is None or there is None or not lost.any():
        return
    own = int(outer_fragmented(here)[rows_at(trouble, stretch.start)].sum())
    if not own:
        return
    pieces = pieces_seen(here, np.unique(packets.row[lost]), there)
    whole = _whole(there, case, trouble, stretch)
    doubts = _doubts(packets, pieces, whole)
    others = int((packets.lost & ~packets.fragmented).sum()) + int((~packets.lost & packets.fragmented).sum())
    count = int(lost.sum())
    text = (
        f"{count} lost packets left {place_text(stretch.start)} in fragments; at {place_text(end)} the first fragment of {pieces[0]} and a "
    )
    yield explain(
        case,
        trouble,
        "outer-fragments-dropped",
        Confidence.CERTAIN if not doubts else Confidence.POSSIBLE if others else Confidence.LIKELY,
        f"{own} {direction_noun(trouble.path.direction, own)} left {stretch.start.tap.node} in outer fragments and did not reach "
        f"{end.tap.node} whole",
        [
            Evidence(kind=EvidenceKind.PACKETS, text=f"{text}later one of {pieces[1]} of them was seen"),
            Evidence(kind=EvidenceKind.PACKETS, text=f"{whole} VXLAN packets between the same nodes that were not fragmented arrived"),
            *_counters(case, stretch.start.tap.node, end.tap.node),
        ],
        packets=own,
        not_ruled_out=doubts,
    )


def _whole(there: PacketTable, case: Case, trouble: Trouble, stretch: Stretch) -> int:
    """How many VXLAN frames of the same nodes that are no fragments the receiver's capture holds, of whichever flow."""
    rows = rows_between(there, encapsulations(case, trouble, stretch.start))
    return int((~outer_fragmented(there)[rows]).sum())


def _doubts(packets: Crossing, pieces: tuple[int, int], whole: int) -> list[str]:
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
    if int(lost.sum()) < _FEW_PACKETS:
        doubts.append(f"an accident: only {int(lost.sum())} of them")
    return doubts


def _counters(case: Case, sender: str, receiver: str) -> Iterator[Evidence]:
    asked = ((sender, _SENT), (receiver, _RECEIVED))
    grown = [f"{name} of {node} by {growth}" for node, names in asked for name in names if (growth := nodes.grown(case, node, name))]
    if grown:
        yield Evidence(kind=EvidenceKind.COUNTER, text="grown: " + ", ".join(grown))


def _at_the_receiver(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    """Fragments that all reached the receiver's tap, and that its kernel did not put together."""
    table, rows = case.tables.get(stretch.start.tap), rows_at(trouble, stretch.start)
    if table is None or not len(rows) or not outer_fragmented(table)[rows].all():
        return
    node = stretch.start.tap.node
    failed = max((nodes.grown(case, node, name) or 0 for name in _FAILED), default=0)
    if not failed:
        return
    text = f"Ip.ReasmFails (IPv6: Ip6ReasmFails) of {node} grew by {failed}; {len(rows)} fragmented packets were lost"
    enough = failed >= len(rows)
    yield explain(
        case,
        trouble,
        "outer-fragments-dropped",
        Confidence.LIKELY if enough else Confidence.POSSIBLE,
        f"{node} received the outer fragments of {trouble.packets} packets and did not put them together",
        [Evidence(kind=EvidenceKind.COUNTER, text=text)],
        not_ruled_out=() if enough else ("another drop of the receiver: not so many reassemblies failed",),
    )
