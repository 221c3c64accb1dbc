"""Connections whose client address was rewritten, learned from packets that are the same but for their addresses.

Where no conntrack table was read, a masqueraded packet is known by what translation leaves alone: IP ID, TCP sequence number, payload.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import look_up, number_rows, pack
from kubectl_vxtrace.journeys.identity import NOBODY, Ends, Group, Roles
from kubectl_vxtrace.journeys.sightings import OFFSET, REQUEST, Sightings
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, IpProtocol, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Strangers:
    """Frames of a tap from an unknown address to a server: rows, their conversations and the planned flow of that server."""

    tap: Tap
    row: I32
    planned: I32


def learned_connections(
    recording: Recording,
    groups: Sequence[Group],
    tables: Mapping[Tap, PacketTable],
    ends: Mapping[Tap, tuple[Ends, Ends]],
    roles: Mapping[Tap, tuple[Roles, Roles]],
    seen: Mapping[Tap, Sightings],
) -> tuple[ConntrackEntry, ...]:
    """The rewritten connections as conntrack would say them; empty where every frame to a server comes from a known client.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined.
    """
    strangers = [one for tap, table in tables.items() if len((one := _strangers(tap, table, groups, ends[tap][0], roles[tap])).row)]
    if not strangers:
        return ()
    asked = {tap: one.take(one.direction == REQUEST) for tap, one in seen.items()}
    known = [(tap, one) for tap, one in asked.items() if len(one)]
    if not known:
        return ()
    group_of = {server.planned: number for number, group in enumerate(groups) for server in group.servers}
    whose = [np.array([group_of[number] for number in one.planned.tolist()], dtype=np.int64) for one in strangers]
    parts = [_columns(tables[tap], one.row, one.group) for tap, one in known]
    parts += [_columns(tables[one.tap], one.row, group) for one, group in zip(strangers, whose, strict=True)]
    numbers = number_rows([np.concatenate(column) for column in zip(*parts, strict=True)])
    count = sum(len(one) for _, one in known)
    place = look_up(numbers[:count], numbers[count:])
    groups_of_known = np.concatenate([one.group for _, one in known])
    ports = np.concatenate([one.client_port for _, one in known])
    found: dict[tuple[int, ...], ConntrackEntry] = {}
    start = 0
    for one in strangers:
        at = place[start : start + len(one.row)]
        start += len(one.row)
        table = tables[one.tap]
        talk = table.conversation[one.row]
        _, first = np.unique(np.where(at >= 0, talk, -1), return_index=True)
        for index in first[at[first] >= 0].tolist():
            group, port = groups[int(groups_of_known[at[index]])], int(ports[at[index]])
            entry = _entry(recording, group, int(one.planned[index]), port, table, int(talk[index]))
            found.setdefault((int(one.planned[index]), port), entry)
    return tuple(found.values())


def _strangers(tap: Tap, table: PacketTable, groups: Sequence[Group], ends: Ends, roles: tuple[Roles, Roles]) -> _Strangers:
    planned = np.full(len(ends.client), NOBODY, dtype=np.int32)
    unclaimed = (roles[0].group == NOBODY) & (roles[1].group == NOBODY)
    for group in groups:
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
    flags = pack(table.flags[rows], np.zeros(len(rows), np.uint16), table.payload_bytes[rows])
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
