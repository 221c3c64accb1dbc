"""Packets that came to the last tap before a node's own socket, or to the client's pod, and that were not taken: they died behind it.

Behind the last tap of an end in its node's network there still are the raw table, the reverse path filter and INPUT; behind that of a pod
there are those of its own namespace. TCP says of itself what it got: it acknowledges at once what it takes, or resets.
"""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.judge.exchanges import Headers, connections, distance, headers, last_times
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, reference_times
from kubectl_vxtrace.model.packets import I64
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST, TCP_SYN

# include/net/tcp.h, TCP_RTO_MIN: no sender repeats a segment for want of an answer any sooner.
_REPEATED_NS = 200_000_000
_NEVER = np.iinfo(np.int64).min

BOOL = NDArray[np.bool_]


def not_taken(packets: Trajectories, back: Trajectories | None, clocks: Clocks) -> BOOL:
    """TCP segments at the last hop of a path, of which the other direction shows that the receiver behind it did not take them.

    One is a segment that its sender repeated, of which no copy was ever acknowledged, while the receiver sent no acknowledgement of
    anything else after the first copy, and no reset. So is what came after the handshake before the server repeated its SYN-ACK, data with
    it: the server still waited for the acknowledgement (a deferring socket, tcp(7), waits for data alone). Nothing is said where nothing
    came back.
    """
    nothing = np.zeros(len(packets), dtype=np.bool_)
    if not packets.frames.tcp or back is None or not len(back) or not len(packets):
        return nothing
    sent, replies = headers(packets), headers(back)
    connection, back_connection = _connections(packets, sent, back, replies, clocks)
    size = int(max(connection.max(initial=-1), back_connection.max(initial=-1))) + 1
    at_end = packets.seen[:, -1] & ((sent.flags & TCP_RST) == 0)
    is_reset = np.zeros(size, dtype=np.bool_)
    is_reset[back_connection[(replies.flags & TCP_RST) != 0]] = True
    at_ns, back_ns = last_times(packets, clocks), reference_times(back, clocks)
    possible = at_end & ~is_reset[connection]
    silent = possible & _repeated_in_vain(sent, connection, at_ns, replies, back_connection, back_ns, size, possible)
    if packets.frames.path.direction is Direction.REQUEST:
        silent |= possible & _before_repeated_handshake(sent, connection, at_ns, replies, back_connection, back_ns, size)
    return np.asarray(silent, dtype=np.bool_)


def _connections(packets: Trajectories, sent: Headers, back: Trajectories, replies: Headers, clocks: Clocks) -> tuple[I64, I64]:
    """The numbers of both directions' connections, which begin with the client's SYN."""
    if packets.frames.path.direction is Direction.REQUEST:
        return connections(packets, sent, reference_times(packets, clocks), back, last_times(back, clocks))
    of_requests, of_replies = connections(back, replies, reference_times(back, clocks), packets, last_times(packets, clocks))
    return of_replies, of_requests


def _latest(connection: I64, time_ns: I64, size: int) -> I64:
    """For each connection the latest of the times."""
    latest = np.full(size, _NEVER, dtype=np.int64)
    np.maximum.at(latest, connection, time_ns)
    return latest


def _repeated_in_vain(
    sent: Headers, connection: I64, at_ns: I64, replies: Headers, back_connection: I64, back_ns: I64, size: int, possible: BOOL
) -> BOOL:
    acknowledging = ((replies.flags & TCP_ACK) != 0) & ((replies.flags & TCP_RST) == 0)
    base = np.zeros(size, dtype=np.int64)
    base[connection[::-1]] = sent.seq[::-1]
    start = distance(sent.seq - base[connection])
    end = start + sent.length
    said = back_connection[acknowledging]
    most = _latest(said, distance(replies.ack[acknowledging] - base[said]), size)
    plain = acknowledging & ((replies.flags & TCP_SYN) == 0)
    alive_ns = _latest(back_connection[plain], back_ns[plain], size)
    open_ = np.flatnonzero(possible & (sent.length > 0) & (end > most[connection]))
    in_vain = np.zeros(len(connection), dtype=np.bool_)
    if not len(open_):
        return in_vain
    segments = np.stack([connection[open_], start[open_], end[open_]], axis=1)
    number = np.unique(segments, axis=0, return_inverse=True)[1].reshape(-1)
    first_ns = -_latest(number, -at_ns[open_], int(number.max()) + 1)
    last_ns = _latest(number, at_ns[open_], int(number.max()) + 1)
    repeated = (last_ns - first_ns >= _REPEATED_NS)[number]
    in_vain[open_] = repeated & (alive_ns[connection[open_]] < first_ns[number])
    return in_vain


def _before_repeated_handshake(
    sent: Headers, connection: I64, at_ns: I64, replies: Headers, back_connection: I64, back_ns: I64, size: int
) -> BOOL:
    opening = (replies.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)
    repeated_ns = _latest(back_connection[opening], back_ns[opening], size)
    early = ((sent.flags & TCP_SYN) == 0) & (at_ns < repeated_ns[connection])
    with_data = np.zeros(size, dtype=np.bool_)
    with_data[connection[early & (sent.length > 0)]] = True
    return np.asarray(early & with_data[connection])
