"""IP fragments of one packet as that packet, where all of them are there (RFC 791, 3.2; RFC 8200, 4.5)."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import look_up, number_rows
from kubectl_vxtrace.journeys.judgement import FRAGMENT_PAUSE_NS
from kubectl_vxtrace.journeys.records import HopFrames
from kubectl_vxtrace.journeys.same_packet import FRAGMENT_KEY, Field, key_columns
from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, MORE_FRAGMENTS, IpProtocol

ENCAPSULATION_BYTES = 92
"""Least number of bytes around a UDP payload in VXLAN: Ethernet 14, IPv4 20, UDP 8, VXLAN 8 (RFC 7348, 5), Ethernet 14, IPv4 20, UDP 8."""
TCP_HEADER_BYTES = (20, 60)
OUTER_HEADER_BYTES = 34
"""Ethernet and IPv4 before the first outer fragment's data."""


def join_inner_fragments(frames: HopFrames) -> HopFrames:
    """Fragments of inner packets as the packets: kept, at the first fragment, if all of them are there."""
    table = frames.table
    is_fragment = table.fragment[frames.row] & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    if not is_fragment.any():
        return frames
    fragments = frames.take(is_fragment)
    fragment = table.fragment[fragments.row].astype(np.int64)
    start = (fragment & FRAGMENT_OFFSET) * 8
    number = number_rows(key_columns(FRAGMENT_KEY, table, fragments.row, {Field.CLIENT_PORT: fragments.client_port}))
    packet = _packets(number, table.time_ns[fragments.row])
    protocol = table.conversations.protocol[table.conversation[fragments.row]]
    end = start + fragments.payload_bytes + np.where(start == 0, _header_bytes(protocol, packet, start, fragments.payload_bytes), 0)
    first, last_end, count = _complete(packet, start, end, fragment & MORE_FRAGMENTS == 0)
    header = end[first] - fragments.payload_bytes[first]
    merged = HopFrames(
        table=table,
        row=fragments.row[first],
        client_port=fragments.client_port[first],
        payload_bytes=(last_end - header).astype(np.int32),
        count=count,
    )
    return _merged(frames.take(~is_fragment), merged)


def _packets(number: I32, time_ns: I64) -> I32:
    """Which packet each fragment is of: fragments with one number, as long as they follow each other without a pause."""
    order = np.lexsort((time_ns, number))
    ordered, times = number[order], time_ns[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (ordered[1:] != ordered[:-1]) | (times[1:] - times[:-1] > FRAGMENT_PAUSE_NS)
    packet = np.empty(len(order), dtype=np.int32)
    packet[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return packet


def _header_bytes(protocol: U8, packet: I32, start: I64, payload: I32) -> I64:
    """The L4 header in front of a first fragment's payload. A TCP header's length is known from where the next fragment begins."""
    fixed = np.where(protocol == IpProtocol.SCTP, 12, 8).astype(np.int64)
    tcp = np.flatnonzero((protocol == IpProtocol.TCP) & (start == 0))
    if not len(tcp):
        return fixed
    second = np.full(int(packet.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    later = start > 0
    np.minimum.at(second, packet[later], start[later])
    room = second[packet[tcp]] - payload[tcp]
    sound = (room >= TCP_HEADER_BYTES[0]) & (room <= TCP_HEADER_BYTES[1])
    fixed[tcp] = np.where(sound, room, TCP_HEADER_BYTES[0])
    return fixed


def _complete(packet: I32, start: I64, end: I64, final: NDArray[np.bool_]) -> tuple[NDArray[np.intp], I64, I32]:
    """Packets whose fragments leave no gap: of each the index of the first fragment, where the last one ends, how many frames there are.

    Fragments that came twice count once.
    """
    order = np.lexsort((start, packet))
    is_repeated = np.zeros(len(order), dtype=np.bool_)
    is_repeated[1:] = (packet[order[1:]] == packet[order[:-1]]) & (start[order[1:]] == start[order[:-1]])
    order = order[~is_repeated]
    packets, starts, ends = packet[order], start[order], end[order]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = packets[1:] != packets[:-1]
    closes = np.append(begins[1:], True)
    follows = starts == np.where(begins, 0, np.append(0, ends[:-1]))
    fits = follows & (final[order] == closes)
    size = int(packet.max(initial=-1)) + 1
    is_whole = np.bincount(packets[~fits], minlength=size) == 0
    kept = is_whole[packets]
    count = np.bincount(packet, minlength=size)
    return order[begins & kept], ends[closes & kept], count[packets[begins & kept]].astype(np.int32)


def join_outer_fragments(frames: HopFrames) -> HopFrames:
    """VXLAN packets whose outer packet was fragmented: kept, at the first outer fragment, if the later ones are there as well.

    Fragments are known by outer addresses and outer IP ID, as `same_packet` says of later ones.
    """
    table = frames.table
    short = (table.tunnel[frames.row] >= 0) & (table.wire_bytes[frames.row] < table.payload_bytes[frames.row] + ENCAPSULATION_BYTES)
    if not short.any():
        return frames
    firsts = frames.take(short)
    is_later = (table.tunnel < 0) & (table.fragment & FRAGMENT_OFFSET != 0) & (table.conversation >= 0)
    rows = np.flatnonzero(is_later).astype(np.int32)
    rows = rows[table.conversations.protocol[table.conversation[rows]] == IpProtocol.UDP]
    # of first and later fragments: outer addresses and outer IP ID
    ends = [np.concatenate(pair) for pair in _outer_ends(table, table.tunnel[firsts.row], table.conversation[rows])]
    number = number_rows([*ends, np.concatenate([table.outer_id[firsts.row], table.ip_id[rows]])])
    packet = _packets(number, np.concatenate([table.time_ns[firsts.row], table.time_ns[rows]]))
    owner = look_up(packet[: len(firsts)], packet[len(firsts) :])
    rows, owner = rows[owner >= 0], owner[owner >= 0].astype(np.int32)
    offset = table.fragment[rows].astype(np.int64)
    starts = (offset & FRAGMENT_OFFSET) * 8
    # How many bytes stand before the first fragment's data (tags, IPv6) is not in the table: it ends where the next one begins.
    second = np.full(len(firsts), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(second, owner, starts)
    room = table.wire_bytes[firsts.row] - second
    sound = (room >= OUTER_HEADER_BYTES) & (room <= 2 * OUTER_HEADER_BYTES)
    first, _, count = _complete(
        np.concatenate([np.arange(len(firsts), dtype=np.int32), owner]),
        np.concatenate([np.zeros(len(firsts), np.int64), starts]),
        np.concatenate([np.where(sound, second, 0), starts + table.payload_bytes[rows]]),
        np.concatenate([np.zeros(len(firsts), np.bool_), offset & MORE_FRAGMENTS == 0]),
    )
    kept = replace(firsts.take(first), count=firsts.count[first] + count - 1)
    return _merged(frames.take(~short), kept)


def _outer_ends(table: PacketTable, tunnel: I32, conversation: I32) -> list[tuple[I64, I64]]:
    """The four address halves of outer packets: of tunnels and of conversations."""
    halves: list[tuple[I64, I64]] = []
    for outer, bare in (
        (table.tunnels.source, table.conversations.source),
        (table.tunnels.destination, table.conversations.destination),
    ):
        left = np.ascontiguousarray(outer).view(np.int64).reshape(-1, 2)[tunnel]
        right = np.ascontiguousarray(bare).view(np.int64).reshape(-1, 2)[conversation]
        halves += [(left[:, side], right[:, side]) for side in (0, 1)]
    return halves


def _merged(left: HopFrames, right: HopFrames) -> HopFrames:
    """Both in file order."""
    order = np.argsort(np.concatenate([left.row, right.row]), kind="stable")
    return HopFrames(
        table=left.table,
        row=np.concatenate([left.row, right.row])[order],
        client_port=np.concatenate([left.client_port, right.client_port])[order],
        payload_bytes=np.concatenate([left.payload_bytes, right.payload_bytes])[order],
        count=np.concatenate([left.count, right.count])[order],
    )
