"""Connections whose client address was rewritten, learned from packets that are the same but for their addresses.

Where no conntrack table was read, a masqueraded packet is known by what translation leaves alone: IP ID, TCP sequence number, payload.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack
from kubectl_vxtrace.journeys.identified import Identified
from kubectl_vxtrace.journeys.identity import NOBODY, Group
from kubectl_vxtrace.journeys.sightings import OFFSET, REQUEST
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.recording import Recording

SYN_RST_ACK = 0x16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Strangers:
    """Frames of a tap from an unknown address to a server: rows, their conversations and the planned flow of that server."""

    tap: Tap
    row: I32
    planned: I32


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Rewritten connections as conntrack would say them; and the groups some of whose connections could not be told apart."""

    connections: tuple[ConntrackEntry, ...] = ()
    unsure: frozenset[int] = frozenset()


def learned_connections(identified: Identified) -> Learned:
    """The rewritten connections; none where every frame to a server comes from a known client.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined. Where several of the client's ports sent the
    same, one that was kept is taken for its own (netfilter keeps a port that is free), else it is not to be known whose it is.
    """
    tables, groups = identified.tables, identified.groups
    strangers = [one for tap in tables if len((one := _strangers(identified, tap)).row)]
    if not strangers:
        return Learned()
    asked = {tap: one.take(one.direction == REQUEST) for tap, one in identified.seen.items()}
    known = [(tap, one) for tap, one in asked.items() if len(one)]
    if not known:
        return Learned()
    group_of = {server.planned: number for number, group in enumerate(groups) for server in group.servers}
    whose = [np.array([group_of[number] for number in one.planned.tolist()], dtype=np.int64) for one in strangers]
    parts = [_columns(tables[tap], one.row, one.group) for tap, one in known]
    parts += [_columns(tables[one.tap], one.row, group) for one, group in zip(strangers, whose, strict=True)]
    numbers = number_rows([np.concatenate(column) for column in zip(*parts, strict=True)])
    count = sum(len(one) for _, one in known)
    senders = _Senders(numbers[:count], *(np.concatenate([getattr(one, name) for _, one in known]) for name in ("client_port", "group")))
    found: dict[tuple[int, int], ConntrackEntry] = {}
    unsure: set[int] = set()
    for one, theirs in zip(strangers, np.split(numbers[count:], np.cumsum([len(one.row) for one in strangers])[:-1]), strict=True):
        table = tables[one.tap]
        talk = table.conversation[one.row]
        port, sure = senders.ports(theirs, table.conversations.source_port[talk])
        order = np.lexsort((~sure, port < 0, talk))
        _, first = np.unique(talk[order], return_index=True)
        for index in order[first].tolist():
            if port[index] < 0:
                continue
            group = int(senders.group_of(theirs[index]))
            key = int(one.planned[index]), int(port[index])
            if not sure[index]:
                unsure.add(group)
                continue
            entry = _entry(identified.recording, groups[group], *key, table, int(talk[index]))
            if found.setdefault(key, entry) != entry:
                unsure.add(group)
    return Learned(connections=tuple(found.values()), unsure=frozenset(unsure))


class _Senders:
    """Which of the client's ports sent what: `number` is the same for what translation cannot tell apart."""

    def __init__(self, number: I32, port: I32, group: NDArray[np.generic]) -> None:
        size = int(number.max(initial=-1)) + 1
        self._group, self._least, self._most = (np.full(size, value, dtype=np.int32) for value in (NOBODY, 65536, -1))
        self._group[number] = group
        np.minimum.at(self._least, number, port)
        np.maximum.at(self._most, number, port)
        self._pairs = np.unique((number.astype(np.int64) << 16) | port)

    def ports(self, number: I32, kept: NDArray[np.generic]) -> tuple[I32, NDArray[np.bool_]]:
        """For each of somebody's packets the port that sent it, -1 if none did; and whether no other can have. `kept`: its port now."""
        inside = np.minimum(number, len(self._most) - 1)
        port = np.where(number < len(self._most), self._most[inside], -1)
        several = (port >= 0) & (self._least[inside] != port)
        same = np.isin((number.astype(np.int64) << 16) | kept.astype(np.int64), self._pairs)
        return np.where(several & same, kept, port).astype(np.int32), ~several | same

    def group_of(self, number: int) -> int:
        """The group whose client sent this."""
        return int(self._group[number])


def _strangers(identified: Identified, tap: Tap) -> _Strangers:
    table, ends, roles = identified.tables[tap], identified.ends[tap][REQUEST], identified.roles[tap]
    planned = np.full(len(ends.client), NOBODY, dtype=np.int32)
    unclaimed = (roles[0].group == NOBODY) & (roles[1].group == NOBODY)
    for group in identified.groups:
        mine = unclaimed & np.isin(ends.protocol, group.protocols)
        for server in group.servers:
            hit = mine & (planned == NOBODY) & (ends.server == server.address)
            planned[hit if server.port is None else hit & (ends.server_port == server.port)] = server.planned
    if not len(planned) or (planned == NOBODY).all():
        return _Strangers(tap=tap, row=np.zeros(0, np.int32), planned=np.zeros(0, np.int32))
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0) & (table.fragment & OFFSET == 0))
    talk = table.conversation[rows]
    telling = (table.digest[rows] != 0) | ((table.conversations.protocol[talk] == IpProtocol.TCP) & (table.seq[rows] != 0))
    rows = rows[telling & (planned[talk] != NOBODY)]
    return _Strangers(tap=tap, row=rows.astype(np.int32), planned=planned[table.conversation[rows]])


def _columns(table: PacketTable, rows: I32, group: NDArray[np.generic]) -> tuple[NDArray[np.uint64], ...]:
    """What tells packets apart. A super-packet has these of its first segment, so that lengths, PSH and FIN are not among them."""
    flags = pack(table.flags[rows] & SYN_RST_ACK, np.zeros(len(rows), np.uint16), (table.payload_bytes[rows] > 0).astype(np.int32))
    return pack(group, table.ip_id[rows], table.seq[rows]), table.digest[rows].astype(np.uint64), flags


def _entry(recording: Recording, group: Group, planned: int, port: int, table: PacketTable, talk: int) -> ConntrackEntry:
    flow = recording.flows[planned]
    server = flow.server.address if flow.server else ""
    through = flow.service if group.service is not None else None
    conversations = table.conversations
    return ConntrackEntry(
        protocol=flow.protocol.lower(),
        original_source=flow.client.address,
        original_destination=through.address if through and through.address else server,
        original_source_port=port,
        original_destination_port=through.port if through else int(conversations.destination_port[talk]),
        reply_source=server,
        reply_source_port=int(conversations.destination_port[talk]),
        reply_destination=address_text(conversations.source[talk]),
        reply_destination_port=int(conversations.source_port[talk]),
    )
