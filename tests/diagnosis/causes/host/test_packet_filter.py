"""host-firewall, network-policy-drop and the other causes that a packet filter rule stands for."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import dropped_packets
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint, Role
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_paths
from tests.diagnosis.frames import icmp
from tests.diagnosis.nodes import policy, rule, ruled
from tests.diagnosis.places import NIC_B, POD_A, POD_B, SERVER, SERVICE, A, B

INPUT = rule("INPUT", "-p udp -m udp --dport 4789 -j DROP", 10)
ALLOWED_HOSTS = rule(
    "cali-INPUT",
    '-p udp --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -m multiport --dports 4789 -m addrtype --dst-type LOCAL -j DROP',
    7,
)
TO_CALI_INPUT = rule("INPUT", "-j cali-INPUT", 900)
END_OF_TIER = '--comment "End of tier default. Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP'


def world(leg: tuple[int, int], node: str, *rules: tuple[Rule, int]) -> World:
    """24 requests lost at `leg`, and rules of `node` with the growth of their counters."""
    before, after = ruled(node, *rules)
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=before, after=after)


def workload(chain: str, base: str = "FORWARD") -> tuple[tuple[Rule, int], tuple[Rule, int]]:
    return (rule(base, f"-j {chain}", 900), 24), (rule(chain, END_OF_TIER, 1), 24)


def best(case_of: World) -> Finding:
    return next(finding for finding in diagnose(case_of.case()) if finding.severity is Severity.ERROR)


@pytest.mark.parametrize(
    ("leg", "node", "rules", "cause"),
    [
        pytest.param((4, 5), B, ((INPUT, 24),), "host-firewall", id="INPUT of the receiver"),
        pytest.param((4, 5), B, ((policy("INPUT", "DROP", 5), 24),), "host-firewall", id="policy of INPUT"),
        pytest.param((4, 5), B, ((rule("PREROUTING", "-p udp --dport 4789 -j DROP", 0), 24),), "host-firewall", id="raw or mangle"),
        pytest.param((4, 5), B, ((rule("INPUT", "-i ens4 -j REJECT", 3), 24),), "host-firewall", id="REJECT"),
        pytest.param((2, 3), A, ((rule("OUTPUT", "-d 10.128.0.95/32 -j DROP", 0), 24),), "host-firewall", id="OUTPUT of the sender"),
        pytest.param((5, 6), B, ((rule("FORWARD", f"-d {SERVER}/32 -j DROP", 0), 24),), "host-firewall", id="FORWARD by hand"),
        pytest.param((5, 6), B, ((policy("FORWARD", "DROP", 0), 24),), "forward-policy-drop", id="policy of FORWARD"),
        pytest.param((4, 5), B, ((TO_CALI_INPUT, 99), (ALLOWED_HOSTS, 24)), "calico-unknown-vtep", id="Calico's allowed hosts"),
        pytest.param((5, 6), B, workload(f"cali-tw-{POD_B}"), "network-policy-drop", id="Calico ingress"),
        pytest.param((1, 2), A, workload(f"cali-fw-{POD_A}"), "network-policy-drop", id="Calico egress"),
        pytest.param((5, 6), B, workload("KUBE-POD-FW-AB12"), "network-policy-drop", id="kube-router"),
        pytest.param(
            (4, 5), B, ((rule("in", "udp dport 4789 counter drop", 0, backend="nft", hook="input"), 24),), "host-firewall", id="nft"
        ),
    ],
)
def test_the_rule_whose_counter_grew_is_named_and_its_packets_are_dropped(
    leg: tuple[int, int], node: str, rules: tuple[tuple[Rule, int], ...], cause: str
) -> None:
    case = world(leg, node, *rules).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].packets) == (cause, Confidence.CERTAIN, 24)
    assert findings[0].leg == Leg(from_=leg[0], to=leg[1])
    assert any(proof.kind is EvidenceKind.COUNTER and "grew by 24" in proof.text for proof in findings[0].evidence)
    assert dropped_packets(case, findings)[0].sum() == 24


@pytest.mark.parametrize(
    ("leg", "node", "rules"),
    [
        pytest.param((4, 5), B, ((INPUT, 0),), id="a counter that did not grow names nothing with certainty"),
        pytest.param((4, 5), A, ((INPUT, 24),), id="another node"),
        pytest.param((5, 6), B, ((INPUT, 24),), id="another hook: INPUT, the packet is forwarded"),
        pytest.param((4, 5), B, ((rule("FORWARD", "-j DROP", 0), 24),), id="another hook: FORWARD, the packet is for the node"),
        pytest.param((4, 5), B, ((rule("INPUT", "-p udp --dport 53 -j DROP", 0), 24),), id="another port"),
        pytest.param((4, 5), B, ((rule("INPUT", "-p tcp --dport 4789 -j DROP", 0), 24),), id="another protocol"),
        pytest.param((4, 5), B, ((rule("INPUT", "-s 10.9.9.9/32 -j DROP", 0), 24),), id="another source"),
        pytest.param((4, 5), B, ((rule("INPUT", "-i eth9 -j DROP", 0), 24),), id="another interface"),
        pytest.param((4, 5), B, ((rule("INPUT", "! -s 10.128.0.0/24 -j DROP", 0), 24),), id="all but these sources"),
        pytest.param((4, 5), B, ((rule("INPUT", "-j DROP", 0), 3),), id="fewer than were lost"),
        pytest.param((5, 6), B, workload("cali-tw-caliother"), id="another pod's policy"),
        pytest.param((4, 5), B, ((ALLOWED_HOSTS, 24),), id="a chain that nothing calls"),
        pytest.param((4, 5), B, ((rule("INPUT", "-p udp --dport 4789 -j ACCEPT", 0), 24),), id="a rule that accepts"),
        pytest.param((3, 4), B, ((INPUT, 24),), id="lost on the wire"),
    ],
)
def test_rules_that_cannot_have_done_it_are_not_named(leg: tuple[int, int], node: str, rules: tuple[tuple[Rule, int], ...]) -> None:
    case = world(leg, node, *rules).case()
    findings = diagnose(case)
    assert findings[0].cause in ("unknown", "underlay-udp-blocked")
    assert not dropped_packets(case, findings)[0].any()


def test_a_rule_without_a_counter_is_likely_if_it_names_the_packets_and_admits_nothing() -> None:
    case = world((4, 5), B, (rule("INPUT", "udp dport 4789 drop", None, backend="nft", hook="input"), 0)).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence) == ("host-firewall", Confidence.LIKELY)
    assert any(proof.kind is EvidenceKind.CONFIG and "udp dport 4789 drop" in proof.text for proof in findings[0].evidence)
    assert not dropped_packets(case, findings)[0].any()


def test_a_rule_without_a_counter_that_names_nothing_is_not_named() -> None:
    found = best(world((4, 5), B, (rule("INPUT", "counter drop", None, backend="nft", hook="input"), 0)))
    assert found.cause == "unknown"


def test_without_a_first_look_a_counter_proves_nothing() -> None:
    found = best(replace(world((4, 5), B, (INPUT, 24)), before=()))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)
    assert all(proof.kind is not EvidenceKind.COUNTER for proof in found.evidence)


@pytest.mark.parametrize("had", [None, 500], ids=["made in between", "reset in between"])
def test_a_rule_made_or_reset_between_the_looks_counts_from_then(had: int | None) -> None:
    changed = world((4, 5), B, (INPUT, 24))
    earlier = changed.before[1]
    rules = tuple(replace(one, packets=had) for one in earlier.rules if one.id != INPUT.id or had is not None)
    found = best(replace(changed, before=(changed.before[0], replace(earlier, rules=rules))))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)
    assert any("counts from then" in proof.text for proof in found.evidence)


def test_two_rules_that_may_both_have_done_it_leave_a_doubt() -> None:
    other = rule("INPUT", "-p udp --dport 4000:5000 -j DROP", 0)
    found = best(world((4, 5), B, (INPUT, 24), (other, 30)))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)
    assert "--dport 4789" in found.summary
    assert any("4000:5000" in doubt for doubt in found.not_ruled_out)


def test_a_rule_that_names_the_packets_beats_one_that_does_not() -> None:
    found = best(world((4, 5), B, (rule("INPUT", "-j DROP", 0), 24), (INPUT, 25)))
    assert (found.confidence, "--dport 4789" in found.summary) == (Confidence.CERTAIN, True)


def test_a_counter_that_grew_far_more_than_the_loss_is_mostly_other_traffic() -> None:
    found = best(world((4, 5), B, (rule("INPUT", "-j DROP", 0), 100_000)))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)


def test_part_of_the_loss_is_a_possible_cause_and_admits_nothing() -> None:
    case = world((4, 5), B, (INPUT, 10)).case()
    findings = diagnose(case)
    assert (findings[0].confidence, findings[0].packets) == (Confidence.POSSIBLE, 10)
    assert not dropped_packets(case, findings)[0].any()


def test_one_counter_for_the_losses_of_both_directions_must_hold_both() -> None:
    """The forward chain of one node meets requests and replies."""
    before, after = ruled(B, (rule("FORWARD", "-j DROP", 0), 24))
    both = replace(HEALTHY, requests=(lost(20, 5, 6), Fate(count=10)), replies=(lost(10, 1, 2),), before=before, after=after)
    assert all(found.confidence is Confidence.LIKELY for found in diagnose(both.case()))


def test_the_same_rule_listed_by_nft_is_no_second_suspect() -> None:
    twin = rule("INPUT", "meta l4proto udp xt counter drop", 10, backend="nft", hook="input")
    found = best(world((4, 5), B, (rule("INPUT", "-m addrtype --dst-type LOCAL -j DROP", 10), 24), (twin, 24)))
    assert (found.confidence, found.not_ruled_out) == (Confidence.CERTAIN, ())


def test_rules_of_the_other_address_family_are_not_asked() -> None:
    six = replace(rule("in", "counter drop", 0, backend="nft", hook="input"), table="ip6 filter")
    assert best(world((4, 5), B, (six, 24))).cause == "unknown"


def test_files_by_hand_make_it_likely_at_most() -> None:
    found = best(replace(world((4, 5), B, (INPUT, 24)), status=CaptureStatus.PRESUMED))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)


def test_icmp_prohibited_alone_tells_of_a_firewall_and_is_cited() -> None:
    asked = HEALTHY.frame(Direction.REQUEST, 3, 40000, Fate())
    refused = replace(
        HEALTHY,
        requests=(lost(24, 4, 5, outcome=OutcomeCode.REJECTED),),
        replies=(),
        extra={4: (icmp(NIC_B, 10, asked, inner=True),)},
    )
    found = best(refused)
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.LIKELY)
    assert any(proof.frames and "ICMP 3/10 from 10.128.0.95" in proof.text for proof in found.evidence)


def test_a_rejecting_rule_whose_counter_grew_makes_the_packets_dropped() -> None:
    """A counter comes before an ICMP error: the contract lists `dropped` first."""
    before, after = ruled(B, (rule("INPUT", "-p udp --dport 4789 -j REJECT", 0), 24))
    case = replace(HEALTHY, requests=(lost(24, 4, 5, outcome=OutcomeCode.REJECTED),), replies=(), before=before, after=after).case()
    assert dropped_packets(case, diagnose(case))[0].sum() == 24


def test_packets_of_an_unknown_backend_dropped_on_the_clients_node() -> None:
    before, after = ruled(A, *workload(f"cali-fw-{POD_A}"))
    nameless = replace(HEALTHY, server=None, hops=3, requests=(lost(24, 1, 2),), replies=None, before=before, after=after)
    found = best(nameless)
    assert (found.cause, found.confidence, found.leg) == ("network-policy-drop", Confidence.CERTAIN, Leg(from_=1, to=2))


def test_where_nothing_names_the_next_hop_a_rule_explains_but_nobody_is_between_two_witnesses() -> None:
    before, after = ruled(A, *workload(f"cali-fw-{POD_A}"))
    case = replace(HEALTHY, server=None, hops=1, requests=(lost(24, 1, None),), replies=None, before=before, after=after).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].leg) == (
        "network-policy-drop",
        Confidence.CERTAIN,
        Leg(from_=1, to=None),
    )
    assert not dropped_packets(case, findings)[0].any()


def test_a_policy_that_was_changed_between_the_looks_counted_accepted_packets_before() -> None:
    changed = world((5, 6), B, (policy("FORWARD", "DROP", 5), 24))
    earlier = changed.before[1]
    rules = tuple(replace(one, target="ACCEPT") for one in earlier.rules)
    found = best(replace(changed, before=(changed.before[0], replace(earlier, rules=rules))))
    assert (found.cause, found.confidence) == ("forward-policy-drop", Confidence.LIKELY)


def test_a_rule_that_names_the_service_fits_packets_before_translation() -> None:
    found = best(world((1, 2), A, (rule("FORWARD", f"-d {SERVICE}/32 -j DROP", 0), 24)))
    assert (found.cause, found.confidence) == ("host-firewall", Confidence.CERTAIN)


def test_a_firewall_in_front_of_a_server_on_the_host_explains_its_silence() -> None:
    before, after = ruled(B, (rule("INPUT", "-p udp --dport 53 -j DROP", 0), 24))
    host = Endpoint(address=SERVER, port=53, node=B, host_network=True)
    silent = replace(HEALTHY, hops=4, server=host, requests=(Fate(count=24, reach=4),), replies=(), before=before, after=after)
    findings = diagnose(silent.case())
    assert [finding.cause for finding in findings if finding.severity is Severity.ERROR] == ["host-firewall"]
    assert findings[0].leg == Leg(from_=4, to=None)
    assert silent.roles[3] is Role.UNDERLAY


def test_a_leg_with_a_blind_hop_in_it_is_likely_at_most() -> None:
    before, after = ruled(B, (INPUT, 24))
    blind = replace(HEALTHY, requests=(lost(24, 3, 5),), replies=(), before=before, after=after, blind={4: "the capture ended by itself"})
    found = best(blind)
    assert (found.cause, found.confidence, found.leg) == ("host-firewall", Confidence.LIKELY, Leg(from_=3, to=5))


@pytest.mark.parametrize("text", ['-m comment --comment "unfinished -j DROP', "\x00\x1b[31m", "--dport 99999999999999999 -j DROP", "{ { {"])
def test_hostile_rule_texts_do_not_break_it(text: str) -> None:
    hostile = Rule(id="h", backend="nft", table="inet x", chain="c", text=text, target="DROP", packets=0, hook="input")
    assert best(world((4, 5), B, (hostile, 24))).leg == Leg(from_=4, to=5)


def test_a_rule_that_asks_for_more_is_not_certain() -> None:
    """Other traffic may have made it grow by as much."""
    finding = best(world((4, 5), B, (rule("INPUT", "-m set --match-set blocked src -j DROP", 0), 24)))
    assert (finding.cause, finding.confidence) == ("host-firewall", Confidence.LIKELY)
    assert any("asks for more" in doubt for doubt in finding.not_ruled_out)


def test_a_super_packet_is_counted_once() -> None:
    """Three packets of each of the 8 frames that the rule dropped: its counter grew by 8."""
    case = world((4, 5), B, (INPUT, 8)).case()
    journey = case.paths[0].journeys
    rows = journey.row.copy()
    rows[:, 3] = rows[np.arange(24) // 3 * 3, 3]
    merged = with_paths(case, journeys=(replace(journey, row=rows), case.paths[1].journeys))
    finding = next(finding for finding in diagnose(merged) if finding.severity is Severity.ERROR)
    assert (finding.cause, finding.confidence, finding.packets) == ("host-firewall", Confidence.CERTAIN, 24)
    assert any("24 of them in 8 frames" in proof.text for proof in finding.evidence)


def test_two_rules_that_took_some_each_account_for_all() -> None:
    case = world((4, 5), B, (rule("PREROUTING", "-p udp --dport 4789 -j DROP", 0), 10), (INPUT, 14)).case()
    findings = diagnose(case)
    assert (findings[0].cause, findings[0].confidence, findings[0].packets) == ("host-firewall", Confidence.LIKELY, 24)
    assert "together account for 24 requests" in findings[0].summary
    assert dropped_packets(case, findings)[0].all()


def test_behind_the_clients_own_interface_it_is_the_node_that_takes_them() -> None:
    """What the client's node answers itself (a node-local DNS cache) passes the node's own chains behind the path's only hop."""
    local = Endpoint(address="169.254.20.10", port=53, node=A, host_network=True)
    dropping = rule("INPUT", f"-i {POD_A} -p udp -m udp --dport 53 -j DROP", 0)
    before, after = ruled(A, (dropping, 24))
    made = replace(HEALTHY, requests=(lost(24, 1, None),), replies=None, hops=1, server=local, before=before, after=after)
    case = made.case()
    paths = tuple(replace(traced, flow=replace(traced.flow, service=None)) for traced in case.paths)
    assert diagnose(replace(case, paths=paths))[0].cause == "host-firewall"
