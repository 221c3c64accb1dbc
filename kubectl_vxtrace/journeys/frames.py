"""The frames of one path at each of its hops: fragment trains joined, loops and bare packets set aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack
from kubectl_vxtrace.journeys.sightings import Sightings
from kubectl_vxtrace.journeys.trains import inner_trains, outer_trains
from kubectl_vxtrace.journeys.units import Frames
from kubectl_vxtrace.model.packets import Conversations, Ethernets, IcmpQuotes, Neighbours, PacketTable, Tunnels
from kubectl_vxtrace.model.path import Hop, Path, Role, Tap


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
    return outer_trains(inner_trains(frames))


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
        encapsulation=octet,
        seq=long,
        ack=long,
        flags=narrow,
        digest=wide,
        interface=signed,
        ethernet=signed,
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
        ethernets=Ethernets(source=wide, destination=wide),
        icmp_quotes=IcmpQuotes(row=signed, conversation=signed, ip_id=narrow, inner_conversation=signed, inner_ip_id=narrow),
        neighbours=Neighbours(row=signed, address=address, answer=np.zeros(0, np.bool_), mac=wide),
    )
