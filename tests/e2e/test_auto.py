"""A trace that is not told how long: it ends when its answer is clear, and says why."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import CLIENT, SERVICE, Lab

pytestmark = [pytest.mark.lab]

LONGEST_S = 15.0


def _traced(place: Lab, folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, report, and why the capture ended before its time: empty where it did not."""
    run = place.vxtrace("pod", CLIENT, "--bundle", "none", "-o", "json", *arguments, cwd=folder)
    report = run.report
    ended = [note for note in report["completeness"].get("notes", ()) if note.startswith("the capture ended after")]
    return run.code, report, ended[0] if ended else ""


def test_a_healthy_path_is_clear_soon(place: Lab, tmp_path: Path) -> None:
    """On a busy machine some packets are always between two counts, and it takes the whole time: of three traces one must be clear."""
    for _ in range(3):
        code, report, why = _traced(place, tmp_path, "--to", SERVICE)
        assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
        if why:
            break
        assert report["metadata"]["duration_s"] == LONGEST_S
    assert "came through on each of 2 backends" in why
    assert report["metadata"]["duration_s"] < LONGEST_S
    counts = [flow["directions"][0]["legs"][-1]["arrived"] for flow in report["flows"] if flow["protocol"] == "UDP"]
    assert sum(counts) >= 20
    assert min(counts) >= 4


def test_a_loss_is_proven_with_time_for_late_answers(place: Lab, tmp_path: Path) -> None:
    place.fault("underlay-udp-blocked")
    with place.traffic("dns", "--rate", "20"):
        code, report, why = _traced(place, tmp_path, "--to", SERVICE)
    assert (code, report["verdict"], report["cause"]) == (3, "lost", "underlay-udp-blocked"), report["summary"]
    assert "requests were not counted at the servers for 6 s" in why
    assert 8 <= report["metadata"]["duration_s"] < LONGEST_S


def test_silence_ends_with_the_probes(place: Lab, tmp_path: Path) -> None:
    code, report, why = _traced(place, tmp_path, "--to", "slackernews")
    assert (code, report["verdict"]) == (0, "delivered"), report["summary"]
    assert why.endswith("all probes were sent")
    assert report["metadata"]["duration_s"] < LONGEST_S


@pytest.mark.one_backend
def test_silence_that_nothing_may_break_takes_the_whole_time(place: Lab, tmp_path: Path) -> None:
    code, report, why = _traced(place, tmp_path, "--to", "slackernews", "--probe", "none")
    assert (code, report["verdict"], why) == (4, "no-traffic", "")
    assert report["metadata"]["duration_s"] == LONGEST_S


@pytest.mark.one_backend
def test_who_says_how_long_gets_that(place: Lab, tmp_path: Path) -> None:
    with place.traffic("dns", "--rate", "20"):
        code, report, why = _traced(place, tmp_path, "--to", SERVICE, "--duration", "7s")
    assert (code, report["verdict"], why) == (0, "delivered", "")
    assert report["metadata"]["duration_s"] == 7.0
