"""What a service was translated to and what is no backend of it, learned from packets that are the same but for the server's address.

Where no conntrack table was read, such a packet is known by what translation leaves alone: the client's end, IP ID, TCP sequence number,
payload.
"""

from collections.abc import Sequence

import numpy as np

from kubectl_vxtrace.journeys.columns import look_up, number_rows, pack
from kubectl_vxtrace.journeys.identified import Identified
from kubectl_vxtrace.journeys.identity import NOBODY, Ends, Group, Roles
from kubectl_vxtrace.journeys.sightings import OFFSET, REQUEST, Sightings, backends_seen
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, U64, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.recording import Recording


def translated_connections(known: Identified) -> tuple[ConntrackEntry, ...]:
    """The connections to strangers as conntrack would say them; empty where each request to a service has a backend that is known.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined. What the client sends to such an address by
    itself, which its own interface shows, is no translation: a resolver may send one question to several servers from one port.
    """
    if not any(group.service for group in known.groups):
        return ()
    tables, backends = known.tables, backends_seen(known.groups, known.seen, known.names)
    open_ = {tap: _nameless(one, backends) for tap, one in known.seen.items()}
    firsts = {path.hops[0].tap for path in known.recording.paths if path.direction is Direction.REQUEST and path.hops}
    found: dict[tuple[int, int], ConntrackEntry] = {}
    for number, group in enumerate(known.groups):
        requests = [(tap, mine) for tap, one in open_.items() if len(mine := one.take(one.group == number))]
        if group.service is None or not requests:
            continue
        ports = np.unique(np.concatenate([one.client_port for _, one in requests]))
        asked = [_key(tables[tap], one.row, one.client_port) for tap, one in requests]
        own = set[str]()
        rows: dict[Tap, I32] = {}
        for tap, table in tables.items():
            rows[tap] = _unclaimed(table, group, known.ends[tap][REQUEST], known.roles[tap], ports)
            own |= _servers(table, rows[tap]) if tap in firsts else set()
        for tap in tables.keys() - firsts:
            for entry in _entries(known.recording, group, tables[tap], rows[tap], asked):
                if entry.reply_source not in own and entry.original_source_port is not None:
                    found.setdefault((number, entry.original_source_port), entry)
    return tuple(found.values())


def _nameless(one: Sightings, backends: I32) -> Sightings:
    """Requests in service form of client ports for which nothing names a backend."""
    return one.take((one.direction == REQUEST) & (one.planned == NOBODY) & (backends[one.group, one.client_port] == NOBODY))


def _unclaimed(table: PacketTable, group: Group, ends: Ends, roles: tuple[Roles, Roles], ports: I32) -> I32:
    """Rows from the client's ports that belong to nothing that was asked for."""
    nobodys = (roles[0].group == NOBODY) & (roles[1].group == NOBODY)
    talks = nobodys & np.isin(ends.protocol, group.protocols) & np.isin(ends.client, group.clients) & np.isin(ends.client_port, ports)
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.fragment & OFFSET == 0) & np.append(talks, False)[table.conversation])
    talk = table.conversation[rows]
    telling = (table.digest[rows] != 0) | ((table.conversations.protocol[talk] == IpProtocol.TCP) & (table.seq[rows] != 0))
    found: I32 = rows[telling].astype(np.int32)
    return found


def _servers(table: PacketTable, rows: I32) -> set[str]:
    talks = np.unique(table.conversation[rows])
    return {address_text(raw) for raw in np.unique(table.conversations.destination[talks], axis=0)}


def _key(table: PacketTable, rows: I32, ports: I32) -> tuple[U64, ...]:
    return (
        pack(ports, table.ip_id[rows], table.seq[rows]),
        table.digest[rows].astype(np.uint64),
        pack(table.flags[rows], np.zeros(len(rows), np.uint16), table.payload_bytes[rows]),
    )


def _entries(
    recording: Recording, group: Group, table: PacketTable, rows: I32, asked: Sequence[tuple[U64, ...]]
) -> tuple[ConntrackEntry, ...]:
    """The connections whose packets at a tap are the same as ones that were asked of the service; one for each client port."""
    if not len(rows):
        return ()
    small = table.conversations
    ports = small.source_port[table.conversation[rows]].astype(np.int32)
    columns = zip(*asked, _key(table, rows, ports), strict=True)
    numbers = number_rows([np.concatenate(column) for column in columns])
    count = len(numbers) - len(rows)
    same = rows[look_up(numbers[:count], numbers[count:]) >= 0]
    talks = table.conversation[same]
    _, first = np.unique(small.source_port[talks], return_index=True)
    return tuple(_entry(recording, group, table, int(talk)) for talk in talks[first].tolist())


def _entry(recording: Recording, group: Group, table: PacketTable, talk: int) -> ConntrackEntry:
    planned = group.nameless if group.nameless is not None else group.servers[0].planned
    flow, small = recording.flows[planned], table.conversations
    service = flow.service
    port = int(small.source_port[talk])
    return ConntrackEntry(
        protocol=flow.protocol.lower(),
        original_source=address_text(small.source[talk]),
        original_destination=(service.address if service is not None else None) or "",
        original_source_port=port,
        original_destination_port=service.port if service is not None else None,
        reply_source=address_text(small.destination[talk]),
        reply_source_port=int(small.destination_port[talk]),
        reply_destination=address_text(small.source[talk]),
        reply_destination_port=port,
    )
