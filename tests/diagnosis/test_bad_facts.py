"""Nodes that told nothing, or whose counters fell: nothing is made up of that, and nothing breaks."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.model.facts import Link, NodeFacts, Rule
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.nodes import facts, rule, ruled
from tests.diagnosis.places import NIC, VX, A, B

LEGS = [(start, start + 1) for start in range(1, 6)]
PROTOCOLS = ("UDP", "TCP", "ICMP")
GARBAGE = "not the output of the tool"
QUESTIONS = ("links", "addresses", "routes", "neighbours", "fdb", "iptables", "nft", "counters", "sysctls", "ethtool", "conntrack")


def silent(node: str) -> NodeFacts:
    """A look at a node of which no answer could be read."""
    return NodeFacts(node=node, absent=dict.fromkeys(QUESTIONS, GARBAGE))


def errors(world: World) -> list[Finding]:
    return [finding for finding in diagnose(world.case()) if finding.severity is Severity.ERROR]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("leg", [*LEGS, (6, None)], ids=str)
@pytest.mark.parametrize("total", [True, False], ids=["total", "partial"])
def test_nothing_is_certain_of_nodes_that_told_nothing(leg: tuple[int, int | None], protocol: str, total: bool) -> None:
    requests = (lost(24, *leg),) if total else (lost(8, *leg), Fate(count=16))
    looks = (silent(A), silent(B))
    (finding,) = errors(replace(HEALTHY, protocol=protocol, requests=requests, replies=(), before=looks, after=looks))
    assert finding.confidence is not Confidence.CERTAIN
    assert finding.cause in {"unknown", "underlay-udp-blocked", "underlay-loss"}
    assert not [proof for proof in finding.evidence if proof.kind is EvidenceKind.COUNTER]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_healthy_path_of_nodes_that_told_nothing_has_no_finding(protocol: str) -> None:
    looks = (silent(A), silent(B))
    assert not diagnose(replace(HEALTHY, protocol=protocol, before=looks, after=looks).case())


# A counter of 32 bits (a NIC's own) that ran over, one that was set to zero, one that is no longer there.
WRAPPED, RESET = {"x": 2**32 - 3}, {"x": 1000}


@pytest.mark.parametrize(
    ("first", "last", "growth"),
    [
        pytest.param({"x": 5}, {"x": 9}, 4, id="grown"),
        pytest.param({"x": 5}, {"x": 5}, 0, id="as it was"),
        pytest.param(WRAPPED, {"x": 5}, None, id="it ran over"),
        pytest.param(RESET, {"x": 24}, None, id="it was set to zero"),
        pytest.param({}, {"x": 24}, None, id="it was not there before"),
        pytest.param({"x": 5}, {}, None, id="it is not there any more"),
        pytest.param({"x": 2**64 - 1}, {"x": 2**64 + 8}, 9, id="beyond 64 bits"),
    ],
)
def test_only_growth_is_told(first: Mapping[str, int], last: Mapping[str, int], growth: int | None) -> None:
    looks = [NodeFacts(node=A, counters=dict(one), links=(Link(name=NIC, index=2, counters=dict(one)),)) for one in (first, last)]
    case = replace(HEALTHY, before=(looks[0],), after=(looks[1],)).case()
    assert node_facts.grown(case, A, "x") == growth
    assert node_facts.link_grown(case, A, NIC, "x") == growth
    assert dict(node_facts.growths(case, A, "x")) == ({"x": growth} if growth else {})
    assert dict(node_facts.link_growths(case, A, NIC)) == ({"x": growth} if growth else {})


def test_an_interface_that_was_made_anew_counts_from_nothing() -> None:
    looks = [NodeFacts(node=A, links=(Link(name=NIC, index=index, counters={"x": index}),)) for index in (2, 9)]
    assert node_facts.link_grown(replace(HEALTHY, before=(looks[0],), after=(looks[1],)).case(), A, NIC, "x") is None


def fallen(node: str, counters: Mapping[str, int], *, vx: Mapping[str, int] | None = None) -> World:
    """The node's counters were higher in the first look, by these."""
    before = tuple(facts(name, counters=counters if name == node else None, vx=vx if name == node else None) for name in (A, B))
    after = tuple(facts(name, counters=dict.fromkeys(counters, 0) if name == node else None, later=True) for name in (A, B))
    return replace(HEALTHY, replies=(), before=before, after=after)


@pytest.mark.parametrize(
    ("leg", "node", "counters", "vx"),
    [
        pytest.param((4, 5), B, {"Udp.InCsumErrors": 24}, {}, id="checksum errors"),
        pytest.param((4, 5), B, {"Udp.NoPorts": 24}, {}, id="no port"),
        pytest.param((4, 5), B, {"Udp.InDatagrams": 24}, {}, id="taken by UDP"),
        pytest.param((1, 2), A, {"Ip.FragFails": 24}, {}, id="too large"),
        pytest.param((1, 2), A, {"TcpExt.IPReversePathFilter": 24}, {}, id="reverse path"),
        pytest.param((1, 2), A, {"conntrack.drop": 24}, {}, id="connection tracking"),
        pytest.param((2, 3), A, {}, {"tx.dropped": 24}, id="dropped by the VXLAN device"),
        pytest.param((5, 6), B, {"Ip.InAddrErrors": 24}, {}, id="not forwarded"),
    ],
)
def test_a_counter_that_fell_proves_nothing(leg: tuple[int, int], node: str, counters: Mapping[str, int], vx: Mapping[str, int]) -> None:
    (finding,) = errors(replace(fallen(node, counters, vx=vx), requests=(lost(24, *leg),)))
    assert (finding.cause, finding.confidence) == ("unknown", Confidence.POSSIBLE)
    assert not [proof for proof in finding.evidence if proof.kind is EvidenceKind.COUNTER]


def test_a_rule_whose_counter_fell_was_reset_and_counts_from_then() -> None:
    dropping = rule("INPUT", "-p udp --dport 4789 -j DROP", 500)
    before, after = ruled(B, (dropping, 0))

    def now(look: NodeFacts, packets: int) -> NodeFacts:
        rules: tuple[Rule, ...] = tuple(replace(one, packets=packets) if one.id == dropping.id else one for one in look.rules)
        return replace(look, rules=rules)

    blocked = replace(HEALTHY, requests=(lost(24, 4, 5),), replies=(), before=before)
    (finding,) = errors(replace(blocked, after=tuple(now(look, 24) for look in after)))
    assert (finding.cause, finding.confidence) == ("host-firewall", Confidence.LIKELY)
    (finding,) = errors(replace(blocked, after=tuple(now(look, 3) for look in after)))
    assert finding.confidence is Confidence.POSSIBLE


def test_a_device_that_is_gone_in_one_look_breaks_nothing() -> None:
    gone = replace(facts(B), links=tuple(link for link in facts(B).links if link.name != VX))
    for looks in ({"before": (facts(A), gone)}, {"after": (facts(A), gone)}):
        for leg in LEGS:
            found = errors(
                replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=looks.get("before", ()), after=looks.get("after", ()))
            )
            assert len(found) == 1
