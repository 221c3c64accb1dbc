"""Rules that exclude packets from connection tracking (iptables-extensions(8), NOTRACK and CT --notrack; nft(8), notrack)."""

from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.model.facts import NodeFacts, Rule

_CHAINS = frozenset({"PREROUTING", "OUTPUT"})


def untracking(facts: NodeFacts, traits: Traits) -> Rule | None:
    """The rule of a node that excludes packets with these traits from tracking; None where none does, or one before accepts them.

    Only rules that name an address or port of the packets count: what else a rule asks for is not read. Of iptables' raw table the first
    rule that fits decides in each chain.
    """
    decided: set[tuple[str, str]] = set()
    for rule in facts.rules:
        chain = rule.backend, rule.chain
        is_raw = rule.table == "raw" and rule.chain in _CHAINS
        if not (is_raw or rule.target == "NOTRACK") or chain in decided or fit(rule.text, traits) is not Fit.NAMES:
            continue
        if rule.target == "NOTRACK" or (rule.target == "CT" and "--notrack" in rule.text):
            return rule
        if rule.target == "ACCEPT":
            decided.add(chain)
    return None
