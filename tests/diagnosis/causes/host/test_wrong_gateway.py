"""duplicate-pod-cidr and route-missing by a route that leads to another node's VTEP."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis.causes.host import wrong_gateway
from kubectl_vxtrace.model.facts import NodeFacts, Route, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role, Tap, Vtep
from kubectl_vxtrace.model.report import Confidence, EvidenceKind
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, World, lost
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.nodes import facts, vtep
from tests.diagnosis.places import CLIENT, POD_A, SERVER, VTEP_B, VX, A, B

THIRD = "ada-ec-3"
C = Vtep(node=THIRD, interface=VX, address="10.244.106.64", underlay_address="10.128.0.96")
OWN = Route(destination="10.244.56.128/26", type="blackhole")


def misrouted(
    gateway: str | None = C.address, *, claimed: tuple[str, ...] = (B, THIRD), outer: str = "10.128.0.96", leg: tuple[int, int] = (3, 4)
) -> Case:
    """24 requests lost behind the sender's NIC, whose route names this gateway; the nodes of `claimed` have a blackhole for the block."""

    def told(look: NodeFacts) -> NodeFacts:
        if look.node == A:
            answer = RouteLookup(destination=SERVER, source="10.244.114.75", input=POD_A, gateway=gateway, device=VX)
            return replace(look, lookups=(answer, *(one for one in look.lookups if one.destination != SERVER)))
        return replace(look, routes=(OWN,)) if look.node in claimed else look

    looks = [tuple(told(one) for one in (facts(A, later=later), facts(B, later=later), NodeFacts(node=THIRD))) for later in (False, True)]
    world: World = replace(HEALTHY, requests=(lost(24, *leg),), replies=(), before=looks[0], after=looks[1], outer_destination=outer)
    case = world.case()
    overlay = replace(case.recording.overlay, vteps=(vtep(A), vtep(B), C))
    return replace(case, recording=replace(case.recording, overlay=overlay))


def test_two_nodes_claim_the_block_and_the_route_leads_to_the_wrong_one() -> None:
    (found,) = asked(misrouted(), wrong_gateway)
    assert (found.cause, found.confidence, found.packets) == ("duplicate-pod-cidr", Confidence.CERTAIN, 24)
    assert sorted(one.text.split()[0] for one in found.evidence if "for its own" in one.text) == [B, THIRD]
    assert any(one.kind is EvidenceKind.PACKETS and "10.128.0.96" in one.text for one in found.evidence)


def test_a_route_to_a_node_that_claims_nothing_is_a_wrong_route() -> None:
    (found,) = asked(misrouted(claimed=(B,)), wrong_gateway)
    assert (found.cause, found.confidence) == ("route-missing", Confidence.CERTAIN)


def test_packets_that_are_seen_on_the_wrong_node_are_cited() -> None:
    case, tap = misrouted(), Tap(node=THIRD, interface=VX)
    stray = Frame(source=CLIENT, destination=SERVER, source_port=40000, destination_port=53)
    task = replace(case.recording.captures[0].task, id=9, tap=tap, role=Role.VXLAN)
    captures = (*case.recording.captures, replace(case.recording.captures[0], task=task))
    case = replace(case, tables={**case.tables, tap: table(tap, (stray,) * 3)}, recording=replace(case.recording, captures=captures))
    (found,) = asked(case, wrong_gateway)
    assert any("3 x " in one.text and "at ada-ec-3/vxlan.calico, the wrong node" in one.text and one.frames for one in found.evidence)


def test_packets_that_went_elsewhere_make_it_less_sure() -> None:
    (found,) = asked(misrouted(outer="10.128.0.77"), wrong_gateway)
    assert found.confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(misrouted(VTEP_B), id="the right gateway, and the forwarding table may be wrong"),
        pytest.param(misrouted(None), id="no gateway"),
        pytest.param(misrouted("10.9.9.9"), id="a gateway that nobody is known by"),
        pytest.param(misrouted(leg=(5, 6)), id="they came to the right node"),
    ],
)
def test_near_misses_of_a_wrong_route(case: Case) -> None:
    assert asked(case, wrong_gateway) == []
