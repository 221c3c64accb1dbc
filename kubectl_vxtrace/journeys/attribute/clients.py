"""The clients that are traced: what is theirs at a tap, with which ports, and what their own interfaces can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.conversations import ConversationEnds
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.records import NO_FLOW, REPLY, REQUEST, FlowFrames, Testimony
from kubectl_vxtrace.model.packets import I32, PacketTable
from kubectl_vxtrace.model.path import Tap

BothEnds = tuple[ConversationEnds, ConversationEnds]
"""The conversations of a tap as requests and as replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client and protocol of which there are groups, the client's own interface and its bridge."""

    addresses: tuple[int, ...]
    protocols: tuple[int, ...]
    own_taps: frozenset[Tap]
    bridges: frozenset[Tap]
    groups: tuple[int, ...]


def clients_of(groups: Sequence[FlowGroup]) -> tuple[Client, ...]:
    """The clients of the groups."""
    members: dict[tuple[tuple[int, ...], tuple[int, ...], frozenset[Tap]], list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault((group.clients, group.protocols, group.own_taps), []).append(index)
    return tuple(
        Client(
            addresses=addresses,
            protocols=protocols,
            own_taps=taps,
            bridges=frozenset(tap for index in indices for tap in groups[index].bridges),
            groups=tuple(indices),
        )
        for (addresses, protocols, taps), indices in members.items()
    )


def of_client(client: Client, ends: ConversationEnds) -> NDArray[np.bool_]:
    """Which conversations are the client's, whatever it asks."""
    return np.asarray(np.isin(ends.protocol, client.protocols) & np.isin(ends.client, client.addresses))


def can_testify(own_taps: Collection[Tap], testimonies: Mapping[Tap, Testimony]) -> bool:
    """Whether a client has an interface of its own that testifies to what it did not send."""
    return bool(own_taps) and all(tap in testimonies and testimonies[tap].witness for tap in own_taps)


def with_new_port(table: PacketTable, ends: BothEnds, frames: FlowFrames, client: Client) -> tuple[FlowFrames, I32]:
    """The client's frames in server form with its own address and another port than it used; and that port."""
    which = np.flatnonzero(np.isin(frames.group, client.groups) & (frames.planned != NO_FLOW))
    address, port = client_ends(table, ends, frames.take(which))
    moved = np.isin(address, client.addresses) & (port != frames.client_port[which])
    return frames.take(which[moved]), port[moved]


def client_ends(table: PacketTable, ends: BothEnds, frames: FlowFrames) -> tuple[I32, I32]:
    """The client's address, as a number, and port as they are in each frame."""
    conversation, is_request = table.conversation[frames.row], frames.direction == REQUEST
    address = np.where(is_request, ends[REQUEST].client[conversation], ends[REPLY].client[conversation])
    port = np.where(is_request, ends[REQUEST].client_port[conversation], ends[REPLY].client_port[conversation])
    return address.astype(np.int32), port.astype(np.int32)
