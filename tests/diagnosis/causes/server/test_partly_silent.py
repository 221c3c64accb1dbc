"""A warning `server-silent`: a server that answers some questions and leaves others."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Finding, Severity
from tests.diagnosis.build import HEALTHY, Fate, World, lost

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
