"""The same recording gives the same answer, however it is handed over."""

from pathlib import Path

import pytest

from tests.handover import build
from tests.handover.build import SERVER_NODE, Habit
from tests.wire.places import CLIENT_NODE, UNDERLAY

SHOTS = build.recorded()
TRUTH = (build.LOST_REQUESTS, build.LOST_REPLIES)
NAMES = (CLIENT_NODE, SERVER_NODE)
ADDRESSES = (UNDERLAY[CLIENT_NODE], UNDERLAY[SERVER_NODE])


@pytest.mark.parametrize("habit", build.HABITS, ids=lambda habit: habit.__name__)
def test_every_habit_gives_the_same_losses(habit: Habit, tmp_path: Path) -> None:
    report = build.report_of(tmp_path, habit(SHOTS))
    assert build.lost(report) == TRUTH
    assert build.nodes_of(report) == (ADDRESSES if habit is build.nameless else NAMES)
    assert report.completeness.complete


def test_a_merged_file_without_names_is_taken_apart(tmp_path: Path) -> None:
    report = build.report_of(tmp_path, build.one_pcapng(SHOTS, named=False))
    assert (build.lost(report), build.nodes_of(report)) == (TRUTH, ADDRESSES)
