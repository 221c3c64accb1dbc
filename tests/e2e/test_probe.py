"""A pod that says nothing: a few packets are sent in its place, and followed like its own."""

from pathlib import Path

import pytest

from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab]

SILENT = "slackernews"
"""A Service that nobody asks."""


def _probed(place: Lab, folder: Path, *arguments: str, to: str = SILENT) -> tuple[int, dict[str, object]]:
    run = place.vxtrace("pod", CLIENT, "--to", to, "--bundle", "none", "-o", "json", *arguments, cwd=folder)
    return run.code, run.report


def test_a_silent_path_is_probed_and_the_report_says_so(place: Lab, tmp_path: Path) -> None:
    code, report = _probed(place, tmp_path, "--duration", "12s")
    assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
    assert str(report["summary"]).endswith("all of it probes that this trace sent")
    assert "TCP connections to" in str(report["completeness"])


def test_what_breaks_it_is_found(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-udp-blocked")
    code, report = _probed(place, tmp_path, "--duration", "8s", "--probe", "dns", to=SERVICE + ":53/udp")
    assert (code, report["verdict"], report["cause"]) == (3, "lost", "underlay-udp-blocked"), report["summary"]
    assert "DNS questions to 10.96.0.10 were sent" in str(report["completeness"])


@pytest.mark.parametrize("arguments", [("--duration", "12s", "--probe", "none"), ("--duration", "2s")])
def test_nothing_is_sent_where_nobody_wants_it_or_there_is_no_time(place: Lab, arguments: tuple[str, ...], tmp_path: Path) -> None:
    code, report = _probed(place, tmp_path, *arguments)
    assert (code, report["verdict"]) == (4, "no-traffic"), report["summary"]
    assert "were sent" not in str(report["completeness"])


def test_a_profile_without_the_right_says_so(place: Lab, tmp_path: Path) -> None:
    code, report = _probed(place, tmp_path, "--duration", "12s", "--profile", "netraw")
    assert code == 4
    assert "may not enter the client's network namespace" in str(report["completeness"])
