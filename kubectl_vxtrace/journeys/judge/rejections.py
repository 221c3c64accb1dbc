"""Requests that were rejected: a connection's first packet answered by an RST or an ICMP error before any reply."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.conversations import Membership
from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.judge.outcomes import Outcomes
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, reference_times
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REQUEST
from kubectl_vxtrace.model.address import packed_address, unique
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Overlay, Tap
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST, TCP_SYN, IpProtocol

NEVER = np.iinfo(np.int64).max
UNREACHABLE, FRAGMENTATION_NEEDED, TIME_EXCEEDED = 3, 4, 11
"""Type, code of that type, and type of RFC 792."""
UNREACHABLE_V6, TIME_EXCEEDED_V6 = 1, 3
"""Types of RFC 4443, 3.1 and 3.3."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuotedRequests:
    """ICMP errors that quote a request, n rows: whose request, its client port and IP ID, when (in the reference clock).

    tap: index in `taps` of where it was seen. by_server: it comes from the address to which the request went, behind all translation.
    node: index in `nodes` of the node whose tunnel brought the error, -1 where it came without one.
    """

    group: I32
    client_port: I32
    ip_id: I32
    time_ns: I64
    tap: I32
    by_server: NDArray[np.bool_]
    node: I32
    taps: tuple[Tap, ...]
    nodes: tuple[str, ...]

    @property
    def keys(self) -> I64:
        """What tells the quoted requests of one group apart."""
        return packet_keys(self.client_port, self.ip_id)


def packet_keys(client_port: NDArray[Any], ip_id: NDArray[Any]) -> I64:
    """What an ICMP error quotes of a packet, as one number each (RFC 792: the IP header and 8 bytes, which hold the ports)."""
    return np.asarray((client_port.astype(np.int64) << 16) | ip_id, dtype=np.int64)


def quoted_requests(
    tables: Mapping[Tap, PacketTable], memberships: Mapping[Tap, tuple[Membership, Membership]], clocks: Clocks, overlay: Overlay
) -> QuotedRequests:
    """The errors that quote a request and by which it ended; see `_rejects`."""
    node_of = {packed: vtep.node for vtep in overlay.vteps if (packed := packed_address(vtep.underlay_address or "")) is not None}
    nodes = unique(node_of.values())
    index_of = {packed: nodes.index(node) for packed, node in node_of.items()}
    columns = [_quoted_at(tap, table, memberships[tap][REQUEST], clocks, index_of) for tap, table in tables.items()]
    whole = [np.concatenate(column) for column in zip(*columns, strict=True)] if columns else [np.zeros(0, np.int64)] * 6
    group, client_port, ip_id, time_ns, by_server, node = whole
    at_tap = [np.full(len(of_tap[0]), number) for number, of_tap in enumerate(columns)]
    return QuotedRequests(
        group=group.astype(np.int32),
        client_port=client_port.astype(np.int32),
        ip_id=ip_id.astype(np.int32),
        time_ns=time_ns,
        tap=np.concatenate(at_tap or [np.zeros(0, np.int64)]).astype(np.int32),
        by_server=by_server.astype(np.bool_),
        node=node.astype(np.int32),
        taps=tuple(tables),
        nodes=nodes,
    )


def _quoted_at(tap: Tap, table: PacketTable, requests: Membership, clocks: Clocks, index_of: Mapping[bytes, int]) -> tuple[I64, ...]:
    """The columns of QuotedRequests at one tap, in their order."""
    quotes, conversations = table.icmp_quotes, table.conversations
    chosen = np.flatnonzero(_rejects(table) & (quotes.conversation >= 0))
    chosen = chosen[requests.group[quotes.conversation[chosen]] != NO_FLOW]
    quoted, rows = quotes.conversation[chosen], quotes.row[chosen]
    from_asked = (conversations.source[table.conversation[rows]] == conversations.destination[quoted]).all(axis=1)
    sender = np.array([*(index_of.get(source.tobytes(), -1) for source in table.tunnels.source), -1], dtype=np.int64)
    return (
        requests.group[quoted].astype(np.int64),
        requests.client_port[quoted].astype(np.int64),
        quotes.ip_id[chosen].astype(np.int64),
        clocks.to_reference(tap.node, table.time_ns[rows]),
        (from_asked & (requests.planned[quoted] != NO_FLOW)).astype(np.int64),
        sender[table.tunnel[rows]],  # -1, no tunnel, is the index of what is appended
    )


def _rejects(table: PacketTable) -> NDArray[np.bool_]:
    """Which quotes stand in an error by which a packet ends: destination unreachable but for "fragmentation needed", time exceeded
    (RFC 792, types 3 and 11; RFC 4443, types 1 and 3)."""
    rows = table.icmp_quotes.row
    kind, code = table.flags[rows] >> 8, table.flags[rows] & 0xFF
    is_v6 = table.conversations.protocol[table.conversation[rows]] == IpProtocol.ICMPV6
    of_v4 = ((kind == UNREACHABLE) & (code != FRAGMENTATION_NEEDED)) | (kind == TIME_EXCEEDED)
    return np.asarray(np.where(is_v6, (kind == UNREACHABLE_V6) | (kind == TIME_EXCEEDED_V6), of_v4))


def mark_rejected(
    requests: Trajectories, replies: Trajectories | None, outcomes: Outcomes, quoted: QuotedRequests, group: int, clocks: Clocks
) -> None:
    """Marks what was rejected. One that arrived has the last hop as `lost_from`; one that vanished keeps its leg."""
    if not len(requests):
        return
    times_ns = reference_times(requests, clocks)
    first = _first_packets(requests, times_ns)
    answered_ns = _first_reply_ns(replies, clocks)
    by_icmp = first & _is_quoted(requests, quoted, group, answered_ns)
    by_reset = first & _is_reset(requests, times_ns, replies, answered_ns, clocks, first)
    rejected = np.flatnonzero(by_icmp | by_reset)
    length = requests.frame.shape[1]
    last = length - np.argmax(requests.seen[rejected, ::-1], axis=1) if length else np.zeros(0, np.int64)
    last = np.where(outcomes.code[rejected] == OutcomeCode.DELIVERED, length, last)
    vanished = outcomes.code[rejected] == OutcomeCode.LOST
    outcomes.lost_from[rejected] = np.where(vanished, outcomes.lost_from[rejected], last)
    outcomes.code[rejected] = OutcomeCode.REJECTED


def _first_packets(requests: Trajectories, times_ns: I64) -> NDArray[np.bool_]:
    """A connection's first packet and copies of it that its sender sent again; TCP: its SYNs, if it began with one."""
    order = np.argsort(times_ns, kind="stable")[::-1]
    first = np.full(PORTS, -1, dtype=np.int64)
    first[requests.client_port[order]] = order
    same = requests.identity == requests.identity[first[requests.client_port]]
    if requests.frames.tcp:
        opens = (requests.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN
        return np.asarray(same & opens)
    return np.asarray(same)


def _first_reply_ns(replies: Trajectories | None, clocks: Clocks) -> I64:
    """When each client port got its first reply that is no RST, in the reference clock; NEVER if it got none."""
    answered_ns = np.full(PORTS, NEVER, dtype=np.int64)
    if replies is not None and len(replies):
        real = np.flatnonzero((replies.flags & TCP_RST == 0) | (not replies.frames.tcp))
        np.minimum.at(answered_ns, replies.client_port[real], reference_times(replies, clocks)[real])
    return answered_ns


def _is_quoted(requests: Trajectories, quoted: QuotedRequests, group: int, answered_ns: I64) -> NDArray[np.bool_]:
    early = np.flatnonzero((quoted.group == group) & (quoted.time_ns < answered_ns[quoted.client_port]))
    return look_up(quoted.keys[early], packet_keys(requests.client_port, requests.ip_id)) >= 0


def _is_reset(
    requests: Trajectories, times_ns: I64, replies: Trajectories | None, answered_ns: I64, clocks: Clocks, first: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The last SYNs of each connection, as many as RSTs came back before any other reply."""
    is_reset = np.zeros(len(requests), dtype=np.bool_)
    if replies is None or not requests.frames.tcp or not len(replies):
        return is_reset
    is_early = reference_times(replies, clocks) < answered_ns[replies.client_port]
    resets = np.flatnonzero((replies.flags & TCP_RST != 0) & is_early)
    count = np.bincount(replies.client_port[resets], minlength=PORTS)
    syns = np.flatnonzero(first)
    order = syns[np.lexsort((-times_ns[syns], requests.client_port[syns]))]
    ports = requests.client_port[order]
    rank = np.arange(len(order)) - np.searchsorted(ports, ports, side="left")
    is_reset[order[rank < count[ports]]] = True
    return is_reset
