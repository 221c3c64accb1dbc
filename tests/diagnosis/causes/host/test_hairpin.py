"""A pod that asks itself by its Service, behind a bridge port."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.datapath import BridgePort
from kubectl_vxtrace.model.facts import Link, NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.report import Confidence, Leg
from tests.diagnosis.build import HEALTHY, lost, with_flow
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, POD_A, SERVER, A, B


def look(hairpin: bool | None, *, later: bool, is_port: bool = True) -> NodeFacts:
    base = facts(A, later=later)
    veth = next(link for link in base.links if link.name == POD_A)
    port = replace(veth, master="cni0", port=BridgePort(state="forwarding", hairpin=hairpin) if is_port else None)
    other = Link(name="veth8", index=8, master="cni0", port=BridgePort(state="forwarding", hairpin=True))
    return replace(base, links=(*(link for link in base.links if link is not veth), port, other))


def to_itself(first: NodeFacts, last: NodeFacts, *, address: str = CLIENT) -> Case:
    """24 requests of the client to a Service whose only backend has that address; nothing of them came back."""
    world = replace(
        HEALTHY, hops=1, server=None, requests=(lost(24, 1, None),), replies=None, before=(first, facts(B)),
        after=(last, facts(B, later=True)),
    )  # fmt: skip
    backend = Endpoint(address=address, port=3000, pod="kotsadm/kotsadm-1", node=A)
    return with_flow(world.case(), replace(world.flow(), server=None, candidates=(backend,)))


def test_hairpin_mode_that_is_off_is_named() -> None:
    found = diagnose(to_itself(look(False, later=False), look(False, later=True)))[0]
    assert (found.cause, found.confidence, found.leg) == ("unknown", Confidence.LIKELY, Leg(from_=1, to=None))
    assert f"hairpin mode is off on its port {POD_A} of cni0" in found.summary
    assert f"bridge link set dev {POD_A} hairpin on" in (found.remediation or "")
    assert any("veth8" in proof.text for proof in found.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(to_itself(look(True, later=False), look(True, later=True)), id="it is on"),
        pytest.param(to_itself(look(False, later=False), look(True, later=True)), id="it was put on"),
        pytest.param(to_itself(look(None, later=False), look(None, later=True)), id="the tool does not say"),
        pytest.param(to_itself(look(False, later=False, is_port=False), look(False, later=True, is_port=False)), id="no port of a bridge"),
        pytest.param(to_itself(look(False, later=False), look(False, later=True), address=SERVER), id="another pod is asked"),
    ],
)
def test_near_misses(case: Case) -> None:
    assert not any("hairpin" in finding.summary for finding in diagnose(case))


def test_the_way_to_the_pod_itself_is_no_missing_route() -> None:
    found = diagnose(to_itself(look(True, later=False), look(True, later=True)))
    assert "route-missing" not in {finding.cause for finding in found}
