"""The frames of one path at each of its hops: fragments joined, loops and frames in another form set aside."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows
from kubectl_vxtrace.journeys.records import FlowFrames, HopFrames
from kubectl_vxtrace.journeys.same_packet import PASSAGE_KEY, Field, key_columns
from kubectl_vxtrace.journeys.unpack.fragments import join_inner_fragments, join_outer_fragments
from kubectl_vxtrace.model.packets import Conversations, Ethernets, IcmpQuotes, Neighbours, PacketTable, Tunnels
from kubectl_vxtrace.model.path import Hop, Path, Role, Tap


def hop_frames(
    path: Path, frames_of: Mapping[Tap, FlowFrames], tables: Mapping[Tap, PacketTable]
) -> tuple[tuple[HopFrames, ...], dict[Tap, FlowFrames]]:
    """Sorts the frames of one flow and direction to the hops of its path: frames per hop, and per tap those that stand at none.

    At an underlay hop of a path with encapsulation only encapsulated frames are expected. A frame that passes a tap again with a
    lower TTL (a routing loop) is none of its own, unless the path itself visits the tap twice.
    """
    encapsulates = any(hop.role is Role.VXLAN for hop in path.hops)
    at_hops: list[HopFrames] = []
    expected: dict[Tap, NDArray[np.bool_]] = {}
    for index, hop in enumerate(path.hops):
        frames, table = frames_of.get(hop.tap), tables.get(hop.tap)
        if frames is None or table is None:
            at_hops.append(empty_frames(table))
            continue
        fits = (table.tunnel[frames.row] >= 0) == (encapsulates and hop.role is Role.UNDERLAY)
        expected[hop.tap] = expected.get(hop.tap, np.zeros(len(frames), dtype=np.bool_)) | fits
        at_hops.append(_with_fragments_joined(table, _of_visit(frames if fits.all() else frames.take(fits), table, path.hops, index)))
    unexpected = {
        tap: frames.take(~expected[tap] if tap in expected else np.ones(len(frames), np.bool_)) for tap, frames in frames_of.items()
    }
    return tuple(at_hops), {tap: frames for tap, frames in unexpected.items() if len(frames)}


def empty_frames(table: PacketTable | None) -> HopFrames:
    """No frames."""
    none = np.zeros(0, dtype=np.int32)
    return HopFrames(table=empty_table() if table is None else table, row=none, client_port=none, payload_bytes=none, count=none)


def _of_visit(frames: FlowFrames, table: PacketTable, hops: Sequence[Hop], index: int) -> FlowFrames:
    """The frames that belong to this hop: first passages, or the second ones where the path comes to the tap again."""
    narrow_ttl = table.ttl[frames.row]
    visit = sum(hop.tap == hops[index].tap for hop in hops[:index])
    twice = sum(hop.tap == hops[index].tap for hop in hops) > 1
    if not len(frames) or (not twice and narrow_ttl.min() == narrow_ttl.max()):
        return frames
    ttl = narrow_ttl.astype(np.int64)
    number = number_rows(key_columns(PASSAGE_KEY, table, frames.row, {Field.CLIENT_PORT: frames.client_port}))
    highest = np.zeros(int(number.max()) + 1, dtype=np.int64)
    np.maximum.at(highest, number, ttl)
    passage = (ttl < highest[number]).astype(np.int64)
    if twice:
        # bridged at both visits: nothing took a TTL, so that of two equal frames the later one is the second visit
        order = np.lexsort((table.time_ns[frames.row], number))
        begin = np.concatenate([[True], np.diff(number[order]) != 0])
        rank = np.arange(len(order)) - np.maximum.accumulate(np.where(begin, np.arange(len(order)), 0))
        passage[order] = np.where(passage[order] == 0, rank % 2, 1)
        lower = np.zeros(len(highest), dtype=np.bool_)
        lower[number[ttl < highest[number]]] = True
        passage = np.where(lower[number], (ttl < highest[number]).astype(np.int64), passage)
    return frames.take(passage == visit)


def _with_fragments_joined(table: PacketTable, frames: FlowFrames) -> HopFrames:
    rows = frames.row
    payload, count = table.payload_bytes[rows].astype(np.int32), np.ones(len(rows), dtype=np.int32)
    unjoined = HopFrames(table=table, row=rows, client_port=frames.client_port, payload_bytes=payload, count=count)
    return join_outer_fragments(join_inner_fragments(unjoined))


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
