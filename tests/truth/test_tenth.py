"""A fixed tenth of both tables on the lab: what docs/truth.md says is right still is."""

import subprocess
import sys

import pytest

from tests.environment import TooBusyError
from tests.truth import page, results, worker
from tests.truth.__main__ import in_tenth
from tests.truth.judging import Row
from tests.truth.reports.scoring import Marks
from tests.truth.reports.table import MECHANISMS


def test_it_is_about_a_tenth_of_each_table_and_of_both_backends() -> None:
    cases = [case for case in worker.every_case() if case.on == "lab"]
    chosen = [case for case in cases if in_tenth(case.name)]
    assert 0.05 * len(cases) < len(chosen) < 0.15 * len(cases)
    assert {case.backend for case in chosen} == {"calico", "flannel"}
    assert 2 <= sum(in_tenth(row.title) for row in MECHANISMS) <= 0.2 * len(MECHANISMS)


@pytest.mark.root
@pytest.mark.lab
def test_what_the_page_calls_right_still_is() -> None:
    argv = [sys.executable, "-m", "tests.truth", "--on", "lab", "--tenth", "--again"]
    done = subprocess.run(argv, cwd=results.ROOT, capture_output=True, text=True, check=False)
    known = results.known(results.fingerprint())
    text = results.PAGE.read_text()
    wrong = []
    for case in worker.every_case():
        if case.on == "lab" and in_tenth(case.name):
            assert case.name in known, done.stderr[-4000:]
            rows = [Row.kept(row) for row in known[case.name]]
            wrong += [row for row in rows if not row.right and not page.may_miss(text, case.name)]
    for mechanism in MECHANISMS:
        if in_tenth(mechanism.title):
            assert mechanism.title in known, done.stderr[-4000:]
            marks = Marks.kept(known[mechanism.title][0])
            if marks.unproven:
                raise TooBusyError(f"{mechanism.title}: {'; '.join(marks.unproven)}")
            assert marks.good or page.may_miss(text, mechanism.title), marks
    assert wrong == []
