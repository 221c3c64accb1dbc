"""Connections whose client address or port was rewritten, inferred from packets that are the same but for that.

Where no conntrack table was read, a masqueraded packet is known by what translation leaves alone (`same_packet.SNAT_KEY`). So is one with
the client's own address and a port that the client itself never used: NAT takes another where a connection that it knows has the port
(RFC 4787, 4.2). Where conntrack says otherwise, nothing is concluded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.attribution import Attribution
from kubectl_vxtrace.journeys.attribute.clients import Client, can_testify, clients_of, of_client
from kubectl_vxtrace.journeys.attribute.conversations import at_backend
from kubectl_vxtrace.journeys.attribute.groups import Backend, Connection, sharing_backends
from kubectl_vxtrace.journeys.attribute.senders import Senders
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REPLY, REQUEST, FlowFrames, Testimony
from kubectl_vxtrace.journeys.same_packet import SNAT_KEY, key_columns, number_packets
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, I64, U64, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rewritten:
    """Frames of a tap to a backend that no client sent so: from an unknown address, or from a client's own with a port it never used.

    own: of each whether the address is the client's own. ends: the number of the groups that lead to the backend (`sharing_backends`).
    """

    tap: Tap
    row: I32
    ends: I64
    own: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnatInference:
    """Rewritten connections as conntrack would say them; and the groups some of whose connections could not be told apart."""

    connections: tuple[Connection, ...] = ()
    undecided: frozenset[int] = frozenset()


def inferred_snat(attribution: Attribution, testimonies: Mapping[Tap, Testimony]) -> SnatInference:
    """The rewritten connections; none where every frame to a backend comes from a client, with a port that the client used.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined. Where several of the client's ports sent the
    same, one that was kept is taken for its own (netfilter keeps a port that is free), else the group is undecided.
    """
    tables = attribution.tables
    used = tuple(_used_ports(attribution, testimonies))
    unused = {tap: _unused_ports(attribution, tap, used) for tap in tables}
    ends_of = sharing_backends(attribution.groups)
    rewritten = [frames for tap in tables if len((frames := _rewritten(attribution, tap, unused[tap], ends_of)).row)]
    if not rewritten:
        return SnatInference()
    requests = {tap: _requests(tables[tap], frames, unused[tap]) for tap, frames in attribution.frames.items()}
    requests = {tap: frames for tap, frames in requests.items() if len(frames)}
    if not requests:
        return SnatInference()
    keys = [_key(tables[tap], frames.row, ends_of[frames.group]) for tap, frames in requests.items()]
    keys += [_key(tables[frames.tap], frames.row, frames.ends) for frames in rewritten]
    numbers = number_packets(keys)
    starts = np.cumsum([len(columns[0]) for columns in keys])[len(requests) - 1 : -1]
    of_requests, *of_rewritten = np.split(numbers, starts)
    senders = Senders(of_requests, requests)
    inference = _Inference(attribution, senders)
    for frames, frame_numbers in zip(rewritten, of_rewritten, strict=True):
        inference.add(frames, frame_numbers)
    return SnatInference(connections=tuple(inference.connections.values()), undecided=frozenset(inference.undecided))


def _key(table: PacketTable, row: I32, ends: I64) -> tuple[U64, ...]:
    """What is the same for frames that translation cannot tell apart: their content, and where they may go."""
    return (*key_columns(SNAT_KEY, table, row), ends.astype(np.uint64))


def _requests(table: PacketTable, frames: FlowFrames, unused: NDArray[np.bool_]) -> FlowFrames:
    return frames.take((frames.direction == REQUEST) & ~unused[table.conversation[frames.row]])


def _used_ports(attribution: Attribution, testimonies: Mapping[Tap, Testimony]) -> Iterator[tuple[Client, NDArray[np.bool_]]]:
    """The ports that each client used, where its own interface can testify to that, or its bridge: the source is rewritten behind both
    (POSTROUTING). None where the user's own filter left out what those saw."""
    request = attribution.recording.request
    for client in clients_of(attribution.groups) if request is None or request.filter is None else ():
        taps = next((taps for taps in (client.own_taps, client.bridges) if can_testify(taps, testimonies)), frozenset[Tap]())
        used = np.zeros(PORTS, dtype=np.bool_)
        for tap in taps & attribution.ends.keys():
            for of_direction in attribution.ends[tap]:
                used[of_direction.client_port[of_client(client, of_direction)]] = True
        if taps:
            yield client, used


def _unused_ports(attribution: Attribution, tap: Tap, used_ports: Sequence[tuple[Client, NDArray[np.bool_]]]) -> NDArray[np.bool_]:
    """Which conversations of a tap come from a client's own address with a port that it did not use, nor the one that conntrack names."""
    ends, membership = attribution.ends[tap][REQUEST], attribution.memberships[tap][REQUEST]
    unused = np.zeros(len(ends.client), dtype=np.bool_)
    for client, used in used_ports:
        if tap not in client.own_taps | client.bridges:
            fits = ~used[ends.client_port] & ((membership.client_port == ends.client_port) | ~used[membership.client_port])
            fits[fits] = of_client(client, ends)[fits]
            unused |= fits
    return unused


def _rewritten(attribution: Attribution, tap: Tap, unused: NDArray[np.bool_], ends_of: I64) -> _Rewritten:
    table, ends, memberships = attribution.tables[tap], attribution.ends[tap][REQUEST], attribution.memberships[tap]
    to_backend, leads_to = np.zeros(len(ends.client), dtype=np.bool_), np.zeros(len(ends.client), dtype=np.int64)
    for group, number in zip(attribution.groups, ends_of.tolist(), strict=True):
        of_protocol = np.isin(ends.protocol, group.protocols)
        for backend in group.translated:
            of_backend = of_protocol & at_backend(backend, ends)
            to_backend |= of_backend
            leads_to[of_backend] = number
    unknown = (memberships[REQUEST].group == NO_FLOW) & (memberships[REPLY].group == NO_FLOW)
    to_backend &= unknown | unused
    if to_backend.any():
        for client in clients_of(attribution.groups):
            to_backend &= unused | ~of_client(client, ends)
    if not to_backend.any():
        return _Rewritten(tap=tap, row=np.zeros(0, np.int32), ends=leads_to[:0], own=np.zeros(0, np.bool_))
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0) & (table.fragment & FRAGMENT_OFFSET == 0))
    conversation = table.conversation[rows]
    telling = (table.digest[rows] != 0) | ((table.conversations.protocol[conversation] == IpProtocol.TCP) & (table.seq[rows] != 0))
    rows = rows[telling & to_backend[conversation]]
    conversation = table.conversation[rows]
    return _Rewritten(tap=tap, row=rows.astype(np.int32), ends=leads_to[conversation], own=unused[conversation])


class _Inference:
    """The rewritten connections, by what is known of them, while taps are looked at one by one.

    Attributes:
        connections: by sender and backend; those with the client's own address also by their new port.
        undecided: groups where they cannot be told apart.
    """

    def __init__(self, attribution: Attribution, senders: Senders) -> None:
        self._attribution = attribution
        self._senders = senders
        self._told = _tuples_of_clients(attribution)
        self.connections: dict[tuple[int, Backend, int | None], Connection] = {}
        self.undecided: set[int] = set()

    def add(self, frames: _Rewritten, numbers: I32) -> None:
        """What the frames of one tap show."""
        table = self._attribution.tables[frames.tap]
        conversation = table.conversation[frames.row]
        sender, is_sure = self._senders.of(numbers, table.conversations.source_port[conversation])
        # of each conversation first the frames whose sender is sure, then others that have a sender
        order = np.lexsort((~is_sure, sender == NO_FLOW, conversation))
        order = order[sender[order] != NO_FLOW]
        _, begin = np.unique(conversation[order], return_index=True)
        for same in np.split(order, begin[1:]) if len(order) else ():
            group, port = divmod(int(sender[same[0]]), PORTS)
            backend = self._backend(frames.tap, group, int(conversation[same[0]]))
            if backend is None:
                continue
            entry = _entry(self._attribution, group, port, table, int(conversation[same[0]]))
            sure, seen_port = bool(is_sure[same[0]]), None
            if frames.own[same[0]]:
                if self._senders.passed(frames.tap, int(sender[same[0]]), numbers[same]):
                    continue  # they passed here with their own port: these are others
                seen_port = entry.reply_destination_port
                sure &= bool((sender[same] == sender[same[0]]).all()) and self._agrees(group, entry)
            known = self.connections.setdefault((int(sender[same[0]]), backend, seen_port), Connection(entry=entry)) if sure else None
            if known is None or known.entry != entry:
                self.undecided.add(group)

    def _backend(self, tap: Tap, group: int, conversation: int) -> Backend | None:
        """The backend of a group that a conversation is with."""
        ends, of_group = self._attribution.ends[tap][REQUEST], self._attribution.groups[group]
        if ends.protocol[conversation] not in of_group.protocols:
            return None
        server, port = int(ends.server[conversation]), int(ends.server_port[conversation])
        return next((backend for backend in of_group.translated if backend.address == server and backend.port in (None, port)), None)

    def _agrees(self, group: int, entry: ConntrackEntry) -> bool:
        """Whether conntrack on the client's node says the same of both tuples, or nothing."""
        node = self._attribution.groups[group].node
        told = (*self._told.get((node, *_asked(entry)), ()), *self._told.get((node, *_answered(entry)), ()))
        return all((_asked(other), _answered(other)) == (_asked(entry), _answered(entry)) for other in told)


def _asked(entry: ConntrackEntry) -> tuple[object, ...]:
    """What the client sends."""
    return "asked", entry.protocol, entry.original_source, entry.original_source_port, entry.original_destination


def _answered(entry: ConntrackEntry) -> tuple[object, ...]:
    """What replies to it must look like."""
    return "answered", entry.protocol, entry.reply_destination, entry.reply_destination_port, entry.reply_source


def _tuples_of_clients(attribution: Attribution) -> dict[tuple[object, ...], list[ConntrackEntry]]:
    """The conntrack entries of clients by their node and either tuple."""
    clients = {flow.client.address for flow in attribution.recording.flows}
    entries: dict[tuple[object, ...], list[ConntrackEntry]] = {}
    for connection in attribution.connections:
        if connection.entry.original_source in clients:
            for key in (_asked(connection.entry), _answered(connection.entry)):
                entries.setdefault((connection.node, *key), []).append(connection.entry)
    return entries


def _entry(attribution: Attribution, group: int, port: int, table: PacketTable, conversation: int) -> ConntrackEntry:
    """The connection as conntrack would say it."""
    flow = attribution.recording.flows[attribution.groups[group].planned]
    conversations = table.conversations
    server, server_port = address_text(conversations.destination[conversation]), int(conversations.destination_port[conversation])
    through = flow.service if attribution.groups[group].service is not None else None
    return ConntrackEntry(
        protocol=flow.protocol.lower(),
        original_source=flow.client.address,
        original_destination=through.address if through and through.address else server,
        original_source_port=port,
        original_destination_port=through.port if through else server_port,
        reply_source=server,
        reply_source_port=server_port,
        reply_destination=address_text(conversations.source[conversation]),
        reply_destination_port=int(conversations.source_port[conversation]),
    )
