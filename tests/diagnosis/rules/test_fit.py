"""What the text of a rule says of packets, in the words of iptables and of nft; and which rules exclude them from tracking."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.rules.fit import Fit, Traits, fit, unread, untracking
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.report import Finding
from tests.diagnosis.build import HEALTHY, lost
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import SERVER, B

OUTER = Traits(
    protocol="udp",
    sources=frozenset({"10.128.0.72"}),
    destinations=frozenset({"10.128.0.95"}),
    destination_ports=frozenset({4789}),
    inputs=frozenset({"ens4"}),
    outputs=frozenset({"cali1"}),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-j DROP", Fit.ALLOWS),
        ("policy", Fit.ALLOWS),
        ("-p udp -j DROP", Fit.ALLOWS),
        ("-p 17 -j DROP", Fit.ALLOWS),
        ("-p all -j DROP", Fit.ALLOWS),
        ("-p tcp -j DROP", Fit.EXCLUDES),
        ("! -p udp -j DROP", Fit.EXCLUDES),
        ("! -p tcp -j DROP", Fit.ALLOWS),
        ("-p udp -m udp --dport 4789 -j DROP", Fit.NAMES),
        ("-p udp -m multiport --dports 53,4789 -j DROP", Fit.NAMES),
        ("-p udp -m udp --dport 4000:5000 -j DROP", Fit.NAMES),
        ("-p udp -m udp --dport 8472 -j DROP", Fit.EXCLUDES),
        ("-p udp -m udp ! --dport 4789 -j DROP", Fit.EXCLUDES),
        ("-p udp -m udp ! --dport 53 -j DROP", Fit.ALLOWS),
        ("-p udp -m udp --sport 1:65535 -j DROP", Fit.ALLOWS),
        ("-s 10.128.0.0/24 -j DROP", Fit.NAMES),
        ("-s 0.0.0.0/0 -j DROP", Fit.ALLOWS),
        ("-s 10.128.0.73/32 -j DROP", Fit.EXCLUDES),
        ("! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP", Fit.EXCLUDES),
        ("-d 10.128.0.95 -j DROP", Fit.NAMES),
        ("-d fd00::1/128 -j DROP", Fit.EXCLUDES),
        ("-i ens4 -j DROP", Fit.ALLOWS),
        ("-i cali+ -j DROP", Fit.EXCLUDES),
        ("-o cali+ -j DROP", Fit.ALLOWS),
        ("-m set --match-set blocked src -j DROP", Fit.ALLOWS),
        ("-p udp --dport domain -j DROP", Fit.ALLOWS),
        ("udp dport 4789 counter drop", Fit.NAMES),
        ("udp dport { 53, 4789 } drop", Fit.NAMES),
        ("udp dport 4000-5000 drop", Fit.NAMES),
        ("udp dport != 4789 drop", Fit.EXCLUDES),
        ("tcp dport 4789 drop", Fit.EXCLUDES),
        ("th dport 4789 drop", Fit.NAMES),
        ("ip saddr 10.128.0.0/24 drop", Fit.NAMES),
        ("ip saddr 10.128.0.60-10.128.0.80 drop", Fit.NAMES),
        ("ip daddr { 10.0.0.1, 10.0.0.2 } drop", Fit.EXCLUDES),
        ("ip daddr @blocked drop", Fit.ALLOWS),
        ('meta iifname "ens4" drop', Fit.ALLOWS),
        ("meta iifname cali* drop", Fit.EXCLUDES),
        ("meta l4proto tcp drop", Fit.EXCLUDES),
        ("ip protocol udp drop", Fit.ALLOWS),
        ('udp dport {"range":[4000,5000]} drop', Fit.ALLOWS),
    ],
)
def test_fit(text: str, expected: Fit) -> None:
    assert fit(text, OUTER) is expected


def test_what_is_not_known_of_the_packets_excludes_nothing() -> None:
    assert fit("-s 10.9.9.9/32 -d 10.8.8.8/32 -i x -p udp --dport 1 -j DROP", Traits(protocol="udp")) is Fit.ALLOWS


def test_one_of_several_possible_addresses_is_enough() -> None:
    both = Traits(protocol="udp", destinations=frozenset({"10.96.0.10", "10.244.56.129"}))
    assert fit("-d 10.96.0.10/32 -j DROP", both) is Fit.NAMES
    assert fit("! -d 10.96.0.10/32 -j DROP", both) is Fit.ALLOWS


@settings(max_examples=150)
@given(st.one_of(st.text(), st.text(alphabet="-sdpio! {}\",:/0123456789\\'").map(lambda text: f"-s {text} --dport {text}")))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert fit(text, OUTER) in Fit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy", ()),
        ('-s 10.128.0.72/32 -p udp -m udp --dport 4789 -m comment --comment "-m set of rules" -j DROP', ()),
        ("-m set --match-set blocked src -m mark --mark 0x1 -j DROP", ("set", "mark")),
        ("udp dport 4789 counter drop", ()),
        ("ip saddr @blocked ct state new counter drop", ("@blocked", "ct")),
    ],
)
def test_what_a_rule_asks_for_that_is_not_read(text: str, words: tuple[str, ...]) -> None:
    assert unread(text) == words


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
