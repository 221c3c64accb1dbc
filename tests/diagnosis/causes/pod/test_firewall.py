"""pod-firewall, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.facts import KernelDrop, Rule
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.report import Confidence, Finding, Leg, Severity, Verdict
from tests.diagnosis.build import HEALTHY, Fate, World
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import SECOND_NS, SERVER_END, START_NS, A, B
from tests.diagnosis.pods import at_client, at_server, filtered, look_inside

ON_THE_HOST = replace(SERVER_END, host_network=True)
SILENT = replace(HEALTHY, requests=(Fate(count=20),), replies=())
LATE_NS = 60_000_000


def case(world: World = SILENT, *, node: str = B, reason: str = "NETFILTER_DROP", late_ns: int = 1_000_000) -> Case:
    """`world` with a drop of the kernel of `node` after each request."""
    words = tuple(
        KernelDrop(node=node, time_ns=START_NS + number * SECOND_NS // 5 + late_ns, reason=reason, location="nft_do_chain")
        for number in range(20)
    )
    made = world.case()
    return replace(made, recording=replace(made.recording, kernel_drops=words, duration_s=15.0))


def top(found: Case) -> Finding:
    return diagnose(found)[0]


def test_drops_right_behind_the_pods_interface_are_the_pods_own() -> None:
    finding = top(case())
    assert finding.cause == "pod-firewall"
    assert "inside the pod's own network namespace" in finding.summary
    assert "nsenter" in (finding.remediation or "")
    assert finding.not_ruled_out == ()


def test_what_the_client_never_acknowledged_was_dropped_in_its_pod() -> None:
    behind = Fate(count=20, leg=(6, None), outcome=OutcomeCode.LOST)
    after_requests_ns = 20 * SECOND_NS // 5  # in the file of the client's interface, which has both
    world = replace(HEALTHY, protocol="TCP", requests=(Fate(count=20),), replies=(behind,))
    finding = top(case(world, node=A, late_ns=after_requests_ns + 1_000_000))
    assert (finding.cause, finding.direction, finding.leg) == ("pod-firewall", Direction.REPLY, Leg(from_=6, to=None))
    assert "dropped 20 replies" in finding.summary
    assert "answers to them" not in finding.summary
    assert "ada-ec-1" in (finding.remediation or "")


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        pytest.param(SILENT.case(), "server-silent", id="the kernel says nothing"),
        pytest.param(case(node=A), "server-silent", id="another node's drops"),
        pytest.param(case(late_ns=LATE_NS), "server-silent", id="too late"),
        pytest.param(case(reason="SOCKET_RCVBUFF"), "socket-overflow", id="a full socket"),
        pytest.param(case(replace(SILENT, server=ON_THE_HOST)), "unknown", id="a server of the host's network"),
        pytest.param(case(replace(SILENT, roles=(*SILENT.roles[:5], Role.VXLAN))), "server-silent", id="no interface of a pod"),
    ],
)
def test_what_looks_like_it(found: Case, cause: str) -> None:
    assert top(found).cause == cause


def test_rules_of_the_node_that_counted_as_many_leave_a_doubt() -> None:
    before, after = ruled(B, (rule("FORWARD", "-p tcp -j DROP", 50), 30))
    (doubt,) = top(case(replace(SILENT, before=before, after=after))).not_ruled_out
    assert "30" in doubt


def test_what_the_kernel_dropped_before_the_socket_never_came_to_the_server() -> None:
    finding = top(case(reason="IP_CSUM"))
    assert finding.cause == "unknown"
    assert "the checksum of its IP header is wrong" in finding.summary
    assert "network namespace of kube-system/coredns-b" in (finding.remediation or "")


INPUT = rule("INPUT", "-p udp --dport 53 -j DROP", 50)
OPEN = at_server(SILENT, look_inside(), look_inside())


@pytest.mark.parametrize(
    ("one", "growth", "confidence", "doubts"),
    [
        pytest.param(INPUT, 24, Confidence.CERTAIN, 0, id="it names the port and counted these"),
        pytest.param(INPUT, 400, Confidence.LIKELY, 1, id="it counted many more"),
        pytest.param(rule("INPUT", "-p udp -j DROP", 50), 20, Confidence.LIKELY, 0, id="it names nothing of them"),
        pytest.param(rule("INPUT", "-p udp --dport 53 -m u32 --u32 x -j DROP", 5), 20, Confidence.LIKELY, 0, id="it asks for more"),
        pytest.param(rule("INPUT", "udp dport 53 counter drop", 5, backend="nft", hook="input"), 20, Confidence.CERTAIN, 0, id="nft"),
    ],
)
def test_a_rule_inside_the_pod_that_counted_the_requests(one: Rule, growth: int, confidence: Confidence, doubts: int) -> None:
    found = top(filtered(OPEN, B, (one, growth)).case())
    assert (found.cause, found.confidence, found.leg, len(found.not_ruled_out)) == (
        "pod-firewall",
        confidence,
        Leg(from_=6, to=None),
        doubts,
    )
    assert f"inside the pod grew by {growth}" in str(found.evidence)


@pytest.mark.parametrize(
    ("one", "growth"),
    [
        pytest.param(INPUT, 19, id="too few"),
        pytest.param(rule("INPUT", "-p udp --dport 54 -j DROP", 50), 24, id="another port"),
        pytest.param(rule("INPUT", "-p udp --dport 53 -j ACCEPT", 50), 24, id="it drops nothing"),
        pytest.param(rule("FORWARD", "-p udp --dport 53 -j DROP", 50), 24, id="where they do not pass"),
        pytest.param(rule("INPUT", "-i lo -p udp --dport 53 -j DROP", 50), 0, id="it counted nothing"),
    ],
)
def test_near_misses_of_a_rule_inside_the_pod(one: Rule, growth: int) -> None:
    assert top(filtered(OPEN, B, (one, growth)).case()).cause == "server-silent"


def test_a_rule_of_another_pod_or_of_one_made_anew_says_nothing() -> None:
    world = filtered(OPEN, B, (INPUT, 24))
    other = replace(
        world, after=tuple(replace(look, pod_rules=tuple(replace(one, namespace=2) for one in look.pod_rules)) for look in world.after)
    )
    assert top(other.case()).cause == "server-silent"
    anew = replace(world, after=tuple(replace(look, pod_namespaces=()) for look in world.after))
    assert top(anew.case()).cause == "server-silent"


ANSWERED = at_client(HEALTHY, look_inside(), look_inside())
ANSWERS = rule("INPUT", "-p udp --sport 53 -j DROP", 50)


def test_answers_that_a_rule_inside_the_clients_pod_counted_are_delivered_and_told() -> None:
    case = filtered(ANSWERED, A, (ANSWERS, 24)).case()
    (found,) = diagnose(case)
    assert (found.cause, found.confidence, found.severity) == ("pod-firewall", Confidence.LIKELY, Severity.WARNING)
    assert (found.direction, found.packets) == (Direction.REPLY, 24)
    report = conclude(case, (found,))
    assert (report.verdict, report.cause) == (Verdict.DELIVERED, "pod-firewall")


@pytest.mark.parametrize(
    ("one", "growth"),
    [
        pytest.param(ANSWERS, 23, id="too few"),
        pytest.param(rule("INPUT", "-p udp -j DROP", 50), 24, id="it names nothing of them"),
        pytest.param(rule("INPUT", "-p udp --sport 54 -j DROP", 50), 24, id="another port"),
    ],
)
def test_answers_that_no_rule_accounts_for_were_taken(one: Rule, growth: int) -> None:
    assert diagnose(filtered(ANSWERED, A, (one, growth)).case()) == ()
