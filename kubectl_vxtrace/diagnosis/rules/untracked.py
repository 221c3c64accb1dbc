"""Rules of the raw table that take packets out of connection tracking, in one direction of a connection only."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWay:
    """`rule` leaves the packets of one direction untracked, and took `packets` of them; none does so with the other direction.

    of_lost: that direction is the lost packets'. idle: rules that would do so with the other, and that no packet came to.
    """

    rule: Rule
    packets: int
    of_lost: bool
    idle: tuple[Rule, ...]


def untracked_one_way(case: Case, node: str, lost: Traits) -> OneWay | None:
    """The rule that leaves one direction of the lost packets' connections untracked on `node`; None where both or neither are.

    A connection of which conntrack sees one direction alone never gets beyond its first packets there: what follows is INVALID
    (net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks).
    """
    back = Traits(
        protocol=lost.protocol,
        sources=lost.destinations,
        destinations=lost.sources,
        source_ports=lost.destination_ports,
        destination_ports=lost.source_ports,
    )
    forth = replace(lost, inputs=frozenset(), outputs=frozenset())
    ways = [list(_untracking(case, node, traits)) for traits in (forth, back)]
    live = [[(rule, growth) for rule, growth in way if growth] for way in ways]
    if bool(live[0]) is bool(live[1]):
        return None
    number = 0 if live[0] else 1
    rule, packets = live[number][0]
    return OneWay(rule=rule, packets=packets, of_lost=number == 0, idle=tuple(other for other, _ in ways[1 - number]))


def _untracking(case: Case, node: str, traits: Traits) -> Iterator[tuple[Rule, int]]:
    """The rules that name the packets and leave them untracked, and by how much their counters grew."""
    first, last = node_facts.before(case, node), node_facts.after(case, node)
    earlier = {rule.id: rule.packets or 0 for rule in first.rules} if first is not None else {}
    for rule in last.rules if last is not None else ():
        if "notrack" in rule.text.lower() and fit(rule.text, traits) is Fit.NAMES:
            yield rule, max((rule.packets or 0) - earlier.get(rule.id, 0), 0)
