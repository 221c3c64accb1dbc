"""The tests of every check notice when a rule of it is taken away."""

import os
import subprocess
import sys

import pytest

from tests.diagnosis import mutations


@pytest.fixture(scope="module")
def noticed() -> dict[str, int]:
    """How many mutants of each module its tests noticed, of which one is enough."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.diagnosis.mutations", "--first"],
        cwd=mutations.ROOT,
        env=environment | {"PYTHONPATH": str(mutations.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.partition(": ") for line in done.stdout.splitlines() if line.endswith(" noticed")]
    return {question: int(count.split()[0]) for question, _, count in lines}


@pytest.mark.parametrize("question", mutations.questions())
def test_without_some_rule_of_it_a_test_fails(question: str, noticed: dict[str, int]) -> None:
    assert noticed.get(question, 0) > 0


@pytest.mark.parametrize("question", mutations.questions())
def test_every_question_has_its_own_tests(question: str) -> None:
    assert mutations.test_file(question).is_file()
