"""Packets that pass a hop again and again, with ever less of their time to live."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, rows_at
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Hop, Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET
from kubectl_vxtrace.model.report import FrameRef

# A packet loses one of its time to live at each node (RFC 1812, 5.3.1). On one interface a routed packet is seen once, on a bridge that
# its node routes for twice: at a third value it has come back.
_LOOPING_TTLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A hop at which packets of a loss passed again and again.

    packets: how many of them. times: how often the one that came most often. highest, lowest: its time to live.
    """

    hop: Hop
    packets: int
    times: int
    highest: int
    lowest: int
    frames: tuple[FrameRef, ...]


def loops(case: Case, loss: Loss) -> Iterator[Loop]:
    """The hops of the loss's path at which the same packet was seen with three or more values of its time to live."""
    looked_at: set[Tap] = set()
    for hop in loss.path.hops:
        table = case.tables.get(hop.tap)
        if table is None or hop.tap in looked_at:
            continue
        looked_at.add(hop.tap)
        lost = rows_at(loss, hop)
        if len(lost):
            yield from _loop_at(case, hop, table, lost)


def _loop_at(case: Case, hop: Hop, table: PacketTable, lost: I32) -> Iterator[Loop]:
    """Packets are told apart by what no hop changes: destination, IP ID, TCP numbers, length and digest of what they carry.

    Not by source and port: the same node may masquerade the packet each time that it comes by.
    """
    halves = np.ascontiguousarray(table.conversations.destination).view(np.uint64).reshape(-1, 2)
    destination = _numbered((halves[:, 0], halves[:, 1]))
    wanted = np.unique(destination[table.conversation[lost]])
    rows = np.flatnonzero((table.conversation >= 0) & (table.fragment & FRAGMENT_OFFSET == 0))
    rows = rows[np.isin(destination[table.conversation[rows]], wanted)]
    # Hardly any capture holds more than two: nothing has come round there, and the packets need not be told apart.
    if len(np.unique(table.ttl[rows])) < _LOOPING_TTLS:
        return
    conversation = table.conversation[rows]
    columns = (table.ip_id, table.seq, table.ack, table.flags, table.payload_bytes, table.digest)
    protocol = table.conversations.protocol[conversation]
    packet = _numbered((destination[conversation], protocol, *(column[rows] for column in columns)))
    pairs = np.unique(packet * 256 + table.ttl[rows]) // 256
    values = np.bincount(pairs, minlength=int(packet.max(initial=-1)) + 1)
    is_lost = np.isin(np.arange(len(values)), packet[np.isin(rows, lost)])
    looping = np.flatnonzero((values >= _LOOPING_TTLS) & is_lost)
    if not len(looping):
        return
    longest = looping[np.argmax(values[looping])]
    passages = rows[packet == longest]
    yield Loop(
        hop=hop,
        packets=len(looping),
        times=len(passages),
        highest=int(table.ttl[passages].max()),
        lowest=int(table.ttl[passages].min()),
        frames=frame_refs(case, hop.tap, passages.astype(np.int32)),
    )


def _numbered(columns: Sequence[NDArray[np.integer[Any]]]) -> I64:
    """A number from 0 for each row, equal where all columns are. Sorting whole rows at once is far slower."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        _, number = np.unique(number * max(len(values), 1) + place.reshape(-1), return_inverse=True)
    return number.reshape(-1).astype(np.int64)
