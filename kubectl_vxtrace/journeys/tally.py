"""Counts of one path: what each hop saw, what became of packets between neighbouring witnesses, and how long that took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clocks import Clocks
from kubectl_vxtrace.journeys.sightings import Sightings
from kubectl_vxtrace.journeys.trails import Trails
from kubectl_vxtrace.journeys.window import STAGGER_NS, Window
from kubectl_vxtrace.journeys.witness import Testimony
from kubectl_vxtrace.model.journeys import JourneyTable, OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Role, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import HopCount, Latency, LegTally, Outer

VANISHED = (OutcomeCode.LOST, OutcomeCode.REJECTED, OutcomeCode.DROPPED)


_FEW = 10
"""At most one packet in so many is put down to captures that ended one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a path's counts are made of besides its journeys. `in_window`: all frames of each tap in the common window."""

    tables: Mapping[Tap, PacketTable]
    window: Window | None
    testimonies: Sequence[Testimony]
    in_window: Mapping[Tap, int]


def hop_counts(trails: Trails, view: View) -> tuple[HopCount, ...]:
    """The expected hops of a path; `trails` are its counted journeys."""
    found = []
    for index, hop in enumerate(trails.way.path.hops):
        testimony = view.testimonies[index]
        frames = trails.way.frames[index]
        seen = trails.frame[:, index]
        holds = np.zeros(len(frames) + 1, dtype=np.bool_)
        holds[seen] = True  # of -1, unseen, behind the last
        held = np.flatnonzero(holds[:-1])
        rows = frames.row[held]
        count = int(frames.count[held].sum())
        found.append(
            HopCount(
                hop=index + 1,
                role=hop.role,
                node=hop.tap.node,
                interface=hop.tap.interface or None,
                capture=testimony.capture,
                packets=int(trails.weight[seen >= 0].sum()),
                frames=count,
                control=max(view.in_window.get(hop.tap, 0) - count, 0),
                witness=testimony.witness,
                reason=testimony.reason,
                tuple=tuple_text(frames.table, rows, trails.way.path.direction),
                outer=outer_of(frames.table, rows),
            )
        )
    return tuple(found)


def frames_in_window(window: Window | None, tap: Tap, table: PacketTable) -> int:
    """How many frames of a tap lie in the common window."""
    return int(np.count_nonzero(_in_window(window, tap.node, table.time_ns)))


def _in_window(window: Window | None, node: str, times_ns: I64) -> NDArray[np.bool_]:
    if window is None or node not in window.start_ns:
        return np.zeros(len(times_ns), dtype=np.bool_)
    return np.asarray((times_ns >= window.start_ns[node]) & (times_ns <= window.end_ns[node]))


def counted(trails: Trails, window: Window | None) -> NDArray[np.bool_]:
    """Whether each journey's first sighting lies in the common window, and the next hop's file had not ended before it came there."""
    inside, late = np.zeros(len(trails), dtype=np.bool_), np.zeros(len(trails), dtype=np.bool_)
    for index, hop in enumerate(trails.way.path.hops):
        mine = trails.first == index
        inside[mine] = _in_window(window, hop.tap.node, trails.time_ns[mine])
        late[mine] = _after_the_last_frame(window, trails, index, mine)
    late &= inside
    # More than a few are no accident of the end, but a loss that began late.
    return inside & ~late if late.sum() * _FEW <= inside.sum() else inside


def _after_the_last_frame(window: Window | None, trails: Trails, first: int, mine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Journeys of the very end that a hop did not see whose file holds nothing later; only for files of others."""
    hops = trails.way.path.hops
    node = hops[first].tap.node
    times_ns = trails.time_ns[mine]
    late = np.zeros(len(times_ns), dtype=np.bool_)
    if window is None or node not in window.last_ns:
        return late
    seen = trails.seen[mine]
    for index in range(first + 1, len(hops)):
        last_ns = window.last_ns[node].get(hops[index].tap)
        if last_ns is not None:
            ended = times_ns > max(last_ns, window.end_ns[node] - STAGGER_NS)
            late |= ended & seen[:, index - 1] & ~seen[:, index]
    return late


def unexpected_counts(
    odd: Mapping[Tap, Sightings], view: View, known: Mapping[Tap, tuple[Role, Testimony]], after: int, direction: Direction
) -> tuple[HopCount, ...]:
    """Sightings that stand at no hop of the path (bare on a NIC, another node), numbered after its hops."""
    found: list[HopCount] = []
    for tap in sorted(odd):
        table, (role, testimony) = view.tables[tap], known[tap]
        rows = odd[tap].row
        rows = rows[_in_window(view.window, tap.node, table.time_ns[rows])]
        if not len(rows):
            continue
        found.append(
            HopCount(
                hop=after + len(found) + 1,
                role=role,
                node=tap.node,
                interface=tap.interface or None,
                expected=False,
                capture=testimony.capture,
                packets=len(rows),
                frames=len(rows),
                control=max(view.in_window.get(tap, 0) - len(rows), 0),
                witness=testimony.witness,
                reason=testimony.reason,
                tuple=tuple_text(table, rows, direction),
                outer=outer_of(table, rows),
            )
        )
    return tuple(found)


def tuple_text(table: PacketTable, rows: NDArray[np.int32], direction: Direction) -> str | None:
    """The addresses that most of these frames carry, `client > server:port` or `server:port > client`; pings have no port."""
    if not len(rows):
        return None
    talk = table.conversations
    row = _most_frequent(table.conversation[rows])
    source, destination = address_text(talk.source[row]), address_text(talk.destination[row])
    if talk.protocol[row] in (IpProtocol.ICMP, IpProtocol.ICMPV6):
        return f"{source} > {destination}"
    if direction is Direction.REQUEST:
        return f"{source} > {_with_port(destination, int(talk.destination_port[row]))}"
    return f"{_with_port(source, int(talk.source_port[row]))} > {destination}"


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def outer_of(table: PacketTable, rows: NDArray[np.int32]) -> Outer | None:
    """The encapsulation that most of these frames carry, None for bare ones."""
    tunnel = table.tunnel[rows]
    tunnel = tunnel[tunnel >= 0]
    if not len(tunnel):
        return None
    # outer source ports differ by flow, so that one encapsulation is many tunnels
    tunnels = table.tunnels
    row = _most_frequent(tunnel)
    return Outer(
        source=address_text(tunnels.source[row]),
        destination=address_text(tunnels.destination[row]),
        port=int(tunnels.port[row]),
        vni=int(tunnels.vni[row]),
    )


def _most_frequent(values: NDArray[np.int32]) -> int:
    return int(np.argmax(np.bincount(values)))


def leg_tallies(trails: Trails, journeys: JourneyTable, reached: I32, witness: Sequence[bool], clocks: Clocks) -> tuple[LegTally, ...]:
    """What became of packets between neighbouring witnesses; blind hops lie inside a leg. `reached`: how many hops each provably passed."""
    places = [index for index, is_witness in enumerate(witness) if is_witness]
    seen, vanished = trails.seen, _vanished(journeys)
    # seen there or behind, or known to have come there
    later = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1] | (np.arange(seen.shape[1]) < reached[:, None])
    found = []
    for start, end in pairwise(places):
        sent = seen[:, start]
        arrived = sent & later[:, end]
        lost = vanished & (journeys.lost_from == start + 1) & (journeys.lost_to == end + 1)
        unknown = sent & ~arrived & ~lost
        found.append(
            LegTally(
                from_=start + 1,
                to=end + 1,
                sent=int(trails.weight[sent].sum()),
                arrived=int(trails.weight[arrived].sum()),
                lost=int(trails.weight[lost].sum()),
                undetermined=int(trails.weight[unknown].sum()),
                latency_ns=latency(trails, start, end, clocks),
            )
        )
    return tuple(found)


def open_leg(trails: Trails, journeys: JourneyTable) -> tuple[LegTally, ...]:
    """The leg behind the last hop of a path of which only the beginning is known, if packets vanished there."""
    length = trails.frame.shape[1]
    lost = _vanished(journeys) & (journeys.lost_from == length) & (journeys.lost_to == 0)
    if not length or not lost.any():
        return ()
    sent, vanished = int(trails.weight[trails.seen[:, -1]].sum()), int(trails.weight[lost].sum())
    return (LegTally(from_=length, to=None, sent=sent, arrived=0, lost=vanished, undetermined=sent - vanished),)


def _vanished(journeys: JourneyTable) -> NDArray[np.bool_]:
    return np.isin(journeys.outcome, VANISHED)


def latency(trails: Trails, start: int, end: int, clocks: Clocks) -> Latency | None:
    """How long packets took between two hops: exact on one node; across nodes with half the clocks' corridor, where it is widest, as
    uncertainty.

    None where nothing bounds the clocks, a clock stepped, nothing was seen at both, or the median would be finer than the
    uncertainty.
    """
    hops = trails.way.path.hops
    nodes = hops[start].tap.node, hops[end].tap.node
    both = trails.seen[:, start] & trails.seen[:, end]
    before = _times(trails, start, both)
    bounds = clocks.over(nodes[1], nodes[0], before)
    if not both.any() or bounds is None:
        return None
    low, high = bounds
    delays = (_times(trails, end, both) - before).astype(np.float64) - (low + high) / 2
    uncertainty = int(np.ceil((high - low).max() / 2))
    least, median, most = (max(int(value), 0) for value in (delays.min(), np.median(delays), delays.max()))
    if median < uncertainty:
        return None
    return Latency(min=least, median=median, max=most, uncertainty=uncertainty)


def _times(trails: Trails, hop: int, which: NDArray[np.bool_]) -> I64:
    frames = trails.way.frames[hop]
    rows: NDArray[np.int32] = frames.row[trails.frame[which, hop]]
    return np.asarray(frames.table.time_ns[rows], dtype=np.int64)
