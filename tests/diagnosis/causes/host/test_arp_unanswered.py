"""arp-unanswered: on the wire between the nodes, and at a pod that asks its node in vain."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.host import arp_unanswered
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.facts import Neighbour, NodeFacts, Route, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Role
from kubectl_vxtrace.model.report import Confidence, Leg, LegTally, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, lost, sent_to
from tests.diagnosis.frames import Frame, arp
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, NIC_B, POD_A, A, B

GATEWAY, POD_GATEWAY = "10.128.0.1", "169.254.1.1"
ASKED = (arp(NIC_A, NIC_B),) * 3
ANSWERED = (*ASKED, arp(NIC_B, NIC_A, reply=True))
DEFAULT = Route(destination="default", gateway=GATEWAY, device=NIC)
PROXY = f"net.ipv4.conf.{POD_A}.proxy_arp"


def waiting(
    *frames: Frame, states: tuple[str, ...] = ("INCOMPLETE",), outer: str = NIC_B, address: str = NIC_B, at_peer: tuple[Frame, ...] = ()
) -> Case:
    """Requests that end between the sender's VXLAN device and its NIC, which saw `frames`."""
    entries = (Neighbour(address=address, device=NIC, states=states),) if states else ()
    way = RouteLookup(destination=NIC_B, source=NIC_A, gateway=None if address == NIC_B else address, device=NIC)

    def told(look: NodeFacts) -> NodeFacts:
        return replace(look, neighbours=(*look.neighbours, *entries), outer_lookups=(way,)) if look.node == A else look

    looks = [tuple(told(facts(node, later=later)) for node in (A, B)) for later in (False, True)]
    world = replace(HEALTHY, requests=(lost(24, 2, 3),), replies=(), before=looks[0], after=looks[1], extra={3: frames, 4: at_peer})
    case = world.case()
    return replace(case, paths=sent_to(case, outer))


@pytest.mark.parametrize(
    ("case", "confidence", "address"),
    [
        pytest.param(waiting(*ASKED), Confidence.CERTAIN, NIC_B, id="asked, and the entry unfinished"),
        pytest.param(waiting(*ASKED, states=("FAILED",)), Confidence.CERTAIN, NIC_B, id="given up"),
        pytest.param(waiting(*ASKED, states=()), Confidence.LIKELY, NIC_B, id="asked; the entry is gone by the look"),
        pytest.param(waiting(), Confidence.LIKELY, NIC_B, id="unfinished; no question was seen"),
        pytest.param(waiting(arp(NIC_A, GATEWAY), address=GATEWAY), Confidence.CERTAIN, GATEWAY, id="the gateway to the peer"),
    ],
)
def test_nobody_answers_on_the_wire(case: Case, confidence: Confidence, address: str) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence, found.leg) == ("arp-unanswered", confidence, Leg(from_=2, to=3))
    assert address in found.summary


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(waiting(*ANSWERED, states=("REACHABLE",)), id="answered"),
        pytest.param(waiting(states=("STALE",)), id="an entry that was not used lately"),
        pytest.param(waiting(arp(NIC_A, "10.128.0.7"), states=()), id="asked for somebody else"),
        pytest.param(waiting(arp(NIC_A, "10.128.0.200"), states=(), outer="10.128.0.200"), id="an address that the peer does not have"),
    ],
)
def test_what_looks_like_it(case: Case) -> None:
    assert asked(case, arp_unanswered) == []


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        pytest.param((), f"no ARP request for {NIC_B} was seen at ada-ec-2/ens4", id="the question got lost"),
        pytest.param(ASKED, f"3 x ARP who-has {NIC_B} at ada-ec-2/ens4, not answered there either", id="the peer is silent"),
        pytest.param(ANSWERED, f"3 x ARP who-has {NIC_B} at ada-ec-2/ens4, answered there", id="the answer got lost"),
    ],
)
def test_the_peers_side_is_told(frames: tuple[Frame, ...], text: str) -> None:
    (found,) = asked(waiting(*ASKED, at_peer=frames), arp_unanswered)
    assert text in [proof.text for proof in found.evidence]


def silent(gateway: str, *, routes: tuple[Route, ...] = (), proxy: str | None = None) -> Case:
    """A pod that asks six times for its gateway and sends nothing."""
    sysctls = {} if proxy is None else {PROXY: proxy}
    looks = tuple(replace(facts(node), routes=routes, sysctls=sysctls) for node in (A, B))
    case = replace(HEALTHY, requests=(lost(6, 1, None),), replies=None, before=looks, after=looks).case()
    (requests,) = case.paths
    path = replace(requests.path, hops=requests.path.hops[:1])
    flow = replace(requests.flow, protocol="ARP", service=None, server=None, candidates=(Endpoint(address=gateway),))
    journeys = replace(requests.journeys, path=path, row=np.ascontiguousarray(requests.journeys.row[:, :1]))
    leg = LegTally(from_=1, to=None, sent=6, arrived=0, lost=6)
    return replace(case, paths=(replace(requests, flow=flow, path=path, journeys=journeys, hops=requests.hops[:1], legs=(leg,)),))


@pytest.mark.parametrize(
    ("case", "summary", "remedy"),
    [
        pytest.param(silent(POD_GATEWAY), "ada-ec-1 has no default route", "ip route add default", id="no default route"),
        pytest.param(silent(POD_GATEWAY, routes=(DEFAULT,), proxy="0"), f"{PROXY} = 0", f"sysctl -w {PROXY}=1", id="proxy ARP is off"),
        pytest.param(silent(POD_GATEWAY, routes=(DEFAULT,), proxy="1"), "proxy ARP does not answer", "find why", id="neither"),
        pytest.param(silent("10.244.114.65"), "10.244.114.65, its next hop", "find why", id="a bridge's address"),
    ],
)
def test_a_pod_asks_for_its_next_hop_in_vain(case: Case, summary: str, remedy: str) -> None:
    (found,) = findings = diagnose(case)
    assert conclude(case, findings).summary == f"LOST, 6 of 6 ARP requests, after ada-ec-1/{POD_A}"
    assert (found.cause, found.severity, found.leg, found.packets) == ("arp-unanswered", Severity.ERROR, Leg(from_=1, to=None), 6)
    assert summary in found.summary
    assert found.remediation is not None
    assert remedy in found.remediation
    assert found.evidence[-1].text == f"no answer for {case.flows[0].candidates[0].address} was seen at ada-ec-1/{POD_A}"


OUTSIDE = "10.128.0.240"


def leaving(*frames: Frame, states: tuple[str, ...] = ("INCOMPLETE",), role: Role = Role.UNDERLAY) -> Case:
    """Requests to an address outside the overlay that end between the client's interface and its node's NIC, which saw `frames`."""
    entries = (Neighbour(address=OUTSIDE, device=NIC, states=states),) if states else ()
    way = RouteLookup(destination=OUTSIDE, source=CLIENT, input=POD_A, device=NIC)
    looks = [(replace(look, neighbours=(*look.neighbours, *entries), lookups=(way,)),) for look in (facts(A), facts(A, later=True))]
    world = replace(HEALTHY, requests=(lost(24, 1, 2),), replies=(), before=looks[0], after=looks[1], extra={3: frames})
    case = world.case()
    requests, replies = case.paths
    kept = [0, 2]
    path = replace(requests.path, hops=tuple(replace(requests.path.hops[at], hop=number) for number, at in enumerate(kept, 1)))
    path = replace(path, hops=(path.hops[0], replace(path.hops[1], role=role)))
    bare = replace(
        requests,
        flow=replace(requests.flow, server=Endpoint(address=OUTSIDE, port=53), service=None),
        path=path,
        journeys=replace(requests.journeys, path=path, row=np.ascontiguousarray(requests.journeys.row[:, kept])),
        hops=tuple(
            replace(requests.hops[at], hop=number, role=hop.role) for (number, at), hop in zip(enumerate(kept, 1), path.hops, strict=True)
        ),
        legs=(LegTally(from_=1, to=2, sent=24, arrived=0, lost=24),),
    )
    return replace(case, paths=(bare, replace(replies, flow=bare.flow)))


@pytest.mark.parametrize(
    ("case", "confidence"),
    [
        pytest.param(leaving(arp(NIC_A, OUTSIDE)), Confidence.CERTAIN, id="asked, and the entry unfinished"),
        pytest.param(leaving(), Confidence.LIKELY, id="unfinished; no question was seen"),
        pytest.param(leaving(arp(NIC_A, OUTSIDE), states=()), Confidence.LIKELY, id="asked; the entry is gone by the look"),
    ],
)
def test_nobody_answers_for_what_leaves_the_overlay(case: Case, confidence: Confidence) -> None:
    found = diagnose(case)[0]
    assert (found.cause, found.confidence, found.leg) == ("arp-unanswered", confidence, Leg(from_=1, to=2))
    assert "the pod" not in found.summary
    assert "load balancer" in (found.remediation or "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(leaving(states=("STALE",)), id="an entry that was not used lately"),
        pytest.param(leaving(arp(NIC_A, OUTSIDE), role=Role.BRIDGE), id="a pod's bridge is another question's"),
    ],
)
def test_what_is_no_unanswered_next_hop_outside(case: Case) -> None:
    assert [found for found in asked(case, arp_unanswered) if found.cause == "arp-unanswered"] == []
