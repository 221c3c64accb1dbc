"""The frames of one path at each of its hops: fragment trains joined, loops and bare packets set aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import look_up, number_rows, pack
from kubectl_vxtrace.journeys.sightings import MORE_FRAGMENTS, OFFSET, Sightings
from kubectl_vxtrace.journeys.units import Frames
from kubectl_vxtrace.model.packets import I32, I64, Conversations, IcmpQuotes, IpProtocol, PacketTable, Tunnels
from kubectl_vxtrace.model.path import Hop, Path, Role, Tap

LAST_END_SLACK_BYTES = 60
"""The first fragment's payload is counted without its L4 header, which is at most 60 bytes (TCP with options)."""
ENCAPSULATION_BYTES = 92
"""Least number of bytes around a UDP payload in VXLAN: Ethernet 14, IPv4 20, UDP 8, VXLAN 8 (RFC 7348, 5), Ethernet 14, IPv4 20, UDP 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What one path's sightings are: frames per expected hop, and per tap the sightings that stand at none."""

    hops: tuple[Frames, ...]
    unexpected: dict[Tap, Sightings]


def frames_of(path: Path, sightings: Mapping[Tap, Sightings], tables: Mapping[Tap, PacketTable]) -> Ways:
    """Sorts the sightings of one flow and direction to the hops of its path.

    At an underlay hop of a path with encapsulation only encapsulated frames are expected. A frame that passes a tap again with a
    lower TTL (a routing loop) is no sighting of its own, unless the path itself visits the tap twice.
    """
    tunnelled = any(hop.role is Role.VXLAN for hop in path.hops)
    hops: list[Frames] = []
    expected: dict[Tap, NDArray[np.bool_]] = {}
    for index, hop in enumerate(path.hops):
        seen, table = sightings.get(hop.tap), tables.get(hop.tap)
        if seen is None or table is None:
            hops.append(empty_frames(table))
            continue
        fits = (table.tunnel[seen.row] >= 0) == (tunnelled and hop.role is Role.UNDERLAY)
        expected[hop.tap] = expected.get(hop.tap, np.zeros(len(seen), dtype=np.bool_)) | fits
        hops.append(_joined(table, _visit(seen if fits.all() else seen.take(fits), table, path.hops, index)))
    odd = {tap: seen.take(~expected[tap] if tap in expected else np.ones(len(seen), np.bool_)) for tap, seen in sightings.items()}
    return Ways(hops=tuple(hops), unexpected={tap: seen for tap, seen in odd.items() if len(seen)})


def empty_frames(table: PacketTable | None) -> Frames:
    """No frames."""
    none = np.zeros(0, dtype=np.int32)
    return Frames(table=empty_table() if table is None else table, row=none, client_port=none, payload_bytes=none, count=none)


def _visit(seen: Sightings, table: PacketTable, hops: Sequence[Hop], index: int) -> Sightings:
    """The sightings that belong to this hop: first passages, or the second ones where the path comes to the tap again."""
    octets = table.ttl[seen.row]
    again = sum(hop.tap == hops[index].tap for hop in hops[:index])
    twice = sum(hop.tap == hops[index].tap for hop in hops) > 1
    if not len(seen) or (not twice and octets.min() == octets.max()):
        return seen
    ttl = octets.astype(np.int64)
    number = number_rows(
        [
            pack(seen.client_port, table.ip_id[seen.row], table.seq[seen.row]),
            pack(table.fragment[seen.row], table.flags[seen.row], table.payload_bytes[seen.row]),
            table.digest[seen.row],
        ]
    )
    top = np.zeros(int(number.max()) + 1, dtype=np.int64)
    np.maximum.at(top, number, ttl)
    passage = (ttl < top[number]).astype(np.int64)
    if twice:
        # bridged at both visits: nothing took a TTL, so that of two equal sightings the later one is the second visit
        order = np.lexsort((table.time_ns[seen.row], number))
        begin = np.concatenate([[True], np.diff(number[order]) != 0])
        rank = np.arange(len(order)) - np.maximum.accumulate(np.where(begin, np.arange(len(order)), 0))
        passage[order] = np.where(passage[order] == 0, rank % 2, 1)
        lower = np.zeros(len(top), dtype=np.bool_)
        lower[number[ttl < top[number]]] = True
        passage = np.where(lower[number], (ttl < top[number]).astype(np.int64), passage)
    return seen.take(passage == again)


def _joined(table: PacketTable, seen: Sightings) -> Frames:
    rows = seen.row
    payload, count = table.payload_bytes[rows].astype(np.int32), np.ones(len(rows), dtype=np.int32)
    frames = Frames(table=table, row=rows, client_port=seen.client_port, payload_bytes=payload, count=count)
    return _outer_trains(_inner_trains(frames))


def _pick(frames: Frames, which: NDArray[np.generic]) -> Frames:
    return Frames(
        table=frames.table,
        row=frames.row[which],
        client_port=frames.client_port[which],
        payload_bytes=frames.payload_bytes[which],
        count=frames.count[which],
    )


def _inner_trains(frames: Frames) -> Frames:
    """IP fragments of one packet as the packet: kept, at the first fragment, if all of them are there (RFC 791, 3.2)."""
    table = frames.table
    part = table.fragment[frames.row] & (MORE_FRAGMENTS | OFFSET) != 0
    if not part.any():
        return frames
    pieces = _pick(frames, part)
    fragment = table.fragment[pieces.row].astype(np.int64)
    train = number_rows([pack(pieces.client_port, table.ip_id[pieces.row], np.zeros(len(pieces), np.uint32))])
    size = int(train.max()) + 1
    begins, ends = fragment & OFFSET == 0, fragment & MORE_FRAGMENTS == 0
    first = np.full(size, -1, dtype=np.int64)
    first[train[begins]] = np.flatnonzero(begins)
    last_end = np.zeros(size, dtype=np.int64)
    last_end[train[ends]] = ((fragment & OFFSET) * 8 + pieces.payload_bytes)[ends]
    covered = np.bincount(train, weights=pieces.payload_bytes, minlength=size).astype(np.int64)
    protocol = table.conversations.protocol[table.conversation[pieces.row[np.maximum(first, 0)]]]
    header = np.where(protocol == IpProtocol.TCP, LAST_END_SLACK_BYTES, 8)
    whole = np.flatnonzero((first >= 0) & (last_end > 0) & (covered + header >= last_end))
    least = np.where(protocol == IpProtocol.TCP, 20, 8)
    merged = Frames(
        table=table,
        row=pieces.row[first[whole]],
        client_port=pieces.client_port[first[whole]],
        payload_bytes=np.minimum(covered, last_end - least)[whole].astype(np.int32),
        count=np.bincount(train, minlength=size)[whole].astype(np.int32),
    )
    return _merged(_pick(frames, ~part), merged)


def _outer_trains(frames: Frames) -> Frames:
    """VXLAN packets whose outer packet was fragmented: kept, at the first outer fragment, if the later ones are there as well."""
    table = frames.table
    short = (table.tunnel[frames.row] >= 0) & (table.wire_bytes[frames.row] < table.payload_bytes[frames.row] + ENCAPSULATION_BYTES)
    if not short.any():
        return frames
    heads = _pick(frames, short)
    tails = np.flatnonzero((table.tunnel < 0) & (table.fragment & OFFSET != 0) & (table.conversation >= 0)).astype(np.int32)
    tunnel = table.tunnel[heads.row]
    talk = table.conversation[tails]
    udp = table.conversations.protocol[talk] == IpProtocol.UDP
    tails, talk = tails[udp], talk[udp]
    ends = [np.concatenate(pair) for pair in _outer_ends(table, tunnel, talk)]
    ids = np.concatenate([table.outer_id[heads.row], table.ip_id[tails]])
    number = number_rows([*ends, ids])
    train = look_up(number[: len(heads)], number[len(heads) :])
    tails, train = tails[train >= 0], train[train >= 0]
    offset = table.fragment[tails].astype(np.int64)
    size = len(heads)
    covered = np.bincount(train, weights=table.payload_bytes[tails], minlength=size) + table.wire_bytes[heads.row] - 34
    last_end = np.zeros(size, dtype=np.int64)
    final = offset & MORE_FRAGMENTS == 0
    last_end[train[final]] = ((offset & OFFSET) * 8 + table.payload_bytes[tails])[final]
    whole = (last_end > 0) & (covered >= last_end)
    extra = np.bincount(train, minlength=size).astype(np.int32)
    counted = Frames(
        table=table, row=heads.row, client_port=heads.client_port, payload_bytes=heads.payload_bytes, count=heads.count + extra
    )
    return _merged(_pick(frames, ~short), _pick(counted, whole))


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


def _merged(one: Frames, other: Frames) -> Frames:
    order = np.argsort(np.concatenate([one.row, other.row]), kind="stable")
    columns = {name: np.concatenate([getattr(one, name), getattr(other, name)])[order] for name in Frames.__slots__ if name != "table"}
    return Frames(table=one.table, **columns)


def empty_table() -> PacketTable:
    """A table without frames, for a hop that has no file."""
    narrow, wide, octet = np.zeros(0, np.uint16), np.zeros(0, np.uint64), np.zeros(0, np.uint8)
    signed, time, long = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.uint32)
    address = np.zeros((0, 16), np.uint8)
    return PacketTable(
        tap=None,
        frame=signed,
        offset=time,
        time_ns=time,
        wire_bytes=signed,
        captured_bytes=signed,
        kind=octet,
        payload_bytes=signed,
        conversation=signed,
        tunnel=signed,
        ip_id=narrow,
        outer_id=narrow,
        ttl=octet,
        fragment=narrow,
        seq=long,
        ack=long,
        flags=narrow,
        digest=wide,
        conversations=Conversations(protocol=octet, source=address, destination=address, source_port=narrow, destination_port=narrow),
        tunnels=Tunnels(
            source=address,
            destination=address,
            source_port=narrow,
            port=narrow,
            vni=long,
            inner_source_mac=wide,
            inner_destination_mac=wide,
        ),
        icmp_quotes=IcmpQuotes(row=signed, conversation=signed, ip_id=narrow, inner_conversation=signed, inner_ip_id=narrow),
    )
