from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.path import Direction, Endpoint
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_PSH, TCP_RST, TCP_SYN
from kubectl_vxtrace.model.report import Confidence, Finding, Leg, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost_behind, of_flow
from tests.diagnosis.places import SERVER, TAPS, B

DATA, RESET = (TCP_PSH | TCP_ACK, 5_000, 9_000, 60), (TCP_RST, 9_000, 0, 0)
OPEN, OPENED = (TCP_SYN, 4_999, 0, 0), (TCP_SYN | TCP_ACK, 8_999, 5_000, 0)
OTHER = "10.244.106.65"


def talk(requests: tuple[Fate, ...], replies: tuple[Fate, ...]) -> World:
    return replace(HEALTHY, protocol="TCP", requests=requests, replies=replies)


def found(case: Case) -> list[Finding]:
    return [finding for finding in diagnose(case) if finding.cause == "connection-broken"]


def after_another_backend(world: World) -> Case:
    """The case of `world`, in which the same ports had spoken with another backend of the Service before."""
    before = talk((Fate(count=4, port=41_000, segment=DATA),), (Fate(count=4, port=41_000, segment=DATA),))
    one, other = before.case(), replace(world, extra=before.seen()).case()
    first = replace(one.flows[0], id=2, server=Endpoint(address=OTHER, port=53, node=B))
    return replace(one, tables=other.tables, paths=(*other.paths, *(of_flow(traced, first) for traced in one.paths)))


STRAY = talk((Fate(port=41_000, segment=DATA),), (Fate(port=41_000, segment=RESET),))


def test_a_server_that_knows_nothing_of_a_connection_resets_it() -> None:
    (warning,) = found(STRAY.case())
    assert (warning.severity, warning.confidence, warning.direction, warning.leg) == (
        Severity.WARNING,
        Confidence.POSSIBLE,
        Direction.REPLY,
        None,
    )
    assert "reset (RST) in the middle" in warning.summary
    assert SERVER in warning.summary


def test_the_backend_that_the_port_spoke_with_before_is_named() -> None:
    (warning,) = found(after_another_backend(STRAY))
    assert warning.confidence is Confidence.LIKELY
    assert OTHER in warning.summary


LOSSY = replace(STRAY, requests=(*STRAY.requests, Fate(port=41_001, segment=DATA, reach=3, leg=(3, 4), outcome=OutcomeCode.LOST)))


def test_losses_on_the_way_to_the_server_are_reason_enough() -> None:
    assert found(LOSSY.case()) == []
    assert [finding.confidence for finding in found(after_another_backend(LOSSY))] == [Confidence.LIKELY]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(
            talk(
                (Fate(port=41_000, segment=OPEN), Fate(port=41_000, segment=DATA)),
                (Fate(port=41_000, segment=OPENED), Fate(port=41_000, segment=RESET)),
            ),
            id="the server's own connection, which it ends by RST",
        ),
        pytest.param(talk((Fate(port=41_000, segment=OPEN),), (Fate(port=41_000, segment=RESET),)), id="a connection that was refused"),
        pytest.param(
            talk((Fate(port=41_000, segment=DATA),), (Fate(port=41_000, segment=DATA), Fate(port=41_000, segment=RESET))),
            id="it had answered data",
        ),
        pytest.param(HEALTHY, id="no TCP"),
    ],
)
def test_near_misses_of_a_broken_connection(world: World) -> None:
    assert found(world.case()) == []


def test_replies_that_are_not_translated_back_are_lost_behind_the_clients_interface() -> None:
    case = HEALTHY.case()
    requests, replies = case.paths
    gone = replace(replies, journeys=lost_behind(replies.journeys, hop=6))
    table = case.tables[TAPS[0]]
    named = np.frombuffer(bytes(10) + b"\xff\xff" + bytes(map(int, SERVER.split("."))), dtype=np.uint8)
    raw = table.conversations.source.copy()
    raw[:] = named
    tables = {**case.tables, TAPS[0]: replace(table, conversations=replace(table.conversations, source=raw))}
    (error,) = found(replace(case, paths=(requests, gone), tables=tables))
    assert (error.severity, error.confidence, error.packets, error.leg) == (Severity.ERROR, Confidence.LIKELY, 24, Leg(from_=6, to=None))
    assert "not translated back" in error.summary
