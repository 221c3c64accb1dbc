"""TCP frames split into the segments that they held on the wire.

A 64 kB frame at one hop and 45 frames at another carry the same bytes. Every data frame is cut at all boundaries that frames of the
same connection and direction have at any hop, so that what is the same at two hops becomes equal pieces. A piece that is larger than a
packet can be (nobody saw it in parts) stands for as many packets as segments fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.circle import positions
from kubectl_vxtrace.journeys.columns import distinct, pack, within
from kubectl_vxtrace.journeys.units import Draft, Frames
from kubectl_vxtrace.model.packets import I32, I64

ETHERNET_TCP_BYTES = 1460
JUMBO_TCP_BYTES = 9216 - 40
TIMESTAMP_BYTES = 12
SMALLEST_SEGMENT_BYTES = 536
SPARE_PIECES = 6_000_000
"""Frames are cut into so many pieces at most beyond twice the packets that they stand for."""
DATA = 0xFFFF
SYN, PUSH, FIN = 0x02, 0x08, 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """`largest_bytes`: TCP payload that one packet of the wire can hold; `segment_bytes`: what it usually holds."""

    largest_bytes: int
    segment_bytes: int


def sizes_of(hops: list[Frames], mtu_bytes: int | None, ipv6: bool) -> Sizes:
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
    lengths = [hop.payload_bytes[(hop.payload_bytes > largest) & (hop.table.flags[hop.row] & (PUSH | FIN) == 0)] for hop in hops]
    divisor = int(np.gcd.reduce(np.unique(np.concatenate(lengths)))) if any(len(one) for one in lengths) else 0
    if divisor > largest and divisor % -(-divisor // largest) == 0:
        divisor //= -(-divisor // largest)
    fits = SMALLEST_SEGMENT_BYTES <= divisor <= largest
    return Sizes(largest_bytes=largest, segment_bytes=divisor if fits else largest - TIMESTAMP_BYTES)


def tcp_units(hops: list[Frames], sizes: Sizes, ipv6: bool) -> tuple[list[Draft], bool]:
    """The units of a TCP path: pieces of data, and packets without data by sequence, acknowledgement and flags.

    False if frames could not be cut at each other's boundaries: then what is absent at a hop may be there in other pieces.
    """
    spans, whole = _spans(hops)
    cuts = _cuts(spans, sizes)
    pieces = [_pieces(span, cuts[index] if cuts is not None else None) for index, span in enumerate(spans)]
    singles = _singles(hops, sizes)
    step = 0 if ipv6 else 1  # IPv6 has no IP ID to count on
    return [
        _draft(hop, span, piece, sizes, singles, step) for hop, span, piece in zip(hops, spans, pieces, strict=True)
    ], whole and cuts is not None


def _singles(hops: list[Frames], sizes: Sizes) -> I32:
    """Per client port the most bytes of a frame that is a single segment: what the hop with the smallest frames has at most.

    Small segments (a small MSS, Nagle's algorithm switched off) are merged into super-packets that would fit one packet.
    """
    least = np.full(65536, sizes.largest_bytes, dtype=np.int32)
    for hop in hops:
        top = np.zeros(65536, dtype=np.int32)
        np.maximum.at(top, hop.client_port, hop.payload_bytes)
        np.minimum(least, top, out=least, where=top > 0)
    return least


Span = tuple[I32, I64, I64]
"""Data frames of a hop: index into its Frames, first byte and byte after the last, both `client port << 33 | unwrapped sequence`."""


def _spans(hops: list[Frames]) -> tuple[list[Span], bool]:
    """The spans of each hop; False if some frames reach over the place where sequence numbers wrap."""
    data = [np.flatnonzero((hop.payload_bytes > 0) & (hop.table.flags[hop.row] & SYN == 0)).astype(np.int32) for hop in hops]
    ports = np.concatenate([hop.client_port[one] for hop, one in zip(hops, data, strict=True)]).astype(np.int64)
    seqs = np.concatenate([hop.table.seq[hop.row[one]] for hop, one in zip(hops, data, strict=True)]).astype(np.int64)
    lengths = np.concatenate([hop.payload_bytes[one] for hop, one in zip(hops, data, strict=True)]).astype(np.int64)
    place, whole = positions(ports, seqs, lengths)
    start = (ports << 33) + place
    cuts = np.cumsum([len(one) for one in data])[:-1]
    spans = list(zip(data, np.split(start, cuts), np.split(start + lengths, cuts), strict=True))
    return _without_probes(spans), whole


def _without_probes(spans: list[Span]) -> list[Span]:
    """Without keepalives that carry a byte and zero-window probes (RFC 9293, 3.8.4 and 3.8.6.1): their byte is in another segment too.

    They are packets without data, as far as matching goes: cut at that byte, the other segment would be two.
    """
    bytes_of = [_covered_bytes(start, end) for _, start, end in spans]
    if not any(len(one) for one in bytes_of):
        return spans
    probes = distinct(np.concatenate(bytes_of))
    kept = [(end - start > 1) | ~np.isin(start, probes) for _, start, end in spans]
    return [(one[keep], start[keep], end[keep]) for (one, start, end), keep in zip(spans, kept, strict=True)]


def _covered_bytes(start: I64, end: I64) -> I64:
    """Where frames of one byte begin that a longer frame of the same hop covers."""
    single: I64 = start[end - start == 1]
    longer = np.flatnonzero(end - start > 1)
    if not len(single) or not len(longer):
        return single[:0]
    order = longer[np.argsort(start[longer], kind="stable")]
    furthest = np.maximum.accumulate(end[order])
    place = np.searchsorted(start[order], single, side="right") - 1
    covered = (place >= 0) & (furthest[np.maximum(place, 0)] > single)
    return np.asarray(single[covered], dtype=np.int64)


Cut = tuple[I64, I32, I32]
"""All places where a frame of any hop begins or ends; where among them each frame of one hop begins, and where it ends."""


def _cuts(spans: list[Span], sizes: Sizes) -> list[Cut] | None:
    """Where to cut each hop's frames; None if they overlap so much that cutting them would take too much memory."""
    marks = distinct(np.concatenate([part for _, start, end in spans for part in (start, end)]))
    cuts = [
        (marks, np.searchsorted(marks, start).astype(np.int32), np.searchsorted(marks, end).astype(np.int32)) for _, start, end in spans
    ]
    pieces = sum(int((last - first).sum(dtype=np.int64)) for _, first, last in cuts)
    packets = sum(int((-(-(end - start) // sizes.segment_bytes)).sum()) for _, start, end in spans)
    return cuts if pieces <= SPARE_PIECES + 2 * packets else None


def _pieces(span: Span, cut: Cut | None) -> tuple[NDArray[np.intp], I64, I64, I64]:
    """The pieces of a hop's frames: index into the span, ordinal within the frame, first byte and byte after the last."""
    _, start, end = span
    if cut is None:
        return np.arange(len(start)), np.zeros(len(start), np.int64), start, end
    marks, first, last = cut
    pieces = last - first
    ordinal = within(pieces)
    place = np.repeat(first, pieces) + ordinal
    return np.repeat(np.arange(len(start)), pieces), ordinal, marks[place], marks[place + 1]


def _draft(hop: Frames, span: Span, pieces: tuple[NDArray[np.intp], I64, I64, I64], sizes: Sizes, singles: I32, step: int) -> Draft:
    data, start, end = span
    frame, ordinal, begin, stop = pieces
    holds_data = np.zeros(len(hop), dtype=np.bool_)
    holds_data[data] = True
    control = np.flatnonzero(~holds_data).astype(np.int32)
    rows = hop.row[control]
    flags, seq, ack = hop.table.flags[rows], hop.table.seq[rows], hop.table.ack[rows]
    parts = (
        np.concatenate([pack(hop.client_port[control], flags, seq), begin.astype(np.uint64)]),
        np.concatenate([ack.astype(np.uint64), (stop - begin).astype(np.uint64)]),
        np.concatenate([hop.payload_bytes[control].astype(np.uint64), np.full(len(begin), 1 << 40, dtype=np.uint64)]),
    )
    ip_id = np.concatenate([hop.table.ip_id[rows], (hop.table.ip_id[hop.row[data]][frame] + ordinal * step).astype(np.uint16)])
    several = (end - start > singles[hop.client_port[data]])[frame]
    weight = np.concatenate([np.ones(len(control), np.int32), _weights(several, ordinal, stop - begin, sizes)])
    return Draft(frame=np.concatenate([control, data[frame]]).astype(np.int32), parts=parts, ip_id=ip_id, weight=weight)


def _weights(several: NDArray[np.bool_], ordinal: I64, pieces: I64, sizes: Sizes) -> I32:
    """Packets per piece: a frame of one packet is one, at its first piece; in a super-packet (`several`) each piece is one or more."""
    held = np.where(pieces > sizes.largest_bytes, -(-pieces // sizes.segment_bytes), 1)
    return np.where(several, held, ordinal == 0).astype(np.int32)
