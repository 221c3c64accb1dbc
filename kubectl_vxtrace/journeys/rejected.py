"""Requests that were refused: a connection's first packet answered by an RST or an ICMP error before any reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clocks import Clocks
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.identity import NOBODY, Roles
from kubectl_vxtrace.journeys.outcome import Outcomes
from kubectl_vxtrace.journeys.trails import ACK, RST, SYN, Trails
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Overlay, Tap
from kubectl_vxtrace.model.protocol import IpProtocol

NEVER = np.iinfo(np.int64).max
UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
TIME_EXCEEDED = 11
UNREACHABLE_V6, TIME_EXCEEDED_V6 = 1, 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refusals:
    """ICMP errors that quote a request, n rows: whose request, its client port and IP ID, when (in the reference clock).

    by_server: the error comes from the address to which the request went, behind all translation. node: the number of the node, in
    `nodes`, whose tunnel brought the error, -1 where it came without one.
    """

    group: I32
    client_port: I32
    ip_id: I32
    time_ns: I64
    by_server: NDArray[np.bool_]
    node: I32
    nodes: tuple[str, ...]


def refusals_of(tables: Mapping[Tap, PacketTable], roles: Mapping[Tap, tuple[Roles, Roles]], clocks: Clocks, overlay: Overlay) -> Refusals:
    """Errors that quote a request and say that it goes no further: see `_refuses`."""
    senders = {packed: vtep.node for vtep in overlay.vteps if (packed := packed_address(vtep.underlay_address or "")) is not None}
    nodes = tuple(dict.fromkeys(senders.values()))
    parts = [_refusals_at(tap, table, roles[tap][0], clocks, senders, nodes) for tap, table in tables.items()]
    group, client_port, ip_id, time_ns, by_server, node = (
        [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.zeros(0, np.int64)] * 6
    )
    return Refusals(
        group=group.astype(np.int32),
        client_port=client_port.astype(np.int32),
        ip_id=ip_id.astype(np.int32),
        time_ns=time_ns,
        by_server=by_server.astype(np.bool_),
        node=node.astype(np.int32),
        nodes=nodes,
    )


def _refusals_at(
    tap: Tap, table: PacketTable, role: Roles, clocks: Clocks, senders: Mapping[bytes, str], nodes: Sequence[str]
) -> tuple[I64, ...]:
    """The columns of one tap's refusals, in the order of Refusals."""
    quotes, small = table.icmp_quotes, table.conversations
    which = np.flatnonzero(_refuses(table) & (quotes.conversation >= 0))
    which = which[role.group[quotes.conversation[which]] != NOBODY]
    quoted, rows = quotes.conversation[which], quotes.row[which]
    own = (small.source[table.conversation[rows]] == small.destination[quoted]).all(axis=1) & (role.planned[quoted] != NOBODY)
    numbers = [nodes.index(senders[raw]) if (raw := source.tobytes()) in senders else -1 for source in table.tunnels.source]
    return (
        role.group[quoted].astype(np.int64),
        role.client_port[quoted].astype(np.int64),
        quotes.ip_id[which].astype(np.int64),
        clocks.to_reference(tap.node, table.time_ns[rows]),
        own.astype(np.int64),
        np.array([*numbers, -1], dtype=np.int64)[table.tunnel[rows]],  # no tunnel, -1, is the last place
    )


def _refuses(table: PacketTable) -> NDArray[np.bool_]:
    """Which quotes are in an error by which a packet ends: destination unreachable but for "fragmentation needed", and time exceeded
    (RFC 792, types 3 and 11; RFC 4443, types 1 and 3)."""
    rows = table.icmp_quotes.row
    kind, code = table.flags[rows] >> 8, table.flags[rows] & 0xFF
    version6 = table.conversations.protocol[table.conversation[rows]] == IpProtocol.ICMPV6
    version4 = ((kind == UNREACHABLE) & (code != FRAGMENTATION_NEEDED)) | (kind == TIME_EXCEEDED)
    return np.asarray(np.where(version6, (kind == UNREACHABLE_V6) | (kind == TIME_EXCEEDED_V6), version4))


def reached_by_refusals(requests: Trails, refusals: Refusals, group: int, homes: Mapping[str, int]) -> I32:
    """How many hops each request has provably passed, since an error that quotes it came from there; 0 where nothing says so.

    The server's own address has all hops behind it; of a node whose tunnel brought the error the last hop in `homes` counts.
    """
    places = np.array([homes.get(node, -1) + 1 for node in refusals.nodes] + [0], dtype=np.int32)
    passed = np.where(refusals.by_server, requests.frame.shape[1] + 1, places[refusals.node])
    telling = np.flatnonzero((refusals.group == group) & (passed > 0))
    telling = telling[np.argsort(-passed[telling], kind="stable")]
    keys = (refusals.client_port[telling].astype(np.int64) << 16) | refusals.ip_id[telling]
    found = look_up(keys, (requests.client_port.astype(np.int64) << 16) | requests.ip_id)
    return np.where(found >= 0, np.append(passed[telling], 0)[found], 0).astype(np.int32)


def refuse(requests: Trails, replies: Trails | None, outcomes: Outcomes, refusals: Refusals, group: int, clocks: Clocks) -> None:
    """Marks what was refused. One that the last hop saw, or that came there all the same, keeps that hop as `lost_from`; one that vanished
    keeps its leg."""
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
    last = np.where(outcomes.outcome[refused] == OutcomeCode.DELIVERED, length, last)
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
