"""TCP frames split into the segments that they held on the wire.

A 64 kB frame at one hop and 45 frames at another carry the same bytes. Every data frame is cut at all boundaries that frames of the
same connection and direction have at any hop, so that what is the same at two hops becomes equal pieces. A piece that is larger than a
packet can be (no hop saw it in parts) stands for as many packets as segments fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import distinct, within
from kubectl_vxtrace.journeys.records import PORTS, HopFrames
from kubectl_vxtrace.journeys.same_packet import TCP_CONTROL_KEY, TCP_DATA_KEY, Field, key_columns
from kubectl_vxtrace.journeys.unpack.numbering import KeyedPackets
from kubectl_vxtrace.journeys.unpack.tcp_sequence import unwrapped
from kubectl_vxtrace.model.packets import I32, I64
from kubectl_vxtrace.model.protocol import TCP_FIN, TCP_PSH, TCP_SYN

ETHERNET_TCP_BYTES = 1460
JUMBO_TCP_BYTES = 9216 - 40
TIMESTAMP_BYTES = 12
SMALLEST_SEGMENT_BYTES = 536
SPARE_PIECES = 6_000_000
"""HopFrames are cut into so many pieces at most beyond twice the packets that they stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSizes:
    """`largest_bytes`: TCP payload that one packet of the wire can hold; `segment_bytes`: what it usually holds."""

    largest_bytes: int
    segment_bytes: int


def segment_sizes(hops: list[HopFrames], mtu_bytes: int | None, ipv6: bool) -> SegmentSizes:
    """Segment sizes from the overlay's MTU, else from the hop that saw the smallest large frames.

    Without an MTU a payload up to 1460 bytes is taken for a packet (Ethernet), up to 9176 if every hop saw such (jumbo
    frames); larger ones are GSO or GRO super-packets. Where no hop saw them in parts, the segment size is the common divisor of
    their lengths, for a sender cuts super-packets from whole segments, else what timestamps (RFC 7323, 12 bytes) leave.
    """
    tops = [int(hop.payload_bytes.max()) for hop in hops if len(hop)]
    least = min(tops, default=0)
    if mtu_bytes:
        largest = max(mtu_bytes - (60 if ipv6 else 40), SMALLEST_SEGMENT_BYTES)
    elif least <= JUMBO_TCP_BYTES:
        largest = max(least, ETHERNET_TCP_BYTES)
    else:
        largest = ETHERNET_TCP_BYTES
    lengths = [hop.payload_bytes[(hop.payload_bytes > largest) & (hop.table.flags[hop.row] & (TCP_PSH | TCP_FIN) == 0)] for hop in hops]
    divisor = int(np.gcd.reduce(np.unique(np.concatenate(lengths)))) if any(map(len, lengths)) else 0
    if divisor > largest and divisor % -(-divisor // largest) == 0:
        divisor //= -(-divisor // largest)
    fits = SMALLEST_SEGMENT_BYTES <= divisor <= largest
    return SegmentSizes(largest_bytes=largest, segment_bytes=divisor if fits else largest - TIMESTAMP_BYTES)


def tcp_packets(hops: list[HopFrames], sizes: SegmentSizes, ipv6: bool) -> tuple[list[KeyedPackets], bool]:
    """The packets of a TCP path: pieces of data, and packets without data by sequence, acknowledgement and flags.

    False if frames could not be cut at each other's boundaries: then what is absent at a hop may be there in other pieces.
    """
    ranges, whole = _byte_ranges(hops)
    boundaries = _boundaries(ranges, sizes)
    single_bytes = _single_segment_bytes(hops, sizes)
    step = 0 if ipv6 else 1  # IPv6 has no IP ID to count on
    packets = []
    for index, (hop, data) in enumerate(zip(hops, ranges, strict=True)):
        pieces = _pieces(data, boundaries[index] if boundaries is not None else None)
        several = data.after - data.first > single_bytes[hop.client_port[data.frame]]
        packets.append(_keyed(hop, data, pieces, _weights(several, pieces, sizes), step))
    return packets, whole and boundaries is not None


def _single_segment_bytes(hops: list[HopFrames], sizes: SegmentSizes) -> I32:
    """Per client port the most bytes of a frame that is a single segment: what the hop with the smallest frames has at most.

    Small segments (a small MSS, Nagle's algorithm switched off) are merged into super-packets that would fit one packet.
    """
    least = np.full(PORTS, sizes.largest_bytes, dtype=np.int32)
    for hop in hops:
        top = np.zeros(PORTS, dtype=np.int32)
        np.maximum.at(top, hop.client_port, hop.payload_bytes)
        np.minimum(least, top, out=least, where=top > 0)
    return least


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _ByteRanges:
    """Data frames of a hop: index into its HopFrames, first byte and byte after the last, both `client port << 33 | unwrapped sequence`."""

    frame: I32
    first: I64
    after: I64


def _byte_ranges(hops: list[HopFrames]) -> tuple[list[_ByteRanges], bool]:
    """The data of each hop; False if some frames reach over the place where sequence numbers wrap."""
    data = [np.flatnonzero((hop.payload_bytes > 0) & (hop.table.flags[hop.row] & TCP_SYN == 0)).astype(np.int32) for hop in hops]
    with_data = list(zip(hops, data, strict=True))
    ports = np.concatenate([hop.client_port[frame] for hop, frame in with_data]).astype(np.int64)
    seqs = np.concatenate([hop.table.seq[hop.row[frame]] for hop, frame in with_data]).astype(np.int64)
    lengths = np.concatenate([hop.payload_bytes[frame] for hop, frame in with_data]).astype(np.int64)
    begins, whole = unwrapped(ports, seqs, lengths)
    first = (ports << 33) + begins
    cuts = np.cumsum([len(frame) for frame in data])[:-1]
    columns = zip(data, np.split(first, cuts), np.split(first + lengths, cuts), strict=True)
    return _without_probes([_ByteRanges(frame=frame, first=start, after=end) for frame, start, end in columns]), whole


def _without_probes(ranges: list[_ByteRanges]) -> list[_ByteRanges]:
    """Without keepalives that carry a byte and zero-window probes (RFC 9293, 3.8.4 and 3.8.6.1): their byte is in another segment too.

    They are packets without data, as far as matching goes: cut at that byte, the other segment would be two.
    """
    covered = [_covered_bytes(data) for data in ranges]
    if not any(len(first) for first in covered):
        return ranges
    probes = distinct(np.concatenate(covered))
    kept = [(data.after - data.first > 1) | ~np.isin(data.first, probes) for data in ranges]
    return [
        _ByteRanges(frame=data.frame[keep], first=data.first[keep], after=data.after[keep]) for data, keep in zip(ranges, kept, strict=True)
    ]


def _covered_bytes(data: _ByteRanges) -> I64:
    """Where frames of one byte begin that a longer frame of the same hop covers."""
    lengths = data.after - data.first
    single: I64 = data.first[lengths == 1]
    longer = np.flatnonzero(lengths > 1)
    if not len(single) or not len(longer):
        return single[:0]
    order = longer[np.argsort(data.first[longer], kind="stable")]
    furthest = np.maximum.accumulate(data.after[order])
    index = np.searchsorted(data.first[order], single, side="right") - 1
    covered = (index >= 0) & (furthest[np.maximum(index, 0)] > single)
    return np.asarray(single[covered], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Boundaries:
    """All bytes where a frame of any hop begins or ends; where among them each frame of one hop begins, and where it ends."""

    byte: I64
    first: I32
    after: I32


def _boundaries(ranges: list[_ByteRanges], sizes: SegmentSizes) -> list[_Boundaries] | None:
    """Where to cut each hop's frames; None if they overlap so much that cutting them would take too much memory."""
    byte = distinct(np.concatenate([ends for data in ranges for ends in (data.first, data.after)]))
    per_hop = [
        _Boundaries(
            byte=byte,
            first=np.searchsorted(byte, data.first).astype(np.int32),
            after=np.searchsorted(byte, data.after).astype(np.int32),
        )
        for data in ranges
    ]
    pieces = sum(int((boundaries.after - boundaries.first).sum(dtype=np.int64)) for boundaries in per_hop)
    packets = sum(int((-(-(data.after - data.first) // sizes.segment_bytes)).sum()) for data in ranges)
    return per_hop if pieces <= SPARE_PIECES + 2 * packets else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pieces:
    """The pieces of a hop's data frames: index into its _ByteRanges, ordinal within the frame, first byte and number of bytes."""

    data: NDArray[np.intp]
    ordinal: I64
    first: I64
    length: I64


def _pieces(data: _ByteRanges, boundaries: _Boundaries | None) -> _Pieces:
    """The frames cut at the boundaries; whole if there are none."""
    if boundaries is None:
        count = len(data.first)
        return _Pieces(data=np.arange(count), ordinal=np.zeros(count, np.int64), first=data.first, length=data.after - data.first)
    counts = boundaries.after - boundaries.first
    ordinal = within(counts)
    index = np.repeat(boundaries.first, counts) + ordinal
    first = boundaries.byte[index]
    return _Pieces(
        data=np.repeat(np.arange(len(data.first)), counts), ordinal=ordinal, first=first, length=boundaries.byte[index + 1] - first
    )


def _keyed(hop: HopFrames, data: _ByteRanges, pieces: _Pieces, weights: I32, step: int) -> KeyedPackets:
    """The packets without data, then the pieces; these have IP IDs that count on by `step` within a frame."""
    holds_data = np.zeros(len(hop), dtype=np.bool_)
    holds_data[data.frame] = True
    control = np.flatnonzero(~holds_data).astype(np.int32)
    rows = hop.row[control]
    given = {Field.CLIENT_PORT: hop.client_port[control], Field.PAYLOAD_BYTES: hop.payload_bytes[control]}
    of_control = key_columns(TCP_CONTROL_KEY, hop.table, rows, given)
    of_data = key_columns(TCP_DATA_KEY, hop.table, rows, {Field.FIRST_BYTE: pieces.first, Field.LENGTH: pieces.length})
    is_data = np.repeat(np.array([0, 1], dtype=np.uint64), [len(control), len(pieces.first)])
    frame = data.frame[pieces.data]
    ip_id = (hop.table.ip_id[hop.row[data.frame]][pieces.data] + pieces.ordinal * step).astype(np.uint16)
    return KeyedPackets(
        frame=np.concatenate([control, frame]).astype(np.int32),
        key=(*(np.concatenate(columns) for columns in zip(of_control, of_data, strict=True)), is_data),
        ip_id=np.concatenate([hop.table.ip_id[rows], ip_id]),
        weight=np.concatenate([np.ones(len(control), np.int32), weights]),
    )


def _weights(several: NDArray[np.bool_], pieces: _Pieces, sizes: SegmentSizes) -> I32:
    """Packets per piece: a frame of one packet is one, at its first piece; in a super-packet (`several`) each piece is one or more."""
    held = np.where(pieces.length > sizes.largest_bytes, -(-pieces.length // sizes.segment_bytes), 1)
    return np.where(several[pieces.data], held, pieces.ordinal == 0).astype(np.int32)
