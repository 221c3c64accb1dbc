"""The dropping rules of a node that packets meet on a segment, and how their counters grew."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.losses import AnySegment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.diagnosis.rules.queues import QUEUEING, takes_packets
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case

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
    """A rule that drops, how its counter grew, and the netfilter hooks from which packets come to it, in lower case."""

    rule: Rule
    growth: Growth
    hooks: frozenset[str]


def all_droppers(case: Case, node: str) -> tuple[Dropper, ...]:
    """The rules of a node that can drop a packet and may have done so between the two looks, what nft lists last.

    One whose counter stood still is left out: of the thousands that a large cluster has, nearly all.
    """
    last = node_facts.after(case, node)
    if last is None:
        return ()
    first = node_facts.before(case, node)
    earlier = {} if first is None else {rule.id: rule for rule in first.rules}
    grown = [(rule, _growth(earlier.get(rule.id), rule, first)) for rule in last.rules if _can_drop(case, node, rule)]
    moved = [(rule, growth) for rule, growth in grown if growth.packets != 0]
    hooks = _hooks(last.rules, {_chain(rule) for rule, _ in moved})
    droppers = [Dropper(rule, growth, hooks[_chain(rule)]) for rule, growth in moved]
    return tuple(sorted(droppers, key=lambda dropper: dropper.rule.backend == "nft"))


def _can_drop(case: Case, node: str, rule: Rule) -> bool:
    return rule.target in _DROPPING or (rule.target in QUEUEING and takes_packets(case, node, rule))


def droppers_on(segment: AnySegment, known: Iterable[Dropper]) -> Iterator[Dropper]:
    """Those of the `known` rules of the segment's node that packets meet there; one for a rule that two backends list."""
    listed: set[tuple[str, str | None, int]] = set()
    for dropper in known:
        rule = dropper.rule
        if not dropper.hooks & _HOOKS[segment.kind]:
            continue
        # What iptables-nft writes, nft lists as well, there without its comments; equal counts in one chain are one rule.
        if rule.packets is not None:
            twin = (rule.chain, rule.target, rule.packets)
            if rule.backend == "nft" and twin in listed:
                continue
            listed.add(twin)
        yield dropper


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


def _chain(rule: Rule) -> tuple[str, str, str]:
    return rule.backend, rule.table, rule.chain


def _hooks(rules: Iterable[Rule], wanted: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], frozenset[str]]:
    """For each `wanted` chain the netfilter hooks from which it can be reached, in lower case."""
    callers: dict[tuple[str, str, str], set[tuple[str, str, str]]] = defaultdict(set)
    own: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for rule in rules:
        chain = _chain(rule)
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
