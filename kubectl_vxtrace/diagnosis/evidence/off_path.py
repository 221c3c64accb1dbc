"""Packets of a flow where its path does not lead: bare on a NIC, or round and round."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, rows_at
from kubectl_vxtrace.diagnosis.losses import Trouble
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, I64, U8, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Hop, Role, Tap
from kubectl_vxtrace.model.report import FrameRef

# A packet loses one of its time to live at each node (RFC 1812, 5.3.1). On one interface a routed packet is seen once, on a bridge that
# its node routes for twice: at a third value it has come back.
_LOOPING_TTLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """Frames of a tap between two addresses: how many, with which addresses, and the first of them."""

    tap: Tap
    count: int
    text: str
    frames: tuple[FrameRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A hop at which packets of a trouble passed again and again.

    packets: how many of them. times: how often the one that came most often. highest, lowest: its time to live.
    """

    hop: Hop
    packets: int
    times: int
    highest: int
    lowest: int
    frames: tuple[FrameRef, ...]


def bare_frames(case: Case, node: str, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[Astray]:
    """Unencapsulated frames from one of `sources` to one of `destinations` on the NICs of `node`, one for each NIC that saw any."""
    yield from _frames(case, node, {Role.UNDERLAY}, sources, destinations)


def frames_between(case: Case, node: str, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[Astray]:
    """The same on its NICs and VXLAN devices: what leaves the node, encapsulated or not."""
    yield from _frames(case, node, {Role.UNDERLAY, Role.VXLAN}, sources, destinations)


def _frames(case: Case, node: str, roles: Container[Role], sources: Sequence[str], destinations: Sequence[str]) -> Iterator[Astray]:
    for tap in sorted({capture.task.tap for capture in case.recording.captures if capture.task.role in roles}):
        table = case.tables.get(tap)
        if table is None or tap.node != node:
            continue
        rows = np.flatnonzero(_between(table, sources, destinations) & (table.tunnel < 0) & (table.kind == Kind.IP)).astype(np.int32)
        if len(rows):
            talk = table.conversation[rows[0]]
            ends = address_text(table.conversations.source[talk]), address_text(table.conversations.destination[talk])
            yield Astray(tap=tap, count=len(rows), text=" > ".join(ends), frames=frame_refs(case, tap, rows))


def _between(table: PacketTable, sources: Sequence[str], destinations: Sequence[str]) -> NDArray[np.bool_]:
    talk = is_one_of(table.conversations.source, sources) & is_one_of(table.conversations.destination, destinations)
    found = np.zeros(len(table), dtype=np.bool_)
    known = table.conversation >= 0
    found[known] = talk[table.conversation[known]]
    return found


def is_one_of(addresses: U8, wanted: Iterable[str]) -> NDArray[np.bool_]:
    """Which of n addresses of 16 bytes, shape (n, 16), are among the `wanted`; text that is no address is left out."""
    found = np.zeros(len(addresses), dtype=np.bool_)
    for text in wanted:
        try:
            parsed = ip_address(text)
        except ValueError:
            continue
        packed = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
        found |= (addresses == np.frombuffer(packed, dtype=np.uint8)).all(axis=1)
    return found


def loops(case: Case, trouble: Trouble) -> Iterator[Loop]:
    """The hops of the trouble's path at which the same packet was seen with three or more values of its time to live."""
    seen: set[Tap] = set()
    for hop in trouble.path.hops:
        table = case.tables.get(hop.tap)
        if table is None or hop.tap in seen:
            continue
        seen.add(hop.tap)
        mine = rows_at(trouble, hop)
        if len(mine):
            yield from _loop_at(case, hop, table, mine)


def _loop_at(case: Case, hop: Hop, table: PacketTable, mine: I32) -> Iterator[Loop]:
    """Packets are told apart by what no hop changes: destination, IP ID, TCP numbers, length and digest of what they carry.

    Not by source and port: the same node may masquerade the packet each time that it comes by.
    """
    halves = np.ascontiguousarray(table.conversations.destination).view(np.uint64).reshape(-1, 2)
    destination = _numbered((halves[:, 0], halves[:, 1]))
    wanted = np.unique(destination[table.conversation[mine]])
    rows = np.flatnonzero((table.conversation >= 0) & (table.fragment & 0x1FFF == 0))
    rows = rows[np.isin(destination[table.conversation[rows]], wanted)]
    # Hardly any capture holds more than two: nothing has come round there, and the packets need not be told apart.
    if len(np.unique(table.ttl[rows])) < _LOOPING_TTLS:
        return
    talk = table.conversation[rows]
    columns = (table.ip_id, table.seq, table.ack, table.flags, table.payload_bytes, table.digest)
    packet = _numbered((destination[talk], table.conversations.protocol[talk], *(column[rows] for column in columns)))
    pairs = np.unique(packet * 256 + table.ttl[rows]) // 256
    values = np.bincount(pairs, minlength=int(packet.max(initial=-1)) + 1)
    lost = np.isin(np.arange(len(values)), packet[np.isin(rows, mine)])
    looping = np.flatnonzero((values >= _LOOPING_TTLS) & lost)
    if not len(looping):
        return
    longest = looping[np.argmax(values[looping])]
    path = rows[packet == longest]
    yield Loop(
        hop=hop,
        packets=len(looping),
        times=len(path),
        highest=int(table.ttl[path].max()),
        lowest=int(table.ttl[path].min()),
        frames=frame_refs(case, hop.tap, path.astype(np.int32)),
    )


def _numbered(columns: Sequence[NDArray[np.integer[Any]]]) -> I64:
    """A number from 0 for each row, equal where all columns are. Sorting whole rows at once is far slower."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        _, number = np.unique(number * max(len(values), 1) + place.reshape(-1), return_inverse=True)
    return number.reshape(-1).astype(np.int64)
