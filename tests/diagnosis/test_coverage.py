"""Every cause that may be named has a fault or a recorded bundle that `make truth` tries, and a test that expects it."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kubectl_vxtrace.diagnosis.causes import CAUSES
from tests.datapath.faults import FAULTS
from tests.truth import synthesised
from tests.truth.cases import asked_in_vain, told_cases
from tests.truth.reports.table import MECHANISMS

ROOT = Path(__file__).parents[2]
# What is said where nothing fits has nothing that makes it.
NAMED = sorted(set(CAUSES) - {"unknown"})
_EXPECTING = (ast.Eq, ast.In, ast.LtE)


def _tried() -> Iterator[str]:
    """The causes that some case of the table of truth expects."""
    for fault in FAULTS:
        yield from (fault.cause, *((fault.partial_cause,) if fault.partial_cause is not None else ()))
    for case in (*synthesised.cases(), *asked_in_vain(), *told_cases()):
        yield from (truth.cause for truth in case.expected)
    for row in MECHANISMS:
        yield from (cause for cause in row.right.causes if cause is not None)


def _expected(path: Path) -> set[str]:
    """The causes that a test module expects: compared with a finding's cause, or handed to a test that does so."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return {slug for function in functions for slug in (*_compared(function), *_handed_over(function))}


def _compared(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and _asks_for_a_cause(node) and all(isinstance(op, _EXPECTING) for op in node.ops):
            yield from _slugs([node])


def _handed_over(function: ast.FunctionDef) -> Iterator[str]:
    """Slugs of the function's parameters, if it compares such a parameter with a finding's cause."""
    asked = [node for node in ast.walk(function) if isinstance(node, ast.Compare) and _asks_for_a_cause(node)]
    names = {name.id for node in asked for name in ast.walk(node) if isinstance(name, ast.Name)}
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and len(decorator.args) == 2:
            given = ast.literal_eval(decorator.args[0])
            if names & set([given] if isinstance(given, str) else given):
                yield from _slugs([decorator.args[1]])


def _asks_for_a_cause(node: ast.Compare) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == "cause" for part in ast.walk(node))


def _slugs(nodes: Iterable[ast.AST]) -> Iterator[str]:
    constants = (part.value for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant))
    yield from (value for value in constants if isinstance(value, str) and value in CAUSES)


def test_every_cause_is_made_in_the_lab_or_recorded() -> None:
    assert [cause for cause in NAMED if cause not in set(_tried())] == []


def test_every_cause_is_expected_by_a_test() -> None:
    expected = set[str]().union(*map(_expected, (ROOT / "tests" / "diagnosis").rglob("test_*.py")))
    assert [cause for cause in NAMED if cause not in expected] == []


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        pytest.param('def test():\n    assert found.cause == "pod-mtu"', True, id="compared"),
        pytest.param('def test():\n    assert "pod-mtu" in {one.cause for one in found}', True, id="among several"),
        pytest.param('@p(("a", "slug"), [(1, "pod-mtu")])\ndef test(a, slug):\n    assert found.cause == slug', True, id="handed over"),
        pytest.param('def test():\n    assert found.cause != "pod-mtu"', False, id="not expected"),
        pytest.param('def test():\n    assert "pod-mtu" not in {one.cause for one in found}', False, id="not among several"),
        pytest.param('NAMES = ["pod-mtu"]', False, id="a list"),
        pytest.param(
            '@p(("a", "slug"), [(1, "pod-mtu")])\ndef test(a, slug):\n    assert a == slug', False, id="not compared with a cause"
        ),
    ],
)
def test_only_an_expectation_counts(source: str, counts: bool, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(source + "\n")
    assert _expected(tmp_path / "test_x.py") == ({"pod-mtu"} if counts else set())
