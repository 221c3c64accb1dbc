"""Frames attributed to planned flows: whose they are, in which direction, from which client port."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import address_book
from kubectl_vxtrace.journeys.attribute.conntrack import translations_of
from kubectl_vxtrace.journeys.attribute.conversations import Membership, ends_of, memberships_of, sent_conversations
from kubectl_vxtrace.journeys.attribute.groups import Connection, groups_of
from kubectl_vxtrace.journeys.attribute.reused_ports import with_origins
from kubectl_vxtrace.journeys.records import NO_FLOW, REPLY, REQUEST, FlowFrames
from kubectl_vxtrace.model.packets import U8, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.model.recording import Recording

_NEITHER = 2
# RFC 792 and RFC 4443: echo request and echo reply, as `type << 8 | code`
ECHO_FLAGS = {(IpProtocol.ICMP, REQUEST): 8 << 8, (IpProtocol.ICMP, REPLY): 0, (IpProtocol.ICMPV6, REQUEST): 128 << 8}
ECHO_FLAGS[IpProtocol.ICMPV6, REPLY] = 129 << 8


class Attribution:
    """The frames of the planned flows, as far as these and some connections tell.

    Attributes:
        recording, tables: what was captured. connections: what conntrack says, or what was inferred in its place.
        book: the addresses that bear on the flows.
        groups: the planned flows, joined where they share a service.
        translations: what conntrack says of backends and rewritten clients.
        ends, memberships: by tap, both readings of each conversation (as a request, as a reply): its ends, and what it belongs to.
        frames: by tap, the frames that belong to a group.
        undecided: groups some of whose frames nothing tells from another's.
    """

    def __init__(self, recording: Recording, tables: Mapping[Tap, PacketTable], connections: Sequence[Connection]) -> None:
        self.recording = recording
        self.tables = tables
        self.connections = connections
        self.book = address_book(recording, [connection.entry for connection in connections])
        self.groups = groups_of(recording, self.book, connections)
        self.translations = translations_of(connections, self.book, self.groups)
        self.ends = {tap: ends_of(table, self.book) for tap, table in tables.items()}
        self.memberships = memberships_of(
            self.groups, self.ends, {tap: sent_conversations(table) for tap, table in tables.items()}, self.translations
        )
        frames = {tap: frames_of(table, self.memberships[tap]) for tap, table in tables.items()}
        self.frames, self.undecided = with_origins(tables, self.ends, self.memberships, self.groups, frames, self.translations.moved)


def frames_of(table: PacketTable, memberships: tuple[Membership, Membership]) -> FlowFrames:
    """The frames of a table whose conversation belongs to a group. Later IP fragments name no ports and are not among them.

    Of echo messages the type says which way they go, of all else the conversation.
    """
    is_request, is_reply = (memberships[direction].group != NO_FLOW for direction in (REQUEST, REPLY))
    of_conversation = np.where(is_request, REQUEST, np.where(is_reply, REPLY, _NEITHER)).astype(np.uint8)
    protocol = table.conversations.protocol
    echo = (of_conversation != _NEITHER) & ((protocol == IpProtocol.ICMP) | (protocol == IpProtocol.ICMPV6))
    # conversation -1, none, takes the last entry
    direction = np.append(of_conversation, np.uint8(_NEITHER))[table.conversation]
    direction[(table.kind != Kind.IP) | (table.fragment & FRAGMENT_OFFSET != 0)] = _NEITHER
    if echo.any():
        rows = np.flatnonzero(np.append(echo, False)[table.conversation] & (direction != _NEITHER))
        direction[rows] = _echo_directions(table, rows, memberships)
    row = np.flatnonzero(direction != _NEITHER).astype(np.int32)
    direction = direction[row]
    index = table.conversation[row] + direction.astype(np.int32) * np.int32(len(table.conversations))
    columns = {name: np.concatenate([getattr(membership, name) for membership in memberships])[index] for name in Membership.__slots__}
    return FlowFrames(row=row, direction=direction, **columns)


def _echo_directions(table: PacketTable, rows: NDArray[np.intp], memberships: tuple[Membership, Membership]) -> U8:
    conversation, flags = table.conversation[rows], table.flags[rows]
    protocol = table.conversations.protocol[conversation]
    directions = np.full(len(rows), _NEITHER, dtype=np.uint8)
    for (echo_protocol, direction), echo_flags in ECHO_FLAGS.items():
        belongs = memberships[direction].group[conversation] != NO_FLOW
        directions[(directions == _NEITHER) & belongs & (protocol == echo_protocol) & (flags == echo_flags)] = direction
    return directions
