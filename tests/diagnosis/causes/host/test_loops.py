"""routing-loop, and what looks like it."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, EvidenceKind
from tests.diagnosis.build import HEALTHY, Fate, lost
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import TAPS, VTEP_A, VX, A, B

AGAIN = HEALTHY.frame(Direction.REQUEST, 4, 40000, Fate())


def circling(times: int, *, falling: bool = True, of_packet: bool = True) -> Case:
    """One request lost behind the receiver's VXLAN device, which saw it `times` more, its time to live falling."""
    world = replace(HEALTHY, requests=(lost(1, 5, 6),), replies=(), extra={5: (AGAIN,) * times})
    case = world.case()
    table = case.tables[TAPS[4]]
    ids = np.full(len(table), 7, dtype=np.uint16) if of_packet else table.ip_id
    ttl = np.arange(63, 63 - len(table), -1).astype(np.uint8) if falling else table.ttl
    return replace(case, tables={**case.tables, TAPS[4]: replace(table, ip_id=ids, ttl=ttl)})


def test_a_packet_that_comes_by_again_and_again_goes_in_circles() -> None:
    found = diagnose(circling(30))[0]
    assert (found.cause, found.confidence, found.packets) == ("routing-loop", Confidence.CERTAIN, 1)
    assert any(one.kind is EvidenceKind.PACKETS and "31 times" in one.text and one.frames for one in found.evidence)
    assert any(one.kind is EvidenceKind.CONFIG and A in one.text and B in one.text for one in found.evidence)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(circling(1), id="seen twice, as on a bridge"),
        pytest.param(circling(30, falling=False), id="sent again with the same time to live"),
        pytest.param(circling(30, of_packet=False), id="different packets of one connection"),
    ],
)
def test_near_misses_of_a_circle(case: Case) -> None:
    assert diagnose(case)[0].cause == "unknown"


def test_a_circle_is_not_a_missing_route_to_the_pod() -> None:
    astray = [
        replace(look, lookups=(RouteLookup(destination="10.244.56.129", gateway=VTEP_A, device=VX), *look.lookups))
        for look in (facts(B), facts(B, later=True))
    ]
    case = circling(30)
    case = replace(case, recording=replace(case.recording, before=(facts(A), astray[0]), after=(facts(A, later=True), astray[1])))
    assert {found.cause for found in diagnose(case)} == {"routing-loop"}


@pytest.mark.parametrize(("growth", "cited"), [(1, True), (0, False)])
def test_the_counter_of_expired_packets_is_cited_where_it_grew(growth: int, cited: bool) -> None:
    looks = [facts(B, counters={"Ip.InHdrErrors": count}, later=bool(count)) for count in (0, growth)]
    case = circling(30)
    case = replace(case, recording=replace(case.recording, before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1])))
    found = diagnose(case)[0]
    assert found.cause == "routing-loop"
    assert any(one.kind is EvidenceKind.COUNTER and "Ip.InHdrErrors of ada-ec-2 grew by 1" in one.text for one in found.evidence) is cited
