"""outer-ttl-expired, and what looks like it."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.wire import ttl
from kubectl_vxtrace.model.journeys import TracedPath
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, of_flow
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.places import NIC_A, NIC_B

ROUTER = "10.128.0.1"
GONE = replace(HEALTHY, requests=(lost(24, 3, 4),), replies=())
ASKED = HEALTHY.frame(Direction.REQUEST, 2, 40000, Fate())
OUTER = Frame(source=NIC_A, destination=NIC_B, protocol=17, source_port=50000, destination_port=4789)
SOME = replace(GONE, requests=(lost(20, 3, 4), Fate(count=4)))
EXPIRED, SHORT = icmp(ROUTER, 0, ASKED, type_=11, inner=True), icmp(ROUTER, 0, OUTER, type_=11)


def told(*errors: Frame, world: World = GONE) -> World:
    """`world`, in which the sender's NIC saw these errors."""
    return replace(world, extra={3: errors})


@pytest.mark.parametrize(
    ("world", "confidence"),
    [
        pytest.param(told(EXPIRED), Confidence.CERTAIN, id="one error speaks for all: routers limit their rate"),
        pytest.param(told(SHORT), Confidence.CERTAIN, id="an error that quotes no more than the outer UDP header"),
        pytest.param(told(EXPIRED, world=SOME), Confidence.LIKELY, id="some get through"),
    ],
)
def test_a_router_that_says_so(world: World, confidence: Confidence) -> None:
    finding = diagnose(world.case())[0]
    assert (finding.cause, finding.confidence, finding.leg) == ("outer-ttl-expired", confidence, Leg(from_=3, to=4))
    assert any("ICMP 11/0 from 10.128.0.1 (time to live exceeded)" in proof.text and proof.frames for proof in finding.evidence)
    assert finding.remediation is not None
    assert "ip link set vxlan.calico type vxlan ttl 64" in finding.remediation


def test_what_says_that_it_was_dropped_is_no_block_of_the_port() -> None:
    assert [finding.cause for finding in diagnose(told(EXPIRED).case())] == ["outer-ttl-expired"]
    assert not any("underlay-udp-blocked" in doubt for finding in diagnose(told(EXPIRED).case()) for doubt in finding.not_ruled_out)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(GONE, id="silence"),
        pytest.param(told(icmp(ROUTER, 1, ASKED, type_=11, inner=True)), id="fragments that were not put together in time"),
        pytest.param(told(icmp(ROUTER, 0, ASKED, type_=11)), id="the inner packet's time to live ended"),
        pytest.param(told(icmp(ROUTER, 0, ASKED, type_=3, inner=True)), id="unreachable"),
        pytest.param(told(icmp(ROUTER, 0, replace(OUTER, source_port=50001), type_=11)), id="another flow's outer packet"),
        pytest.param(told(EXPIRED, world=HEALTHY), id="nothing was lost"),
        pytest.param(told(EXPIRED, world=replace(GONE, requests=(lost(24, 4, 5),))), id="lost behind the receiver's NIC"),
    ],
)
def test_what_is_no_outer_packet_that_expired(world: World) -> None:
    assert asked(world.case(), ttl) == []


def part(traced: TracedPath, rows: slice, number: int) -> TracedPath:
    """Some packets of a path as another flow's."""
    journeys = traced.journeys
    names = ("row", "outcome", "lost_from", "lost_to", "weight_packets", "client_port", "time_ns")
    some = replace(traced, journeys=replace(journeys, **{name: getattr(journeys, name)[rows] for name in names}), legs=())
    return of_flow(some, replace(traced.flow, id=number))


def test_an_error_about_one_flow_speaks_for_others_between_the_same_nodes() -> None:
    """Routers send them at a limited rate."""
    case = told(EXPIRED).case()
    requests, replies = case.paths
    paths = (part(requests, slice(0, 12), 1), part(requests, slice(12, 24), 2), part(replies, slice(0), 1), part(replies, slice(0), 2))
    found = [finding for finding in diagnose(replace(case, paths=paths)) if finding.severity is Severity.ERROR]
    assert [(finding.cause, finding.flow, finding.packets) for finding in found] == [
        ("outer-ttl-expired", 1, 12),
        ("outer-ttl-expired", 2, 12),
    ]
