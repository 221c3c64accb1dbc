"""kube-proxy's translation of a Service's port, as a node's rules have it (pkg/proxy/iptables/proxier.go)."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit
from kubectl_vxtrace.model.facts import NodeFacts, Rule

_ROOT = "KUBE-SERVICES"
_MARK = "KUBE-MARK-MASQ"
_DESTINATION = re.compile(r"--to-destination (?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
# The chains of a Service's port: its endpoints, those of the node itself (policy Local), and of traffic from outside.
_PORTAL = re.compile(r"KUBE-(?:SVC|SVL|EXT|FW|XLB)-[A-Z2-7]{16}")
_ENDPOINT = re.compile(r"KUBE-SEP-[A-Z2-7]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """What one backend of iptables does with a Service's port.

    chain: KUBE-SVC-... that it jumps to, or an endpoint's KUBE-SEP-... where nothing stands between. targets: addresses that its
    endpoints translate to. faults: what is missing in the chain, in words; packets that meet such a gap keep the ClusterIP.
    """

    backend: str
    chain: str
    targets: tuple[str, ...]
    faults: tuple[str, ...]


def has_portals(facts: NodeFacts) -> bool:
    """Whether the node has rules of kube-proxy for any Service."""
    return any(rule.table == "nat" and rule.chain == _ROOT and _is_portal(rule) for rule in facts.rules)


def portals(facts: NodeFacts, address: str, port: int | None, protocol: str) -> tuple[Portal, ...]:
    """The translations of a Service's address and port, one for each jump to it; empty where no rule names them."""
    wanted = Traits(
        protocol=protocol.lower(),
        destinations=frozenset({address}),
        destination_ports=frozenset() if port is None else frozenset({port}),
    )
    chains: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in facts.rules:
        if rule.table == "nat" and rule.chain.startswith("KUBE-"):
            chains[rule.backend, rule.chain].append(rule)
    return tuple(
        _portal(chains, rule)
        for (_, chain), rules in chains.items()
        if chain == _ROOT
        for rule in rules
        if _is_portal(rule) and fit(rule.text, wanted) is Fit.NAMES
    )


def _is_portal(rule: Rule) -> bool:
    return any(pattern.fullmatch(rule.target or "") for pattern in (_PORTAL, _ENDPOINT))


def _portal(chains: dict[tuple[str, str], list[Rule]], entry: Rule) -> Portal:
    backend, chain = entry.backend, entry.target or ""
    jumps = [rule for rule in chains.get((backend, chain), []) if _ENDPOINT.fullmatch(rule.target or "")]
    if _ENDPOINT.fullmatch(chain):
        jumps = [entry]
    translated = [tuple(_destinations(chains.get((backend, jump.target or ""), []))) for jump in jumps]
    faults = [] if jumps else [f"chain {chain} leads to no endpoint"]
    # What an endpoint's chain does not translate comes back and meets the next one: only the last decides.
    if jumps and "--probability" in jumps[-1].text:
        faults.append(f"the last endpoint of chain {chain} is taken only by chance, so that packets fall through")
    elif jumps and not translated[-1]:
        faults.append(f"chain {jumps[-1].target} ({jumps[-1].comment or 'the last endpoint'}) does not translate")
    targets = [target for targets_of_one in translated for target in targets_of_one]
    return Portal(backend=backend, chain=chain, targets=tuple(targets), faults=tuple(faults))


def _destinations(rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        match = _DESTINATION.search(rule.text) if rule.target == "DNAT" else None
        if match is not None:
            yield match["v6"] or match["v4"]


def unmasqueraded(facts: NodeFacts, address: str, port: int | None) -> tuple[str, ...]:
    """The chains of an endpoint that translate to it, where none of them marks what comes from itself to be masqueraded: such packets come
    back to the pod with its own address as their source. Empty where a chain does, or none is known."""
    chains: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in facts.rules:
        if rule.table == "nat" and _ENDPOINT.fullmatch(rule.chain):
            chains[rule.backend, rule.chain].append(rule)
    own = Traits(protocol="", sources=frozenset({address}))
    of_it = {chain: rules for (_, chain), rules in chains.items() if _leads_to(rules, address, port)}
    if any(rule.target == _MARK and _is_from(rule, own) for rules in of_it.values() for rule in rules):
        return ()
    return tuple(of_it)


def _is_from(rule: Rule, own: Traits) -> bool:
    return fit(rule.text, own) is Fit.NAMES or not re.search(r"(^|\s)(-s|--source)\s", rule.text)


def _leads_to(rules: list[Rule], address: str, port: int | None) -> bool:
    found = (_DESTINATION.search(rule.text) for rule in rules if rule.target == "DNAT")
    return any(
        match is not None and (match["v6"] or match["v4"]) == address and (None in (port, match["port"]) or int(match["port"]) == port)
        for match in found
    )


def managed_backends(facts: NodeFacts) -> frozenset[str]:
    """The backends of iptables in which kube-proxy or a CNI has chains on this node."""
    return frozenset(
        rule.backend for rule in facts.rules if rule.backend != "nft" and re.match(r"KUBE-(?:SERVICES|FORWARD)|cali-|FLANNEL-", rule.chain)
    )
