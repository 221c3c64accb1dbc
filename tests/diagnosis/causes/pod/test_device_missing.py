"""pod-device-missing: nothing of the node leads to the pod, and what is only near that."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.datapath import PodInterface, PodNamespace
from kubectl_vxtrace.model.facts import Link, NodeFacts, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Overlay, Tap
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from kubectl_vxtrace.topology.cni import CNIS
from tests.diagnosis.build import HEALTHY, lost, with_paths
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import NIC, POD_B, SERVER, TAPS, A, B

BRIDGED = RouteLookup(destination=SERVER, device="cni0")
ASTRAY = RouteLookup(destination=SERVER, gateway="10.128.0.1", device=NIC)
POD = PodNamespace(id=1, interfaces=(PodInterface(name="eth0", index=3, host_index=4, prefixes=(f"{SERVER}/24",)),))
CNI0 = Link(name="cni0", index=9, kind="bridge")


def look(*, later: bool, way: RouteLookup, bridge: bool, master: str | None, named: bool = True) -> NodeFacts:
    """What the server's node says: the way to the pod, whether its bridge is there, and where the pod's veth hangs."""
    base = facts(B, later=later)
    veth = next(link for link in base.links if link.name == POD_B)
    links = (*(link for link in base.links if link is not veth), replace(veth, master=master), *((CNI0,) if bridge else ()))
    lookups = (*(each for each in base.lookups if each.destination != SERVER), way)
    return replace(base, links=links, lookups=lookups, pod_namespaces=(POD,) if named else ())


def flannel(*looks: NodeFacts) -> Case:
    """24 requests that end at the VXLAN device of a node whose pods hang on cni0."""
    before, after = looks if len(looks) == 2 else (*looks, *looks)
    world = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=(facts(A), before), after=(facts(A, later=True), after))
    case = world.case()
    return replace(case, recording=replace(case.recording, cnis=CNIS, overlay=replace(Overlay(), backend="flannel-vxlan")))


GONE = [look(later=later, way=ASTRAY, bridge=False, master=None) for later in (False, True)]
OFF = [look(later=later, way=BRIDGED, bridge=True, master=None) for later in (False, True)]
WHOLE = [look(later=later, way=BRIDGED, bridge=True, master="cni0") for later in (False, True)]


@pytest.mark.parametrize(
    ("case", "confidence", "said"),
    [
        pytest.param(flannel(*GONE), Confidence.CERTAIN, "the bridge cni0 of ada-ec-2 is gone", id="the bridge is gone"),
        pytest.param(flannel(*OFF), Confidence.CERTAIN, f"{POD_B}, the interface of", id="the veth is no port"),
        pytest.param(flannel(WHOLE[0], GONE[1]), Confidence.LIKELY, "the bridge cni0 of ada-ec-2 is gone", id="gone at the end"),
        pytest.param(flannel(WHOLE[0], OFF[1]), Confidence.LIKELY, "is no port of cni0", id="no port at the end"),
    ],
)
def test_nothing_leads_to_the_pod(case: Case, confidence: Confidence, said: str) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.severity, found.confidence, found.leg) == (
        "pod-device-missing",
        Severity.ERROR,
        confidence,
        Leg(from_=5, to=6),
    )
    assert said in found.summary


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(flannel(*WHOLE), id="all is there"),
        pytest.param(
            flannel(*(look(later=later, way=ASTRAY, bridge=True, master="cni0") for later in (False, True))), id="the route alone is gone"
        ),
        pytest.param(
            flannel(*(look(later=later, way=BRIDGED, bridge=True, master=None, named=False) for later in (False, True))),
            id="nothing names the pod's veth",
        ),
        pytest.param(flannel(*(replace(each, absent={"links": "no answer"}) for each in GONE)), id="the links were not read"),
    ],
)
def test_near_misses(case: Case) -> None:
    assert "pod-device-missing" not in {found.cause for found in diagnose(case)}


def test_a_node_of_calico_without_any_interface_of_the_pod() -> None:
    """Its hop has no name, and the pod's address stands for it."""
    nameless = Tap(node=B, interface="", place=SERVER)
    bare = [replace(facts(B, later=later), lookups=(ASTRAY,)) for later in (False, True)]
    world = replace(HEALTHY, requests=(lost(24, 5, 6),), replies=(), before=(facts(A), bare[0]), after=(facts(A, later=True), bare[1]))
    case = world.case()
    paths = [
        replace(traced.path, hops=tuple(replace(hop, tap=nameless) if hop.tap == TAPS[5] else hop for hop in traced.path.hops))
        for traced in case.paths
    ]
    found = diagnose(with_paths(case, path=paths))[0]
    assert (found.cause, found.confidence) == ("pod-device-missing", Confidence.CERTAIN)
    assert "has no interface that leads to kube-system/coredns-b" in found.summary


@pytest.mark.parametrize("case", [flannel(*GONE), flannel(*OFF)], ids=["the bridge is gone", "the veth is no port"])
def test_what_fails_because_of_that_is_no_finding_beside_it(case: Case) -> None:
    assert {found.cause for found in diagnose(case)} == {"pod-device-missing"}
