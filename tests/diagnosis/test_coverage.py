"""Every cause that may be named has a fault or a recorded bundle that `make truth` tries, and tests with its look-alikes."""

import ast
from collections.abc import Iterator
from pathlib import Path

from kubectl_vxtrace.diagnosis.causes import CAUSES
from tests.datapath.faults import FAULTS
from tests.truth import recorded
from tests.truth.cases import asked_in_vain, told_cases

ROOT = Path(__file__).parents[2]
# What is said where nothing fits has nothing that makes it.
NAMED = sorted(set(CAUSES) - {"unknown"})


def _tried() -> Iterator[str]:
    """The causes that some case of the table of truth expects."""
    for fault in FAULTS:
        yield from (fault.cause, *((fault.partial_cause,) if fault.partial_cause is not None else ()))
    for case in (*recorded.cases(), *asked_in_vain(), *told_cases()):
        yield from (truth.cause for truth in case.expected)


def _named(path: Path) -> set[str]:
    """The causes that a test module names, each as a string of its own."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)} & set(CAUSES)


def test_every_cause_is_made_in_the_lab_or_recorded() -> None:
    assert [cause for cause in NAMED if cause not in set(_tried())] == []


def test_every_cause_has_a_test_module_that_names_it() -> None:
    modules = list((ROOT / "tests" / "diagnosis").rglob("test_*.py"))
    named = set().union(*(_named(path) for path in modules))
    assert [cause for cause in NAMED if cause not in named] == []
