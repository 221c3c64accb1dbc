"""Packets that arrive at the other node with other bytes than they left with: one packet each, where the outer header says which.

RFC 791, 3.2: source, destination, protocol and identification tell a datagram from all others that are on the way.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.records import HopFrames, PathFrames
from kubectl_vxtrace.model.packets import I32, I64
from kubectl_vxtrace.model.path import Role


def join_altered(packet: I32, frames: PathFrames) -> NDArray[np.bool_]:
    """Joins, in place, journeys that end at a NIC with those that are seen at the next node's NIC alone, under the same outer addresses,
    source port, IP ID and length. Returns which journeys remain.

    What went on with its new bytes stays a packet of its own: nothing says that it came as what was sent.
    """
    remains = np.ones(len(packet), dtype=np.bool_)
    for at, (left, right) in enumerate(pairwise(frames.path.hops)):
        if (left.role, right.role) != (Role.UNDERLAY, Role.UNDERLAY) or left.tap.node == right.tap.node:
            continue
        seen = packet >= 0
        ended = np.flatnonzero(seen[:, at] & ~seen[:, at + 1 :].any(axis=1))
        begun = np.flatnonzero(seen[:, at + 1] & (seen.sum(axis=1) == 1))
        if not len(ended) or not len(begun):
            continue
        sent, sent_at = _outer_headers(frames.hops[at], frames.packets[at].frame[packet[ended, at]])
        come, come_at = _outer_headers(frames.hops[at + 1], frames.packets[at + 1].frame[packet[begun, at + 1]])
        _, which_sent, which_come = np.intersect1d(sent, come, assume_unique=True, return_indices=True)
        one, other = ended[sent_at[which_sent]], begun[come_at[which_come]]
        packet[one, at + 1] = packet[other, at + 1]
        remains[other] = False
    return remains


def _outer_headers(hop: HopFrames, frame: I32) -> tuple[NDArray[np.void], I64]:
    """The outer headers with an IP ID that one encapsulated frame of `frame` has alone, as raw bytes; and at which position of `frame`."""
    table, rows = hop.table, hop.row[frame]
    number, outer_id = table.tunnel[rows], table.outer_id[rows]
    telling = np.flatnonzero((number >= 0) & (outer_id != 0))
    tunnels, number, rows = table.tunnels, number[telling], rows[telling]
    words = np.stack([tunnels.source_port[number].astype(np.int64), outer_id[telling], table.wire_bytes[rows]], axis=1)
    raw = np.concatenate([tunnels.source[number], tunnels.destination[number], np.ascontiguousarray(words).view(np.uint8)], axis=1)
    headers = np.ascontiguousarray(raw).view(np.dtype((np.void, raw.shape[1]))).reshape(-1)
    different, first, times = np.unique(headers, return_index=True, return_counts=True)
    return different[times == 1], telling[first[times == 1]].astype(np.int64)
