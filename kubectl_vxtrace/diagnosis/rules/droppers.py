"""The dropping rules of a node that packets meet at a stretch, how their counters grew, and which cause a rule stands for."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.losses import Place, Stretch
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits
from kubectl_vxtrace.diagnosis.rules.fit import fit as text_fit
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case

_DROPPING = frozenset({"DROP", "REJECT"})
# The netfilter hooks that a packet passes between the two taps of a stretch (taps sit before ingress and after egress,
# net/core/dev.c).
_HOOKS = {
    Place.FORWARD: frozenset({"ingress", "prerouting", "forward", "postrouting", "egress"}),
    Place.ENCAPSULATE: frozenset({"output", "postrouting", "egress"}),
    Place.DECAPSULATE: frozenset({"ingress", "prerouting", "input"}),
    Place.DELIVER: frozenset({"ingress", "prerouting", "input"}),
}
_OTHER_FAMILY = {4: "ip6 ", 6: "ip "}
# Chains that Felix makes for one workload: from it (fw) and to it (tw); the interface's name follows.
_CALICO_WORKLOAD = re.compile(r"cali-[ft]w-(?P<interface>\S+)$")
# iptables-extensions(8), rpfilter; nft(8), fib: the source is looked up as if it were a destination.
_REVERSE_PATH = re.compile(r"\brpfilter\b|\bfib\b.*\bsaddr\b.*\boif\b|\bfib\b.*\boif\b.*\bsaddr\b")
# nft names the match of a rule that iptables-nft wrote, and not what it asks for. In these chains the one drop by connection state is
# that of INVALID packets (kube-proxy's proxier.go, felix/rules/endpoints.go); newer kube-proxies count them with nfacct.
_CONNTRACK_ONLY = re.compile(r'^(?=.*"name":"conntrack")(?:xt \{[^}]*"name":"(?:conntrack|nfacct|comment)"[^}]*\} )+counter drop$')
_TRACKING_CHAIN = re.compile(r"KUBE-FORWARD$|cali-[ft]w-")
# What Felix takes for VXLAN that is not its own (felix/rules/static.go, endpoints.go).
_FOREIGN_VXLAN = ("VXLAN packets from non-allowed hosts", "VXLAN encapped packets originating in workloads")
_POLICY_WORDS = re.compile(r"no policies passed|network ?policy|KUBE-NWPLCY|KUBE-POD-FW|KUBE-ROUTER", re.IGNORECASE)


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
    last = nodes.after(case, node)
    if last is None:
        return ()
    first = nodes.before(case, node)
    earlier = {} if first is None else {rule.id: rule for rule in first.rules}
    grown = [(rule, _growth(earlier.get(rule.id), rule, first)) for rule in last.rules if rule.target in _DROPPING]
    moved = [(rule, growth) for rule, growth in grown if growth.packets != 0]
    hooks = _hooks(last.rules, {_chain(rule) for rule, _ in moved})
    found = [Dropper(rule, growth, hooks[_chain(rule)]) for rule, growth in moved]
    return tuple(sorted(found, key=lambda dropper: dropper.rule.backend == "nft"))


def droppers(known: Iterable[Dropper], stretch: Stretch) -> Iterator[Dropper]:
    """Those of the `known` rules of a stretch's node that packets meet there; one for a rule that two backends list."""
    seen: set[tuple[str, str | None, int]] = set()
    for dropper in known:
        rule = dropper.rule
        if not dropper.hooks & _HOOKS[stretch.place]:
            continue
        # What iptables-nft writes, nft lists as well, there without its comments; equal counts in one chain are one rule.
        if rule.packets is not None:
            twin = (rule.chain, rule.target, rule.packets)
            if rule.backend == "nft" and twin in seen:
                continue
            seen.add(twin)
        yield dropper


def fit(rule: Rule, traits: Traits, stretch: Stretch) -> Fit:
    """How a rule fits packets of a stretch, by its text and by the chain it stands in."""
    if None not in (rule.family, traits.version) and rule.family != traits.version:
        return Fit.EXCLUDES
    if traits.version is not None and rule.table.startswith(_OTHER_FAMILY[traits.version]):
        return Fit.EXCLUDES
    workload = _CALICO_WORKLOAD.search(rule.chain)
    if workload is not None and stretch.place is Place.FORWARD:
        interfaces = {hop.tap.interface for hop in (stretch.start, stretch.end) if hop is not None}
        if workload["interface"] not in interfaces and "" not in interfaces:
            return Fit.EXCLUDES
        return Fit.EXCLUDES if text_fit(rule.text, traits) is Fit.EXCLUDES else Fit.NAMES
    return text_fit(rule.text, traits)


def cause(rule: Rule) -> str:
    """The slug that a dropping rule stands for, by its chain, comment and text."""
    words = f"{rule.comment or ''} {rule.text}"
    if any(text in words for text in _FOREIGN_VXLAN):
        return "calico-unknown-vtep"
    if "has no endpoints" in words:
        return "no-endpoints"
    if "has no local endpoints" in words:
        return "no-local-endpoints"
    if _REVERSE_PATH.search(words):
        return "workload-anti-spoofing" if "cali-" in rule.chain else "rp-filter"
    if re.search(r"\bINVALID\b", words, re.IGNORECASE) or (_CONNTRACK_ONLY.search(rule.text) and _TRACKING_CHAIN.match(rule.chain)):
        return "conntrack-invalid"
    if rule.text == "policy" and "FORWARD" in rule.chain.upper():
        return "forward-policy-drop"
    if "cali-" in rule.chain or _POLICY_WORDS.search(f"{rule.chain} {words}"):
        return "network-policy-drop"
    return "host-firewall"


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
        elif rule.chain.lower() in _HOOKS[Place.FORWARD] | _HOOKS[Place.ENCAPSULATE] | _HOOKS[Place.DECAPSULATE]:
            own[chain].add(rule.chain.lower())
        if rule.target is not None and rule.target not in _DROPPING:
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
