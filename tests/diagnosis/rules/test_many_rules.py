"""A cluster of 10,000 Services: what a node's rules cost the diagnosis."""

import time
from dataclasses import replace

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.rules.droppers import all_droppers
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import facts, policy
from tests.diagnosis.places import A, B

SERVICES = 10_000


def _rules() -> tuple[Rule, ...]:
    """kube-proxy's rules (pkg/proxy/iptables/proxier.go): five for each Service, a REJECT for every second."""
    found = [policy(chain, "ACCEPT", 900) for chain in ("INPUT", "FORWARD", "OUTPUT")]
    found += [_rule("filter", "FORWARD", "-j KUBE-SERVICES", "KUBE-SERVICES")]
    for number in range(SERVICES):
        address, name = (
            f"10.97.{number // 250}.{number % 250}",
            f"{number:016d}".replace("0", "A").replace("1", "B").replace("8", "C").replace("9", "D"),
        )
        found += [
            _rule("nat", "KUBE-SERVICES", f"-d {address}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-{name}", f"KUBE-SVC-{name}"),
            _rule("nat", f"KUBE-SVC-{name}", f"! -s 10.244.0.0/16 -d {address}/32 -p tcp -j KUBE-MARK-MASQ", "KUBE-MARK-MASQ"),
            _rule("nat", f"KUBE-SVC-{name}", f"-j KUBE-SEP-{name}", f"KUBE-SEP-{name}"),
            _rule("nat", f"KUBE-SEP-{name}", "-p tcp -j DNAT --to-destination 10.244.3.7:80", "DNAT"),
            _rule("filter", "KUBE-SERVICES", f'-d {address}/32 -p tcp --comment "n/s has no endpoints" -j REJECT', "REJECT"),
        ]
    return tuple(found)


def _rule(table: str, chain: str, text: str, target: str) -> Rule:
    hook = chain.lower() if chain == "FORWARD" else None
    return Rule(
        id=f"{table}/{chain}/{text}", backend="iptables-nft", table=table, chain=chain, text=text, target=target, packets=0, hook=hook
    )


RULES = _rules()


def _ruled(later: bool) -> tuple[NodeFacts, ...]:
    return tuple(replace(facts(node, later=later), rules=RULES) for node in (A, B))


def test_ten_thousand_services_are_judged_in_time() -> None:
    """Several losses at once, each of which asks all rules of its node. The bound is that of reading the rules, for a slow machine."""
    assert len(RULES) > 50_000
    case: World = replace(
        HEALTHY,
        requests=(lost(5, 1, 2), lost(5, 2, 3), lost(5, 4, 5), lost(5, 5, 6)),
        replies=(lost(5, 1, 2), lost(5, 5, 6)),
        before=_ruled(False),
        after=_ruled(True),
    )
    made = case.case()
    started_s = time.process_time()
    findings = diagnose(made)
    assert time.process_time() - started_s < 2
    assert {finding.cause for finding in findings} == {"unknown"}


def test_rules_whose_counters_stood_still_are_not_asked() -> None:
    case = replace(HEALTHY, before=_ruled(False), after=_ruled(True)).case()
    assert all_droppers(case, A) == ()
    unread = all_droppers(replace(HEALTHY, before=(), after=_ruled(True)).case(), A)
    assert len(unread) == SERVICES
