"""nothing-listening, server-silent, no-endpoints."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Service
from kubectl_vxtrace.model.journeys import OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Confidence, Leg, Severity
from tests.diagnosis.build import CLIENT, HEALTHY, NIC_B, SERVER, SERVICE, Fate, Frame, World, icmp, lost

REFUSED = Fate(count=24, leg=(6, None), outcome=OutcomeCode.REJECTED)
AT_SERVER = HEALTHY.frame(Direction.REQUEST, 5, 40000, Fate())
RESET = Frame(source=SERVER, destination=CLIENT, protocol=6, source_port=53, destination_port=40000, flags=0x14)


def refused(*answers: Frame, protocol: str = "UDP") -> World:
    return replace(HEALTHY, protocol=protocol, requests=(REFUSED,), replies=(), extra={6: answers})


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(refused(icmp(SERVER, 3, AT_SERVER)), id="ICMP port unreachable"),
        pytest.param(refused(RESET, protocol="TCP"), id="RST"),
        pytest.param(replace(refused(icmp(SERVER, 3, AT_SERVER)), requests=(replace(REFUSED, leg=None),)), id="refused without a leg"),
    ],
)
def test_a_server_that_says_no_does_not_listen(world: World) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.confidence, found.severity) == ("nothing-listening", Confidence.CERTAIN, Severity.ERROR)
    assert (found.leg, found.packets) == (Leg(from_=6, to=None), 24)
    assert [ref.capture for proof in found.evidence[1:] for ref in proof.frames] == [6]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(refused(icmp(NIC_B, 3, AT_SERVER)), id="the node said it, not the server"),
        pytest.param(refused(icmp(SERVER, 13, AT_SERVER)), id="prohibited"),
        pytest.param(refused(replace(RESET, destination_port=41111), protocol="TCP"), id="an RST of another connection"),
        pytest.param(refused(replace(RESET, flags=0x12), protocol="TCP"), id="a SYN-ACK"),
        pytest.param(refused(), id="no answer in the files"),
    ],
)
def test_near_misses_of_a_refusal(world: World) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.leg) == ("unknown", Leg(from_=6, to=None))


def test_files_by_hand_make_a_refusal_likely() -> None:
    (found,) = diagnose(replace(refused(icmp(SERVER, 3, AT_SERVER)), status=CaptureStatus.PRESUMED).case())
    assert (found.cause, found.confidence) == ("nothing-listening", Confidence.LIKELY)


def test_requests_without_any_reply_find_a_silent_server() -> None:
    (found,) = diagnose(replace(HEALTHY, replies=()).case())
    assert (found.cause, found.confidence, found.leg) == ("server-silent", Confidence.LIKELY, Leg(from_=6, to=None))
    assert (found.direction, found.packets) == (Direction.REQUEST, 24)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(HEALTHY, id="answered"),
        pytest.param(replace(HEALTHY, replies=(Fate(count=1),)), id="one answer"),
        pytest.param(replace(HEALTHY, replies=(), blind={6: "the capture failed"}), id="nobody could have seen a reply"),
        pytest.param(
            replace(HEALTHY, replies=(), extra={6: (HEALTHY.frame(Direction.REPLY, 5, 40000, Fate()),)}), id="answered after the window"
        ),
        pytest.param(
            replace(HEALTHY, replies=(), requests=(Fate(count=5, outcome=OutcomeCode.UNDETERMINED),)), id="nothing known to arrive"
        ),
    ],
)
def test_servers_that_are_not_silent(world: World) -> None:
    assert [found.cause for found in diagnose(world.case()) if found.severity is Severity.ERROR] == []


REJECTED_AT_ONCE = replace(
    HEALTHY,
    server=None,
    hops=1,
    requests=(lost(24, 1, None, outcome=OutcomeCode.REJECTED),),
    replies=None,
    extra={1: (icmp(SERVICE, 3, HEALTHY.frame(Direction.REQUEST, 0, 40000, Fate())),)},
)


def snapshot(*backends: Backend) -> ClusterSnapshot:
    service = Service(namespace="kube-system", name="kube-dns", addresses=(SERVICE,), selector={}, backends=backends)
    return ClusterSnapshot(services=(service,))


@pytest.mark.parametrize(
    ("world", "cause", "confidence"),
    [
        pytest.param(replace(REJECTED_AT_ONCE, snapshot=snapshot()), "no-endpoints", Confidence.CERTAIN, id="the API names none"),
        pytest.param(
            replace(REJECTED_AT_ONCE, snapshot=snapshot(Backend(address=SERVER, port=53, ready=False))),
            "no-endpoints",
            Confidence.CERTAIN,
            id="none is ready",
        ),
        pytest.param(REJECTED_AT_ONCE, "no-endpoints", Confidence.LIKELY, id="the API was not asked"),
        pytest.param(
            replace(REJECTED_AT_ONCE, snapshot=snapshot(Backend(address=SERVER, port=53))),
            "unknown",
            Confidence.POSSIBLE,
            id="one is ready",
        ),
        pytest.param(replace(REJECTED_AT_ONCE, extra={}), "unknown", Confidence.POSSIBLE, id="no refusal in the files"),
    ],
)
def test_a_service_without_endpoints(world: World, cause: str, confidence: Confidence) -> None:
    (found,) = diagnose(world.case())
    assert (found.cause, found.confidence, found.leg) == (cause, confidence, Leg(from_=1, to=None))
