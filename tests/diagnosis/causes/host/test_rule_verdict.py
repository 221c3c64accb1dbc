"""Which cause a dropping rule stands for, by its text and the packets it took."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Finding, Severity
from tests.diagnosis.build import HEALTHY, World, lost, with_flow
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.nodes import rule, ruled
from tests.diagnosis.places import CLIENT, POD_A, POD_B, SERVER, TAPS, VTEP_A, A, B

END_OF_TIER = '--comment "End of tier default. Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP'
REVERSE_PATH = "-m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP"
XT_COMMENT, XT_CONNTRACK = 'xt {"name":"comment","type":"match"}', 'xt {"name":"conntrack","type":"match"}'
NFACCT = "-m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP"

FROM_WORKLOADS = '-p udp -m comment --comment "Drop VXLAN encapped packets originating in workloads" -m multiport --dports 4789 -j DROP'


def world(leg: tuple[int, int], node: str, *rules: tuple[Rule, int]) -> World:
    before, after = ruled(node, *rules)
    return replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=before, after=after)


def best(case: Case) -> Finding:
    return next(finding for finding in diagnose(case) if finding.severity is Severity.ERROR)


def translated(made: World, source: str) -> Case:
    """The case, in which all packets come from `source` behind the client's node."""
    case = made.case()
    table = case.tables[TAPS[4]]
    raw = table.conversations.source.copy()
    raw[:] = np.frombuffer(bytes(10) + b"\xff\xff" + bytes(map(int, source.split("."))), dtype=np.uint8)
    return replace(case, tables={**case.tables, TAPS[4]: replace(table, conversations=replace(table.conversations, source=raw))})


INGRESS = ((rule("FORWARD", f"-j cali-tw-{POD_B}", 900), 24), (rule(f"cali-tw-{POD_B}", END_OF_TIER, 1), 24))


def test_a_policy_that_sees_the_nodes_address() -> None:
    found = best(translated(world((5, 6), B, *INGRESS), VTEP_A))
    assert (found.cause, found.confidence) == ("policy-sees-snat", Confidence.CERTAIN)
    assert any(one.kind is EvidenceKind.PACKETS and VTEP_A in one.text and CLIENT in one.text and one.frames for one in found.evidence)


def test_a_policy_that_sees_the_pods_address() -> None:
    assert best(translated(world((5, 6), B, *INGRESS), CLIENT)).cause == "network-policy-drop"


def test_a_client_on_the_nodes_network_has_the_nodes_address() -> None:
    case = translated(world((5, 6), B, *INGRESS), VTEP_A)
    host = replace(case.flows[0], client=replace(case.flows[0].client, host_network=True))
    assert best(with_flow(case, host)).cause == "network-policy-drop"


def routed(made: World, answer: RouteLookup) -> World:
    def told(look: NodeFacts) -> NodeFacts:
        kept = tuple(one for one in look.lookups if one.destination != answer.destination)
        return replace(look, lookups=(answer, *kept)) if look.node == A else look

    return replace(made, before=tuple(map(told, made.before)), after=tuple(map(told, made.after)))


SPOOFED = world((1, 2), A, (rule("PREROUTING", "-j cali-PREROUTING", 900), 24), (rule("cali-PREROUTING", REVERSE_PATH, 1), 24))


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        pytest.param(
            RouteLookup(destination=CLIENT, error="Invalid argument"), "pod-route-missing", id="no route to the pod's own address"
        ),
        pytest.param(RouteLookup(destination=CLIENT, device="eth9"), "pod-route-missing", id="a route past its interface"),
        pytest.param(RouteLookup(destination=CLIENT, device=POD_A), "workload-anti-spoofing", id="the route is right"),
    ],
)
def test_the_reverse_path_of_a_pods_own_address(answer: RouteLookup, slug: str) -> None:
    found = best(routed(SPOOFED, answer).case())
    assert (found.cause, found.confidence) == (slug, Confidence.CERTAIN)


def test_an_address_that_is_not_the_pods_is_spoofed() -> None:
    nowhere = routed(SPOOFED, RouteLookup(destination=CLIENT, error="Invalid argument"))
    case = routed(nowhere, RouteLookup(destination="10.9.9.9", error="Invalid argument")).case()
    table = case.tables[TAPS[0]]
    raw = table.conversations.source.copy()
    raw[:] = np.frombuffer(bytes(10) + b"\xff\xff" + bytes((10, 9, 9, 9)), dtype=np.uint8)
    tables = {**case.tables, TAPS[0]: replace(table, conversations=replace(table.conversations, source=raw))}
    assert best(replace(case, tables=tables)).cause == "workload-anti-spoofing"


def answered_at(destination: str, port: int) -> Case:
    """Replies that Calico's rule against VXLAN from workloads took on the server's node, with this destination."""
    chain = f"cali-fw-{POD_B}"
    before, after = ruled(B, (rule("FORWARD", f"-j {chain}", 900), 24), (rule(chain, FROM_WORKLOADS, 1), 24))
    case = replace(HEALTHY, replies=(lost(24, 1, 2),), before=before, after=after).case()
    reply = Frame(source=SERVER, destination=destination, source_port=53, destination_port=port)
    return replace(case, tables={**case.tables, TAPS[5]: table(TAPS[5], [reply] * len(case.tables[TAPS[5]]))})


@pytest.mark.parametrize(
    ("destination", "slug"),
    [
        pytest.param(VTEP_A, "masquerade-port-clash", id="the client's node had masqueraded the connection to that port"),
        pytest.param(CLIENT, "network-policy-drop", id="the client itself has that port"),
    ],
)
def test_what_the_rule_against_vxlan_from_workloads_takes(destination: str, slug: str) -> None:
    found = best(answered_at(destination, 4789))
    assert (found.cause, found.confidence, found.packets) == (slug, Confidence.CERTAIN, 24)
    assert (found.leg.from_, found.direction) == (1, Direction.REPLY) if found.leg is not None else False


def test_a_rule_for_the_other_family_is_not_named() -> None:
    other = replace(rule("FORWARD", "-j DROP", 0), family=6)
    assert best(world((5, 6), B, (other, 24)).case()).cause == "unknown"
    assert best(world((5, 6), B, (replace(other, family=4), 24)).case()).cause == "host-firewall"
