"""The runner itself: two faults, on a lab each, in mount namespaces of their own."""

import subprocess
import sys

import pytest

from tests.truth import results

TWO = ("calico: routing-loop", "flannel: stale-vtep-mac@reply")


@pytest.mark.root
@pytest.mark.lab
def test_two_faults_are_traced_side_by_side_and_their_results_kept() -> None:
    argv = [sys.executable, "-m", "tests.truth", "--on", "lab", *TWO]
    first = subprocess.run([*argv, "--again"], cwd=results.ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "- Lab: leg right 2 of 2 (100.0 %), cause right 2 of 2 (100.0 %)." in first.stdout
    assert set(results.known(results.fingerprint())) >= set(TWO)
    again = subprocess.run(argv, cwd=results.ROOT, capture_output=True, text=True, check=False)
    assert again.stdout == first.stdout
    assert "lab:" not in again.stderr  # no lab was made: nothing was left to do
