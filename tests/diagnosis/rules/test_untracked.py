"""Rules that exclude packets from connection tracking, in both directions or in one."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.rules.fit import Traits
from kubectl_vxtrace.diagnosis.rules.untracked import untracking
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.report import Finding
from tests.diagnosis.build import HEALTHY, SERVER, B, lost, rule, ruled

TO_SERVER = Traits(
    protocol="tcp", destinations=frozenset({SERVER}), destination_ports=frozenset({53}), sources=frozenset({"10.244.114.75"})
)
INVALID = rule("FORWARD", "-m conntrack --ctstate INVALID -j DROP", 0)


def raw(chain: str, text: str) -> Rule:
    return replace(rule(chain, text, 0), table="raw")


REQUESTS = raw("PREROUTING", f"-d {SERVER} -p tcp -m tcp --dport 53 -j NOTRACK")
REPLIES = raw("PREROUTING", f"-s {SERVER} -p tcp -m tcp --sport 53 -j NOTRACK")
ACCEPTED = raw("PREROUTING", f"-d {SERVER} -p tcp -m tcp --dport 53 -j ACCEPT")


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        pytest.param((REQUESTS,), REQUESTS, id="named"),
        pytest.param((ACCEPTED, REQUESTS), None, id="accepted before it"),
        pytest.param((REPLIES,), None, id="the other direction"),
        pytest.param((raw("PREROUTING", "-j NOTRACK"),), None, id="it names nothing of theirs"),
        pytest.param((replace(REQUESTS, table="filter", target="ACCEPT"),), None, id="no raw table"),
    ],
)
def test_which_rule_excludes_packets(rules: tuple[Rule, ...], found: Rule | None) -> None:
    assert untracking(NodeFacts(node=B, rules=rules), TO_SERVER) == found


def test_the_newer_spelling_of_the_target() -> None:
    newer = replace(REQUESTS, text=f"-d {SERVER} -p tcp -m tcp --dport 53 -j CT --notrack", target="CT")
    assert untracking(NodeFacts(node=B, rules=(newer,)), TO_SERVER) == newer
    assert untracking(NodeFacts(node=B, rules=(replace(newer, text=newer.text.replace("--notrack", "--zone 1")),)), TO_SERVER) is None


def error(*rules: Rule) -> Finding:
    """The first finding about segments that a rule against INVALID packets took, beside `rules`."""
    before, after = ruled(B, (INVALID, 24), *((each, 0) for each in rules))
    return diagnose(replace(HEALTHY, protocol="TCP", requests=(lost(24, 5, 6),), replies=None, before=before, after=after).case())[0]


@pytest.mark.parametrize(
    ("rules", "one_way"),
    [
        pytest.param((REPLIES,), True, id="replies alone"),
        pytest.param((REPLIES, REQUESTS), False, id="both"),
        pytest.param((), False, id="neither"),
        pytest.param((REPLIES, ACCEPTED, REQUESTS), True, id="requests are accepted before"),
    ],
)
def test_tracking_in_one_direction_makes_the_other_invalid(rules: tuple[Rule, ...], one_way: bool) -> None:
    finding = error(*rules)
    assert finding.cause == "conntrack-invalid"
    assert ("NOTRACK" in finding.summary) is one_way
    assert ("raw table" in (finding.remediation or "")) is one_way
