"""Packets that arrive at the other node with other bytes than they left with: one packet each, where the outer header says which.

RFC 791, 3.2: source, destination, protocol and identification tell a datagram from all others that are on the way.
"""

from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.records import HopFrames, PathFrames
from kubectl_vxtrace.model.packets import I32
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
        sent = _by_outer_header(frames.hops[at], frames.packets[at].frame[packet[ended, at]])
        come = _by_outer_header(frames.hops[at + 1], frames.packets[at + 1].frame[packet[begun, at + 1]])
        for header in sent.keys() & come.keys():
            packet[ended[sent[header]], at + 1] = packet[begun[come[header]], at + 1]
            remains[begun[come[header]]] = False
    return remains


def _by_outer_header(hop: HopFrames, frame: I32) -> dict[bytes, int]:
    """Positions in `frame` of encapsulated frames whose outer header with an IP ID no other of them has."""
    table, rows = hop.table, hop.row[frame]
    number, outer_id = table.tunnel[rows], table.outer_id[rows]
    telling = np.flatnonzero((number >= 0) & (outer_id != 0))
    tunnels, number, rows = table.tunnels, number[telling], rows[telling]
    words = np.stack([tunnels.source_port[number].astype(np.int64), outer_id[telling], table.wire_bytes[rows]], axis=1)
    raw = np.concatenate([tunnels.source[number], tunnels.destination[number], np.ascontiguousarray(words).view(np.uint8)], axis=1)
    headers = [line.tobytes() for line in raw]
    times = Counter(headers)
    return {header: int(at) for header, at in zip(headers, telling, strict=True) if times[header] == 1}
