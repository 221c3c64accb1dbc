"""IP fragments of one packet as that packet, where all of them are there (RFC 791, 3.2; RFC 8200, 4.5)."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import look_up, number_rows, pack
from kubectl_vxtrace.journeys.sightings import MORE_FRAGMENTS, OFFSET
from kubectl_vxtrace.journeys.units import Frames
from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable
from kubectl_vxtrace.model.protocol import IpProtocol

ENCAPSULATION_BYTES = 92
"""Least number of bytes around a UDP payload in VXLAN: Ethernet 14, IPv4 20, UDP 8, VXLAN 8 (RFC 7348, 5), Ethernet 14, IPv4 20, UDP 8."""
TRAIN_NS = 1_000_000_000
"""The fragments of a packet leave together. What comes with the same IP ID after such a pause is another packet."""
TCP_HEADER_BYTES = (20, 60)
OUTER_HEADER_BYTES = 34
"""Ethernet and IPv4 before the first outer fragment's data."""


def inner_trains(frames: Frames) -> Frames:
    """Fragments of inner packets as the packets: kept, at the first fragment, if all of them are there."""
    table = frames.table
    part = table.fragment[frames.row] & (MORE_FRAGMENTS | OFFSET) != 0
    if not part.any():
        return frames
    pieces = pick(frames, part)
    fragment = table.fragment[pieces.row].astype(np.int64)
    start = (fragment & OFFSET) * 8
    named = number_rows([pack(pieces.client_port, table.ip_id[pieces.row], np.zeros(len(pieces), np.uint32))])
    train = _passages(named, table.time_ns[pieces.row])
    protocol = table.conversations.protocol[table.conversation[pieces.row]]
    end = start + pieces.payload_bytes + np.where(start == 0, _header_bytes(protocol, train, start, pieces.payload_bytes), 0)
    first, last_end, count = _complete(train, start, end, fragment & MORE_FRAGMENTS == 0)
    header = end[first] - pieces.payload_bytes[first]
    merged = Frames(
        table=table,
        row=pieces.row[first],
        client_port=pieces.client_port[first],
        payload_bytes=(last_end - header).astype(np.int32),
        count=count,
    )
    return merge(pick(frames, ~part), merged)


def _passages(named: I32, time_ns: I64) -> I32:
    """Trains: fragments of one name, as long as they follow each other without a pause."""
    order = np.lexsort((time_ns, named))
    ordered, times = named[order], time_ns[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]) | (times[1:] - times[:-1] > TRAIN_NS)
    train = np.empty(len(order), dtype=np.int32)
    train[order] = np.cumsum(new, dtype=np.int32) - 1
    return train


def _header_bytes(protocol: U8, train: I32, start: I64, payload: I32) -> I64:
    """The L4 header in front of a first fragment's payload. A TCP header's length is known from where the next fragment begins."""
    fixed = np.where(protocol == IpProtocol.SCTP, 12, 8).astype(np.int64)
    tcp = np.flatnonzero((protocol == IpProtocol.TCP) & (start == 0))
    if not len(tcp):
        return fixed
    second = np.full(int(train.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    later = start > 0
    np.minimum.at(second, train[later], start[later])
    room = second[train[tcp]] - payload[tcp]
    sound = (room >= TCP_HEADER_BYTES[0]) & (room <= TCP_HEADER_BYTES[1])
    fixed[tcp] = np.where(sound, room, TCP_HEADER_BYTES[0])
    return fixed


def _complete(train: I32, start: I64, end: I64, final: NDArray[np.bool_]) -> tuple[NDArray[np.intp], I64, I32]:
    """Trains without a gap: the index of the first fragment, where the last one ends, and how many frames there are, of each.

    Fragments that came twice count once.
    """
    order = np.lexsort((start, train))
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = (train[order[1:]] == train[order[:-1]]) & (start[order[1:]] == start[order[:-1]])
    order = order[~again]
    numbers, starts, ends = train[order], start[order], end[order]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = numbers[1:] != numbers[:-1]
    closes = np.append(begins[1:], True)
    joined = starts == np.where(begins, 0, np.append(0, ends[:-1]))
    fine = joined & (final[order] == closes)
    size = int(train.max(initial=-1)) + 1
    whole = np.bincount(numbers[~fine], minlength=size) == 0
    kept = whole[numbers]
    count = np.bincount(train, minlength=size)
    return order[begins & kept], ends[closes & kept], count[numbers[begins & kept]].astype(np.int32)


def outer_trains(frames: Frames) -> Frames:
    """VXLAN packets whose outer packet was fragmented: kept, at the first outer fragment, if the later ones are there as well."""
    table = frames.table
    short = (table.tunnel[frames.row] >= 0) & (table.wire_bytes[frames.row] < table.payload_bytes[frames.row] + ENCAPSULATION_BYTES)
    if not short.any():
        return frames
    heads = pick(frames, short)
    tails = np.flatnonzero((table.tunnel < 0) & (table.fragment & OFFSET != 0) & (table.conversation >= 0)).astype(np.int32)
    tunnel = table.tunnel[heads.row]
    talk = table.conversation[tails]
    udp = table.conversations.protocol[talk] == IpProtocol.UDP
    tails, talk = tails[udp], talk[udp]
    ends = [np.concatenate(pair) for pair in _outer_ends(table, tunnel, talk)]
    ids = np.concatenate([table.outer_id[heads.row], table.ip_id[tails]])
    named = number_rows([*ends, ids])
    train = _passages(named, np.concatenate([table.time_ns[heads.row], table.time_ns[tails]]))
    place = look_up(train[: len(heads)], train[len(heads) :])
    tails, place = tails[place >= 0], place[place >= 0].astype(np.int32)
    offset = table.fragment[tails].astype(np.int64)
    starts = (offset & OFFSET) * 8
    # How many bytes stand before the first fragment's data (tags, IPv6) is not in the table: it ends where the next one begins.
    second = np.full(len(heads), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(second, place, starts)
    room = table.wire_bytes[heads.row] - second
    sound = (room >= OUTER_HEADER_BYTES) & (room <= 2 * OUTER_HEADER_BYTES)
    number = np.concatenate([np.arange(len(heads), dtype=np.int32), place])
    start = np.concatenate([np.zeros(len(heads), np.int64), starts])
    end = np.concatenate([np.where(sound, second, 0), starts + table.payload_bytes[tails]])
    final = np.concatenate([np.zeros(len(heads), np.bool_), offset & MORE_FRAGMENTS == 0])
    first, _, count = _complete(number, start, end, final)
    kept = Frames(
        table=table,
        row=heads.row[first],
        client_port=heads.client_port[first],
        payload_bytes=heads.payload_bytes[first],
        count=heads.count[first] + count - 1,
    )
    return merge(pick(frames, ~short), kept)


def _outer_ends(table: PacketTable, tunnel: I32, talk: I32) -> list[tuple[I64, I64]]:
    """The four address halves of outer packets: of tunnels and of conversations."""
    halves: list[tuple[I64, I64]] = []
    for outer, bare in (
        (table.tunnels.source, table.conversations.source),
        (table.tunnels.destination, table.conversations.destination),
    ):
        left = np.ascontiguousarray(outer).view(np.int64).reshape(-1, 2)[tunnel]
        right = np.ascontiguousarray(bare).view(np.int64).reshape(-1, 2)[talk]
        halves += [(left[:, side], right[:, side]) for side in (0, 1)]
    return halves


def pick(frames: Frames, which: NDArray[np.generic]) -> Frames:
    """Some of the frames: indices or a mask."""
    return Frames(
        table=frames.table,
        row=frames.row[which],
        client_port=frames.client_port[which],
        payload_bytes=frames.payload_bytes[which],
        count=frames.count[which],
    )


def merge(one: Frames, other: Frames) -> Frames:
    """Both in file order."""
    order = np.argsort(np.concatenate([one.row, other.row]), kind="stable")
    columns = {name: np.concatenate([getattr(one, name), getattr(other, name)])[order] for name in Frames.__slots__ if name != "table"}
    return Frames(table=one.table, **columns)
