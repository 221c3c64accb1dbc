"""The clients that are traced: what is theirs at a tap, with which ports, and what their own interfaces can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.conversations import ConversationEnds, Membership
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.records import REPLY, REQUEST, FlowFrames, Testimony
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


def with_new_port(
    table: PacketTable, ends: BothEnds, memberships: tuple[Membership, Membership], frames: FlowFrames, client: Client
) -> tuple[FlowFrames, I32]:
    """The client's frames with its own address and another port than it used; and that port."""
    moved = [_is_moved(*of_direction, client) for of_direction in zip(ends, memberships, strict=True)]
    if not any(of_direction.any() for of_direction in moved):
        return frames.take(np.zeros(0, np.intp)), np.zeros(0, np.int32)
    conversation = table.conversation[frames.row]
    which = np.flatnonzero(np.where(frames.direction == REQUEST, moved[REQUEST][conversation], moved[REPLY][conversation]))
    chosen = frames.take(which)
    return chosen, client_ends(table, ends, chosen)[1]


def _is_moved(ends: ConversationEnds, membership: Membership, client: Client) -> NDArray[np.bool_]:
    """Which conversations are the client's, with its own address and another port than it used."""
    moved = np.asarray(membership.client_port != ends.client_port)
    if moved.any():
        moved[moved] = np.isin(membership.group[moved], client.groups) & np.isin(ends.client[moved], client.addresses)
    return moved


def client_ends(table: PacketTable, ends: BothEnds, frames: FlowFrames) -> tuple[I32, I32]:
    """The client's address, as a number, and port as they are in each frame."""
    conversation, is_request = table.conversation[frames.row], frames.direction == REQUEST
    address = np.where(is_request, ends[REQUEST].client[conversation], ends[REPLY].client[conversation])
    port = np.where(is_request, ends[REQUEST].client_port[conversation], ends[REPLY].client_port[conversation])
    return address.astype(np.int32), port.astype(np.int32)
