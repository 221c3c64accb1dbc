"""Which planned flow a conversation belongs to, through address translation.

A conversation is in service form (addressed to the ClusterIP) or in server form (addressed to a backend); both name the client's port, by
which the forms are joined. At the client's own interface a request's form is the one that was asked for: there nothing is translated yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.attribute.conntrack import NOBODYS, Masquerade, Translations
from kubectl_vxtrace.journeys.attribute.groups import Backend, FlowGroup
from kubectl_vxtrace.journeys.records import NO_FLOW
from kubectl_vxtrace.model.packets import I32, U8, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import TCP_RST, IpProtocol


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConversationEnds:
    """Conversations of one table seen as if all went from a client to a server; n rows.

    `client` and `server` are address numbers. Seen as replies, client is the destination.
    """

    protocol: U8
    client: I32
    client_port: I32
    server: I32
    server_port: I32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Membership:
    """Which group and planned flow the conversations of one table belong to, in one direction; n rows.

    group: NO_FLOW for those of nothing that was asked for. planned: NO_FLOW where the conversation does not name its backend.
    """

    group: I32
    planned: I32
    client_port: I32
    server_port: I32


def ends_of(table: PacketTable, book: AddressBook) -> tuple[ConversationEnds, ConversationEnds]:
    """The conversations of a table as requests and as replies."""
    conversations = table.conversations
    protocol = conversations.protocol
    source, destination = book.numbers(conversations.source), book.numbers(conversations.destination)
    ports = conversations.source_port.astype(np.int32), conversations.destination_port.astype(np.int32)
    request = ConversationEnds(protocol=protocol, client=source, client_port=ports[0], server=destination, server_port=ports[1])
    reply = ConversationEnds(protocol=protocol, client=destination, client_port=ports[1], server=source, server_port=ports[0])
    return request, reply


def sent_conversations(table: PacketTable) -> NDArray[np.bool_]:
    """Which conversations were sent of one's own accord: they have frames (ICMP errors quote others), and not only an RST, which a host
    answers to what it did not ask for, such as a Service's reply that was not translated back (RFC 9293, 3.10.7.1)."""
    is_tcp = np.append(table.conversations.protocol == IpProtocol.TCP, False)[table.conversation]  # conversation -1, none, is the last
    is_asked = (table.kind == Kind.IP) & ~(is_tcp & (table.flags & TCP_RST != 0))
    sent = np.zeros(len(table.conversations) + 1, dtype=np.bool_)
    sent[table.conversation[is_asked]] = True
    return sent[:-1]


def memberships_of(
    groups: Sequence[FlowGroup],
    ends: Mapping[Tap, tuple[ConversationEnds, ConversationEnds]],
    sent: Mapping[Tap, NDArray[np.bool_]],
    translations: Translations,
) -> dict[Tap, tuple[Membership, Membership]]:
    """What every conversation of every tap belongs to, as a request and as a reply.

    A conversation in server form may belong to several groups (a Service, its backend itself): first come groups that were asked with
    the same client port, then those without a Service, then any. Where several were asked `reused_ports` tells.

    Args:
        sent: of each tap the `sent_conversations`.
    """
    asked = translations.kept | translations.moved
    memberships: dict[Tap, tuple[Membership, Membership]] = {}
    for tap, (request, reply) in ends.items():
        memberships[tap] = _in_service_form(groups, request, asked), _in_service_form(groups, reply, asked)
        _mark_asked_directly(groups, _of_own_clients(groups, tap), sent[tap], request, memberships[tap][0], asked)
    behind = asked & ~translations.moved
    for tap, both in ends.items():
        own = _of_own_clients(groups, tap)
        asked_here = behind.copy() if own else behind
        direct = [index for index in own if groups[index].service is None]
        asked_here[direct] = asked[direct]
        before = {client for group in groups if tap in group.own_taps | group.bridges for client in group.clients}
        taken = [entry for entry in translations.taken if entry.source not in before]
        for of_direction, membership in zip(both, memberships[tap], strict=True):
            _mark_masqueraded(of_direction, membership, (*translations.masquerades, *taken))
            as_sent = dict.fromkeys(own, ~sent[tap]) if of_direction is both[0] else {}
            _mark_in_server_form(groups, of_direction, membership, asked_here, as_sent)
            membership.group[membership.group == NOBODYS] = NO_FLOW
    return memberships


def _of_own_clients(groups: Sequence[FlowGroup], tap: Tap) -> tuple[int, ...]:
    """The groups whose client's own interface the tap is."""
    return tuple(index for index, group in enumerate(groups) if tap in group.own_taps)


def _in_service_form(groups: Sequence[FlowGroup], ends: ConversationEnds, asked: NDArray[np.bool_]) -> Membership:
    """Conversations with the groups' services; `asked` learns which client ports asked each group's."""
    no_flow = np.full(len(ends.client), NO_FLOW, dtype=np.int32)
    membership = Membership(group=no_flow, planned=no_flow.copy(), client_port=ends.client_port.copy(), server_port=ends.server_port)
    for index, group in enumerate(groups):
        if group.service is None:
            continue
        address, port = group.service
        mask = _from_client(group, ends) & (ends.server == address) & (True if port is None else ends.server_port == port)
        membership.group[mask] = index
        asked[index, ends.client_port[mask]] = True
        for backend in group.backends:  # one at the Service's own address: nothing is translated
            if backend.address == address and backend.port == port:
                membership.planned[mask] = backend.planned
    return membership


def _mark_asked_directly(
    groups: Sequence[FlowGroup],
    own: Sequence[int],
    sent: NDArray[np.bool_],
    requests: ConversationEnds,
    membership: Membership,
    asked: NDArray[np.bool_],
) -> None:
    """Requests at the own interface of the clients of the groups `own` that name a server itself; `asked` learns their ports."""
    for index in own:
        if groups[index].service is not None:
            continue
        for backend in groups[index].backends:
            mask = sent & (membership.group == NO_FLOW) & _from_client(groups[index], requests) & at_backend(backend, requests)
            membership.group[mask], membership.planned[mask] = index, backend.planned
            asked[index, requests.client_port[mask]] = True


def at_backend(backend: Backend, ends: ConversationEnds) -> NDArray[np.bool_]:
    """Which conversations are with a backend, in server form."""
    if backend.address == UNKNOWN:
        return np.zeros(len(ends.server), dtype=np.bool_)
    return np.asarray((ends.server == backend.address) & (True if backend.port is None else ends.server_port == backend.port))


def _from_client(group: FlowGroup, ends: ConversationEnds) -> NDArray[np.bool_]:
    return np.isin(ends.protocol, group.protocols) & np.isin(ends.client, [client for client in group.clients if client != UNKNOWN])


def _mark_in_server_form(
    groups: Sequence[FlowGroup],
    ends: ConversationEnds,
    membership: Membership,
    asked: NDArray[np.bool_],
    only: Mapping[int, NDArray[np.bool_]],
) -> None:
    """`only`: which conversations may be those of a group, where not all may."""
    from_client = [_from_client(group, ends) for group in groups]
    for rank in range(3):
        for index in sorted(range(len(groups)), key=lambda index: groups[index].service is not None):
            group = groups[index]
            if rank == 1 and group.service is not None:
                continue
            open_ones = from_client[index] & (membership.group == NO_FLOW) & only.get(index, True)
            if rank == 0:
                open_ones &= asked[index, ends.client_port]
            if not open_ones.any():
                continue
            # Only what was asked of the service can have been translated to what no flow names.
            for backend in group.translated if rank == 0 else group.backends:
                mask = open_ones & at_backend(backend, ends)
                membership.group[mask] = index
                membership.planned[mask] = backend.planned
                open_ones &= ~mask


def _mark_masqueraded(ends: ConversationEnds, membership: Membership, masquerades: Sequence[Masquerade]) -> None:
    for protocol in {masquerade.protocol for masquerade in masquerades}:
        usable = [entry for entry in masquerades if entry.protocol == protocol and UNKNOWN not in (entry.source, entry.server)]
        tuples = np.array([(m.source, m.source_port, m.server, m.server_port) for m in usable], dtype=np.uint64).reshape(-1, 4)
        codes, first = np.unique(_packed(*tuples.T), return_index=True)
        if not len(codes):
            continue
        wanted = _packed(ends.client, ends.client_port, ends.server, ends.server_port)
        index = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        hit = (codes[index] == wanted) & (membership.group == NO_FLOW) & (ends.protocol == protocol)
        values = np.array([(m.group, m.planned, m.client_port) for m in usable], dtype=np.int32)[first][index[hit]]
        membership.group[hit], membership.planned[hit], membership.client_port[hit] = values.T


def _packed(*numbers: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Four 16-bit numbers in one."""
    source, source_port, server, server_port = (number.astype(np.uint64) for number in numbers)
    packed = (source << np.uint64(48)) | (source_port << np.uint64(32)) | (server << np.uint64(16)) | server_port
    return np.asarray(packed, dtype=np.uint64)
