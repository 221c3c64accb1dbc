"""Servers that answer with an error: a warning, and no fault of the network."""

from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.model.packets import Notice
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Finding, Severity, Verdict
from tests.diagnosis.build import HEALTHY, SERVER, noticed

NXDOMAIN, SERVFAIL = 3, 2
FEW = replace(HEALTHY, requests=(replace(HEALTHY.requests[0], count=4),), replies=(replace(HEALTHY.requests[0], count=4),))


def said(*codes: int | None, notice: Notice = Notice.DNS_ERROR) -> list[Finding]:
    """What is said of four replies, each with a code, or None."""
    case = noticed(FEW.case(), notice, codes)
    assert conclude(case, diagnose(case)).verdict is Verdict.DELIVERED
    return [found for found in diagnose(case) if found.cause == "error-answer"]


def test_the_code_is_named_with_how_many_have_it() -> None:
    (warning,) = said(SERVFAIL, None, SERVFAIL, SERVFAIL)
    assert (warning.severity, warning.confidence, warning.direction, warning.packets, warning.leg) == (
        Severity.WARNING,
        Confidence.CERTAIN,
        Direction.REPLY,
        3,
        None,
    )
    assert warning.summary == f"{SERVER}:53 answers with an error: DNS SERVFAIL in 3 of 4 replies"
    assert "CoreDNS" not in warning.summary
    assert len(warning.evidence[0].frames) == 3


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
    (warning,) = said(*codes, notice=notice)
    assert words in warning.summary
    assert warning.remediation is not None
    assert "look at the server" in warning.remediation


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
