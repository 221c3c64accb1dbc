"""The chains of a node's packet filter: what stands in the way to a rule, and which dropping rules packets come to.

A chain of one's own is entered by `jump` (iptables: -j), which comes back behind the calling rule, or by `goto` (-g), which does not;
a base chain ends with its policy (nft(8), iptables(8)).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from kubectl_vxtrace.diagnosis.rules.fit import Fit, is_literal
from kubectl_vxtrace.model.facts import Rule

Chain = tuple[str, str, str]
FitOf = Callable[[Rule], Fit]

MOST_NESTED = 64
"""Chains that call one another so deep are none of a kernel's: nft takes 16 (include/net/netfilter/nf_tables.h, NFT_JUMP_STACK_SIZE). A
file that says otherwise is not followed any further."""

_DROPPING = frozenset({"DROP", "REJECT"})
_GOTO = re.compile(r"\bgoto \S+$|(^|\s)-g \S+")
_IN_MAP = re.compile(r"\b(?:jump|goto) ([\w.-]+)")


def chain_of(rule: Rule) -> Chain:
    """The chain that a rule stands in."""
    return rule.backend, rule.table, rule.chain


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """The rules of a node by chain, in order, policies last; and those that lead to a chain. mapped: what a map leads to as well, so that
    the conditions of the rules that name it are not all."""

    rules: dict[Chain, list[Rule]] = field(default_factory=lambda: defaultdict(list))
    callers: dict[Chain, list[Rule]] = field(default_factory=lambda: defaultdict(list))
    mapped: set[Chain] = field(default_factory=set)

    @classmethod
    def of(cls, rules: Iterable[Rule], in_maps: Iterable[str] = ()) -> "Chains":
        """Chains of `rules`; `in_maps`: values of verdict maps."""
        chains = cls()
        known = list(rules)
        names = {name for value in in_maps for name in _IN_MAP.findall(value)}
        for rule in sorted(known, key=lambda rule: rule.text == "policy"):
            chains.rules[chain_of(rule)].append(rule)
            if rule.target is not None:
                chains.callers[rule.backend, rule.table, rule.target].append(rule)
            if " vmap " in rule.text:
                names |= set(_IN_MAP.findall(rule.text))
        chains.mapped.update(chain for chain in chains.rules if chain[2] in names)
        return chains

    def bases(self, hooks: Collection[str]) -> frozenset[Chain]:
        """The base chains at one of `hooks`: those with a hook in nft, the built-in ones of iptables by their names."""
        return frozenset(chain for chain, rules in self.rules.items() if any(_hook(rule) in hooks for rule in rules))

    def met(self, base: Chain, fit_of: FitOf) -> tuple[Rule, ...]:
        """The dropping rules that packets may come to from a base chain, in order. The last one takes all that come to it, if none accepts
        these before; else there is none, whatever may have dropped some."""
        walk = _Walk(self, fit_of)
        ended = walk.through(base)
        return tuple(walk.droppers) if ended and not walk.accepted else ()


@dataclass(slots=True)
class Ways:
    """How packets fit the ways from the base chains `bases` to others, each worked out once."""

    chains: Chains
    fit_of: FitOf
    bases: Collection[Chain]
    known: dict[Chain, Fit] = field(default_factory=dict)
    _nested: int = 0

    def fit(self, rule: Rule) -> Fit:
        """How packets fit a rule and those that lead to it, by the way that fits best."""
        own, way = self.fit_of(rule), self._to(chain_of(rule))
        return Fit.EXCLUDES if Fit.EXCLUDES in (own, way) else max(own, way)

    def _to(self, chain: Chain) -> Fit:
        if chain in self.bases or chain in self.chains.mapped or self._nested >= MOST_NESTED:
            return Fit.ALLOWS
        if chain not in self.known:
            self.known[chain] = Fit.EXCLUDES  # for chains in a circle, which no kernel takes
            callers = self.chains.callers.get(chain, ())
            self._nested += 1
            self.known[chain] = max((self.fit(caller) for caller in callers), default=Fit.EXCLUDES)
            self._nested -= 1
        return self.known[chain]


def _hook(rule: Rule) -> str:
    return (rule.hook or rule.chain).lower()


@dataclass(slots=True)
class _Walk:
    """One way through chains. A rule whose conditions are all read and fit ends it, or leads on; any other may."""

    chains: Chains
    fit_of: FitOf
    droppers: list[Rule] = field(default_factory=list)
    accepted: bool = False
    entered: set[Chain] = field(default_factory=set)

    def through(self, chain: Chain, nested: int = 0) -> bool:
        """Whether no packet leaves the chain by its end."""
        if chain in self.entered or nested >= MOST_NESTED:
            self.accepted = True  # what it did with packets that came the other way is not told apart
            return True
        self.entered.add(chain)
        for rule in self.chains.rules.get(chain, ()):
            if self.fit_of(rule) is Fit.EXCLUDES:
                continue
            is_whole = is_literal(rule.text)
            if rule.target in _DROPPING:
                self.droppers.append(rule)
                if is_whole:
                    return True
            elif rule.target == "ACCEPT":
                if is_whole:
                    self.accepted = True
                    return True
            elif rule.target == "RETURN":
                if is_whole:
                    return False
            elif rule.target is not None and (*chain[:2], rule.target) in self.chains.rules:
                ended = self.through((*chain[:2], rule.target), nested + 1)
                if is_whole and ended:
                    return True
                if is_whole and _GOTO.search(rule.text):
                    return False
        return False
