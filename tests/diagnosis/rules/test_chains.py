"""Rules without counters at the end of chains: what the rules that lead to them ask for, and which one takes all packets."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.rules.fit import is_literal
from kubectl_vxtrace.model.facts import KernelDrop, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import Confidence, EvidenceKind
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.frames import icmp
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, POD_A, POD_B, SERVER, TAPS, VTEP_B, VX, A, B


def nft(chain: str, text: str, *, hook: str | None = None, packets: int | None = None, table: str = "inet firewalld") -> Rule:
    """A rule of nft; the last word is its target, or the chain behind `jump` and `goto`."""
    words = text.split()
    target = "REJECT" if "reject" in words else words[-1] if len(words) > 1 and words[-2] in ("jump", "goto") else words[-1].upper()
    made = rule(chain, text, packets, backend="nft", hook=hook)
    return replace(made, id=f"nft/{table}/{chain}/{text}", target=target, table=table)


def base(policy: str = "accept", *, hook: str = "forward", chain: str = "filter_FORWARD", table: str = "inet firewalld") -> Rule:
    return replace(nft(chain, "policy", hook=hook, table=table), target=policy.upper())


def first(text: str) -> Rule:
    return nft("filter_FORWARD", text, hook="forward")


TO_ZONES = first("jump filter_FORWARD_ZONES")
ZONE = nft("filter_FORWARD_ZONES", f"meta iifname {VX} goto filter_FWD_public")
REJECT = nft("filter_FWD_public", "reject with icmpx admin-prohibited")
FIREWALLD = (
    base(),
    first("ct state { established, related } accept"),
    first("ct status dnat accept"),
    first("meta iifname lo accept"),
    first("ct state invalid drop"),
    TO_ZONES,
    first("reject with icmpx admin-prohibited"),
    ZONE,
    nft("filter_FWD_public", "jump filter_FWD_public_allow"),
    REJECT,
)


def case(*rules: Rule, reason: str | None = "NETFILTER_DROP", leg: tuple[int, int] = (5, 6), node: str = B, **changes: object) -> Case:
    """24 requests lost at `leg`, rules of its node, and a drop that its kernel names 100 us after each was seen last."""
    before, after = ruled(node, *((one, 0) for one in rules))
    world: World = replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=before, after=after)
    made = replace(world, **changes).case()  # type: ignore[arg-type]
    times = made.tables[TAPS[leg[0] - 1]].time_ns if reason is not None else ()
    drops = tuple(KernelDrop(node=node, time_ns=int(time) + 100_000, reason=reason or "", location="nft_do_chain") for time in times)
    return replace(made, recording=replace(made.recording, kernel_drops=drops))


def without(gone: Rule, rules: tuple[Rule, ...] = FIREWALLD) -> tuple[Rule, ...]:
    return tuple(one for one in rules if one is not gone)


def test_the_reject_of_a_zone_takes_what_comes_in_by_its_interface() -> None:
    found = diagnose(case(*FIREWALLD))[0]
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)
    assert "in chain filter_FWD_public on ada-ec-2 rejected 24 requests" in found.summary
    assert "with firewalld add the port" in (found.remediation or "")
    assert {EvidenceKind.KERNEL, EvidenceKind.CONFIG} <= {one.kind for one in found.evidence}


@pytest.mark.parametrize(
    ("rules", "chain"),
    [
        pytest.param((base("drop"), first("ct state established accept")), "the policy DROP of chain filter_FORWARD", id="a policy"),
        pytest.param(
            (base(), first(f"ip daddr {SERVER} goto web"), nft("web", "drop")), "in chain web", id="named by the rule that leads there"
        ),
    ],
)
def test_other_ends_of_chains(rules: tuple[Rule, ...], chain: str) -> None:
    found = diagnose(case(*rules))[0]
    assert (found.cause in ("host-firewall", "forward-policy-drop"), found.confidence) == (True, Confidence.LIKELY)
    assert chain in found.summary


def test_a_rule_that_its_callers_name_the_packets_for_needs_no_word_of_the_kernel() -> None:
    found = diagnose(case(base(), first(f"ip daddr {SERVER} goto web"), nft("web", "drop"), reason=None))[0]
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(case(*FIREWALLD, reason=None), id="the kernel says nothing"),
        pytest.param(case(*FIREWALLD, reason="NEIGH_FAILED"), id="the kernel says something else"),
        pytest.param(case(*without(ZONE), nft("filter_FORWARD_ZONES", "meta iifname eth9 goto filter_FWD_public"), base("drop", chain="x")),
                     id="two tables take all of them"),
        pytest.param(case(base(), first("meta iifname eth9 goto web"), nft("web", "drop")), id="another interface leads there"),
        pytest.param(case(base(), first("ip daddr 10.9.9.9 goto web"), nft("web", "drop")), id="another address leads there"),
        pytest.param(case(base(), first(f"meta iifname {VX} accept"), first("drop")), id="accepted before"),
        pytest.param(case(base(), nft("web", "drop")), id="nothing leads there"),
        pytest.param(case(base(hook="input"), nft("filter_FORWARD", "drop", hook="input")), id="another hook"),
        pytest.param(case(base("drop", chain="a"), base("drop", chain="b")), id="two policies"),
        pytest.param(case(base(), first("ip saddr @blocked drop")), id="a rule that asks for more"),
        pytest.param(case(base(), first("return"), first("drop")), id="the chain ends before"),
        pytest.param(
            case(base(), first("jump loop"), nft("loop", "jump loop"), nft("loop", "ct state new jump loop")), id="chains in a circle"
        ),
    ],
)  # fmt: skip
def test_rules_without_counters_that_are_not_named(made: Case) -> None:
    assert diagnose(made)[0].cause == "unknown"


def test_a_counted_rule_whose_callers_exclude_the_packets_did_not_take_them() -> None:
    leading, counted = first("ip daddr 10.9.9.9 goto web"), nft("web", "counter drop", packets=0)
    before, after = ruled(B, (base(), 0), (leading, 0), (counted, 24))
    world = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=before, after=after)
    assert diagnose(world.case())[0].cause == "unknown"
    before, after = ruled(B, (base(), 0), (first(f"ip daddr {SERVER} goto web"), 0), (counted, 24))
    assert diagnose(replace(world, before=before, after=after).case())[0].confidence is Confidence.CERTAIN


def test_prohibited_answers_stand_beside_an_unknown_cause() -> None:
    asked = HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate())
    found = diagnose(case(reason=None, extra={1: (icmp(VTEP_B, 13, asked),)}))[0]
    assert found.cause == "unknown"
    assert any("ICMP 3/13" in one.text and one.frames for one in found.evidence)


def guard(hook: str, text: str = f"ip saddr {CLIENT} drop") -> tuple[Rule, ...]:
    table = "bridge guard"
    return base(hook=hook, chain="g", table=table), nft("g", text, hook=hook, table=table)


BRIDGED = (*HEALTHY.roles[:4], Role.BRIDGE, Role.POD)
FROM_POD = (Role.POD, Role.BRIDGE, *HEALTHY.roles[2:])
PORTS = (Role.POD, Role.POD, *HEALTHY.roles[2:])


@pytest.mark.parametrize(
    ("roles", "leg", "node", "named"),
    [
        pytest.param(BRIDGED, (5, 6), B, {"output", "postrouting"}, id="from the bridge to a port"),
        pytest.param(HEALTHY.roles, (5, 6), B, {"output", "postrouting"}, id="routed to a port"),
        pytest.param(FROM_POD, (1, 2), A, {"prerouting", "input"}, id="from a port to the bridge"),
        pytest.param(PORTS, (1, 2), A, {"prerouting", "forward", "postrouting"}, id="from port to port"),
        pytest.param(BRIDGED, (4, 5), B, set(), id="routed to the bridge"),
    ],
)
def test_hooks_of_the_bridge_family(roles: tuple[Role, ...], leg: tuple[int, int], node: str, named: set[str]) -> None:
    for hook in ("prerouting", "input", "forward", "output", "postrouting"):
        found = diagnose(case(*guard(hook), reason=None, leg=leg, node=node, roles=roles))[0]
        assert (hook, found.cause == "host-firewall") == (hook, hook in named)


def test_what_routes_does_not_come_to_output_of_other_families() -> None:
    assert diagnose(case(nft("g", f"ip saddr {CLIENT} drop", hook="output"), reason=None, roles=BRIDGED))[0].cause == "unknown"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("policy", True),
        ("drop", True),
        ("counter drop", True),
        (f"meta iifname {POD_A} ip daddr {SERVER} udp dport 53 drop", True),
        (f"meta oifname {POD_B} log {{}} reject with icmpx admin-prohibited", True),
        ("jump filter_FORWARD_ZONES", True),
        ("ct state invalid drop", False),
        ("ip saddr @blocked drop", False),
        ('limit {"burst":2,"inv":true} drop', False),
        ("tcp flags { fin, syn } drop", False),
        ("meta iifname vmap { lo : accept }", False),
        ("-i eth0 -p tcp --dport 80 -j DROP", True),
        ("-p tcp -m tcp --syn -j DROP", False),
        ("-m set --match-set blocked src -j DROP", False),
    ],
)
def test_rules_whose_conditions_are_all_read(text: str, whole: bool) -> None:
    assert is_literal(text) is whole


def test_chains_that_call_one_another_without_end_are_followed_no_further() -> None:
    links = [nft(f"c{number}", f"jump c{number + 1}") for number in range(3000)]
    found = diagnose(case(base(), first("jump c0"), *links, nft("c3000", "reject")))
    assert found[0].cause == "unknown"
