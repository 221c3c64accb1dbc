"""Which node a capture is of, by its packets alone; a node is known by its underlay address."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import address_text
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.topology.channels import Channels, find_channels
from kubectl_vxtrace.topology.looks import looks_of
from kubectl_vxtrace.topology.order import Exchanges, Signs, exchanges_of, lost_behind, nearer, same_packets
from kubectl_vxtrace.topology.places import Carried, Sight

_PAIR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The underlay address of each capture's node, where its packets tell.

    between: the two that it can be, where they leave two. alike: those of NICs that saw the very packets that another one of these saw.
    """

    address: Mapping[Tap, str]
    between: Mapping[Tap, frozenset[str]]
    alike: frozenset[Tap]


def find_anchors(sights: Sequence[Sight], carried: Sequence[Carried]) -> Anchors:
    """Judge each capture by itself, then those against each other that leave two nodes.

    A NIC: the address that all its encapsulated packets share, if not as sender then as receiver. A VXLAN device: it sees only packets
    from and to its own node's pods, so the node that one end of every packet is on. A pod's interface: where the pod's own packets were
    encapsulated. Where only two nodes talk, a NIC or a VXLAN device sees the same packets on both; the order in which they pass tells.

    Args:
        sights: all captures on nodes.
        carried: all encapsulated packets, also those at switches between nodes.
    """
    return _Judged(sights, carried, outer_addresses(carried)).anchors()


def outer_addresses(carried: Iterable[Carried]) -> dict[str, str]:
    """The underlay address behind which each inner address is: that its packets came from, as most captures say."""
    sent: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in carried:
        sent[each.inner_source][each.source] += each.frames
    return {inner: max(sources, key=lambda source: (sources[source], source)) for inner, sources in sent.items()}


class _Judged:
    def __init__(self, sights: Sequence[Sight], carried: Sequence[Carried], outer: Mapping[str, str]) -> None:
        self._sights = [sight for sight in sights if len(sight.table)]
        self._carried = carried
        self._outer = outer
        self._receivers = _receivers(carried, outer)
        self._channels: Channels = find_channels([sight.table for sight in self._sights])
        self._exchanges: dict[int, Exchanges] = {}

    def anchors(self) -> Anchors:
        address: dict[Tap, str] = {}
        between: dict[Tap, frozenset[str]] = {}
        for at, sight in enumerate(self._sights):
            possible = self._possible(at, sight)
            if len(possible) == 1:
                (address[sight.tap],) = possible
            elif len(possible) == _PAIR:
                between[sight.tap] = possible
        for tap, found in self._by_order(address, between).items():
            address[tap] = found
            del between[tap]
        return Anchors(address=address, between=between, alike=self._alike(between))

    def _possible(self, at: int, sight: Sight) -> frozenset[str]:
        """The nodes that a capture can be of."""
        if sight.role is Role.UNDERLAY:
            ends = [{each.source, each.destination} for each in self._carried if each.tap == sight.tap]
            return frozenset(set.intersection(*ends)) if ends else frozenset()
        if sight.role is Role.VXLAN:
            seen = np.flatnonzero(self._channels.counts(at))
            ends = [self._nodes(self._channels.channels[number].client, self._channels.channels[number].server) for number in seen]
            known = [nodes for nodes in ends if len(nodes) == _PAIR]
            return frozenset(set.intersection(*known)) if known else frozenset()
        pod = looks_of(sight.table).address
        return frozenset({self._outer[pod]}) if pod is not None and pod in self._outer else frozenset()

    def _nodes(self, *inner: str) -> set[str]:
        return {node for address in inner if (node := self._outer.get(address) or self._receivers.get(address)) is not None}

    def _by_order(self, address: Mapping[Tap, str], between: Mapping[Tap, frozenset[str]]) -> dict[Tap, str]:
        """Captures that leave the same two nodes, by the order in which packets pass them and the NICs whose node is known."""
        found: dict[Tap, str] = {}
        for pair in dict.fromkeys(between.values()):
            nics, devices = (
                [at for at, sight in enumerate(self._sights) if between.get(sight.tap) == pair and sight.role is role]
                for role in (Role.UNDERLAY, Role.VXLAN)
            )
            placed = [at for at, sight in enumerate(self._sights) if sight.role is Role.UNDERLAY and address.get(sight.tap) in pair]
            by_nics = self._apart(nics, placed, pair)
            # A VXLAN device lies between its own node's pods and its NIC, so any NIC of the two nodes tells on which side it is.
            by_devices = self._apart(devices, [*placed, *by_nics], pair)
            found.update({self._sights[at].tap: node for at, node in (*by_nics.items(), *by_devices.items())})
        return found

    def _apart(self, unknown: Sequence[int], placed: Sequence[int], pair: frozenset[str]) -> dict[int, str]:
        """Which of two nodes captures are of: on which side of those that are placed they lie, else of one another."""
        first, second = sorted(pair)
        nodes = {1: first, -1: second}
        found: dict[int, str] = {}
        for at in unknown:
            orders = {self._order(at, other, first) for other in placed} - {0}
            if len(orders) == 1:
                found[at] = nodes[orders.pop()]
        for one, other in combinations([at for at in unknown if at not in found], _PAIR):
            order = self._order(one, other, first)
            if order and found.get(one, nodes[order]) == nodes[order] and found.get(other, nodes[-order]) == nodes[-order]:
                found[one], found[other] = nodes[order], nodes[-order]
        return found

    def _alike(self, between: Mapping[Tap, frozenset[str]]) -> frozenset[Tap]:
        open_nics = [at for at, sight in enumerate(self._sights) if sight.tap in between and sight.role is Role.UNDERLAY]
        tables = [sight.table for sight in self._sights]
        # What was seen at the very same times is a copy of the file, and not another NIC.
        pairs = [
            (one, other)
            for one, other in combinations(open_nics, _PAIR)
            if not np.array_equal(tables[one].time_ns, tables[other].time_ns) and same_packets(tables, self._channels, one, other)
        ]
        return frozenset(self._sights[at].tap for pair in pairs for at in pair)

    def _order(self, one: int, other: int, node: str) -> int:
        """1 if a tap is nearer to `node` than another one, -1 if farther from it, 0 if nothing tells."""
        gaps = [self._exchanges.setdefault(at, exchanges_of(self._sights[at].table, self._channels, at)) for at in (one, other)]
        order = nearer(gaps[0], gaps[1], self._signs(node))
        if order:
            return order
        tables = [sight.table for sight in self._sights]
        sent = [self._sent_by(at, node) for at in (one, other)]
        order = lost_behind(tables, self._channels, one, other, sent)
        return order or -lost_behind(tables, self._channels, one, other, [~rows for rows in sent])

    def _signs(self, node: str) -> Signs:
        """1 for channels whose client is on `node`, -1 for those whose client is known to be elsewhere."""
        clients = (self._outer.get(channel.client) for channel in self._channels.channels)
        return np.array([0 if client is None else 1 if client == node else -1 for client in clients], dtype=np.int8)

    def _sent_by(self, at: int, node: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which rows of a capture came from a pod on `node`."""
        table = self._sights[at].table
        local = {address for address, found in self._outer.items() if found == node}
        of = np.array([address_text(row) in local for row in table.conversations.source], dtype=np.bool_)
        return np.append(of, False)[table.conversation]


def _receivers(carried: Iterable[Carried], outer: Mapping[str, str]) -> dict[str, str]:
    """For inner addresses that sent nothing: where packets to them were sent."""
    sent: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in carried:
        if each.inner_destination not in outer:
            sent[each.inner_destination][each.destination] += each.frames
    return {inner: max(ends, key=lambda end: (ends[end], end)) for inner, ends in sent.items()}
