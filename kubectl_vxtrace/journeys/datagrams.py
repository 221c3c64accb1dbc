"""Units of UDP, SCTP and ICMP: one for each datagram, also for those that a UDP GSO or GRO super-packet holds."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack, within
from kubectl_vxtrace.journeys.units import Draft, Frames
from kubectl_vxtrace.model.packets import I32, U16, U64

MOST_SEGMENTS = 128
"""Datagrams that one super-packet can hold (UDP_MAX_SEGMENTS, include/linux/udp.h; 64 before Linux 6.9)."""
NONE = np.iinfo(np.int32).max
PORTS = 65536


def largest_of(tcp_bytes: int) -> int:
    """Payload of a datagram that one packet can hold, from that of a TCP segment: a UDP header is 12 bytes shorter (RFC 768, RFC 9293)."""
    return tcp_bytes + 12


def datagram_units(hops: list[Frames], largest_bytes: int) -> list[Draft]:
    """The datagrams at each hop, told apart by client port, length, ICMP sequence and digest of the payload.

    A frame that is larger than `largest_bytes` (what one packet can carry) is a super-packet of datagrams; the kernel numbers them on
    from its IP ID. How large these are is learned where they were seen one by one. Their digests are not known, so that digests of
    client ports with super-packets are not compared. Neither are those of which a file was cut too short.
    """
    segments = _segment_bytes(hops, largest_bytes)
    comparable = np.ones(PORTS, dtype=np.bool_)
    for hop, segment in zip(hops, segments, strict=True):
        comparable[hop.client_port[(segment > 0) | ((hop.table.digest[hop.row] == 0) & (hop.payload_bytes > 0))]] = False
    return [_draft(hop, segment, comparable) for hop, segment in zip(hops, segments, strict=True)]


def _segment_bytes(hops: list[Frames], largest_bytes: int) -> list[I32]:
    """Per hop and frame the size of the datagrams that it was merged from, 0 for a datagram of its own."""
    payload = np.concatenate([hop.payload_bytes for hop in hops])
    segments = np.zeros(len(payload), dtype=np.int32)
    if (payload > largest_bytes).any():
        digest = np.concatenate([hop.table.digest[hop.row] for hop in hops])
        ip_id = np.concatenate([hop.table.ip_id[hop.row] for hop in hops])
        port = np.concatenate([hop.client_port for hop in hops])
        number = number_rows([pack(port, ip_id, np.zeros(len(port), np.uint32)), digest])
        trains = np.zeros(int(number.max()) + 1, dtype=np.bool_)
        trains[number[np.concatenate([hop.count for hop in hops]) > 1]] = True
        large = (payload > largest_bytes) & ~trains[number]
        segments = _by_first_datagram(payload, number, large & (digest != 0))
        rest = np.flatnonzero(large & (segments == 0))
        segments[rest] = _by_later_datagrams(payload, port, ip_id, rest, np.flatnonzero(payload <= largest_bytes), segments)
    return np.split(segments, np.cumsum([len(hop) for hop in hops])[:-1])


def _by_first_datagram(payload: I32, number: I32, large: NDArray[np.bool_]) -> I32:
    """Sizes of super-packets whose first datagram, which has their IP ID and first bytes, was seen by itself."""
    least = np.full(int(number.max()) + 1, NONE, dtype=np.int32)
    filled = payload > 0
    np.minimum.at(least, number[filled], payload[filled])
    size = least[number]
    return np.where(large & (payload > size), size, 0).astype(np.int32)


def _by_later_datagrams(payload: I32, port: I32, ip_id: U16, rest: NDArray[np.intp], small: NDArray[np.intp], segments: I32) -> I32:
    """Sizes of further super-packets: what others of their port have, else the most frequent size of single datagrams of the port; if a
    datagram of that size was seen with one of the IP IDs that they count on to. 0 where nothing fits."""
    known = np.flatnonzero(segments)
    sizes = _most_frequent(port[small], payload[small])
    sizes[port[known]] = segments[known]
    size = sizes[port[rest]]
    counts = np.where(size > 0, -(-payload[rest] // np.maximum(size, 1)), 0).astype(np.int64)
    counts[counts > MOST_SEGMENTS] = 0
    owner = np.repeat(np.arange(len(rest)), counts)
    ids = (ip_id[rest][owner] + within(counts)).astype(np.uint16)
    full = small[payload[small] == sizes[port[small]]]
    seen = np.isin((port[rest][owner].astype(np.int64) << 16) | ids, (port[full].astype(np.int64) << 16) | ip_id[full])
    fits = np.bincount(owner[seen], minlength=len(rest)) > 0
    return np.where(fits, size, 0).astype(np.int32)


def _most_frequent(port: I32, payload: I32) -> I32:
    """The most frequent payload of each port, 0 for ports without any; of equally frequent ones the largest."""
    pairs, counts = np.unique((port.astype(np.int64) << 32) | payload, return_counts=True)
    sizes = np.zeros(PORTS, dtype=np.int32)
    order = np.lexsort((pairs, counts))
    sizes[pairs[order] >> 32] = (pairs[order] & 0xFFFFFFFF).astype(np.int32)
    return sizes


def unsplit(payload_bytes: I32, client_port: I32, first: I32, largest_bytes: int) -> NDArray[np.bool_]:
    """Journeys (payloads of shape (n, hops)) of super-packets that may have gone on as datagrams which nothing ties to them.

    That is where single datagrams of the same client port come into being behind the first hop.
    """
    most = payload_bytes.max(axis=1, initial=0)
    parts = np.zeros(PORTS, dtype=np.bool_)
    parts[client_port[(most <= largest_bytes) & (first > 0)]] = True
    merged: NDArray[np.bool_] = (most > largest_bytes) & parts[client_port]
    return merged


def _draft(hop: Frames, segment: I32, comparable: NDArray[np.bool_]) -> Draft:
    counts = np.where(segment > 0, -(-hop.payload_bytes // np.maximum(segment, 1)), 1).astype(np.int64)
    frame = np.repeat(np.arange(len(hop), dtype=np.int32), counts)
    ordinal = within(counts)
    rows = hop.row[frame]
    rest = hop.payload_bytes[frame] - ordinal * segment[frame]
    payload = np.where(segment[frame] > 0, np.minimum(rest, segment[frame]), rest)
    digest: U64 = np.where(comparable[hop.client_port[frame]], hop.table.digest[rows], np.uint64(0))
    return Draft(
        frame=frame,
        parts=(
            pack(hop.client_port[frame], np.zeros(len(rows), dtype=np.uint16), payload),
            digest,
            hop.table.seq[rows].astype(np.uint64),
        ),
        ip_id=(hop.table.ip_id[rows] + ordinal).astype(np.uint16),
        weight=np.ones(len(rows), dtype=np.int32),
    )
