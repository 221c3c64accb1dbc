"""How far packets have provably come although no tap saw them there: their own answers say so, or an error that quotes them.

An answer is one of the same exchange: a TCP acknowledgement (RFC 9293, 3.4) of bytes of which no other copy arrived, an echo reply with the
request's identifier and sequence number (RFC 792), a datagram to a socket that had exactly one question open. An ICMP error comes from who
had the packet: the server's own address says that it arrived, an encapsulated one that the node at the other end of the tunnel had it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.judge.exchanges import SEQUENCE, connections, distance, headers, last_times, numbered
from kubectl_vxtrace.journeys.judge.rejections import QuotedRequests, packet_keys
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, reference_times
from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.packets import I32, I64
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST

BOOL = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What the other direction says of n packets. proven: each was answered. alike: it or another one was, and which is not known.
    socket: the packet's UDP socket was answered, whichever of its datagrams it was."""

    proven: BOOL
    alike: BOOL
    socket: BOOL


def answers_to(packets: Trajectories, back: Trajectories | None, protocol: str, clocks: Clocks, *, is_beginning: bool) -> Answers:
    """Which packets that the last hop did not see were answered all the same by what came `back`: of TCP in either direction.

    `is_beginning`: the path goes on behind its last hop, so that what was seen there has not arrived yet.
    """
    nothing = np.zeros(len(packets), dtype=np.bool_)
    none = Answers(proven=nothing, alike=nothing, socket=nothing)
    if back is None or not len(back) or not len(packets) or not packets.frame.shape[1]:
        return none
    open_ = ~(packets.seen[:, -1] & (not is_beginning))
    if not open_.any():
        return none
    is_request = packets.frames.path.direction is Direction.REQUEST
    match protocol:
        case "TCP":
            return _acknowledged(packets, back, clocks, open_)
        case "ICMP" if is_request:
            return _echoed(packets, back, open_)
        case "UDP" if is_request:
            return _replied(packets, back, clocks, open_)
        case _:
            return none


def _acknowledged(packets: Trajectories, back: Trajectories, clocks: Clocks, unseen: BOOL) -> Answers:
    """TCP: what takes sequence numbers, is acknowledged, and of whose numbers no other copy is known to have arrived."""
    sent, replies = headers(packets), headers(back)
    connection, reply_connection = connections(packets, sent, reference_times(packets, clocks), back, last_times(back, clocks))
    size = int(max(connection.max(initial=-1), reply_connection.max(initial=-1))) + 1
    base = np.zeros(size, dtype=np.int64)
    base[connection[::-1]] = sent.seq[::-1]
    start = distance(sent.seq - base[connection])
    end = start + sent.length
    acknowledging = ((replies.flags & TCP_ACK) != 0) & ((replies.flags & TCP_RST) == 0)
    most = np.full(size, np.iinfo(np.int64).min, dtype=np.int64)
    said = reply_connection[acknowledging]
    np.maximum.at(most, said, distance(replies.ack[acknowledging] - base[said]))
    taking = (sent.length > 0) & ((sent.flags & TCP_RST) == 0)
    open_ = taking & unseen & (most[connection] >= end)
    reached = np.where(taking, _last_seen(packets), -1)
    spans = _Spans(connection=connection, start=start, end=end)
    proven, alike = open_.copy(), np.zeros(len(packets), dtype=np.bool_)
    for hop in np.unique(reached[open_]).tolist():
        here = np.flatnonzero(open_ & (reached == hop))
        # Another copy that was seen farther on is what was acknowledged; of several that came equally far nothing says which it was.
        proven[here] &= ~spans.touched(here, np.flatnonzero(reached > hop))
        alike[here] = spans.shared(here, packets.first[here], packets.frame[here, packets.first[here]])
    alike &= proven
    return Answers(proven=proven & ~alike, alike=alike, socket=np.zeros_like(proven))


def _last_seen(packets: Trajectories) -> I64:
    """The hop (from 0) that saw each packet last."""
    return np.asarray(packets.frame.shape[1] - 1 - np.argmax(packets.seen[:, ::-1], axis=1), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spans:
    """Spans of the sequence space, each of a connection."""

    connection: I64
    start: I64
    end: I64

    def touched(self, which: NDArray[np.intp], others: NDArray[np.intp]) -> BOOL:
        """Which of some spans are touched by one of others."""
        if not len(others):
            return np.zeros(len(which), dtype=np.bool_)
        order = others[np.lexsort((self.start[others], self.connection[others]))]
        begins, ends = self._placed(order)
        reach = np.maximum.accumulate(ends)
        start, end = self._placed(which)
        last = np.searchsorted(begins, end, side="left") - 1
        return np.asarray((last >= 0) & (reach[np.maximum(last, 0)] > start), dtype=np.bool_)

    def shared(self, which: NDArray[np.intp], hop: I32, frame: I32) -> BOOL:
        """Which of some spans touch one another's; what stands in one frame is one span."""
        _, first, of_frame = np.unique(hop.astype(np.int64) << 32 | frame, return_index=True, return_inverse=True)
        start, end = self._placed(which[first])
        order = np.argsort(start, kind="stable")
        before = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(end[order])[:-1]])
        after = np.append(start[order][1:], np.iinfo(np.int64).max)
        touching = np.zeros(len(first), dtype=np.bool_)
        touching[order] = (before > start[order]) | (after < end[order])
        return np.asarray(touching[of_frame.reshape(-1)], dtype=np.bool_)

    def _placed(self, which: NDArray[np.intp]) -> tuple[I64, I64]:
        """Starts and ends on one line on which connections do not touch."""
        base = self.connection[which] * np.int64(2 * SEQUENCE)
        return base + self.start[which], base + self.end[which]


def _echoed(packets: Trajectories, back: Trajectories, open_: BOOL) -> Answers:
    """ICMP echo: the reply has the request's identifier, which stands for the port, and its sequence number."""
    key, reply_key = (packets.client_port.astype(np.int64) << 32 | headers(packets).seq for packets in (packets, back))
    explained = look_up(key[~open_], key) >= 0
    proven = open_ & ~explained & (look_up(reply_key, key) >= 0)
    several = np.zeros(len(packets), dtype=np.bool_)
    places = np.flatnonzero(proven)
    alike = numbered(key[places])
    several[places[np.bincount(alike, minlength=1)[alike] > 1]] = True
    return Answers(proven=proven & ~several, alike=several, socket=np.zeros_like(proven))


def _replied(packets: Trajectories, back: Trajectories, clocks: Clocks, open_: BOOL) -> Answers:
    """UDP: a reply to a socket whose questions and replies had taken turns answers the last question."""
    count, both = len(packets), len(packets) + len(back)
    port = np.concatenate([packets.client_port, back.client_port]).astype(np.int64)
    times_ns = np.concatenate([reference_times(packets, clocks), last_times(back, clocks)])
    is_reply = np.arange(both) >= count
    order = np.lexsort((is_reply, times_ns, port))
    begins = np.concatenate([[True], np.diff(port[order]) != 0])
    place = np.arange(both)
    rank = place - np.maximum.accumulate(np.where(begins, place, 0))
    strict = is_reply[order] == (rank % 2 == 1)
    # From the first one out of turn on nothing is strict any more.
    broken = np.maximum.accumulate(np.where(~strict, place * 2 + 1, np.where(begins, place * 2, 0)))
    turns = strict & (broken % 2 == 0)
    answering = np.flatnonzero(turns & is_reply[order])
    proven = np.zeros(count, dtype=np.bool_)
    proven[order[answering - 1]] = True
    return Answers(
        proven=proven & open_,
        alike=_asked_once_and_answered(packets, back) & open_ & ~proven,
        socket=np.isin(packets.client_port, back.client_port),
    )


def _asked_once_and_answered(packets: Trajectories, back: Trajectories) -> BOOL:
    """UDP: which question is the only one of its socket that the tap has which saw it first, where that tap has a later reply as well.

    What other taps saw of that socket is this question, changed on its way, or another one that this tap missed: nothing says which.
    """
    found = np.zeros(len(packets), dtype=np.bool_)
    places = {hop.tap: place for place, hop in enumerate(back.frames.path.hops)}
    for hop, frames in enumerate(packets.frames.hops):
        if (place := places.get(packets.frames.path.hops[hop].tap)) is None:
            continue
        here, came = np.flatnonzero(packets.seen[:, hop]), np.flatnonzero(back.seen[:, place])
        times = frames.table.time_ns  # of one tap, so of one clock, for questions and replies
        last_ns = np.full(PORTS, np.iinfo(np.int64).min, dtype=np.int64)
        np.maximum.at(last_ns, back.client_port[came], times[back.frames.hops[place].row[back.frame[came, place]]])
        asked = np.bincount(packets.client_port[here], minlength=PORTS)
        port = packets.client_port[here]
        answered = (asked[port] == 1) & (last_ns[port] > times[frames.row[packets.frame[here, hop]]])
        found[here] |= answered & (packets.first[here] == hop)
    return found


def hidden_sockets(packets: Trajectories, answers: Answers, lost_to: I32) -> BOOL:
    """Which datagrams are of a socket that was answered and of which the hop that should have seen them next, or a later one, saw none.

    That hop does not show what this socket sends: which of its datagrams have arrived is not known. `lost_to`: the number of that hop, 0
    for one behind the path.
    """
    hops = packets.frame.shape[1]
    if not hops:
        return np.zeros(len(packets), np.bool_)
    last_seen = hops - np.argmax(packets.seen[:, ::-1], axis=1)
    farthest = np.zeros(PORTS, dtype=np.int64)
    np.maximum.at(farthest, packets.client_port, last_seen)
    return np.asarray(answers.socket & (farthest[packets.client_port] < np.where(lost_to > 0, lost_to, hops + 1)))


def passed_by_rejections(requests: Trajectories, quoted: QuotedRequests, group: int, *, last_is_witness: bool) -> I32:
    """How many hops each request has provably passed, since an error that quotes it came from there; 0 where nothing says so.

    The server's own address has all hops behind it, unless the last hop is a witness and did not see the error: then somebody before it has
    that address as well, on the server's node. A node whose tunnel brought the error had taken the request out of the tunnel.
    """
    hops = requests.frames.path.hops
    tunnel_ends = {hop.tap.node: number for number, hop in enumerate(hops, 1) if hop.role in (Role.UNDERLAY, Role.VXLAN)}
    of_node = np.array([tunnel_ends.get(node, 0) for node in quoted.nodes] + [0], dtype=np.int32)
    last = hops[-1].tap if hops else None
    seen_at_server = np.array([tap == last for tap in quoted.taps] + [False])[quoted.tap]
    by_server = quoted.by_server & (seen_at_server | (not last_is_witness))
    passed = np.where(by_server, len(hops) + 1, of_node[quoted.node])
    telling = np.flatnonzero((quoted.group == group) & (passed > 0))
    telling = telling[np.argsort(-passed[telling], kind="stable")]
    found = look_up(quoted.keys[telling], packet_keys(requests.client_port, requests.ip_id))
    return np.where(found >= 0, np.append(passed[telling], 0)[found], 0).astype(np.int32)
