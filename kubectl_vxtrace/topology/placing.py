"""Where captures that somebody handed over were made: from what the user says, from their names, and from their packets, in that order.

Names are habits, and may be swapped; packets tell whether a capture is of a NIC, a VXLAN device or a pod, and which captures are of one
node. Where the two contradict each other the packets are right, and it is said.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.topology.anchors import Anchors, find_anchors
from kubectl_vxtrace.topology.looks import Look, Looks, first_sent_ns, looks_of
from kubectl_vxtrace.topology.naming import NameHint
from kubectl_vxtrace.topology.places import Sight, carried_at

ROLE_WORDS = {Role.POD: "pod's interface", Role.BRIDGE: "bridge", Role.VXLAN: "VXLAN device", Role.UNDERLAY: "NIC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """One interface of a capture file that was handed over.

    name: what it is called, also for people. hint: what the name says. interface: the device, where the file itself says so. node, role,
    fabric: what the user says. everywhere: the file is of all interfaces of its machine, of which this is one.
    """

    name: str
    hint: NameHint
    table: PacketTable
    interface: str = ""
    node: str | None = None
    role: Role | None = None
    fabric: bool = False
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The tap and the role of each capture, by its number, without those whose role nothing tells.

    addresses: the nodes' underlay addresses, where their captures tell. notes: what has to be said of captures.
    """

    taps: Mapping[int, Tap]
    roles: Mapping[int, Role]
    addresses: Mapping[str, str]
    notes: tuple[str, ...]


def place(handed: Sequence[Handed], addresses: Mapping[str, str]) -> Placed:
    """Find the node and the role of every capture.

    Args:
        handed: all captures.
        addresses: nodes' underlay addresses that the user named.
    """
    roles, notes = _roles(handed)
    sites = _Sites(handed, roles, addresses)
    left = [each for number, each in enumerate(handed) if number not in roles and not each.everywhere]
    return Placed(
        taps={number: sites.tap(number) for number in roles},
        roles=roles,
        addresses=sites.addresses,
        notes=(*notes, *sites.notes, *map(_unplaced, left)),
    )


def _roles(handed: Sequence[Handed]) -> tuple[dict[int, Role], list[str]]:
    """The role of each capture where anything tells it, and what contradicts names."""
    looks = [looks_of(each.table) for each in handed]
    inside = _overlay_addresses(handed)
    roles: dict[int, Role] = {}
    notes: list[str] = []
    for number, each in enumerate(handed):
        named = each.hint.role
        seen = _seen_role(looks[number], inside)
        if each.role is not None:
            roles[number] = each.role
        elif named is None:
            if seen is not None:
                roles[number] = seen
        elif seen is not None and inside and _contradicts(named, seen, looks, handed, number):
            roles[number] = seen
            notes.append(
                f"{each.name} is called a capture of the {ROLE_WORDS[named]}, and holds what the {ROLE_WORDS[seen]} sees: taken as that"
            )
        else:
            roles[number] = named
    roles.update(dict.fromkeys(_bridges(handed, looks, roles), Role.BRIDGE))
    return roles, notes


def _bridges(handed: Sequence[Handed], looks: Sequence[Looks], roles: Mapping[int, Role]) -> list[int]:
    """Of all interfaces of a machine those that look like a pod's and are the bridge's behind it, where the pod's packets come later."""
    alike: defaultdict[tuple[str | None, str], list[int]] = defaultdict(list)
    for number, each in enumerate(handed):
        address = looks[number].address
        if each.everywhere and each.role is each.hint.role is None and roles.get(number) is Role.POD and address is not None:
            alike[each.node or each.hint.node, address].append(number)
    found: list[int] = []
    for (_, address), numbers in alike.items():
        found += sorted(numbers, key=lambda number: first_sent_ns(handed[number].table, address))[1:]
    return found


def _seen_role(looks: Looks, inside: frozenset[str]) -> Role | None:
    """The role that the packets alone speak for."""
    match looks.look:
        case Look.ENCAPSULATED:
            return Role.UNDERLAY
        case Look.POD:
            return Role.POD if not inside or looks.address in inside else Role.UNDERLAY if looks.encapsulated else None
        case Look.FORWARDED:
            return Role.UNDERLAY if looks.encapsulated else Role.VXLAN
        case _:
            return Role.UNDERLAY if looks.encapsulated else None


def _contradicts(named: Role, seen: Role, looks: Sequence[Looks], handed: Sequence[Handed], number: int) -> bool:
    """Whether a capture cannot be what it is called.

    A name is only overruled by what is plain: encapsulated packets are at a NIC, and a pod's own are at none. A pod's interface and a VXLAN
    device are taken for one another only where both captures speak for it.
    """
    plain = looks[number].look
    if named is Role.UNDERLAY:
        return seen is Role.POD or (seen is Role.VXLAN and _swapped(Role.VXLAN, Look.ENCAPSULATED, looks, handed, number))
    if plain is Look.ENCAPSULATED:
        return True
    if {named, seen} == {Role.POD, Role.VXLAN}:
        return _swapped(seen, Look.POD if named is Role.POD else Look.FORWARDED, looks, handed, number)
    return False


def _swapped(role: Role, look: Look, looks: Sequence[Looks], handed: Sequence[Handed], number: int) -> bool:
    """Whether another capture of the same node is called by the role that this one looks like, and looks like this one is called."""
    return any(
        each.hint.role is role and each.hint.node == handed[number].hint.node and looks[other].look is look
        for other, each in enumerate(handed)
        if other != number
    )


def _overlay_addresses(handed: Iterable[Handed]) -> frozenset[str]:
    """All addresses that encapsulated packets have inside."""
    found: set[str] = set()
    for each in handed:
        table = each.table
        for number in np.unique(table.conversation[(table.tunnel >= 0) & (table.conversation >= 0)]).tolist():
            found.update((address_text(table.conversations.source[number]), address_text(table.conversations.destination[number])))
    return frozenset(found)


class _Sites:
    """Which captures are of one node, and what it is called."""

    def __init__(self, handed: Sequence[Handed], roles: Mapping[int, Role], addresses: Mapping[str, str]) -> None:
        self._handed = handed
        self._roles = roles
        self._labels = self._named()
        self._anchors = self._found_anchors()
        self.addresses = self._by_label(addresses)
        self.notes: list[str] = []
        self._move_swapped()
        self._join_nameless()

    def tap(self, number: int) -> Tap:
        """A capture's tap."""
        each = self._handed[number]
        called = each.hint.interface if each.hint.role in (None, self._roles[number]) else ""
        return Tap(node=self._labels[number], interface=each.interface or called, place=each.name)

    def _named(self) -> dict[int, str]:
        """Captures whose node the user or a name tells. A name without anything beside the node counts if other captures have it too."""
        sure = {
            number: each.node or each.hint.node
            for number, each in enumerate(self._handed)
            if each.node or each.hint.certain or each.everywhere
        }
        labels = {number: node for number, node in sure.items() if node is not None}
        known = set(labels.values())
        for number, each in enumerate(self._handed):
            if number not in labels and each.hint.node in known:
                labels[number] = each.hint.node or ""
        return labels

    def _found_anchors(self) -> Anchors:
        """What the packets say; not of a switch, as those of several nodes pass it."""
        sights = {number: Sight(tap=_pseudo(number), role=role, table=self._handed[number].table) for number, role in self._roles.items()}
        carried = [each for sight in sights.values() if sight.role is Role.UNDERLAY for each in carried_at(sight)]
        return find_anchors([sight for number, sight in sights.items() if not self._handed[number].fabric], carried)

    def _anchor(self, number: int) -> str | None:
        return self._anchors.address.get(_pseudo(number))

    def _by_label(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """Each named node's address, as most of its captures say; of equals, as its pods' do. No address is two nodes'."""
        votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for number, label in self._labels.items():
            address = self._anchor(number)
            if address is not None:
                votes[label][address] += 3 if self._roles.get(number) is Role.POD else 2
        found = dict(addresses)
        ranked = sorted(
            ((count, label, address) for label, of in votes.items() for address, count in of.items()), key=lambda each: (-each[0], each)
        )
        for _, label, address in ranked:
            if label not in found and address not in found.values():
                found[label] = address
        return found

    def _move_swapped(self) -> None:
        """Captures named after one node that only another one can have seen."""
        by_address = {address: label for label, address in self.addresses.items()}
        for number, label in list(self._labels.items()):
            address = self._anchor(number)
            other = by_address.get(address) if address is not None else None
            if other is not None and other != label and self._handed[number].node is None and label in self.addresses:
                self._labels[number] = other
                self.notes.append(
                    f"{self._handed[number].name} is named after {label}, and holds what only {other} can have seen: taken as {other}'s"
                )

    def _join_nameless(self) -> None:
        """Captures without a name of a node: those of one address are of one node, whatever that is called."""
        by_address = {address: label for label, address in self.addresses.items()}
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for number in self._roles:
            address = self._anchor(number)
            if number not in self._labels and address is not None:
                groups[address].append(number)
        named = {address: {self._handed[number].hint.node for number in numbers} for address, numbers in groups.items()}
        shared = Counter(name for names in named.values() for name in names)
        for address, numbers in groups.items():
            own = [name for name in named[address] if name is not None and shared[name] == 1]
            alone = own[0] if len(own) == len(named[address]) == 1 else None
            self._labels.update(dict.fromkeys(numbers, by_address.get(address) or alone or address))
        for number in self._roles:
            if number not in self._labels:
                self._labels[number] = self._handed[number].hint.node or self._handed[number].name


def _pseudo(number: int) -> Tap:
    """A tap of a node of its own, for captures whose nodes are still to be found."""
    return Tap(node=str(number), interface="")


def _unplaced(each: Handed) -> str:
    why = "it is empty, and its name does not say" if not len(each.table) else "neither its name nor its packets say"
    return f"{each.name} was passed over: {why} of which interface it is; say so with --hop NODE:ROLE={each.name}"
