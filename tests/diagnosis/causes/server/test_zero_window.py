"""Ends that do not read what they are sent."""

from dataclasses import replace

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.model.packets import Notice
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Finding, Severity
from tests.diagnosis.build import HEALTHY, noticed
from tests.diagnosis.places import CLIENT, SERVER

TALK = replace(HEALTHY, protocol="TCP")


def said(shut: int, direction: Direction = Direction.REPLY) -> list[Finding]:
    case = noticed(TALK.case(), Notice.SHUT_WINDOW, (0,) * shut, direction)
    return [found for found in diagnose(case) if found.cause == "zero-window"]


def test_the_end_that_shuts_its_window_is_named() -> None:
    (warning,) = said(4)
    assert (warning.severity, warning.direction, warning.packets) == (Severity.WARNING, Direction.REPLY, 4)
    assert warning.summary == f"{SERVER} shuts its TCP window: 4 packets of 4 connections say that nothing may be sent"


def test_so_is_the_client() -> None:
    (warning,) = said(4, Direction.REQUEST)
    assert warning.summary.startswith(f"{CLIENT} shuts")
    assert "kotsadm/kotsadm-1" in (warning.remediation or "")


def test_a_few_in_a_fast_transfer_are_normal() -> None:
    assert said(2) == []
