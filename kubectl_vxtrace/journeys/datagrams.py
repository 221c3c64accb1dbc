"""Units of UDP, SCTP and ICMP: one for each datagram, also for those that a UDP GSO or GRO super-packet holds."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack, within
from kubectl_vxtrace.journeys.units import Draft, Frames
from kubectl_vxtrace.model.packets import I32, I64, U16, U64

MOST_SEGMENTS = 128
"""Datagrams that one super-packet can hold (UDP_MAX_SEGMENTS, include/linux/udp.h; 64 before Linux 6.9)."""
NONE = np.iinfo(np.int32).max
PORTS = 65536


def largest_of(tcp_bytes: int) -> int:
    """Payload of a datagram that one packet can hold, from that of a TCP segment: a UDP header is 12 bytes shorter (RFC 768, RFC 9293)."""
    return tcp_bytes + 12


def datagram_units(hops: list[Frames], largest_bytes: int, ipv6: bool) -> list[Draft]:
    """The datagrams at each hop, told apart by client port, length, ICMP sequence and digest of the payload.

    A frame that is larger than `largest_bytes` (what one packet can carry) is a super-packet of datagrams; the kernel numbers them on
    from its IP ID. How large these are is learned where they were seen one by one. Their digests are not known, so that digests of
    client ports with super-packets are not compared. Neither are those of which a file was cut too short.
    """
    step = 0 if ipv6 else 1  # IPv6 has no IP ID to count on
    segments = _segment_bytes(hops, largest_bytes, step)
    comparable = np.ones(PORTS, dtype=np.bool_)
    for hop, segment in zip(hops, segments, strict=True):
        comparable[hop.client_port[(segment > 0) | ((hop.table.digest[hop.row] == 0) & (hop.payload_bytes > 0))]] = False
    return [_draft(hop, segment, comparable, step) for hop, segment in zip(hops, segments, strict=True)]


def _segment_bytes(hops: list[Frames], largest_bytes: int, step: int) -> list[I32]:
    """Per hop and frame the size of the datagrams that it was merged from, 0 for a datagram of its own."""
    cuts = np.cumsum([len(hop) for hop in hops])[:-1]
    payload = np.concatenate([hop.payload_bytes for hop in hops])
    large = payload > largest_bytes
    if not large.any() and not _sizes_differ(hops):
        return np.split(np.zeros(len(payload), dtype=np.int32), cuts)
    digest = np.concatenate([hop.table.digest[hop.row] for hop in hops])
    ip_id = np.concatenate([hop.table.ip_id[hop.row] for hop in hops])
    port = np.concatenate([hop.client_port for hop in hops])
    number = number_rows([pack(port, ip_id, np.zeros(len(port), np.uint32)), digest])
    trains = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.bool_)
    trains[number[np.concatenate([hop.count for hop in hops]) > 1]] = True
    hop = np.repeat(np.arange(len(hops)), [len(one) for one in hops])
    places = _places(number_rows([number, payload]), hop)
    apart = _apart(payload, number, hop, places)
    segments = _by_first_datagram(payload, number, (digest != 0) & (large | apart) & ~trains[number], largest_bytes)
    cut = (digest == 0) & (payload > 0) & ~trains[number]
    if cut.any():
        segments = _as_elsewhere(number_rows([pack(port, ip_id, payload)]), segments, cut)
    rest = np.flatnonzero((large | _like_others(payload, port, hop, places, segments)) & ~trains[number] & (segments == 0))
    segments[rest] = _by_later_datagrams(payload, port, ip_id, rest, largest_bytes, segments, step)
    return np.split(segments, cuts)


def _sizes_differ(hops: list[Frames]) -> bool:
    """Whether some hop with frames has none of a size that another hop has: all are lost, or offloads merged them."""
    sizes = [np.bincount(hop.payload_bytes, minlength=PORTS) > 0 for hop in hops if len(hop)]
    return any(len(one) != len(sizes[0]) or (one != sizes[0]).any() for one in sizes)


def _places(number: I32, hop: NDArray[np.intp]) -> I64:
    """For each row the hops of all rows with its number, one bit each."""
    at = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    np.bitwise_or.at(at, number, np.int64(1) << hop)
    return at[number]


def _apart(payload: I32, number: I32, hop: NDArray[np.intp], places: I64) -> NDArray[np.bool_]:
    """Frames that begin like a smaller one, where no hop has both: small super-packets, which fit one packet."""
    least = np.full(int(number.max(initial=-1)) + 1, NONE, dtype=np.int32)
    filled = payload > 0
    np.minimum.at(least, number[filled], payload[filled])
    smallest = payload == least[number]
    at = np.zeros(len(least), dtype=np.int64)
    np.bitwise_or.at(at, number[smallest], np.int64(1) << hop[smallest])
    found: NDArray[np.bool_] = (payload > least[number]) & (places & at[number] == 0)
    return found


def _like_others(payload: I32, port: I32, hop: NDArray[np.intp], places: I64, segments: I32) -> NDArray[np.bool_]:
    """Frames larger than the datagrams of their port's super-packets, seen only at hops that have such."""
    known = segments > 0
    sizes, at = np.full(PORTS, NONE, dtype=np.int32), np.zeros(PORTS, dtype=np.int64)
    sizes[port[known]] = segments[known]
    np.bitwise_or.at(at, port[known], np.int64(1) << hop[known])
    found: NDArray[np.bool_] = (payload > sizes[port]) & (places & ~at[port] == 0)
    return found


def _by_first_datagram(payload: I32, number: I32, large: NDArray[np.bool_], largest_bytes: int) -> I32:
    """Sizes of super-packets whose first datagram, which has their IP ID and first bytes, was seen by itself: not in a smaller one."""
    least = np.full(int(number.max()) + 1, NONE, dtype=np.int32)
    filled = payload > 0
    np.minimum.at(least, number[filled], payload[filled])
    size = least[number]
    return np.where(large & (payload > size) & (size <= largest_bytes), size, 0).astype(np.int32)


def _as_elsewhere(number: I32, segments: I32, cut: NDArray[np.bool_]) -> I32:
    """The same with sizes of frames that were captured too short to compare: what one with their port, IP ID and length has elsewhere."""
    sizes = np.zeros(int(number.max()) + 1, dtype=np.int32)
    known = segments > 0
    sizes[number[known]] = segments[known]
    return np.where(cut & ~known, sizes[number], segments)


def _by_later_datagrams(payload: I32, port: I32, ip_id: U16, rest: NDArray[np.intp], largest_bytes: int, segments: I32, step: int) -> I32:
    """Sizes of further super-packets: what others of their port have, else the most frequent size of single datagrams of the port; if one
    of the datagrams that it would hold, by IP ID and length, was seen. 0 where nothing fits, or something else fits as well."""
    small, known = np.flatnonzero(payload <= largest_bytes), np.flatnonzero(segments)
    sizes = _most_frequent(port[small], payload[small])
    sizes[port[known]] = segments[known]
    learned = np.zeros(PORTS, dtype=np.bool_)
    learned[port[known]] = True
    size = sizes[port[rest]]
    counts = np.where(size > 0, -(-payload[rest] // np.maximum(size, 1)), 0).astype(np.int64)
    counts[counts > MOST_SEGMENTS] = 0
    owner = np.repeat(np.arange(len(rest)), counts)
    ordinal = within(counts)
    ids = (ip_id[rest][owner] + ordinal * step).astype(np.uint16)
    held = np.minimum(payload[rest][owner] - ordinal * size[owner], size[owner])
    seen = np.isin(pack(port[rest][owner], ids, held), pack(port[small], ip_id[small], payload[small]))
    # Where nothing counts them, datagrams of one length are one hit, however many of that length there would be.
    hits = np.bincount(np.unique((owner[seen] << 32) | (ids[seen].astype(np.int64) << 16) | held[seen]) >> 32, minlength=len(rest))
    # One alone may be the last of larger ones, however often its size was seen.
    before = payload[rest][owner[seen]] - held[seen]
    larger = np.where(ordinal[seen] > 0, before // np.maximum(ordinal[seen], 1), 0)
    last = (larger > held[seen]) & (larger != size[owner[seen]]) & (larger * ordinal[seen] == before) & (larger <= largest_bytes)
    doubtful = (np.bincount(owner[seen][last], minlength=len(rest)) > 0) & (hits < 2) & ~learned[port[rest]]
    return np.where((hits > 0) & ~doubtful, size, 0).astype(np.int32)


def _most_frequent(port: I32, payload: I32) -> I32:
    """The most frequent payload of each port, 0 for ports without any; of equally frequent ones the largest."""
    pairs, counts = np.unique((port.astype(np.int64) << 32) | payload, return_counts=True)
    sizes = np.zeros(PORTS, dtype=np.int32)
    order = np.lexsort((pairs, counts))
    sizes[pairs[order] >> 32] = (pairs[order] & 0xFFFFFFFF).astype(np.int32)
    return sizes


def _draft(hop: Frames, segment: I32, comparable: NDArray[np.bool_], step: int) -> Draft:
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
        ip_id=(hop.table.ip_id[rows] + ordinal * step).astype(np.uint16),
        weight=np.ones(len(rows), dtype=np.int32),
    )
