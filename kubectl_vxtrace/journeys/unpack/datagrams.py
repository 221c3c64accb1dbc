"""Packets of UDP, SCTP and ICMP: one for each datagram, also for those that a UDP GSO or GRO super-packet holds."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack, within
from kubectl_vxtrace.journeys.records import PORTS, HopFrames
from kubectl_vxtrace.journeys.same_packet import (
    CUT_DATAGRAM_KEY,
    DATAGRAM_KEY,
    FIRST_DATAGRAM_KEY,
    Field,
    key_columns,
    number_packets,
)
from kubectl_vxtrace.journeys.unpack.numbering import KeyedPackets
from kubectl_vxtrace.model.packets import I32, I64, U16

MOST_SEGMENTS = 128
"""Datagrams that one super-packet can hold (UDP_MAX_SEGMENTS, include/linux/udp.h; 64 before Linux 6.9)."""
NO_SIZE = np.iinfo(np.int32).max


def largest_datagram_bytes(tcp_bytes: int) -> int:
    """Payload of a datagram that one packet can hold, from that of a TCP segment: a UDP header is 12 bytes shorter (RFC 768, RFC 9293)."""
    return tcp_bytes + 12


def datagram_packets(hops: list[HopFrames], largest_bytes: int, ipv6: bool) -> list[KeyedPackets]:
    """The datagrams at each hop, told apart by client port, length, ICMP sequence and digest of the payload.

    A frame that is larger than `largest_bytes` (what one packet can carry) is a super-packet of datagrams; the kernel numbers them on
    from its IP ID. How large these are is learned where they were seen one by one. Their digests are not known, so that digests of
    client ports with super-packets are not compared. Neither are those of which a file was cut too short.
    """
    step = 0 if ipv6 else 1  # IPv6 has no IP ID to count on
    sizes = _datagram_bytes(hops, largest_bytes, step)
    comparable = np.ones(PORTS, dtype=np.bool_)
    for hop, size in zip(hops, sizes, strict=True):
        comparable[hop.client_port[(size > 0) | ((hop.table.digest[hop.row] == 0) & (hop.payload_bytes > 0))]] = False
    return [_keyed(hop, size, comparable, step) for hop, size in zip(hops, sizes, strict=True)]


def _datagram_bytes(hops: list[HopFrames], largest_bytes: int, step: int) -> list[I32]:
    """Per hop and frame the size of the datagrams that it was merged from, 0 for a datagram of its own."""
    cuts = np.cumsum([len(hop) for hop in hops])[:-1]
    payload = np.concatenate([hop.payload_bytes for hop in hops])
    is_large = payload > largest_bytes
    if not is_large.any() and not _sizes_differ(hops):
        return np.split(np.zeros(len(payload), dtype=np.int32), cuts)
    digest = np.concatenate([hop.table.digest[hop.row] for hop in hops])
    ip_id = np.concatenate([hop.table.ip_id[hop.row] for hop in hops])
    port = np.concatenate([hop.client_port for hop in hops])
    first = number_packets([key_columns(FIRST_DATAGRAM_KEY, hop.table, hop.row, _attributed(hop)) for hop in hops])
    of_fragments = np.zeros(int(first.max(initial=-1)) + 1, dtype=np.bool_)
    of_fragments[first[np.concatenate([hop.count for hop in hops]) > 1]] = True
    is_whole = ~of_fragments[first]
    at_hop = np.repeat(np.arange(len(hops)), [len(hop) for hop in hops])
    seen_at = _hops_of(number_rows([first, payload]), at_hop)
    is_small_super_packet = _begins_like_smaller(payload, first, at_hop, seen_at)
    sizes = _by_first_datagram(payload, first, (digest != 0) & (is_large | is_small_super_packet) & is_whole, largest_bytes)
    is_cut = (digest == 0) & (payload > 0) & is_whole
    if is_cut.any():
        same_length = number_packets([key_columns(CUT_DATAGRAM_KEY, hop.table, hop.row, _attributed(hop)) for hop in hops])
        sizes = _as_elsewhere(same_length, sizes, is_cut)
    rest = np.flatnonzero((is_large | _larger_than_others(payload, port, at_hop, seen_at, sizes)) & is_whole & (sizes == 0))
    sizes[rest] = _by_later_datagrams(payload, port, ip_id, rest, largest_bytes, sizes, step)
    return np.split(sizes, cuts)


def _attributed(hop: HopFrames) -> dict[Field, I32]:
    return {Field.CLIENT_PORT: hop.client_port, Field.PAYLOAD_BYTES: hop.payload_bytes}


def _sizes_differ(hops: list[HopFrames]) -> bool:
    """Whether some hop with frames has none of a size that another hop has: all are lost, or offloads merged them."""
    has_size = [np.bincount(hop.payload_bytes, minlength=PORTS) > 0 for hop in hops if len(hop)]
    return any(len(at_hop) != len(has_size[0]) or (at_hop != has_size[0]).any() for at_hop in has_size)


def _hops_of(number: I32, at_hop: NDArray[np.intp]) -> I64:
    """For each row the hops of all rows with its number, one bit each."""
    seen_at = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    np.bitwise_or.at(seen_at, number, np.int64(1) << at_hop)
    return seen_at[number]


def _begins_like_smaller(payload: I32, first: I32, at_hop: NDArray[np.intp], seen_at: I64) -> NDArray[np.bool_]:
    """Frames that begin like a smaller one, where no hop has both: small super-packets, which fit one packet."""
    least = _least_payload(payload, first)
    is_least = payload == least[first]
    least_at = np.zeros(len(least), dtype=np.int64)
    np.bitwise_or.at(least_at, first[is_least], np.int64(1) << at_hop[is_least])
    apart: NDArray[np.bool_] = (payload > least[first]) & (seen_at & least_at[first] == 0)
    return apart


def _least_payload(payload: I32, first: I32) -> I32:
    """For each first datagram the least payload, but 0, of the frames that begin with it."""
    least = np.full(int(first.max(initial=-1)) + 1, NO_SIZE, dtype=np.int32)
    filled = payload > 0
    np.minimum.at(least, first[filled], payload[filled])
    return least


def _larger_than_others(payload: I32, port: I32, at_hop: NDArray[np.intp], seen_at: I64, sizes: I32) -> NDArray[np.bool_]:
    """Frames larger than the datagrams of their port's super-packets, seen only at hops that have such."""
    is_super = sizes > 0
    size_of_port, supers_at = np.full(PORTS, NO_SIZE, dtype=np.int32), np.zeros(PORTS, dtype=np.int64)
    size_of_port[port[is_super]] = sizes[is_super]
    np.bitwise_or.at(supers_at, port[is_super], np.int64(1) << at_hop[is_super])
    larger: NDArray[np.bool_] = (payload > size_of_port[port]) & (seen_at & ~supers_at[port] == 0)
    return larger


def _by_first_datagram(payload: I32, first: I32, may_be_super: NDArray[np.bool_], largest_bytes: int) -> I32:
    """Sizes of super-packets whose first datagram, which has their IP ID and first bytes, was seen by itself: not in a smaller one."""
    size = _least_payload(payload, first)[first]
    return np.where(may_be_super & (payload > size) & (size <= largest_bytes), size, 0).astype(np.int32)


def _as_elsewhere(number: I32, sizes: I32, is_cut: NDArray[np.bool_]) -> I32:
    """The same with sizes of frames that were captured too short to compare: what one with their port, IP ID and length has elsewhere."""
    size_of = np.zeros(int(number.max()) + 1, dtype=np.int32)
    is_super = sizes > 0
    size_of[number[is_super]] = sizes[is_super]
    return np.where(is_cut & ~is_super, size_of[number], sizes)


def _by_later_datagrams(payload: I32, port: I32, ip_id: U16, rest: NDArray[np.intp], largest_bytes: int, sizes: I32, step: int) -> I32:
    """Sizes of further super-packets: what others of their port have, else the most frequent size of single datagrams of the port; if one
    of the datagrams that it would hold, by IP ID and length, was seen. 0 where nothing fits, or something else fits as well."""
    single, is_super = np.flatnonzero(payload <= largest_bytes), np.flatnonzero(sizes)
    size_of_port = _most_frequent(port[single], payload[single])
    size_of_port[port[is_super]] = sizes[is_super]
    has_super = np.zeros(PORTS, dtype=np.bool_)
    has_super[port[is_super]] = True
    size = size_of_port[port[rest]]
    counts = np.where(size > 0, -(-payload[rest] // np.maximum(size, 1)), 0).astype(np.int64)
    counts[counts > MOST_SEGMENTS] = 0
    owner = np.repeat(np.arange(len(rest)), counts)
    ordinal = within(counts)
    ids = (ip_id[rest][owner] + ordinal * step).astype(np.uint16)
    held = np.minimum(payload[rest][owner] - ordinal * size[owner], size[owner])
    seen = np.isin(pack(port[rest][owner], ids, held), pack(port[single], ip_id[single], payload[single]))
    # Where nothing counts them, datagrams of one length are one hit, however many of that length there would be.
    hits = np.bincount(np.unique((owner[seen] << 32) | (ids[seen].astype(np.int64) << 16) | held[seen]) >> 32, minlength=len(rest))
    # One alone may be the last of larger ones, however often its size was seen.
    before = payload[rest][owner[seen]] - held[seen]
    larger = np.where(ordinal[seen] > 0, before // np.maximum(ordinal[seen], 1), 0)
    last = (larger > held[seen]) & (larger != size[owner[seen]]) & (larger * ordinal[seen] == before) & (larger <= largest_bytes)
    doubtful = (np.bincount(owner[seen][last], minlength=len(rest)) > 0) & (hits < 2) & ~has_super[port[rest]]
    return np.where((hits > 0) & ~doubtful, size, 0).astype(np.int32)


def _most_frequent(port: I32, payload: I32) -> I32:
    """The most frequent payload of each port, 0 for ports without any; of equally frequent ones the largest."""
    pairs, counts = np.unique((port.astype(np.int64) << 32) | payload, return_counts=True)
    sizes = np.zeros(PORTS, dtype=np.int32)
    order = np.lexsort((pairs, counts))
    sizes[pairs[order] >> 32] = (pairs[order] & 0xFFFFFFFF).astype(np.int32)
    return sizes


def _keyed(hop: HopFrames, size: I32, comparable: NDArray[np.bool_], step: int) -> KeyedPackets:
    """The datagrams of one hop: of a super-packet as many as it holds, with IP IDs that count on by `step`."""
    counts = np.where(size > 0, -(-hop.payload_bytes // np.maximum(size, 1)), 1).astype(np.int64)
    frame = np.repeat(np.arange(len(hop), dtype=np.int32), counts)
    ordinal = within(counts)
    rows, port = hop.row[frame], hop.client_port[frame]
    rest = hop.payload_bytes[frame] - ordinal * size[frame]
    given = {
        Field.CLIENT_PORT: port,
        Field.PAYLOAD_BYTES: np.where(size[frame] > 0, np.minimum(rest, size[frame]), rest),
        Field.DIGEST: np.where(comparable[port], hop.table.digest[rows], np.uint64(0)),
    }
    return KeyedPackets(
        frame=frame,
        key=key_columns(DATAGRAM_KEY, hop.table, rows, given),
        ip_id=(hop.table.ip_id[rows] + ordinal * step).astype(np.uint16),
        weight=np.ones(len(rows), dtype=np.int32),
    )
