"""Whose packet a frame is: conversations sorted to what was asked for, through address translation.

What one client asks of one service port (or of one server directly) is a `Group`; its flows differ in the server alone. A
conversation is in service form (addressed to the ClusterIP) or in server form (addressed to a backend); both name the
client's port, by which the forms are joined.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.known import client_addresses
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import I32, U8, PacketTable
from kubectl_vxtrace.model.path import Endpoint, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.recording import Recording

PORTS = 65536
NOBODY = -1
SEVERAL = -2

PROTOCOLS: dict[str, tuple[int, ...]] = {
    "TCP": (IpProtocol.TCP,),
    "UDP": (IpProtocol.UDP,),
    "SCTP": (IpProtocol.SCTP,),
    "ICMP": (IpProtocol.ICMP, IpProtocol.ICMPV6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One backend of a group: the index of its planned flow, its address number and port (None: any)."""

    planned: int
    address: int
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one client asks of one service port, or of one server where there is no Service.

    `clients` are the numbers of the client's addresses. `service` is the ClusterIP's number and port. `nameless` is the
    index of a planned flow without a server. `strangers` are what the service was translated to and what is no backend of it; their
    `planned` is the number of planned flows, which no flow has.
    """

    protocols: tuple[int, ...]
    clients: tuple[int, ...]
    service: tuple[int, int | None] | None
    servers: tuple[Server, ...]
    nameless: int | None
    strangers: tuple[Server, ...] = ()

    @property
    def echo(self) -> bool:
        """Whether these are pings, which have identifiers and no ports."""
        return IpProtocol.ICMP in self.protocols


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ends:
    """Conversations of one table seen as if all went from a client to a server; n rows.

    `client` and `server` are address numbers. Seen as replies, client is the destination.
    """

    protocol: U8
    client: I32
    client_port: I32
    server: I32
    server_port: I32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roles:
    """What conversations are to the trace, in one direction; n rows. `planned` -1: a backend is not named by it."""

    group: I32
    planned: I32
    client_port: I32
    server_port: I32


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


def groups_of(recording: Recording, book: AddressBook, connections: Sequence[ConntrackEntry] = ()) -> tuple[Group, ...]:
    """Planned flows, joined by protocol, client and service; with what else the connections say that the service was translated to."""
    members: dict[tuple[str, str, str | None, int | None], list[int]] = {}
    for index, flow in enumerate(recording.flows):
        service = flow.service.address if flow.service else None
        direct = f"direct {flow.server.address if flow.server else ''}"
        port = flow.service.port if service and flow.service else (flow.server.port if flow.server else None)
        members.setdefault((flow.protocol, flow.client.address, service or direct, port), []).append(index)
    groups = (_group(recording, book, indices) for indices in members.values())
    nowhere = len(recording.flows)
    return tuple(replace(group, strangers=_strangers(connections, group, book, nowhere)) for group in groups)


def _strangers(connections: Sequence[ConntrackEntry], group: Group, book: AddressBook, nowhere: int) -> tuple[Server, ...]:
    """What connections to the group's service lead to and what is no server of it."""
    if group.service is None or group.echo:
        return ()
    found: dict[Server, None] = {}
    for entry in connections:
        client, asked, replier = (book.number(text) for text in (entry.original_source, entry.original_destination, entry.reply_source))
        if UNKNOWN in (client, replier) or asked != group.service[0] or replier == asked or entry.reply_source_port is None:
            continue
        server = Server(planned=nowhere, address=replier, port=entry.reply_source_port)
        if _named(entry, group, client, book) is None and _named(entry, replace(group, strangers=(server,)), client, book) is not None:
            found[server] = None
    return tuple(found)


def _group(recording: Recording, book: AddressBook, indices: Sequence[int]) -> Group:
    first = recording.flows[indices[0]]
    service = first.service if first.service and first.service.address else None
    echo = first.protocol == "ICMP"
    return Group(
        protocols=PROTOCOLS.get(first.protocol, ()),
        clients=tuple(book.number(text) for text in client_addresses(recording, first.client)),
        service=(book.number(service.address), None if echo else service.port) if service else None,
        servers=tuple(_server(book, index, server, echo) for index in indices if (server := recording.flows[index].server)),
        nameless=next((index for index in indices if recording.flows[index].server is None), None),
    )


def _server(book: AddressBook, index: int, server: Endpoint, echo: bool) -> Server:
    return Server(planned=index, address=book.number(server.address), port=None if echo else server.port)


def ends_of(table: PacketTable, book: AddressBook) -> tuple[Ends, Ends]:
    """The conversations of a table as requests and as replies."""
    talk = table.conversations
    source, destination = book.numbers(talk.source), book.numbers(talk.destination)
    ports = talk.source_port.astype(np.int32), talk.destination_port.astype(np.int32)
    request = Ends(protocol=talk.protocol, client=source, client_port=ports[0], server=destination, server_port=ports[1])
    reply = Ends(protocol=talk.protocol, client=destination, client_port=ports[1], server=source, server_port=ports[0])
    return request, reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What conntrack knows: per group the backend of each client port (NOBODY, SEVERAL), and rewritten clients."""

    backends: NDArray[np.int32]
    masquerades: tuple[Masquerade, ...]


def conntrack_names(connections: Iterable[ConntrackEntry], book: AddressBook, groups: Sequence[Group]) -> Names:
    """Backends and rewritten clients that the nodes' conntrack tables name."""
    backends = np.full((len(groups), PORTS), NOBODY, dtype=np.int32)
    masquerades: list[Masquerade] = []
    for entry in connections:
        if (client := book.number(entry.original_source)) == UNKNOWN:
            continue
        for index, group in enumerate(groups):
            named = _named(entry, group, client, book)
            if named is None:
                continue
            server, port = named
            before = backends[index, port]
            backends[index, port] = server.planned if before in (NOBODY, server.planned) else SEVERAL
            if _rewritten(entry):
                masquerades += [_masquerade(entry, protocol, group, index, server, port, book) for protocol in group.protocols]
    return Names(backends=backends, masquerades=tuple(masquerades))


def _rewritten(entry: ConntrackEntry) -> bool:
    """Whether servers see another client: another address, or another port, which NAT picks where the client's own clashes with a
    connection that it knows (RFC 4787, 4.2)."""
    if entry.reply_destination != entry.original_source:
        return True
    return entry.reply_destination_port is not None and entry.reply_destination_port != entry.original_source_port


def _named(entry: ConntrackEntry, group: Group, client: int, book: AddressBook) -> tuple[Server, int] | None:
    port = entry.original_source_port
    if client not in group.clients or port is None or not 0 <= port < PORTS:
        return None
    if not any(number in group.protocols for number in PROTOCOLS.get(entry.protocol.upper().removesuffix("V6"), ())):
        return None
    replier = book.number(entry.reply_source)
    ports = (None, entry.reply_source_port)
    possible = (*group.servers, *group.strangers)
    server = next((server for server in possible if server.address == replier and (group.echo or server.port in ports)), None)
    asked = book.number(entry.original_destination)
    if server is None:
        return None
    wanted = {server.address} if group.service is None else {group.service[0], server.address}
    through = group.service is not None and asked == group.service[0]
    if through and group.service is not None and group.service[1] not in (None, entry.original_destination_port):
        return None
    return (server, port) if asked in wanted else None


def _masquerade(entry: ConntrackEntry, protocol: int, group: Group, index: int, server: Server, port: int, book: AddressBook) -> Masquerade:
    seen = port if entry.reply_destination_port is None else entry.reply_destination_port
    return Masquerade(
        protocol=protocol,
        source=book.number(entry.reply_destination),
        source_port=seen,
        server=server.address,
        server_port=seen if group.echo else (entry.reply_source_port or 0),
        group=index,
        planned=server.planned,
        client_port=port,
    )


def classify(groups: Sequence[Group], ends: Mapping[Tap, tuple[Ends, Ends]], names: Names) -> dict[Tap, tuple[Roles, Roles]]:
    """What every conversation of every tap is to the trace, as a request and as a reply.

    A conversation in server form may belong to several groups (two Services with the same backends): the group whose service
    form was seen with the same client port comes first, then a group without a Service, then any.
    """
    asked = names.backends != NOBODY
    roles = {tap: tuple(_service_roles(groups, one, asked) for one in both) for tap, both in ends.items()}
    for tap, both in ends.items():
        for one, role in zip(both, roles[tap], strict=True):
            _masqueraded_roles(one, role, names.masquerades)
            _server_roles(groups, one, role, asked)
    return {tap: (both[0], both[1]) for tap, both in roles.items()}


def _service_roles(groups: Sequence[Group], ends: Ends, asked: NDArray[np.bool_]) -> Roles:
    nothing = np.full(len(ends.client), NOBODY, dtype=np.int32)
    role = Roles(group=nothing, planned=nothing.copy(), client_port=ends.client_port.copy(), server_port=ends.server_port)
    for index, group in enumerate(groups):
        if group.service is None:
            continue
        address, port = group.service
        mask = _from_client(group, ends) & (ends.server == address) & (True if port is None else ends.server_port == port)
        role.group[mask] = index
        asked[index, ends.client_port[mask]] = True
    return role


def _from_client(group: Group, ends: Ends) -> NDArray[np.bool_]:
    return np.isin(ends.protocol, group.protocols) & np.isin(ends.client, [client for client in group.clients if client != UNKNOWN])


def _server_roles(groups: Sequence[Group], ends: Ends, role: Roles, asked: NDArray[np.bool_]) -> None:
    own = [_from_client(group, ends) for group in groups]
    for rank in range(3):
        for index, group in enumerate(groups):
            if rank == 1 and group.service is not None:
                continue
            mine = own[index] & (role.group == NOBODY)
            if rank == 0:
                mine &= asked[index, ends.client_port]
            if not mine.any():
                continue
            # Only what was asked of the service can have been translated to a stranger.
            for server in (*group.servers, *(group.strangers if rank == 0 else ())):
                if server.address == UNKNOWN:
                    continue
                mask = mine & (ends.server == server.address) & (True if server.port is None else ends.server_port == server.port)
                role.group[mask] = index
                role.planned[mask] = server.planned
                mine &= ~mask


def _masqueraded_roles(ends: Ends, role: Roles, masquerades: Sequence[Masquerade]) -> None:
    for protocol in {entry.protocol for entry in masquerades}:
        known = [entry for entry in masquerades if entry.protocol == protocol and UNKNOWN not in (entry.source, entry.server)]
        columns = np.array([(m.source, m.source_port, m.server, m.server_port) for m in known], dtype=np.uint64).reshape(-1, 4)
        codes, first = np.unique(_packed(*columns.T), return_index=True)
        if not len(codes):
            continue
        wanted = _packed(ends.client, ends.client_port, ends.server, ends.server_port)
        place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        hit = (codes[place] == wanted) & (role.group == NOBODY) & (ends.protocol == protocol)
        values = np.array([(m.group, m.planned, m.client_port) for m in known], dtype=np.int32)[first][place[hit]]
        role.group[hit], role.planned[hit], role.client_port[hit] = values.T


def _packed(*parts: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Four 16-bit numbers in one."""
    source, source_port, server, server_port = (part.astype(np.uint64) for part in parts)
    packed = (source << np.uint64(48)) | (source_port << np.uint64(32)) | (server << np.uint64(16)) | server_port
    return np.asarray(packed, dtype=np.uint64)
