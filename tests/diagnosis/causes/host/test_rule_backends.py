"""nft-legacy-mix, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Finding, Severity
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.nodes import policy, rule, ruled
from tests.diagnosis.places import POD_B, B

END_OF_TIER = '--comment "End of tier default. Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP'


def world(leg: tuple[int, int], node: str, *rules: tuple[Rule, int]) -> World:
    before, after = ruled(node, *rules)
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=before, after=after)


def best(case: Case) -> Finding:
    return next(finding for finding in diagnose(case) if finding.severity is Severity.ERROR)


LEGACY_DROP = replace(policy("FORWARD", "DROP", 0), id="legacy/policy", backend="iptables-legacy")
KUBE_LEGACY = rule("KUBE-FORWARD", "-m mark --mark 0x4000/0x4000 -j ACCEPT", 0, backend="iptables-legacy")
KUBE_NFT = rule("KUBE-FORWARD", "-m mark --mark 0x4000/0x4000 -j ACCEPT", 0)


@pytest.mark.parametrize(
    ("rules", "slug"),
    [
        pytest.param((LEGACY_DROP, KUBE_LEGACY, KUBE_NFT), "nft-legacy-mix", id="kube-proxy in both"),
        pytest.param((LEGACY_DROP, KUBE_NFT), "forward-policy-drop", id="kube-proxy in one, somebody's policy in the other"),
        pytest.param((LEGACY_DROP, KUBE_LEGACY), "forward-policy-drop", id="all in one"),
        pytest.param((policy("FORWARD", "DROP", 0), KUBE_NFT), "forward-policy-drop", id="the usual backend"),
    ],
)
def test_the_other_backend_of_iptables(rules: tuple[Rule, ...], slug: str) -> None:
    found = best(world((5, 6), B, (rules[0], 24), *((one, 0) for one in rules[1:])).case())
    assert (found.cause, found.confidence, found.direction) == (slug, Confidence.CERTAIN, Direction.REQUEST)


def test_a_rule_that_both_backends_have_is_no_leftover() -> None:
    pair = tuple((rule(f"cali-tw-{POD_B}", END_OF_TIER, 1, backend=backend), 24) for backend in ("iptables-legacy", "iptables-nft"))
    calls = tuple((rule("FORWARD", f"-j cali-tw-{POD_B}", 900, backend=backend), 24) for backend in ("iptables-legacy", "iptables-nft"))
    assert best(world((5, 6), B, *calls, *pair).case()).cause == "network-policy-drop"
