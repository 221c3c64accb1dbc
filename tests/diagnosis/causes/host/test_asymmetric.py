"""asymmetric-return, and what looks like it."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.causes.host import asymmetric
from kubectl_vxtrace.diagnosis.causes.wire import anti_spoofing
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Path, Role
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Severity
from tests.diagnosis.asked import asked
from tests.diagnosis.build import HEALTHY, Fate, World, lost, with_flow
from tests.diagnosis.frames import Frame, table
from tests.diagnosis.nodes import facts
from tests.diagnosis.places import CLIENT, NIC, NIC_A, POD_B, SERVER, TAPS, VX, A, B

BARE_PLACES = (5, 3, 2, 0)


def bare_replies(world: World) -> Case:
    """The case of `world` with replies whose path has no VXLAN device: the pod, both NICs, the pod."""
    case = world.case()
    path, journey = case.paths[1].path, case.paths[1].journeys
    hops = tuple(replace(path.hops[5 - place], hop=number) for number, place in enumerate(BARE_PLACES, 1))
    bare = Path(flow=1, direction=Direction.REPLY, hops=hops)
    columns = [5 - place for place in BARE_PLACES]
    number_of = np.zeros(7, dtype=np.int32)  # of a hop on the bare path, by that on the whole one
    number_of[[column + 1 for column in columns]] = range(1, 5)
    reply = replace(
        case.paths[1],
        path=bare,
        journeys=replace(
            journey,
            path=bare,
            row=np.ascontiguousarray(journey.row[:, columns]),
            lost_from=number_of[journey.lost_from],
            lost_to=number_of[journey.lost_to],
        ),
        hops=tuple(replace(case.paths[1].hops[column], hop=number) for number, column in enumerate(columns, 1)),
        legs=(),
    )
    return replace(case, paths=(case.paths[0], reply))


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
    assert diagnose(with_flow(case, host)) == ()


def test_replies_that_die_on_the_bare_way_may_die_of_it() -> None:
    """A firewall or a cloud that knows no pod addresses, or whatever would have taken encapsulated packets as well."""
    case = bare_replies(replace(HEALTHY, replies=(Fate(count=20), lost(4, 3, 4))))
    (found,) = asked(case, asymmetric)
    assert (found.cause, found.severity, found.confidence, found.packets) == ("asymmetric-return", Severity.ERROR, Confidence.POSSIBLE, 4)
    assert any("would have hit encapsulated packets as well" in doubt for doubt in found.not_ruled_out)


def lost_bare(*extra: Frame, arrived: int = 0) -> Case:
    """All replies but `arrived` left B's NIC bare and did not reach A's, which saw `extra` besides."""
    fates = (lost(24 - arrived, 3, 4), *((Fate(count=arrived),) if arrived else ()))
    case = bare_replies(replace(HEALTHY, replies=fates, extra={3: extra}))
    frames = [Frame(source=SERVER, destination=CLIENT, source_port=53, destination_port=40000 + row) for row in range(48)]
    return replace(case, tables={**case.tables, TAPS[3]: table(TAPS[3], frames)})


FROM_B = Frame(source="10.128.0.95", destination=NIC_A, source_port=1, destination_port=2)


@pytest.mark.parametrize(
    ("case", "confidence"),
    [
        pytest.param(lost_bare(FROM_B), Confidence.LIKELY, id="what is not of a pod passes"),
        pytest.param(lost_bare(), Confidence.POSSIBLE, id="nothing passes that way"),
        pytest.param(lost_bare(FROM_B, arrived=6), Confidence.POSSIBLE, id="some of them pass"),
    ],
)
def test_replies_that_all_die_bare_while_requests_are_encapsulated_die_of_that(case: Case, confidence: Confidence) -> None:
    found = [one for one in diagnose(case) if one.severity is Severity.ERROR]
    assert [(one.cause, one.confidence) for one in found] == [("asymmetric-return", confidence)]


def test_packets_that_die_bare_in_both_directions_are_the_clouds() -> None:
    """The look-alike: nodes that mean to send bare, and an underlay that does not carry it."""
    case = lost_bare(FROM_B)
    path, journeys = case.paths[0].path, case.paths[0].journeys
    bare = replace(path, hops=tuple(hop for hop in path.hops if hop.role is not Role.VXLAN))
    seen = replace(journeys, path=bare, row=np.ascontiguousarray(journeys.row[:, list(reversed(BARE_PLACES))]))
    both = replace(case, paths=(replace(case.paths[0], path=bare, journeys=seen), case.paths[1]))
    assert not [one for one in asked(both, asymmetric) if one.cause == "asymmetric-return"]
    assert [one.cause for one in asked(case, anti_spoofing)] == []
    assert [one.cause for one in asked(both, anti_spoofing)] == ["cloud-anti-spoofing"]
