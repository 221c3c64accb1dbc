"""What was asked for: planned flows joined to groups, each with its backends.

What one client asks of one service port (or of one server directly) is a `FlowGroup`; its flows differ in the backend alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook, client_addresses
from kubectl_vxtrace.journeys.records import PORTS
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.recording import Recording

PROTOCOLS: dict[str, tuple[int, ...]] = {
    "TCP": (IpProtocol.TCP,),
    "UDP": (IpProtocol.UDP,),
    "SCTP": (IpProtocol.SCTP,),
    "ICMP": (IpProtocol.ICMP, IpProtocol.ICMPV6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend of a group: the index of its planned flow, its address number and port (None: any)."""

    planned: int
    address: int
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowGroup:
    """What one client asks of one service port, or of one server where there is no Service.

    `clients` are the numbers of the client's addresses. `service` is the ClusterIP's number and port. `unknown_backend` is the
    index of a planned flow without a server. `unlisted` are what the service was translated to and what is no backend of it; their
    `planned` is the number of planned flows, which no flow has.
    """

    protocols: tuple[int, ...]
    clients: tuple[int, ...]
    service: tuple[int, int | None] | None
    backends: tuple[Backend, ...]
    unknown_backend: int | None
    unlisted: tuple[Backend, ...] = ()

    @property
    def echo(self) -> bool:
        """Whether these are pings, which have identifiers and no ports."""
        return IpProtocol.ICMP in self.protocols


def groups_of(recording: Recording, book: AddressBook, connections: Sequence[ConntrackEntry] = ()) -> tuple[FlowGroup, ...]:
    """Planned flows, joined by protocol, client and service; with what else the connections say that the service was translated to."""
    members: dict[tuple[str, str, str | None, int | None], list[int]] = {}
    for index, flow in enumerate(recording.flows):
        service = flow.service.address if flow.service else None
        direct = f"direct {flow.server.address if flow.server else ''}"
        port = flow.service.port if service and flow.service else (flow.server.port if flow.server else None)
        members.setdefault((flow.protocol, flow.client.address, service or direct, port), []).append(index)
    groups = (_group(recording, book, indices) for indices in members.values())
    return tuple(replace(group, unlisted=_unlisted(connections, group, book, len(recording.flows))) for group in groups)


def _unlisted(connections: Sequence[ConntrackEntry], group: FlowGroup, book: AddressBook, planned: int) -> tuple[Backend, ...]:
    """What connections to the group's service lead to and what is no backend of it; each gets `planned`."""
    if group.service is None or group.echo:
        return ()
    backends: dict[Backend, None] = {}
    for entry in connections:
        client, asked, replier = (book.number(text) for text in (entry.original_source, entry.original_destination, entry.reply_source))
        if UNKNOWN in (client, replier) or asked != group.service[0] or replier == asked or entry.reply_source_port is None:
            continue
        backend = Backend(planned=planned, address=replier, port=entry.reply_source_port)
        with_it = replace(group, unlisted=(backend,))
        if backend_of(entry, group, client, book) is None and backend_of(entry, with_it, client, book) is not None:
            backends[backend] = None
    return tuple(backends)


def _group(recording: Recording, book: AddressBook, indices: Sequence[int]) -> FlowGroup:
    first = recording.flows[indices[0]]
    service = first.service if first.service and first.service.address else None
    echo = first.protocol == "ICMP"
    return FlowGroup(
        protocols=PROTOCOLS.get(first.protocol, ()),
        clients=tuple(book.number(text) for text in client_addresses(recording, first.client)),
        service=(book.number(service.address), None if echo else service.port) if service else None,
        backends=tuple(_backend(book, index, server, echo) for index in indices if (server := recording.flows[index].server)),
        unknown_backend=next((index for index in indices if recording.flows[index].server is None), None),
    )


def _backend(book: AddressBook, index: int, server: Endpoint, echo: bool) -> Backend:
    return Backend(planned=index, address=book.number(server.address), port=None if echo else server.port)


def backend_of(entry: ConntrackEntry, group: FlowGroup, client: int, book: AddressBook) -> tuple[Backend, int] | None:
    """The backend of the group that a connection of `client` leads to, and the client's port; None if it is none of the group's."""
    port = entry.original_source_port
    if client not in group.clients or port is None or not 0 <= port < PORTS:
        return None
    if not any(number in group.protocols for number in PROTOCOLS.get(entry.protocol.upper().removesuffix("V6"), ())):
        return None
    replier = book.number(entry.reply_source)
    ports = (None, entry.reply_source_port)
    possible = (*group.backends, *group.unlisted)
    backend = next((backend for backend in possible if backend.address == replier and (group.echo or backend.port in ports)), None)
    asked = book.number(entry.original_destination)
    if backend is None:
        return None
    wanted = {backend.address} if group.service is None else {group.service[0], backend.address}
    through = group.service is not None and asked == group.service[0]
    if through and group.service is not None and group.service[1] not in (None, entry.original_destination_port):
        return None
    return (backend, port) if asked in wanted else None
