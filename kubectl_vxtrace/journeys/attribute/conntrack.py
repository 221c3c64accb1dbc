"""What the nodes' conntrack tables say of translations: which backend a client port was sent to, and whose rewritten connections are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.attribute.groups import Backend, FlowGroup, backend_of
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, SEVERAL_FLOWS
from kubectl_vxtrace.model.facts import ConntrackEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Masquerade:
    """A connection whose client address was rewritten: the tuple that servers see, and whose it is."""

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
    """What conntrack knows: per group the planned flow of each client port (NO_FLOW, SEVERAL_FLOWS), and rewritten clients."""

    backends: NDArray[np.int32]
    masquerades: tuple[Masquerade, ...]


def translations_of(connections: Iterable[ConntrackEntry], book: AddressBook, groups: Sequence[FlowGroup]) -> Translations:
    """Backends and rewritten clients that connections name."""
    backends = np.full((len(groups), PORTS), NO_FLOW, dtype=np.int32)
    masquerades: list[Masquerade] = []
    for entry in connections:
        if (client := book.number(entry.original_source)) == UNKNOWN:
            continue
        for index, group in enumerate(groups):
            named = backend_of(entry, group, client, book)
            if named is None:
                continue
            backend, port = named
            before = backends[index, port]
            backends[index, port] = backend.planned if before in (NO_FLOW, backend.planned) else SEVERAL_FLOWS
            if _rewritten(entry):
                masquerades += _masquerades(entry, group, index, backend, port, book)
    return Translations(backends=backends, masquerades=tuple(masquerades))


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
