"""Servers that answer with an error: a note, and no fault of the network."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.packets import Notice
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Finding, Severity, Verdict
from tests.diagnosis.build import HEALTHY, noticed
from tests.diagnosis.places import SERVER

NXDOMAIN, SERVFAIL = 3, 2
FEW = replace(HEALTHY, requests=(replace(HEALTHY.requests[0], count=4),), replies=(replace(HEALTHY.requests[0], count=4),))


def test_it_is_the_cause_of_a_report_in_which_nothing_is_broken() -> None:
    case = noticed(FEW.case(), Notice.DNS_ERROR, (SERVFAIL,) * 4)
    report = conclude(case, diagnose(case))
    assert (report.verdict, report.cause) == (Verdict.DELIVERED, "application-error")
    assert report.summary == f"DELIVERED, 4 requests and 4 replies; {SERVER}:53 answers with an error: DNS SERVFAIL in 4 of 4 replies"
    assert report.remediation is not None
    assert "look at the server" in report.remediation


def said(*codes: int | None, notice: Notice = Notice.DNS_ERROR) -> list[Finding]:
    """What is said of four replies, each with a code, or None."""
    case = noticed(FEW.case(), notice, codes)
    assert conclude(case, diagnose(case)).verdict is Verdict.DELIVERED
    return [found for found in diagnose(case) if found.cause == "application-error"]


def test_the_code_is_named_with_how_many_have_it() -> None:
    (note,) = said(SERVFAIL, None, SERVFAIL, SERVFAIL)
    assert (note.severity, note.confidence, note.direction, note.packets, note.leg) == (
        Severity.INFO,
        Confidence.CERTAIN,
        Direction.REPLY,
        3,
        None,
    )
    assert note.summary == f"{SERVER}:53 answers with an error: DNS SERVFAIL in 3 of 4 replies"
    assert "CoreDNS" not in note.summary
    assert len(note.evidence[0].frames) == 3


@pytest.mark.parametrize(
    ("codes", "notice", "words"),
    [
        pytest.param((NXDOMAIN,) * 4, Notice.DNS_ERROR, "DNS NXDOMAIN in 4 of 4", id="no name was found"),
        pytest.param((NXDOMAIN, SERVFAIL, None, None), Notice.DNS_ERROR, "DNS SERVFAIL in 1 of 4", id="a search domain beside a failure"),
        pytest.param((11, None, None, None), Notice.DNS_ERROR, "RCODE 11", id="a code that nobody knows"),
        pytest.param((503, 500, None, None), Notice.HTTP_ERROR, "HTTP 500, 503 in 2 of 4", id="HTTP"),
    ],
)
def test_what_is_told(codes: tuple[int | None, ...], notice: Notice, words: str) -> None:
    (note,) = said(*codes, notice=notice)
    assert words in note.summary
    assert note.remediation is not None
    assert "look at the server" in note.remediation


@pytest.mark.parametrize(
    ("codes", "notice"),
    [
        pytest.param((None,) * 4, Notice.DNS_ERROR, id="no error"),
        pytest.param((NXDOMAIN, NXDOMAIN, NXDOMAIN, None), Notice.DNS_ERROR, id="search domains before the right one"),
        pytest.param((0, None, None, None), Notice.SHUT_WINDOW, id="another notice"),
    ],
)
def test_what_is_not_told(codes: tuple[int | None, ...], notice: Notice) -> None:
    assert said(*codes, notice=notice) == []
