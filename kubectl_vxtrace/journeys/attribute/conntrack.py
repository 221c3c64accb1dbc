"""What the nodes' conntrack tables say of translations: which backend a client port was sent to, and whose rewritten connections are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.attribute.groups import PROTOCOLS, Backend, Connection, FlowGroup, backend_of
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, SEVERAL_FLOWS
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.recording import Recording

NOBODYS = -3
"""In place of a group: of a connection that is none of the groups'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masquerade:
    """A connection whose client address or port was rewritten: the tuple that servers see, and whose it is."""

    protocol: int
    source: int
    source_port: int
    server: int
    server_port: int
    group: int
    planned: int
    client_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """What conntrack knows: per group the planned flow of each client port (NO_FLOW, SEVERAL_FLOWS), and rewritten clients.

    `kept`: per group the client ports that asked in its form and stayed; `moved`: those that only went on as others, so that behind
    translation they are another's. `taken`: what has a client's own address and is NOBODYS, though it leads to a backend (a Service that
    nobody asked to trace may have it as well).
    """

    backends: NDArray[np.int32]
    kept: NDArray[np.bool_]
    moved: NDArray[np.bool_]
    masquerades: tuple[Masquerade, ...]
    taken: tuple[Masquerade, ...]


def connections_of(recording: Recording) -> tuple[Connection, ...]:
    """The conntrack entries of all nodes, before and after."""
    looks = (*recording.before, *recording.after)
    return tuple(Connection(entry=entry, node=facts.node) for facts in looks for entry in facts.conntrack)


def translations_of(connections: Iterable[Connection], book: AddressBook, groups: Sequence[FlowGroup]) -> Translations:
    """Backends and rewritten clients that connections name."""
    backends = np.full((len(groups), PORTS), NO_FLOW, dtype=np.int32)
    kept, moved = np.zeros(backends.shape, dtype=np.bool_), np.zeros(backends.shape, dtype=np.bool_)
    masquerades: list[Masquerade] = []
    own, taken = set[Masquerade](), dict[Masquerade, None]()
    for connection in connections:
        entry = connection.entry
        if (client := book.number(entry.original_source)) == UNKNOWN:
            continue
        named_by = [backend_of(connection, group, client, book) for group in groups]
        (own.update if any(named_by) else taken.update)(dict.fromkeys(_as_answered(connection, groups, client, book)))
        for index, (group, named) in enumerate(zip(groups, named_by, strict=True)):
            if named is None:
                continue
            backend, port = named
            before = backends[index, port]
            backends[index, port] = backend.planned if before in (NO_FLOW, backend.planned) else SEVERAL_FLOWS
            if _rewritten(entry):
                masquerades += _masquerades(entry, group, index, backend, port, book)
                moved[index, port] |= connection.is_as_sent(group)
            elif connection.is_as_sent(group) and book.number(entry.original_destination) == _asked(group, backend):
                kept[index, port] = True
    return Translations(backends=backends, kept=kept, moved=moved & ~kept, masquerades=tuple(masquerades), taken=tuple(taken.keys() - own))


def _as_answered(connection: Connection, groups: Sequence[FlowGroup], client: int, book: AddressBook) -> Iterator[Masquerade]:
    """The tuple of a client's connection behind translation, as its own node knows it, if it has the client's own address."""
    entry = connection.entry
    server = book.number(entry.reply_source)
    if UNKNOWN in (server, client) or None in (connection.node, entry.reply_destination_port, entry.reply_source_port):
        return
    protocols = PROTOCOLS.get(entry.protocol.upper(), ())
    is_clients = any(client in group.clients and group.node == connection.node and group.protocols == protocols for group in groups)
    if is_clients and book.number(entry.reply_destination) == client:
        for protocol in protocols:
            yield Masquerade(
                protocol=protocol,
                source=client,
                source_port=entry.reply_destination_port or 0,
                server=server,
                server_port=entry.reply_source_port or 0,
                group=NOBODYS,
                planned=NO_FLOW,
                client_port=entry.reply_destination_port or 0,
            )


def _asked(group: FlowGroup, backend: Backend) -> int:
    """The address that the client of a group asks."""
    return backend.address if group.service is None else group.service[0]


def _rewritten(entry: ConntrackEntry) -> bool:
    """Whether servers see another client: another address, or another port, which NAT picks where the client's own clashes with a
    connection that it knows (RFC 4787, 4.2)."""
    if entry.reply_destination != entry.original_source:
        return True
    return entry.reply_destination_port is not None and entry.reply_destination_port != entry.original_source_port


def _masquerades(entry: ConntrackEntry, group: FlowGroup, index: int, backend: Backend, port: int, book: AddressBook) -> list[Masquerade]:
    """The connection as servers see it, once for each protocol number of the group."""
    seen_port = port if entry.reply_destination_port is None else entry.reply_destination_port
    return [
        Masquerade(
            protocol=protocol,
            source=book.number(entry.reply_destination),
            source_port=seen_port,
            server=backend.address,
            server_port=seen_port if group.echo else (entry.reply_source_port or 0),
            group=index,
            planned=backend.planned,
            client_port=port,
        )
        for protocol in group.protocols
    ]
