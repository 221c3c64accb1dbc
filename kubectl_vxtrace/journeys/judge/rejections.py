"""Requests that were rejected: a connection's first packet answered by an RST or an ICMP error before any reply."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.conversations import Membership
from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.judge.outcomes import Outcomes
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, reference_times
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REQUEST
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST, TCP_SYN, IpProtocol

NEVER = np.iinfo(np.int64).max
UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
"""Type and code of RFC 792."""
UNREACHABLE_V6 = 1
"""Type of RFC 4443, 3.1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuotedRequests:
    """ICMP errors that quote a request, n rows: whose request, its client port and IP ID, when (in the reference clock)."""

    group: I32
    client_port: I32
    ip_id: I32
    time_ns: I64


def quoted_requests(
    tables: Mapping[Tap, PacketTable], memberships: Mapping[Tap, tuple[Membership, Membership]], clocks: Clocks
) -> QuotedRequests:
    """Destination unreachable (RFC 792, type 3; RFC 4443, type 1), except "fragmentation needed", that quotes a request."""
    columns: list[tuple[NDArray[np.int64], ...]] = []
    for tap, table in tables.items():
        quotes = table.icmp_quotes
        flags = table.flags[quotes.row].astype(np.int64)
        is_v6 = table.conversations.protocol[table.conversation[quotes.row]] == IpProtocol.ICMPV6
        rejects = np.where(is_v6, flags >> 8 == UNREACHABLE_V6, (flags >> 8 == UNREACHABLE) & (flags & 0xFF != FRAGMENTATION_NEEDED))
        chosen = np.flatnonzero(rejects & (quotes.conversation >= 0))
        requests = memberships[tap][REQUEST]
        chosen = chosen[requests.group[quotes.conversation[chosen]] != NO_FLOW]
        quoted = quotes.conversation[chosen]
        times_ns = clocks.to_reference(tap.node, table.time_ns[quotes.row[chosen]])
        columns.append((requests.group[quoted], requests.client_port[quoted], quotes.ip_id[chosen].astype(np.int64), times_ns))
    whole = [np.concatenate(column) for column in zip(*columns, strict=True)] if columns else [np.zeros(0, np.int64)] * 4
    group, client_port, ip_id, time_ns = whole
    return QuotedRequests(
        group=group.astype(np.int32), client_port=client_port.astype(np.int32), ip_id=ip_id.astype(np.int32), time_ns=time_ns
    )


def mark_rejected(
    requests: Trajectories, replies: Trajectories | None, outcomes: Outcomes, quoted: QuotedRequests, group: int, clocks: Clocks
) -> None:
    """Marks what was rejected. One that the last hop saw keeps that hop as `lost_from`; one that vanished keeps its leg."""
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
    keys = (quoted.client_port[early].astype(np.int64) << 16) | quoted.ip_id[early]
    wanted = (requests.client_port.astype(np.int64) << 16) | requests.ip_id
    return look_up(keys, wanted) >= 0


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
