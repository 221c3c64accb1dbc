"""A warning `server-silent`: a server that answers some questions and leaves others."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.case import with_losses
from kubectl_vxtrace.diagnosis.causes.server.partly_silent import check_case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.pod_facts import PodFacts
from kubectl_vxtrace.model.report import Confidence, Finding, Severity
from kubectl_vxtrace.packets import read_pcap
from tests.diagnosis.build import HEALTHY, Fate, World, lost
from tests.diagnosis.pods import at_server, look_inside, tcp, udp
from tests.wire.frames import pcap_header

PARTLY = replace(HEALTHY, requests=(Fate(count=20),), replies=(Fate(count=8),))


def warnings(world: World) -> list[Finding]:
    return [found for found in diagnose(world.case()) if (found.cause, found.severity) == ("server-silent", Severity.WARNING)]


def test_questions_without_an_answer_beside_others_with_one() -> None:
    [found] = warnings(PARTLY)
    assert (found.direction, found.packets, found.confidence) == (Direction.REQUEST, 12, Confidence.LIKELY)
    assert "answered 8 of 20 questions" in found.summary
    assert found.evidence[0].frames


def test_connections_that_nobody_took_beside_others() -> None:
    [found] = warnings(replace(PARTLY, protocol="TCP", requests=(Fate(count=20, segment=(0x02, 100, 0, 0)),)))
    assert "answered 8 of 20 connections" in found.summary


OPENING = replace(PARTLY, protocol="TCP", requests=(Fate(count=20, segment=(0x02, 100, 0, 0)),))


@pytest.mark.parametrize(
    ("world", "first", "last", "said"),
    [
        (PARTLY, look_inside(udp_sockets=(udp(),)), look_inside(udp_sockets=(udp(12),)), "had no room for 12 packets"),
        (OPENING, look_inside(listeners=(tcp(),)), look_inside(listeners=(tcp(40),)), "had no room for 40 packets"),
        (PARTLY, look_inside(), look_inside({"Udp.RcvbufErrors": 13}), "grew by 13"),
    ],
)
def test_a_socket_without_room_for_as_many_is_why(world: World, first: PodFacts, last: PodFacts, said: str) -> None:
    [found] = diagnose(at_server(world, first, last).case())
    assert (found.cause, found.confidence, found.severity, found.packets) == ("socket-overflow", Confidence.LIKELY, Severity.WARNING, 12)
    assert said in found.summary


def test_a_socket_that_dropped_less_is_not_why() -> None:
    assert len(warnings(at_server(PARTLY, look_inside(udp_sockets=(udp(),)), look_inside(udp_sockets=(udp(11),))))) == 1


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(replace(PARTLY, replies=(Fate(count=20),)), id="all were answered"),
        pytest.param(replace(PARTLY, replies=(Fate(count=18),)), id="all but two"),
        pytest.param(replace(PARTLY, replies=()), id="none was: that is no warning"),
        pytest.param(replace(PARTLY, replies=(Fate(count=8), lost(12, 1, 2))), id="the answers were lost on their way"),
        pytest.param(replace(PARTLY, protocol="TCP"), id="TCP packets that open no connection"),
        pytest.param(replace(PARTLY, requests=(Fate(count=8), lost(12, 3, 4))), id="the questions never came"),
        pytest.param(replace(PARTLY, blind={6: "ended early"}), id="a blind tap at the server"),
    ],
)
def test_what_looks_like_it(world: World) -> None:
    assert warnings(world) == []


def test_a_tap_that_saw_nothing_at_all_says_nothing(tmp_path: Path) -> None:
    """What came back was the node's own: it reset the connections before they came to the pod."""
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(pcap_header())
    case = replace(PARTLY, requests=(lost(20, 5, 6),)).case()
    last = case.paths[0].path.hops[-1].tap
    assert list(check_case(with_losses(replace(case, tables={**case.tables, last: read_pcap(empty)})))) == []
