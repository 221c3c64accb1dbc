"""Replies that come when nobody waits for them any more."""

from dataclasses import replace

import numpy as np
import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Finding, Severity
from tests.diagnosis.build import HEALTHY, Fate
from tests.diagnosis.frames import Frame, icmp
from tests.diagnosis.places import CLIENT, SERVER, SERVICE, TAPS

SECOND_NS = 1_000_000_000
ONE = replace(HEALTHY, requests=(Fate(port=41_000),), replies=(Fate(port=41_000),))
REPLY = Frame(source=SERVICE, destination=CLIENT, source_port=53, destination_port=41_000)


def refused(*, by: str = CLIENT, about: Frame = REPLY, code: int = 3, after_ns: int = 50_000, reply_ns: int = 6 * SECOND_NS) -> Case:
    """A reply `reply_ns` after its question, and an ICMP error at the client's interface `after_ns` behind the reply."""
    case = replace(ONE, extra={1: (icmp(by, code, about),)}).case()
    table = case.tables[TAPS[0]]
    asked_ns = int(table.time_ns[1])
    times_ns = np.array([asked_ns + reply_ns + after_ns, asked_ns, asked_ns + reply_ns], dtype=np.int64)
    return replace(case, tables={**case.tables, TAPS[0]: replace(table, time_ns=times_ns)})


def said(case: Case) -> list[Finding]:
    return [found for found in diagnose(case) if found.cause == "late-answer"]


def test_how_late_they_are_is_said() -> None:
    (warning,) = said(refused())
    assert (warning.severity, warning.confidence, warning.direction, warning.packets, warning.leg) == (
        Severity.WARNING,
        Confidence.CERTAIN,
        Direction.REPLY,
        1,
        None,
    )
    assert warning.summary == "1 reply reached the client when nobody waited for them any more, 6.0 to 6.0 s after the question"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(ONE.case(), id="nobody refused anything"),
        pytest.param(refused(by=SERVER), id="the server refused"),
        pytest.param(refused(reply_ns=40_000_000), id="at once: the program was ended, or it was a second answer"),
        pytest.param(refused(code=4), id="another error"),
        pytest.param(refused(about=replace(REPLY, destination_port=41_001)), id="about another socket"),
    ],
)
def test_what_is_not_late(case: Case) -> None:
    assert said(case) == []


def test_what_came_before_the_first_refusal_was_taken() -> None:
    assert said(refused(after_ns=SECOND_NS)) == []
