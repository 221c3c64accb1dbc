"""Where addresses are, as far as captures tell: pods on nodes, and nodes on the underlay."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.topology.channels import as_bytes, is_mapped, is_unicast, unique_rows
from kubectl_vxtrace.topology.looks import INITIAL_TTLS

# Servers on the node itself, as NodeLocal DNSCache, never pods: 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291, 2.5.6), whose other bits
# up to the 64th are zero.
_LINK_LOCAL: Final = np.array([169, 254], dtype=np.uint8)
_LINK_LOCAL_6: Final = np.array([0xFE, 0x80], dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """One capture: its tap, the tap's role and what it saw."""

    tap: Tap
    role: Role
    table: PacketTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Encapsulated packets of one kind at a NIC: inner and outer addresses, VNI, port, the inner source MAC, and how many."""

    tap: Tap
    inner_source: str
    inner_destination: str
    source: str
    destination: str
    port: int
    vni: int
    mac: str
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What captures tell of places.

    pod_address: the pod behind each pod tap that saw packets. underlay: each node's own address there, where it is known.
    node_of: the node of pod addresses. carried: all encapsulated packets, grouped.
    """

    pod_address: Mapping[Tap, str]
    underlay: Mapping[str, str]
    node_of: Mapping[str, str]
    carried: tuple[Carried, ...]

    def outer_destinations(self, source: str, destination: str, node: str | None) -> Counter[str]:
        """The underlay addresses that packets between two inner addresses were sent to, as seen at `node`'s NICs (None: at any)."""
        found: Counter[str] = Counter()
        for each in self.carried:
            if (each.inner_source, each.inner_destination) == (source, destination) and node in (None, each.tap.node):
                found[each.destination] += each.frames
        return found


def find_places(sights: Sequence[Sight], carried: Sequence[Carried], underlay: Mapping[str, str]) -> Places:
    """Read off the captures where pods are.

    A pod tap's pod is the address that all its packets share. An inner address is where packets from it were encapsulated, else where
    packets to it were sent.

    Args:
        sights: all captures.
        carried: the encapsulated packets that their NICs saw.
        underlay: the nodes' own underlay addresses, as far as they are known.
    """
    pod_address = pods_of(sights)
    node_of = {address: tap.node for tap, address in pod_address.items()}
    nodes = {address: node for node, address in underlay.items()}
    for each in carried:
        if each.source in nodes:
            node_of.setdefault(each.inner_source, nodes[each.source])
    for each in carried:
        if each.destination in nodes:
            node_of.setdefault(each.inner_destination, nodes[each.destination])
    return Places(pod_address=pod_address, underlay=underlay, node_of=node_of, carried=tuple(carried))


def pods_of(sights: Sequence[Sight]) -> dict[Tap, str]:
    """The pod behind each pod tap that saw packets."""
    pods = {sight.tap: _pod_of(sight.table) for sight in sights if sight.role is Role.POD}
    return {tap: address for tap, address in pods.items() if address is not None}


def _pod_of(table: PacketTable) -> str | None:
    """The address that most packets share; of equals the one whose own packets have not been forwarded yet, else who sent first."""
    of = table.conversations
    size = len(of)
    hosts = (is_unicast(of.source) & is_unicast(of.destination) & (of.protocol != 0)).astype(np.int64)
    has = table.conversation >= 0
    frames = np.bincount(table.conversation[has], minlength=size) * hosts
    fresh = np.bincount(table.conversation[has & np.isin(table.ttl, INITIAL_TTLS)], minlength=size) * hosts
    if not frames.any():
        return None
    first, number = unique_rows(np.ascontiguousarray(np.vstack([of.source, of.destination])))
    share = np.bincount(number, weights=np.tile(frames, 2)).astype(np.int64)
    own = np.bincount(number[:size], weights=2 * fresh - frames, minlength=len(first)).astype(np.int64)
    addresses = np.vstack([of.source, of.destination])[first]
    began = number[table.conversation[np.flatnonzero(has)[np.argmax(hosts[table.conversation[has]])]]]
    routable = np.where(
        is_mapped(addresses), np.any(addresses[:, 12:14] != _LINK_LOCAL, axis=1), np.any(addresses[:, :2] != _LINK_LOCAL_6, axis=1)
    )
    best = np.lexsort((np.arange(len(first)) == began, routable, own, share))[-1]
    return address_text(addresses[best])


def carried_at(sight: Sight) -> Iterable[Carried]:
    """The encapsulated packets of a NIC; ports of the inner packets and the outer source port do not tell groups apart."""
    table = sight.table
    inner, outer = table.conversations, table.tunnels
    first_inner, inner_of = unique_rows(np.hstack([inner.source, inner.destination]))
    columns = (outer.port, outer.vni, outer.inner_source_mac)
    numbers = as_bytes(np.stack([column.astype(np.uint64) for column in columns], axis=1))
    first_outer, outer_of = unique_rows(np.hstack([outer.source, outer.destination, numbers]))
    rows = (table.tunnel >= 0) & (table.conversation >= 0)
    codes, counts = np.unique(inner_of[table.conversation[rows]] * len(outer) + outer_of[table.tunnel[rows]], return_counts=True)
    for (one, two), count in zip((divmod(code, len(outer)) for code in codes.tolist()), counts, strict=True):
        conversation, tunnel = first_inner[one], first_outer[two]
        yield Carried(
            tap=sight.tap,
            inner_source=address_text(inner.source[conversation]),
            inner_destination=address_text(inner.destination[conversation]),
            source=address_text(outer.source[tunnel]),
            destination=address_text(outer.destination[tunnel]),
            port=int(outer.port[tunnel]),
            vni=int(outer.vni[tunnel]),
            mac=int(outer.inner_source_mac[tunnel]).to_bytes(6, "big").hex(":"),
            frames=int(count),
        )
