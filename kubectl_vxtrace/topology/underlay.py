"""Which underlay address each captured node has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.topology.anchors import Anchors
from kubectl_vxtrace.topology.places import Carried, Sight, pods_of

_NEARLY_ALL: Final = 0.8
_PAIR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """Each node's own address. open: nodes of which nothing tells it, with the addresses that it can be. doubts: what was only presumed."""

    address: Mapping[str, str]
    open: Mapping[str, frozenset[str]]
    doubts: tuple[str, ...] = ()


def find_underlay(sights: Sequence[Sight], carried: Sequence[Carried], anchors: Anchors, given: Mapping[str, str]) -> Underlay:
    """The addresses of the nodes that `sights` are of.

    As the user says; else the outer source of the node's own pods' packets at its NIC; else the one that its captures point to; else the
    one that all encapsulated packets at its NIC share and no other node has; else the only one that it can be.
    """
    nodes = tuple(dict.fromkeys(sight.tap.node for sight in sights))
    found = dict(given)
    local = {address: tap.node for tap, address in pods_of(sights).items()}
    for node in nodes:
        sent = Counter[str]()
        for each in carried:
            if each.tap.node == node and local.get(each.inner_source) == node:
                sent[each.source] += each.frames
        pointed = Counter(address for tap, address in anchors.address.items() if tap.node == node)
        for votes in (sent, pointed):
            free = {address: count for address, count in votes.items() if address not in found.values()}
            if node not in found and free:
                found[node] = max(free, key=lambda address: (free[address], address))
    while further := _only_possible(sights, carried, found):
        found.update(further)
    doubts: list[str] = []
    for address, node in _either(sights, carried, found, anchors):
        found[node] = address
        doubts.append(f"nothing tells which node is {address}, and nothing depends on it, as both NICs saw the same: taken to be {node}")
    presumed = _presumed(sights, carried, found)
    found.update(presumed)
    return Underlay(
        address=found,
        open={node: _possible(sights, carried, found, node) for node in nodes if node not in found},
        doubts=(
            *doubts,
            *(
                f"{node}'s captures hold no packet; it is taken to be {address}, where most packets went: else say --node {node}=ADDRESS"
                for node, address in presumed.items()
            ),
        ),
    )


def _either(sights: Sequence[Sight], carried: Sequence[Carried], found: Mapping[str, str], anchors: Anchors) -> tuple[tuple[str, str], ...]:
    """Two nodes that can each be either of two addresses, where it makes no difference: both NICs saw the same packets."""
    nodes = sorted({sight.tap.node for sight in sights if sight.tap in anchors.alike} - set(found))
    possible = [sorted(_possible(sights, carried, found, node)) for node in nodes]
    if len(nodes) != _PAIR or len(possible[0]) != _PAIR or possible[0] != possible[1]:
        return ()
    return tuple(zip(possible[0], nodes, strict=True))


def _presumed(sights: Sequence[Sight], carried: Sequence[Carried], found: Mapping[str, str]) -> dict[str, str]:
    """The one node whose captures are empty although every other node was heard: it is the one that nearly everything was sent to.

    Nobody records a node without cause; what its captures are worth is another question.
    """
    nodes = {sight.tap.node for sight in sights} - set(found)
    if len(nodes) != 1 or any(len(sight.table) for sight in sights if sight.tap.node in nodes):
        return {}
    (node,) = nodes
    sent = Counter[str]()
    for each in carried:
        if each.destination not in found.values():
            sent[each.destination] += each.frames
    address = max(sent, key=lambda each: (sent[each], each), default=None)
    heard = {each.source for each in carried}
    return {node: address} if address in heard and sent[address] >= _NEARLY_ALL * sent.total() else {}


def _only_possible(sights: Sequence[Sight], carried: Sequence[Carried], found: Mapping[str, str]) -> dict[str, str]:
    """Nodes with one address left that is no other such node's; those whose NICs saw encapsulated packets before those that are silent."""
    nodes = [node for node in dict.fromkeys(sight.tap.node for sight in sights) if node not in found]
    telling = {each.tap.node for each in carried}
    for chosen in ([node for node in nodes if node in telling], nodes):
        possible = {node: _possible(sights, carried, found, node) for node in chosen}
        single = {node: next(iter(addresses)) for node, addresses in possible.items() if len(addresses) == 1}
        count = Counter(single.values())
        unique = {node: address for node, address in single.items() if count[address] == 1}
        if unique:
            return unique
    return {}


def _possible(sights: Sequence[Sight], carried: Sequence[Carried], found: Mapping[str, str], node: str) -> frozenset[str]:
    """The addresses that a node can have: no other node's, in every encapsulated packet at its NIC, and none whose packets passed another
    NIC and not its own."""
    taps = {sight.tap for sight in sights if sight.tap.node == node and sight.role is Role.UNDERLAY}
    here = [frozenset({each.source, each.destination}) for each in carried if each.tap in taps]
    left = frozenset(address for each in carried for address in (each.source, each.destination)) - frozenset(found.values())
    if here:
        return left & frozenset.intersection(*here)
    return left - {each.source for each in carried} if taps else left
