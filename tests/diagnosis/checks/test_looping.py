"""routing-loop, asymmetric-return."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.checks import looping
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Path, Role
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Severity
from tests.diagnosis.build import CLIENT, HEALTHY, NIC, NIC_A, POD_B, SERVER, TAPS, VTEP_A, VX, A, B, Fate, World, facts, lost

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


BARE_PLACES = (5, 3, 2, 0)


def bare_replies(world: World) -> Case:
    """The case of `world` with replies whose path has no VXLAN device: the pod, both NICs, the pod."""
    case = world.case()
    path, journey = case.paths[1], case.journeys[1]
    hops = tuple(replace(path.hops[5 - place], hop=number) for number, place in enumerate(BARE_PLACES, 1))
    bare = Path(flow=1, direction=Direction.REPLY, hops=hops)
    columns = [5 - place for place in BARE_PLACES]
    return replace(
        case,
        paths=(case.paths[0], bare),
        journeys=(case.journeys[0], replace(journey, path=bare, row=np.ascontiguousarray(journey.row[:, columns]))),
        hops=(case.hops[0], tuple(replace(case.hops[1][column], hop=number) for number, column in enumerate(columns, 1))),
        legs=(case.legs[0], ()),
    )


def test_replies_without_encapsulation_are_worth_knowing() -> None:
    back = [
        replace(look, lookups=(RouteLookup(destination=CLIENT, source=SERVER, input=POD_B, gateway=NIC_A, device=NIC), *look.lookups))
        for look in (facts(B), facts(B, later=True))
    ]
    world = replace(HEALTHY, before=(facts(A), back[0]), after=(facts(A, later=True), back[1]))
    (found,) = diagnose(bare_replies(world))
    assert (found.cause, found.severity, found.direction) == ("asymmetric-return", Severity.INFO, Direction.REPLY)
    texts = [one.text for one in found.evidence if one.kind is EvidenceKind.CONFIG]
    assert any(text.startswith(A) and VX in text for text in texts)
    assert any(text.startswith(B) and NIC in text for text in texts)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(HEALTHY.case(), id="both encapsulated"),
        pytest.param(bare_replies(replace(HEALTHY, roles=(Role.POD, *(Role.UNDERLAY,) * 4, Role.POD))), id="both without"),
        pytest.param(bare_replies(replace(HEALTHY, replies=())), id="no reply was seen"),
    ],
)
def test_near_misses_of_an_asymmetric_way(case: Case) -> None:
    assert "asymmetric-return" not in {found.cause for found in diagnose(case)}


def test_replies_to_a_host_may_go_another_way() -> None:
    case = bare_replies(HEALTHY)
    flow = case.flows[0]
    host = replace(flow, client=replace(flow.client, host_network=True))
    assert diagnose(replace(case, flows=(host,))) == ()


def test_replies_that_die_on_the_bare_way_may_die_of_it() -> None:
    """A firewall or a cloud that knows no pod addresses, or whatever would have taken encapsulated packets as well."""
    case = bare_replies(replace(HEALTHY, replies=(Fate(count=20), replace(lost(4, 2, 3), reach=3))))
    (found,) = looping.check(case)
    assert (found.cause, found.severity, found.confidence, found.packets) == ("asymmetric-return", Severity.ERROR, Confidence.POSSIBLE, 4)
    assert any("would have hit encapsulated packets as well" in doubt for doubt in found.not_ruled_out)


@pytest.mark.parametrize(("growth", "cited"), [(1, True), (0, False)])
def test_the_counter_of_expired_packets_is_cited_where_it_grew(growth: int, cited: bool) -> None:
    looks = [facts(B, counters={"Ip.InHdrErrors": count}, later=bool(count)) for count in (0, growth)]
    case = circling(30)
    case = replace(case, recording=replace(case.recording, before=(facts(A), looks[0]), after=(facts(A, later=True), looks[1])))
    found = diagnose(case)[0]
    assert found.cause == "routing-loop"
    assert any(one.kind is EvidenceKind.COUNTER and "Ip.InHdrErrors of ada-ec-2 grew by 1" in one.text for one in found.evidence) is cited
