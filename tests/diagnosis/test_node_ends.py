"""What a node in whose network an end is took behind its last tap: replies to a client, requests to a server."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.node_ends import with_deaths_in_nodes
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.report import Confidence, Leg, Verdict
from tests.diagnosis.build import HEALTHY, Fate, World, with_flow
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, SERVER, SERVER_END, A, B

DROP = "-p udp -m udp --sport 53 -j DROP"


def hosted(*rules: tuple[Rule, int], world: World = HEALTHY) -> Case:
    """24 questions and answers of a client in its node's own network, whose rules have counted so much."""
    before, after = ruled(A, *rules)
    made = replace(world, before=before, after=after)
    return with_flow(made.case(), replace(made.flow(), client=Endpoint(address=CLIENT, node=A, host_network=True)))


def reply_outcomes(case: Case) -> set[int]:
    traced = case.traced(1, Direction.REPLY)
    assert traced is not None
    return set(np.unique(traced.journeys.outcome).tolist())


@pytest.mark.parametrize("text", [DROP, f"-s {SERVER}/32 -p udp -j DROP", "-s 10.244.56.128/26 -j DROP"], ids=["port", "address", "block"])
def test_a_rule_of_input_that_counted_all_of_them_took_them(text: str) -> None:
    case = with_deaths_in_nodes(hosted((rule("INPUT", text, 5), 24)))
    assert reply_outcomes(case) == {OutcomeCode.LOST}
    found = diagnose(case)
    assert (found[0].cause, found[0].confidence, found[0].direction) == ("host-firewall", Confidence.CERTAIN, Direction.REPLY)
    assert found[0].leg == Leg(from_=6, to=None)
    assert "INPUT" in found[0].summary
    assert "4789" not in (found[0].remediation or "")
    report = conclude(case, found)
    assert report.verdict is Verdict.DROPPED
    assert [(leg.from_, leg.to, leg.lost, leg.arrived) for leg in report.flows[0].directions[1].legs if leg.lost] == [(6, None, 24, 0)]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(hosted(), id="no rule"),
        pytest.param(hosted((rule("INPUT", DROP, 5), 23)), id="it counted less"),
        pytest.param(hosted((rule("INPUT", DROP, None), 0)), id="it counts nothing"),
        pytest.param(hosted((rule("INPUT", "-p udp -m udp --sport 54 -j DROP", 5), 24)), id="another port"),
        pytest.param(hosted((rule("INPUT", "-p udp -j DROP", 5), 24)), id="it names nothing of theirs"),
        pytest.param(hosted((rule("INPUT", "-p udp -m udp --sport 53 -m limit --limit 5/sec -j DROP", 5), 24)), id="it asks for more"),
        pytest.param(hosted((rule("INPUT", "-p udp -m udp --sport 53 -j ACCEPT", 5), 24)), id="it accepts"),
        pytest.param(hosted((rule("FORWARD", DROP, 5), 24)), id="it is not met there"),
        pytest.param(hosted((rule("INPUT", DROP, 5), 24), world=replace(HEALTHY, protocol="TCP")), id="TCP speaks for itself"),
        pytest.param(hosted((rule("INPUT", DROP, 5), 24), world=replace(HEALTHY, replies=(Fate(count=0),))), id="there were none"),
    ],
)
def test_what_has_arrived(case: Case) -> None:
    assert with_deaths_in_nodes(case) is case


def test_a_client_that_is_a_pod_is_behind_no_input() -> None:
    before, after = ruled(A, (rule("INPUT", DROP, 5), 24))
    case = replace(HEALTHY, before=before, after=after).case()
    assert with_deaths_in_nodes(case) is case


def served(*rules: tuple[Rule, int], host_network: bool = True) -> Case:
    """24 questions to a server on its node, in that node's own network, which nobody answered; its rules have counted so much."""
    before, after = ruled(B, *rules)
    made = replace(HEALTHY, replies=(), before=before, after=after)
    return with_flow(made.case(), replace(made.flow(), server=replace(SERVER_END, host_network=host_network)))


def test_requests_that_a_rule_of_input_counted_were_dropped_before_the_socket() -> None:
    case = served((rule("INPUT", "-p udp -m udp --dport 53 -j DROP", 5), 24))
    report = conclude(case, diagnose(case))
    request, reply = report.flows[0].directions
    assert (report.verdict, report.cause, request.verdict, reply.verdict) == (
        Verdict.DROPPED,
        "host-firewall",
        Verdict.DROPPED,
        Verdict.NO_TRAFFIC,
    )
    assert [(leg.from_, leg.to, leg.sent, leg.arrived, leg.lost) for leg in request.legs if leg.lost] == [(6, None, 24, 0, 24)]
    assert report.summary == "DROPPED, 24 of 24 requests, after ada-ec-2/cali2b903875fe4"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(served(), id="no rule"),
        pytest.param(served((rule("INPUT", "-p udp -m udp --dport 53 -j DROP", 5), 3)), id="it counted a few"),
        pytest.param(served((rule("INPUT", "-p udp -m udp --dport 53 -j DROP", 5), 24), host_network=False), id="a pod is behind no input"),
    ],
)
def test_what_nothing_counted_is_unanswered(case: Case) -> None:
    assert conclude(case, diagnose(case)).verdict is Verdict.UNANSWERED
