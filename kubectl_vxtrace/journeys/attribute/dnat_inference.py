"""What a service was translated to and what is no backend of it, inferred from packets that are the same but for the server's address.

Where no conntrack table was read, such a packet is known by what translation leaves alone (`same_packet.DNAT_KEY`).
"""

from collections.abc import Sequence

import numpy as np

from kubectl_vxtrace.journeys.attribute.attribution import Attribution
from kubectl_vxtrace.journeys.attribute.backend_attribution import backends_of_ports
from kubectl_vxtrace.journeys.attribute.conversations import ConversationEnds, Membership
from kubectl_vxtrace.journeys.attribute.groups import Connection, FlowGroup
from kubectl_vxtrace.journeys.columns import look_up
from kubectl_vxtrace.journeys.records import NO_FLOW, REQUEST, FlowFrames
from kubectl_vxtrace.journeys.same_packet import DNAT_KEY, Field, key_columns, number_packets
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, U64, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.model.recording import Recording


def inferred_dnat(attribution: Attribution) -> tuple[Connection, ...]:
    """The connections to unlisted backends as conntrack would say them; empty where each request to a service has a known backend.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined. What the client sends to such an address by
    itself, which its own interface shows, is no translation: a resolver may send one question to several servers from one port.
    """
    if not any(group.service for group in attribution.groups):
        return ()
    tables = attribution.tables
    backends = backends_of_ports(attribution.groups, attribution.frames, attribution.translations)
    requests = {tap: _of_unknown_backend(frames, backends) for tap, frames in attribution.frames.items()}
    client_taps = {path.hops[0].tap for path in attribution.recording.paths if path.direction is Direction.REQUEST and path.hops}
    connections: dict[tuple[int, int], ConntrackEntry] = {}
    for number, group in enumerate(attribution.groups):
        of_group = {tap: chosen for tap, frames in requests.items() if len(chosen := frames.take(frames.group == number))}
        if group.service is None or not of_group:
            continue
        ports = np.unique(np.concatenate([frames.client_port for frames in of_group.values()]))
        request_keys = [_key(tables[tap], frames.row, frames.client_port) for tap, frames in of_group.items()]
        asked_directly = set[str]()
        rows: dict[Tap, I32] = {}
        for tap, table in tables.items():
            rows[tap] = _unclaimed(table, group, attribution.ends[tap][REQUEST], attribution.memberships[tap], ports)
            asked_directly |= _destinations(table, rows[tap]) if tap in client_taps else set()
        for tap in tables.keys() - client_taps:
            for entry in _entries(attribution.recording, group, tables[tap], rows[tap], request_keys):
                if entry.reply_source not in asked_directly and entry.original_source_port is not None:
                    connections.setdefault((number, entry.original_source_port), entry)
    return tuple(Connection(entry=entry) for entry in connections.values())


def _of_unknown_backend(frames: FlowFrames, backends: I32) -> FlowFrames:
    """Requests in service form of client ports for which nothing names a backend."""
    return frames.take(
        (frames.direction == REQUEST) & (frames.planned == NO_FLOW) & (backends[frames.group, frames.client_port] == NO_FLOW)
    )


def _unclaimed(table: PacketTable, group: FlowGroup, ends: ConversationEnds, memberships: tuple[Membership, Membership], ports: I32) -> I32:
    """Rows from the client's ports that belong to nothing that was asked for."""
    unclaimed = (memberships[0].group == NO_FLOW) & (memberships[1].group == NO_FLOW)
    unclaimed &= np.isin(ends.protocol, group.protocols) & np.isin(ends.client, group.clients) & np.isin(ends.client_port, ports)
    is_first = (table.kind == Kind.IP) & (table.fragment & FRAGMENT_OFFSET == 0)
    rows = np.flatnonzero(is_first & np.append(unclaimed, False)[table.conversation])
    conversation = table.conversation[rows]
    telling = (table.digest[rows] != 0) | ((table.conversations.protocol[conversation] == IpProtocol.TCP) & (table.seq[rows] != 0))
    chosen: I32 = rows[telling].astype(np.int32)
    return chosen


def _destinations(table: PacketTable, rows: I32) -> set[str]:
    used = np.unique(table.conversation[rows])
    return {address_text(raw) for raw in np.unique(table.conversations.destination[used], axis=0)}


def _key(table: PacketTable, rows: I32, ports: I32) -> tuple[U64, ...]:
    return key_columns(DNAT_KEY, table, rows, {Field.CLIENT_PORT: ports})


def _entries(
    recording: Recording, group: FlowGroup, table: PacketTable, rows: I32, request_keys: Sequence[tuple[U64, ...]]
) -> tuple[ConntrackEntry, ...]:
    """The connections whose packets at a tap are the same as ones that were asked of the service; one for each client port."""
    if not len(rows):
        return ()
    source_port = table.conversations.source_port
    numbers = number_packets([*request_keys, _key(table, rows, source_port[table.conversation[rows]].astype(np.int32))])
    count = len(numbers) - len(rows)
    same = rows[look_up(numbers[:count], numbers[count:]) >= 0]
    conversation = table.conversation[same]
    _, first = np.unique(source_port[conversation], return_index=True)
    return tuple(_entry(recording, group, table, int(index)) for index in conversation[first].tolist())


def _entry(recording: Recording, group: FlowGroup, table: PacketTable, conversation: int) -> ConntrackEntry:
    planned = group.unknown_backend if group.unknown_backend is not None else group.backends[0].planned
    flow, conversations = recording.flows[planned], table.conversations
    service = flow.service
    port = int(conversations.source_port[conversation])
    return ConntrackEntry(
        protocol=flow.protocol.lower(),
        original_source=address_text(conversations.source[conversation]),
        original_destination=(service.address if service is not None else None) or "",
        original_source_port=port,
        original_destination_port=service.port if service is not None else None,
        reply_source=address_text(conversations.destination[conversation]),
        reply_source_port=int(conversations.destination_port[conversation]),
        reply_destination=address_text(conversations.source[conversation]),
        reply_destination_port=port,
    )
