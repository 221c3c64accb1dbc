"""Connections whose client address was rewritten, inferred from packets that are the same but for their addresses.

Where no conntrack table was read, a masqueraded packet is known by what translation leaves alone (`same_packet.SNAT_KEY`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.attribution import Attribution
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REQUEST, FlowFrames
from kubectl_vxtrace.journeys.same_packet import SNAT_KEY, Field, key_columns, number_packets
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _UnknownSources:
    """Frames of a tap from an unknown address to a backend: rows, and the planned flow and the group of that backend."""

    tap: Tap
    row: I32
    planned: I32
    group: I32


@dataclass(frozen=True, slots=True, kw_only=True)
class SnatInference:
    """Rewritten connections as conntrack would say them; and the groups some of whose connections could not be told apart."""

    connections: tuple[ConntrackEntry, ...] = ()
    undecided: frozenset[int] = frozenset()


def inferred_snat(attribution: Attribution) -> SnatInference:
    """The rewritten connections; none where every frame to a backend comes from a known client.

    Only packets with a payload that can be compared, or a TCP sequence number, are joined. Where several of the client's ports sent the
    same, one that was kept is taken for its own (netfilter keeps a port that is free), else the group is undecided.
    """
    tables = attribution.tables
    unknown_sources = [frames for tap in tables if len((frames := _unknown_sources(attribution, tap)).row)]
    if not unknown_sources:
        return SnatInference()
    requests = {tap: frames.take(frames.direction == REQUEST) for tap, frames in attribution.frames.items()}
    requests = {tap: frames for tap, frames in requests.items() if len(frames)}
    if not requests:
        return SnatInference()
    keys = [key_columns(SNAT_KEY, tables[tap], frames.row, {Field.GROUP: frames.group}) for tap, frames in requests.items()]
    keys += [key_columns(SNAT_KEY, tables[frames.tap], frames.row, {Field.GROUP: frames.group}) for frames in unknown_sources]
    numbers = number_packets(keys)
    starts = np.cumsum([len(columns[0]) for columns in keys])[len(requests) - 1 : -1]
    of_requests, *of_unknown = np.split(numbers, starts)
    senders = _Senders(of_requests, list(requests.values()))
    connections: dict[tuple[int, int], ConntrackEntry] = {}
    undecided: set[int] = set()
    for frames, frame_numbers in zip(unknown_sources, of_unknown, strict=True):
        undecided |= _infer(attribution, senders, frames, frame_numbers, connections)
    return SnatInference(connections=tuple(connections.values()), undecided=frozenset(undecided))


def _infer(
    attribution: Attribution,
    senders: "_Senders",
    frames: _UnknownSources,
    numbers: I32,
    connections: dict[tuple[int, int], ConntrackEntry],
) -> set[int]:
    """Adds the connections of one tap's frames, by planned flow and client port; returns the groups where they cannot be told apart."""
    table = attribution.tables[frames.tap]
    conversation = table.conversation[frames.row]
    port, is_sure = senders.ports(numbers, table.conversations.source_port[conversation])
    # of each conversation one frame whose sender is sure, else one that has a sender
    order = np.lexsort((~is_sure, port < 0, conversation))
    _, first = np.unique(conversation[order], return_index=True)
    undecided: set[int] = set()
    for index in order[first].tolist():
        if port[index] < 0:
            continue
        group = senders.group_of(numbers[index])
        connection = int(frames.planned[index]), int(port[index])
        if not is_sure[index]:
            undecided.add(group)
            continue
        entry = _entry(attribution.recording, attribution.groups[group], *connection, table, int(conversation[index]))
        if connections.setdefault(connection, entry) != entry:
            undecided.add(group)
    return undecided


class _Senders:
    """Which of the client's ports sent what: `number` is the same for what translation cannot tell apart."""

    def __init__(self, number: I32, requests: list[FlowFrames]) -> None:
        port, group = (
            np.concatenate(columns) for columns in zip(*((frames.client_port, frames.group) for frames in requests), strict=True)
        )
        size = int(number.max(initial=-1)) + 1
        self._group, self._least, self._most = (np.full(size, value, dtype=np.int32) for value in (NO_FLOW, PORTS, -1))
        self._group[number] = group
        np.minimum.at(self._least, number, port)
        np.maximum.at(self._most, number, port)
        self._pairs = np.unique((number.astype(np.int64) << 16) | port)

    def ports(self, number: I32, kept: NDArray[np.generic]) -> tuple[I32, NDArray[np.bool_]]:
        """For each packet of an unknown source the port that sent it, -1 for none; and whether no other can have. `kept`: its port now."""
        inside = np.minimum(number, len(self._most) - 1)
        port = np.where(number < len(self._most), self._most[inside], -1)
        several = (port >= 0) & (self._least[inside] != port)
        same = np.isin((number.astype(np.int64) << 16) | kept.astype(np.int64), self._pairs)
        return np.where(several & same, kept, port).astype(np.int32), ~several | same

    def group_of(self, number: int) -> int:
        """The group whose client sent this."""
        return int(self._group[number])


def _unknown_sources(attribution: Attribution, tap: Tap) -> _UnknownSources:
    table, ends, memberships = attribution.tables[tap], attribution.ends[tap][REQUEST], attribution.memberships[tap]
    planned, group_number = (np.full(len(ends.client), NO_FLOW, dtype=np.int32) for _ in range(2))
    unclaimed = (memberships[0].group == NO_FLOW) & (memberships[1].group == NO_FLOW)
    for group in attribution.groups:
        of_protocol = unclaimed & np.isin(ends.protocol, group.protocols)
        for backend in group.backends:
            hit = of_protocol & (planned == NO_FLOW) & (ends.server == backend.address)
            planned[hit if backend.port is None else hit & (ends.server_port == backend.port)] = backend.planned
    for number, group in enumerate(attribution.groups):
        group_number[np.isin(planned, [backend.planned for backend in group.backends])] = number
    if not len(planned) or (planned == NO_FLOW).all():
        none = np.zeros(0, np.int32)
        return _UnknownSources(tap=tap, row=none, planned=none, group=none)
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0) & (table.fragment & FRAGMENT_OFFSET == 0))
    conversation = table.conversation[rows]
    telling = (table.digest[rows] != 0) | ((table.conversations.protocol[conversation] == IpProtocol.TCP) & (table.seq[rows] != 0))
    rows = rows[telling & (planned[conversation] != NO_FLOW)]
    conversation = table.conversation[rows]
    return _UnknownSources(tap=tap, row=rows.astype(np.int32), planned=planned[conversation], group=group_number[conversation])


def _entry(recording: Recording, group: FlowGroup, planned: int, port: int, table: PacketTable, conversation: int) -> ConntrackEntry:
    flow = recording.flows[planned]
    server = flow.server.address if flow.server else ""
    through = flow.service if group.service is not None else None
    conversations = table.conversations
    return ConntrackEntry(
        protocol=flow.protocol.lower(),
        original_source=flow.client.address,
        original_destination=through.address if through and through.address else server,
        original_source_port=port,
        original_destination_port=through.port if through else int(conversations.destination_port[conversation]),
        reply_source=server,
        reply_source_port=int(conversations.destination_port[conversation]),
        reply_destination=address_text(conversations.source[conversation]),
        reply_destination_port=int(conversations.source_port[conversation]),
    )
