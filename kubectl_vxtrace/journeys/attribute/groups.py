"""What was asked for: planned flows joined to groups, each with its backends.

What one client asks of one service port (or of one server directly) is a `FlowGroup`; its flows differ in the backend alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook, client_addresses
from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I64
from kubectl_vxtrace.model.path import Direction, Endpoint, Role, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.recording import Recording

PROTOCOLS: dict[str, tuple[int, ...]] = {
    "TCP": (IpProtocol.TCP,),
    "UDP": (IpProtocol.UDP,),
    "SCTP": (IpProtocol.SCTP,),
    "ICMP": (IpProtocol.ICMP, IpProtocol.ICMPV6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A conntrack entry, and the node that has it; None where it was inferred from packets."""

    entry: ConntrackEntry
    node: str | None = None

    def is_as_sent(self, group: "FlowGroup") -> bool:
        """Whether it has what a group's client sent: on other nodes it may have been translated before."""
        return self.node in (None, group.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend of a group: the index of its planned flow, its address number and port (None: any)."""

    planned: int
    address: int
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowGroup:
    """What one client asks of one service port, or of one server where there is no Service.

    `planned` is the index of one of its planned flows. `clients` are the numbers of the client's addresses, `node` is its node,
    `own_taps` its own interface and `bridges` its bridge, as the request paths name them. `service` is the ClusterIP's number and port.
    `unknown_backend` is the index of a planned flow without a server. `not_asked` are backends of the service that no planned flow names,
    where some are named; `unlisted` are what it was translated to and what is no backend of it. Their `planned` are `not_asked_flow` and
    `unlisted_flow`, which no flow has.
    """

    planned: int
    protocols: tuple[int, ...]
    clients: tuple[int, ...]
    node: str | None
    own_taps: frozenset[Tap]
    bridges: frozenset[Tap]
    service: tuple[int, int | None] | None
    backends: tuple[Backend, ...]
    unknown_backend: int | None
    not_asked: tuple[Backend, ...] = ()
    unlisted: tuple[Backend, ...] = ()

    @property
    def translated(self) -> tuple[Backend, ...]:
        """All that the service is translated to."""
        return (*self.backends, *self.not_asked, *self.unlisted)

    @property
    def echo(self) -> bool:
        """Whether these are pings, which have identifiers and no ports."""
        return IpProtocol.ICMP in self.protocols


def sharing_backends(groups: Sequence[FlowGroup]) -> I64:
    """A number for each group, the same for groups that may lead to one end: through others that share ends with both, too."""
    number = np.arange(len(groups), dtype=np.int64)
    ends: dict[tuple[tuple[int, ...], int], list[tuple[int | None, int]]] = {}
    for index, group in enumerate(groups):
        for backend in group.translated:
            ends.setdefault((group.protocols, backend.address), []).append((backend.port, index))
    for at_address in ends.values():
        for (port, index), (other_port, other) in combinations(at_address, 2):
            if port == other_port or None in (port, other_port):
                number[number == number[index]] = number[other]
    return number


def groups_of(recording: Recording, book: AddressBook, connections: Sequence[Connection] = ()) -> tuple[FlowGroup, ...]:
    """Planned flows, joined by protocol, client and service; with what else the connections say that the service was translated to."""
    members: dict[tuple[str, str, str | None, int | None], list[int]] = {}
    for index, flow in enumerate(recording.flows):
        service = flow.service.address if flow.service else None
        direct = f"direct {flow.server.address if flow.server else ''}"
        port = flow.service.port if service and flow.service else (flow.server.port if flow.server else None)
        members.setdefault((flow.protocol, flow.client.address, service or direct, port), []).append(index)
    groups = (_group(recording, book, indices) for indices in members.values())
    return tuple(replace(group, unlisted=_unlisted(connections, group, book, unlisted_flow(recording))) for group in groups)


def unlisted_flow(recording: Recording) -> int:
    """What stands in place of a planned flow's index for what a Service was translated to and what is no backend of it."""
    return len(recording.flows)


def not_asked_flow(recording: Recording) -> int:
    """What stands in place of a planned flow's index for backends of a Service that were not asked for."""
    return len(recording.flows) + 1


def _unlisted(connections: Sequence[Connection], group: FlowGroup, book: AddressBook, planned: int) -> tuple[Backend, ...]:
    """What connections to the group's service lead to and what is no backend of it; each gets `planned`."""
    if group.service is None or group.echo:
        return ()
    backends: dict[Backend, None] = {}
    for connection in connections:
        entry = connection.entry
        client, asked, replier = (book.number(text) for text in (entry.original_source, entry.original_destination, entry.reply_source))
        if UNKNOWN in (client, replier) or asked != group.service[0] or replier == asked or entry.reply_source_port is None:
            continue
        backend = Backend(planned=planned, address=replier, port=entry.reply_source_port)
        with_it = replace(group, unlisted=(backend,))
        if backend_of(connection, group, client, book) is None and backend_of(connection, with_it, client, book) is not None:
            backends[backend] = None
    return tuple(backends)


def _group(recording: Recording, book: AddressBook, indices: Sequence[int]) -> FlowGroup:
    first = recording.flows[indices[0]]
    service = first.service if first.service and first.service.address else None
    echo = first.protocol == "ICMP"
    backends = tuple(_backend(book, index, server, echo) for index in indices if (server := recording.flows[index].server))
    unknown = next((index for index in indices if recording.flows[index].server is None), None)
    others = recording.flows[unknown].candidates if unknown is not None and backends else ()
    known = {(backend.address, backend.port) for backend in backends}
    not_asked = (_backend(book, not_asked_flow(recording), end, echo) for end in others)
    flows = {recording.flows[index].id for index in indices}
    return FlowGroup(
        planned=indices[0],
        protocols=PROTOCOLS.get(first.protocol, ()),
        clients=tuple(book.number(text) for text in client_addresses(recording, first.client)),
        node=first.client.node,
        own_taps=_taps(recording, flows, Role.POD, 0),
        bridges=_taps(recording, flows, Role.BRIDGE, 1),
        service=(book.number(service.address), None if echo else service.port) if service else None,
        backends=backends,
        unknown_backend=unknown,
        not_asked=tuple(backend for backend in not_asked if (backend.address, backend.port) not in known),
    )


def _taps(recording: Recording, flows: Collection[int], role: Role, index: int) -> frozenset[Tap]:
    """The hop of that index on the flows' request paths, where on all of them it has that role."""
    hops = [
        path.hops[index] for path in recording.paths if path.flow in flows and path.direction is Direction.REQUEST and path.hops[index:]
    ]
    return frozenset(hop.tap for hop in hops) if all(hop.role is role for hop in hops) else frozenset()


def _backend(book: AddressBook, index: int, server: Endpoint, echo: bool) -> Backend:
    return Backend(planned=index, address=book.number(server.address), port=None if echo else server.port)


def backend_of(connection: Connection, group: FlowGroup, client: int, book: AddressBook) -> tuple[Backend, int] | None:
    """The backend of the group that a connection of `client` leads to, and the client's port; None if it is none of the group's.

    On another node than the client's what was asked of a Service has been translated already, and looks as if the backend was asked.
    """
    entry = connection.entry
    port = entry.original_source_port
    if client not in group.clients or port is None or not 0 <= port < PORTS:
        return None
    if not any(number in group.protocols for number in PROTOCOLS.get(entry.protocol.upper().removesuffix("V6"), ())):
        return None
    replier = book.number(entry.reply_source)
    ports = (None, entry.reply_source_port)
    backend = next((backend for backend in group.translated if backend.address == replier and (group.echo or backend.port in ports)), None)
    asked = book.number(entry.original_destination)
    if backend is None:
        return None
    if group.service is None:
        fits = asked == backend.address
    elif asked == group.service[0]:
        fits = group.service[1] in (None, entry.original_destination_port)
    else:
        fits = asked == backend.address and not connection.is_as_sent(group)
    return (backend, port) if fits else None
