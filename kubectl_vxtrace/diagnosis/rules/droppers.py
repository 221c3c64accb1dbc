"""The dropping rules of a node that packets meet on a segment, and how their counters grew."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.inside_pods import namespace_of
from kubectl_vxtrace.diagnosis.losses import AnySegment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.chains import Chains, Ways, chain_of
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.diagnosis.rules.queues import QUEUEING, takes_packets
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role

# Besides DROP and REJECT what xtables-addons(8) and nft(8) have that lets no packet go on its way.
_DROPPING = frozenset({"DROP", "REJECT", "TARPIT", "DELUDE", "CHAOS", "STEAL", "FWD"})
# The netfilter hooks that a packet passes between the two taps of a segment (taps sit before ingress and after egress,
# net/core/dev.c).
_HOOKS = {
    SegmentKind.FORWARD: frozenset({"ingress", "prerouting", "forward", "postrouting", "egress"}),
    SegmentKind.ENCAPSULATE: frozenset({"output", "postrouting", "egress"}),
    SegmentKind.DECAPSULATE: frozenset({"ingress", "prerouting", "input"}),
    SegmentKind.DELIVER: frozenset({"ingress", "prerouting", "input"}),
}
_FROM_PORT, _TO_PORT = frozenset({"ingress", "prerouting", "input"}), frozenset({"output", "postrouting", "egress"})
_FROM_PORT_TO_PORT = frozenset({"ingress", "prerouting", "forward", "postrouting", "egress"})
_OTHER_FAMILY = {4: "ip6 ", 6: "ip "}
# Chains that Felix makes for one workload: from it (fw) and to it (tw); the interface's name follows.
_CALICO_WORKLOAD = re.compile(r"cali-[ft]w-(?P<interface>\S+)$")


@dataclass(frozen=True, slots=True)
class Growth:
    """By how many packets a rule's counter grew between the two looks.

    packets: None where that is not known. exact: both looks held the rule; otherwise it was made or reset in between, and counts from then.
    """

    packets: int | None
    exact: bool


@dataclass(frozen=True, slots=True)
class Dropper:
    """A rule that drops, how its counter grew, the netfilter hooks from which packets come to it, in lower case, and its node's chains."""

    rule: Rule
    growth: Growth
    hooks: frozenset[str]
    chains: Chains


def all_droppers(case: Case, node: str) -> tuple[Dropper, ...]:
    """The rules of a node that can drop a packet and may have done so between the two looks, what nft lists last.

    One whose counter stood still is left out: of the thousands that a large cluster has, nearly all.
    """
    first, last = node_facts.before(case, node), node_facts.after(case, node)
    if last is None:
        return ()
    maps = [value for one in last.sets for value in one.values]
    return _grown(
        first, first.rules if first is not None else (), [rule for rule in last.rules if _can_drop(case, node, rule)], last.rules, maps
    )


def pod_droppers(case: Case, node: str, address: str) -> tuple[Dropper, ...]:
    """The rules inside the network namespace of the pod with that address that can drop a packet, and may have done so; see `all_droppers`.

    Queues are left out: who reads those of a pod is not known.
    """
    first, last, number = node_facts.before(case, node), node_facts.after(case, node), namespace_of(case, node, address)
    if first is None or last is None or number is None:
        return ()
    earlier, rules = (tuple(rule for rule in look.pod_rules if rule.namespace == number) for look in (first, last))
    return _grown(first, earlier, [rule for rule in rules if rule.target in _DROPPING], rules, ())


def _grown(
    first: NodeFacts | None, before: Iterable[Rule], dropping: Iterable[Rule], rules: Sequence[Rule], maps: Iterable[str]
) -> tuple[Dropper, ...]:
    """Those of the `dropping` rules whose counters did not stand still. rules, maps: all that may lead to them."""
    earlier = {rule.id: rule for rule in before}
    grown = [(rule, _growth(earlier.get(rule.id), rule, first)) for rule in dropping]
    moved = [(rule, growth) for rule, growth in grown if growth.packets != 0]
    hooks = _hooks(rules, {chain_of(rule) for rule, _ in moved})
    chains = Chains.of(rules, maps)
    droppers = [Dropper(rule, growth, hooks[chain_of(rule)], chains) for rule, growth in moved]
    return tuple(sorted(droppers, key=lambda dropper: dropper.rule.backend == "nft"))


def _can_drop(case: Case, node: str, rule: Rule) -> bool:
    return rule.target in _DROPPING or (rule.target in QUEUEING and takes_packets(case, node, rule))


def droppers_on(segment: AnySegment, known: Iterable[Dropper]) -> Iterator[Dropper]:
    """Those of the `known` rules of the segment's node that packets meet there; one for a rule that two backends list."""
    listed: set[tuple[str, str | None, int]] = set()
    for dropper in known:
        rule = dropper.rule
        if not dropper.hooks & hooks_on(segment, rule.table):
            continue
        # What iptables-nft writes, nft lists as well, there without its comments; equal counts in one chain are one rule.
        if rule.packets is not None:
            twin = (rule.chain, rule.target, rule.packets)
            if rule.backend == "nft" and twin in listed:
                continue
            listed.add(twin)
        yield dropper


def hooks_on(segment: AnySegment, table: str = "") -> frozenset[str]:
    """The netfilter hooks that packets pass on a segment, of the family of a rule's table.

    Those of nft's family `bridge` are passed beside a bridge alone: to it from a port of its, from it to a port, from port to port
    (nft(8), bridge address family; Linux net/bridge/br_input.c, br_forward.c, br_device.c).
    """
    if not table.startswith("bridge ") or segment.kind not in (SegmentKind.FORWARD, SegmentKind.DELIVER):
        return _HOOKS[segment.kind]
    start, end = segment.start.role, segment.end.role if segment.end is not None else None
    if start is Role.POD and end is Role.POD:
        return _FROM_PORT_TO_PORT
    if start is Role.POD:
        return _FROM_PORT if segment.kind is SegmentKind.FORWARD or segment.start.hop == 1 else frozenset()
    return _TO_PORT if end is Role.POD else frozenset()


def fits_on(segment: AnySegment, known: Iterable[Dropper], wanted: Callable[[Dropper], Traits]) -> Iterator[tuple[Dropper, Fit]]:
    """How dropping rules fit packets of a segment, each by its own text, and by the rules that lead to it there."""
    ways: dict[tuple[int, Traits, frozenset[str]], Ways] = {}
    for dropper in known:
        traits, hooks = wanted(dropper), hooks_on(segment, dropper.rule.table)
        key = id(dropper.chains), traits, hooks
        if key not in ways:
            ways[key] = Ways(dropper.chains, partial(_fit, segment, traits), dropper.chains.bases(hooks))
        yield dropper, ways[key].fit(dropper.rule)


def _fit(segment: AnySegment, traits: Traits, rule: Rule) -> Fit:
    return fit_on(segment, rule, traits)


def met_on(segment: AnySegment, known: Iterable[Dropper], traits: Traits) -> tuple[tuple[Dropper, ...], ...]:
    """For each base chain that ends with a rule without counter which takes all such packets: that rule last, and before it those of
    the chain that may have taken some."""
    droppers = {dropper.rule.id: dropper for dropper in known if dropper.growth.packets is None}
    found = []
    for chains in {id(dropper.chains): dropper.chains for dropper in droppers.values()}.values():
        for base in sorted({base for dropper in droppers.values() for base in chains.bases(hooks_on(segment, dropper.rule.table))}):
            met = [droppers.get(rule.id) for rule in chains.met(base, partial(_fit, segment, traits))]
            if met and met[-1] is not None:
                found.append(tuple(dropper for dropper in met if dropper is not None))
    return tuple(found)


def fit_on(segment: AnySegment, rule: Rule, traits: Traits) -> Fit:
    """How a rule fits packets of a segment, by its text and by the chain it stands in."""
    if None not in (rule.family, traits.version) and rule.family != traits.version:
        return Fit.EXCLUDES
    if traits.version is not None and rule.table.startswith(_OTHER_FAMILY[traits.version]):
        return Fit.EXCLUDES
    workload = _CALICO_WORKLOAD.search(rule.chain)
    if workload is not None and segment.kind in (SegmentKind.FORWARD, SegmentKind.DELIVER):
        interfaces = {hop.tap.interface for hop in (segment.start, segment.end) if hop is not None} | traits.outputs
        if workload["interface"] not in interfaces and "" not in interfaces:
            return Fit.EXCLUDES
        return Fit.EXCLUDES if fit(rule.text, traits) is Fit.EXCLUDES else Fit.NAMES
    return fit(rule.text, traits)


def _growth(earlier: Rule | None, rule: Rule, first: NodeFacts | None) -> Growth:
    if first is None or rule.packets is None:
        return Growth(None, False)
    if earlier is None or earlier.packets is None or earlier.packets > rule.packets:
        return Growth(rule.packets, False)
    # A policy that was changed keeps its id: what its counter held before was accepted.
    return Growth(rule.packets - earlier.packets, earlier.target == rule.target)


def _hooks(rules: Iterable[Rule], wanted: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], frozenset[str]]:
    """For each `wanted` chain the netfilter hooks from which it can be reached, in lower case."""
    callers: dict[tuple[str, str, str], set[tuple[str, str, str]]] = defaultdict(set)
    own: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for rule in rules:
        chain = chain_of(rule)
        if rule.hook is not None:
            own[chain].add(rule.hook.lower())
        elif rule.chain.lower() in _HOOKS[SegmentKind.FORWARD] | _HOOKS[SegmentKind.ENCAPSULATE] | _HOOKS[SegmentKind.DECAPSULATE]:
            own[chain].add(rule.chain.lower())
        if rule.target is not None and rule.target not in _DROPPING | QUEUEING:
            callers[rule.backend, rule.table, rule.target].add(chain)
    hooks: dict[tuple[str, str, str], frozenset[str]] = {}
    for chain in wanted:
        reached, todo = {chain}, [chain]
        while todo:
            above = callers.get(todo.pop(), set()) - reached
            reached |= above
            todo += above
        hooks[chain] = frozenset(hook for name in reached for hook in own.get(name, set()))
    return hooks
