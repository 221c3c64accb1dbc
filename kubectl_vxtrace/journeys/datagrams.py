"""Units of UDP and ICMP: one for each datagram, also for those that a UDP GSO or GRO super-packet holds."""

import numpy as np

from kubectl_vxtrace.journeys.columns import number_rows, pack, within
from kubectl_vxtrace.journeys.units import Draft, Frames
from kubectl_vxtrace.model.packets import I32


def datagram_units(hops: list[Frames], largest_bytes: int) -> list[Draft]:
    """The datagrams at each hop, told apart by client port, length, ICMP sequence and digest of the payload.

    A frame that is larger than `largest_bytes` (what one packet can carry), while another hop has a smaller one with its port, IP ID
    and first bytes, is a super-packet of datagrams of that smaller size; the kernel numbers them on from its IP ID. Their digests are
    not known, so that where there are super-packets digests are not compared. Neither are they where a file was cut too short.
    """
    segments = _segment_bytes(hops, largest_bytes)
    split = any((segment > 0).any() for segment in segments)
    use_digest = not split and _digests_usable(hops)
    return [_draft(hop, segment, use_digest) for hop, segment in zip(hops, segments, strict=True)]


def _digests_usable(hops: list[Frames]) -> bool:
    """Whether all hops captured enough payload of all packets to compare it."""
    return all(bool(((hop.table.digest[hop.row] != 0) | (hop.payload_bytes == 0)).all()) for hop in hops)


def _segment_bytes(hops: list[Frames], largest_bytes: int) -> list[I32]:
    """Per hop and frame the size of the datagrams that it was merged from, 0 for a datagram of its own."""
    payload = np.concatenate([hop.payload_bytes for hop in hops])
    cuts = np.cumsum([len(hop) for hop in hops])[:-1]
    segments = np.zeros(len(payload), dtype=np.int32)
    if (payload > largest_bytes).any():
        digest = np.concatenate([hop.table.digest[hop.row] for hop in hops])
        ip_id = np.concatenate([hop.table.ip_id[hop.row] for hop in hops])
        port = np.concatenate([hop.client_port for hop in hops])
        number = number_rows([pack(port, ip_id, np.zeros(len(port), np.uint32)), digest])
        least = np.full(int(number.max()) + 1, np.iinfo(np.int32).max, dtype=np.int32)
        np.minimum.at(least, number, payload)
        merged = (payload > largest_bytes) & (payload > least[number]) & (digest != 0) & (least[number] > 0)
        segments[merged] = least[number[merged]]
    return np.split(segments, cuts)


def _draft(hop: Frames, segment: I32, use_digest: bool) -> Draft:
    counts = np.where(segment > 0, -(-hop.payload_bytes // np.maximum(segment, 1)), 1).astype(np.int64)
    frame = np.repeat(np.arange(len(hop), dtype=np.int32), counts)
    ordinal = within(counts)
    rows = hop.row[frame]
    rest = hop.payload_bytes[frame] - ordinal * segment[frame]
    payload = np.where(segment[frame] > 0, np.minimum(rest, segment[frame]), rest)
    digest = hop.table.digest[rows] if use_digest else np.zeros(len(rows), dtype=np.uint64)
    return Draft(
        frame=frame,
        parts=(
            pack(hop.client_port[frame], np.zeros(len(rows), dtype=np.uint16), payload),
            digest.astype(np.uint64),
            hop.table.seq[rows].astype(np.uint64),
        ),
        ip_id=(hop.table.ip_id[rows] + ordinal).astype(np.uint16),
        weight=np.ones(len(rows), dtype=np.int32),
    )
