"""Which connection a packet belongs to, what its headers say, and when it was seen last: what both directions are compared by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.packets import I64
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_FIN, TCP_SYN

SEQUENCE = 2**32
"""So many sequence numbers TCP has (RFC 9293, 3.4)."""


def last_times(packets: Trajectories, clocks: Clocks) -> I64:
    """When each packet was seen last, in the reference node's clock, by the middle of its bounds."""
    times_ns = np.zeros(len(packets), dtype=np.int64)
    for hop, place in enumerate(packets.frames.path.hops):
        seen = np.flatnonzero(packets.frame[:, hop] >= 0)
        frames = packets.frames.hops[hop]
        times_ns[seen] = clocks.to_reference(place.tap.node, frames.table.time_ns[frames.row[packets.frame[seen, hop]]])
    return times_ns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Headers:
    """Of the frame in which each packet was seen first. length: bytes that it takes of the sequence space (SYN and FIN take one each)."""

    seq: I64
    ack: I64
    length: I64
    flags: I64


def headers(packets: Trajectories) -> Headers:
    """The headers of n packets."""
    columns = {name: np.zeros(len(packets), dtype=np.int64) for name in ("seq", "ack", "payload_bytes", "flags")}
    for hop, frames in enumerate(packets.frames.hops):
        here = np.flatnonzero(packets.first == hop)
        rows = frames.row[packets.frame[here, hop]]
        for name, column in columns.items():
            column[here] = getattr(frames.table, name)[rows]
    flags = columns["flags"]
    length = columns["payload_bytes"] + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0)
    return Headers(seq=columns["seq"], ack=columns["ack"], length=length, flags=flags)


def numbered(values: I64) -> NDArray[np.intp]:
    """Each value's number among the distinct ones."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def connections(packets: Trajectories, sent: Headers, times_ns: I64, back: Trajectories, reply_times_ns: I64) -> tuple[I64, I64]:
    """A number for each connection, of packets and of replies: a client's port, anew from each SYN with another sequence number on."""
    forward = (sent.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN
    syns = np.flatnonzero(forward)
    order = syns[np.lexsort((times_ns[syns], sent.seq[syns], packets.client_port[syns]))]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (packets.client_port[order[1:]] != packets.client_port[order[:-1]]) | (sent.seq[order[1:]] != sent.seq[order[:-1]])
    begins = order[fresh]
    port = np.concatenate([packets.client_port[begins], packets.client_port, back.client_port]).astype(np.int64)
    at_ns = np.concatenate([times_ns[begins], times_ns, reply_times_ns])
    kind = np.concatenate([np.zeros(len(begins), np.int8), np.ones(len(packets) + len(back), np.int8)])
    place = np.lexsort((kind, at_ns, port))
    epoch = np.empty(len(place), dtype=np.int64)
    epoch[place] = np.cumsum(kind[place] == 0)
    number = numbered(epoch * PORTS + port).astype(np.int64)
    return number[len(begins) : len(begins) + len(packets)], number[len(begins) + len(packets) :]


def distance(difference: I64) -> I64:
    """Differences between sequence numbers, with their sign. Sequence numbers are compared modulo 2^32 (RFC 9293, 3.4)."""
    return (difference + SEQUENCE // 2) % SEQUENCE - SEQUENCE // 2
