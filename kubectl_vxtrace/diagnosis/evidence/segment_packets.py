"""All packets of a case that were to pass a segment, from one tap to the next: which did, which did not, and what tells them apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.fragments import outer_fragmented
from kubectl_vxtrace.diagnosis.evidence.outer_headers import outer_headers, rows_between
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Path, Tap
from kubectl_vxtrace.model.protocol import ETHERNET_BYTES, TAG_BYTES

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentPackets:
    """Packets seen at one tap of which it is known whether they passed the next, n rows, of all flows, in order of time.

    lost: whether it was not seen there or later. row: of the first tap's PacketTable. wire_bytes: length of its frame there.
    merged: the frame is larger than the interface's MTU, so that it holds several packets. outer_port: UDP source port of the
    encapsulation, -1 where the frame is bare. fragmented: the outer packet left in fragments. protocol: the inner packet's.
    payload_bytes: of the inner packet. flow: its id. first: it is the first packet of its connection. weight: packets on the wire
    that it stands for. time_ns: clock of its first hop.
    """

    lost: Mask
    row: I32
    wire_bytes: I32
    merged: Mask
    outer_port: I32
    fragmented: Mask
    protocol: U8
    payload_bytes: I32
    flow: I32
    client_port: I32
    first: Mask
    weight: I32
    time_ns: I64

    def __len__(self) -> int:
        return len(self.lost)


def segment_packets(case: Case, segment: AnySegment) -> SegmentPackets:
    """The packets of all paths of `case` that pass both ends of `segment`, one after the other."""
    table = case.tables.get(segment.start.tap)
    end = segment.end.tap if segment.end is not None else None
    parts = [_of_path(traced.path, traced.journeys, table, segment.start.tap, end) for traced in case.paths]
    return _joined([part for part in parts if part is not None], table, _mtu_bytes(case, segment.start.tap))


def passing_destinations(case: Case, segment: AnySegment) -> frozenset[str]:
    """The outer destinations, at the first tap, of the packets that passed a segment."""
    table = case.tables.get(segment.start.tap)
    if table is None:
        return frozenset()
    packets = segment_packets(case, segment)
    return frozenset(header.destination for header in outer_headers(table, packets.row[~packets.lost]))


def passed_meanwhile(case: Case, loss: Loss) -> bool:
    """Whether packets to the loss's own destination, of whatever flow, passed its segments between the first and the last one lost: to each
    that they may have had, where nothing names it. Those used the same entries of the same tables.
    """
    of_direction = [traced for traced in case.paths if traced.path.direction is loss.path.direction]
    lost_ns = loss.traced.journeys.time_ns[loss.rows]
    for segment in loss.segments:
        packets = segment_packets(case, segment)
        passed = np.unique(packets.flow[~packets.lost & (packets.time_ns > lost_ns.min()) & (packets.time_ns < lost_ns.max())]).tolist()
        if not {*loss.receivers} <= {address for traced in of_direction if traced.flow.id in passed for address in _receivers(traced)}:
            return False
    return bool(loss.receivers)


def passed_beside(case: Case, loss: Loss, segment: Segment) -> I32:
    """The lengths of other flows' frames with the loss's outer addresses that the wire's far end saw between the first and the last one
    lost; by the middle of what is known of the clocks, in the whole file where nothing is."""
    near, far = case.tables.get(segment.start.tap), case.tables.get(segment.end.tap)
    lost = loss.traced.journeys.row[loss.rows, segment.start.hop - 1]
    lost = lost[lost >= 0]
    if near is None or far is None or not len(lost):
        return np.zeros(0, dtype=np.int32)
    others = np.setdiff1d(rows_between(far, outer_headers(near, lost)), loss.traced.journeys.row[:, segment.end.hop - 1])
    ahead_ns = _ahead_ns(case, segment)
    if ahead_ns is not None:
        first_ns, last_ns = near.time_ns[lost].min() + ahead_ns, near.time_ns[lost].max() + ahead_ns
        others = others[(far.time_ns[others] >= first_ns) & (far.time_ns[others] <= last_ns)]
    return far.wire_bytes[others]


def _ahead_ns(case: Case, segment: Segment) -> int | None:
    """How far the clock at a segment's end is ahead of the one at its start."""
    ends = (segment.start.tap.node, segment.end.tap.node)
    for bound in case.clocks:
        low, high = bound.offset_ns.low, bound.offset_ns.high
        if low is not None and high is not None and {bound.reference, bound.node} == set(ends):
            return (low + high) // 2 if bound.node == ends[1] else -((low + high) // 2)
    return None


def _receivers(traced: TracedPath) -> set[str]:
    """Where the packets of a path go after translation."""
    if traced.path.direction is Direction.REPLY:
        return {traced.flow.client.address}
    return {traced.flow.server.address} if traced.flow.server is not None else set()


def packets_of_loss(case: Case, loss: Loss) -> SegmentPackets:
    """The packets of the loss's own path that were seen where its leg begins, and those of them that got past its leg."""
    table = case.tables.get(loss.start.tap)
    end = loss.end.tap if loss.end is not None else None
    part = _of_path(loss.path, loss.traced.journeys, table, loss.start.tap, end)
    return _joined([part] if part is not None else [], table, _mtu_bytes(case, loss.start.tap))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    row: I32
    lost: Mask
    flow: I32
    client_port: I32
    first: Mask
    weight: I32
    time_ns: I64


def _of_path(path: Path, journey: JourneyTable, table: PacketTable | None, start: Tap, end: Tap | None) -> _Part | None:
    taps = [hop.tap for hop in path.hops]
    if table is None or start not in taps or not len(journey):
        return None
    here = taps.index(start)
    if end is not None and end not in taps[here + 1 :]:
        return None
    there = taps.index(end, here + 1) if end is not None else len(taps)
    later = (journey.row[:, there:] >= 0).any(axis=1)
    # A blind first tap may have seen packets whose leg begins at a witness before it.
    bad = (journey.outcome >= OutcomeCode.REJECTED) & (journey.lost_from <= there) & ~later
    if end is None:
        bad = (journey.outcome >= OutcomeCode.REJECTED) & (journey.lost_from == here + 1)
        later = journey.outcome == OutcomeCode.DELIVERED
    known = np.flatnonzero((journey.row[:, here] >= 0) & (later | bad))
    first = np.zeros(len(journey), dtype=np.bool_)
    first[np.unique(journey.client_port, return_index=True)[1]] = True
    return _Part(
        row=journey.row[known, here],
        lost=bad[known],
        flow=np.full(len(known), path.flow, dtype=np.int32),
        client_port=journey.client_port[known],
        first=first[known],
        weight=journey.weight_packets[known],
        time_ns=journey.time_ns[known],
    )


def _joined(parts: list[_Part], table: PacketTable | None, mtu_bytes: int | None) -> SegmentPackets:
    if not parts or table is None:
        none, signed, octet = np.zeros(0, np.bool_), np.zeros(0, np.int32), np.zeros(0, np.uint8)
        return SegmentPackets(
            lost=none,
            row=signed,
            wire_bytes=signed,
            merged=none,
            outer_port=signed,
            fragmented=none,
            protocol=octet,
            payload_bytes=signed,
            flow=signed,
            client_port=signed,
            first=none,
            weight=signed,
            time_ns=np.zeros(0, np.int64),
        )
    time_ns = np.concatenate([part.time_ns for part in parts])
    order = np.argsort(time_ns, kind="stable")
    row = np.concatenate([part.row for part in parts])[order].astype(np.int32)
    tunnel, conversation = table.tunnel[row], table.conversation[row]
    ports = table.tunnels.source_port.astype(np.int32) if len(table.tunnels) else np.zeros(1, np.int32)
    wire_bytes = table.wire_bytes[row]
    return SegmentPackets(
        lost=np.concatenate([part.lost for part in parts])[order],
        row=row,
        wire_bytes=wire_bytes,
        merged=wire_bytes > mtu_bytes + _UNCOUNTED_BYTES if mtu_bytes is not None else np.zeros(len(row), np.bool_),
        outer_port=np.where(tunnel >= 0, ports[tunnel], -1).astype(np.int32),
        fragmented=outer_fragmented(table)[row],
        protocol=np.where(conversation >= 0, table.conversations.protocol[conversation], 0).astype(np.uint8),
        payload_bytes=table.payload_bytes[row],
        flow=np.concatenate([part.flow for part in parts])[order],
        client_port=np.concatenate([part.client_port for part in parts])[order],
        first=np.concatenate([part.first for part in parts])[order],
        weight=np.concatenate([part.weight for part in parts])[order],
        time_ns=time_ns[order],
    )


# The header that an interface's MTU does not count; tags come on top, and a frame that is so little longer is not called merged.
_UNCOUNTED_BYTES = ETHERNET_BYTES + TAG_BYTES


def _mtu_bytes(case: Case, tap: Tap) -> int | None:
    """The largest MTU that a look at the node found of the interface, None where unknown."""
    looks = (*case.recording.before, *case.recording.after)
    links = [link for facts in looks if facts.node == tap.node and (link := facts.link(tap.interface)) is not None]
    return max((link.mtu_bytes for link in links if link.mtu_bytes), default=None)


def own_packets_passed(case: Case, segment: Segment) -> int:
    """Frames of the receiver's whole capture that carry the sending node's own address, outside or as their only one."""
    table = case.tables.get(segment.end.tap)
    if table is None:
        return 0
    own = node_facts.underlay_addresses(case, segment.start.tap.node)
    outer = [number for number in range(len(table.tunnels)) if address_text(table.tunnels.source[number]) in own]
    bare = [number for number in range(len(table.conversations)) if address_text(table.conversations.source[number]) in own]
    return int((np.isin(table.tunnel, outer) | ((table.tunnel < 0) & np.isin(table.conversation, bare))).sum())
