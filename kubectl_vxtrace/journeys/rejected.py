"""Requests that were refused: a connection's first packet answered by an RST or an ICMP error before any reply."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clocks import Clocks
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.identity import NOBODY, Roles
from kubectl_vxtrace.journeys.outcome import Outcomes
from kubectl_vxtrace.journeys.trails import ACK, RST, SYN, Trails
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import IpProtocol

NEVER = np.iinfo(np.int64).max
UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
UNREACHABLE_V6 = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refusals:
    """ICMP errors that quote a request, n rows: whose request, its client port and IP ID, when (in the reference clock)."""

    group: I32
    client_port: I32
    ip_id: I32
    time_ns: I64


def refusals_of(tables: Mapping[Tap, PacketTable], roles: Mapping[Tap, tuple[Roles, Roles]], clocks: Clocks) -> Refusals:
    """Destination unreachable (RFC 792, type 3; RFC 4443, type 1), except "fragmentation needed", that quotes a request."""
    parts: list[tuple[NDArray[np.int64], ...]] = []
    for tap, table in tables.items():
        quotes = table.icmp_quotes
        flags = table.flags[quotes.row].astype(np.int64)
        talk = table.conversation[quotes.row]
        version6 = table.conversations.protocol[talk] == IpProtocol.ICMPV6
        refuses = np.where(version6, flags >> 8 == UNREACHABLE_V6, (flags >> 8 == UNREACHABLE) & (flags & 0xFF != FRAGMENTATION_NEEDED))
        mine = np.flatnonzero(refuses & (quotes.conversation >= 0))
        role = roles[tap][0]
        quoted = quotes.conversation[mine]
        known = role.group[quoted] != NOBODY
        mine, quoted = mine[known], quoted[known]
        times = clocks.to_reference(tap.node, table.time_ns[quotes.row[mine]])
        parts.append((role.group[quoted], role.client_port[quoted], quotes.ip_id[mine].astype(np.int64), times))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.zeros(0, np.int64)] * 4
    return Refusals(
        group=columns[0].astype(np.int32),
        client_port=columns[1].astype(np.int32),
        ip_id=columns[2].astype(np.int32),
        time_ns=columns[3],
    )


def refuse(requests: Trails, replies: Trails | None, outcomes: Outcomes, refusals: Refusals, group: int, clocks: Clocks) -> None:
    """Marks what was refused. One that the last hop saw keeps that hop as `lost_from`; one that vanished keeps its leg."""
    if not len(requests):
        return
    times = reference_times(requests, clocks)
    first = _first_packets(requests, times)
    answered = _first_reply(replies, clocks)
    by_icmp = first & _quoted(requests, refusals, group, answered)
    by_reset = first & _reset(requests, times, replies, answered, clocks, first)
    refused = np.flatnonzero(by_icmp | by_reset)
    length = requests.frame.shape[1]
    last = length - np.argmax(requests.seen[refused, ::-1], axis=1) if length else np.zeros(0, np.int64)
    vanished = outcomes.outcome[refused] == OutcomeCode.LOST
    outcomes.lost_from[refused] = np.where(vanished, outcomes.lost_from[refused], last)
    outcomes.outcome[refused] = OutcomeCode.REJECTED


def reference_times(trails: Trails, clocks: Clocks) -> I64:
    """First sightings in the reference node's clock, by the middle of its bounds."""
    times = trails.time_ns.copy()
    for hop, place in enumerate(trails.way.path.hops):
        mine = trails.first == hop
        times[mine] = clocks.to_reference(place.tap.node, times[mine])
    return times


def _first_packets(requests: Trails, times: I64) -> NDArray[np.bool_]:
    """A connection's first packet and copies of it that its sender sent again; TCP: its SYNs, if it began with one."""
    order = np.argsort(times, kind="stable")[::-1]
    first = np.full(65536, -1, dtype=np.int64)
    first[requests.client_port[order]] = order
    mine = first[requests.client_port]
    same = requests.identity == requests.identity[mine]
    if requests.way.tcp:
        opens = (requests.flags & (SYN | ACK)) == SYN
        return np.asarray(same & opens)
    return np.asarray(same)


def _first_reply(replies: Trails | None, clocks: Clocks) -> I64:
    """When each client port got its first reply that is no RST, in the reference clock; NEVER if it got none."""
    answered = np.full(65536, NEVER, dtype=np.int64)
    if replies is not None and len(replies):
        real = np.flatnonzero((replies.flags & RST == 0) | (not replies.way.tcp))
        np.minimum.at(answered, replies.client_port[real], reference_times(replies, clocks)[real])
    return answered


def _quoted(requests: Trails, refusals: Refusals, group: int, answered: I64) -> NDArray[np.bool_]:
    mine = np.flatnonzero((refusals.group == group) & (refusals.time_ns < answered[refusals.client_port]))
    keys = (refusals.client_port[mine].astype(np.int64) << 16) | refusals.ip_id[mine]
    wanted = (requests.client_port.astype(np.int64) << 16) | requests.ip_id
    return look_up(keys, wanted) >= 0


def _reset(
    requests: Trails, times: I64, replies: Trails | None, answered: I64, clocks: Clocks, first: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The last SYNs of each connection, as many as RSTs came back before any other reply."""
    refused = np.zeros(len(requests), dtype=np.bool_)
    if replies is None or not requests.way.tcp or not len(replies):
        return refused
    when = reference_times(replies, clocks)
    resets = np.flatnonzero((replies.flags & RST != 0) & (when < answered[replies.client_port]))
    count = np.bincount(replies.client_port[resets], minlength=65536)
    syns = np.flatnonzero(first)
    order = syns[np.lexsort((-times[syns], requests.client_port[syns]))]
    ports = requests.client_port[order]
    begin = np.searchsorted(ports, ports, side="left")
    rank = np.arange(len(order)) - begin
    refused[order[rank < count[ports]]] = True
    return refused
