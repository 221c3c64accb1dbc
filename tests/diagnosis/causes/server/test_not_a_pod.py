"""not-a-pod: requests to an address that nobody has, and what only looks like that."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Pod, Scope
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint, ServiceRef
from kubectl_vxtrace.model.report import Confidence, Leg, Severity, Verdict
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_flow
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC_A, SERVER, A, B

CLIENT_POD = Pod(namespace="kotsadm", name="kotsadm-1", node=A, addresses=(CLIENT,), labels={})
LISTED = ClusterSnapshot(scope=Scope.WIDE, nodes=(Node(name=A, addresses=(NIC_A,), annotations={}),), pods=(CLIENT_POD,))
SERVER_POD = replace(CLIENT_POD, name="dns", addresses=(SERVER,))
NOBODY = Endpoint(address=SERVER, port=53, node=B)
OUTSIDE = Endpoint(address=SERVER, port=53)
DEFAULT = RouteLookup(destination=SERVER, gateway="10.128.0.1", device="ens4")


def vanished(snapshot: ClusterSnapshot | None = LISTED) -> World:
    looks = tuple(tuple(replace(facts(node, later=later), lookups=(DEFAULT,)) for node in (A, B)) for later in (False, True))
    return replace(HEALTHY, server=NOBODY, requests=(lost(24, 5, 6),), replies=(), snapshot=snapshot, before=looks[0], after=looks[1])


def asked_for(world: World, server: Endpoint = NOBODY, service: ServiceRef | None = None) -> Case:
    """The case of a flow that asked for the address itself."""
    return with_flow(world.case(), replace(world.flow(), server=server, service=service))


@pytest.mark.parametrize(
    ("snapshot", "confidence"), [(LISTED, Confidence.CERTAIN), (replace(LISTED, missing=("pods in payments",)), Confidence.LIKELY)]
)
def test_what_goes_to_a_block_and_to_no_pod_of_it(snapshot: ClusterSnapshot, confidence: Confidence) -> None:
    case = asked_for(vanished(snapshot))
    found = diagnose(case)[0]
    assert (found.cause, found.severity, found.confidence) == ("not-a-pod", Severity.ERROR, confidence)
    assert (found.leg, found.packets) == (Leg(from_=5, to=6), 24)
    assert f"has the address {SERVER}" in found.summary
    assert "ada-ec-2 lets it go out of ens4 to 10.128.0.1" in found.summary
    assert {finding.cause for finding in diagnose(case)} == {"not-a-pod"}
    assert conclude(case, diagnose(case)).verdict in (Verdict.LOST, Verdict.DROPPED)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(asked_for(vanished(replace(LISTED, pods=(*LISTED.pods, SERVER_POD)))), id="a pod has it"),
        pytest.param(asked_for(vanished(), service=ServiceRef(address="10.96.0.10", port=53)), id="a Service was asked"),
        pytest.param(asked_for(vanished(), server=replace(NOBODY, pod="kube-system/dns")), id="a pod was asked"),
        pytest.param(asked_for(vanished(), server=replace(NOBODY, host_network=True)), id="an address of a node"),
        pytest.param(asked_for(vanished(replace(LISTED, scope=Scope.NEAR))), id="not everything was listed"),
        pytest.param(asked_for(vanished(None)), id="files alone"),
        pytest.param(asked_for(replace(vanished(), requests=(lost(24, 3, 4),))), id="lost before that node"),
    ],
)
def test_near_misses(case: Case) -> None:
    assert "not-a-pod" not in {found.cause for found in diagnose(case)}


def left(outcome: OutcomeCode = OutcomeCode.UNDETERMINED, replies: tuple[Fate, ...] = ()) -> Case:
    """Requests that went out of the client's NIC."""
    way = (replace(facts(A), lookups=(DEFAULT,)),)
    world = replace(
        HEALTHY, server=OUTSIDE, hops=3, requests=(Fate(count=24, reach=3, outcome=outcome),), replies=replies, snapshot=LISTED,
        before=way, after=way,
    )  # fmt: skip
    return asked_for(world, server=OUTSIDE)


def test_what_leaves_the_cluster_and_is_not_answered_is_a_warning_and_no_silent_server() -> None:
    case = left()
    (found,) = diagnose(case)
    assert (found.cause, found.severity, found.packets, found.direction) == ("not-a-pod", Severity.WARNING, 24, Direction.REQUEST)
    assert "ada-ec-1 let 24 requests go at ada-ec-1/ens4, out of ens4 to 10.128.0.1" in found.summary
    assert found.leg == Leg(from_=3, to=None)
    report = conclude(case, (found,))
    assert (report.verdict, report.completeness.complete) == (Verdict.UNDETERMINED, False)
    assert SERVER in report.completeness.blind[0].reason


def test_what_leaves_the_cluster_and_is_answered_is_no_finding() -> None:
    case = left(OutcomeCode.DELIVERED, (Fate(count=24, reach=3),))
    assert diagnose(case) == ()
    assert conclude(case, ()).completeness.complete


def test_a_server_that_nobody_observed_is_not_accused() -> None:
    case = left(OutcomeCode.DELIVERED)
    assert "server-silent" not in {found.cause for found in diagnose(case)}
    assert conclude(case, diagnose(case)).verdict is not Verdict.UNANSWERED
