"""Every test can fail: it asserts something itself or calls what does, and no assertion holds whatever the code does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Functions of other modules that assert; those of a test's own module are looked into.
ASSERTING = {
    ("tests.packets.rows", "agree"),
    ("tests.packets.test_oracle", "check"),
    ("tests.packets.hostile", "judge"),
    ("tests.e2e.real.running", "refused"),
}
OF_PYTEST = {"raises", "warns", "fail"}

Functions = dict[str, ast.FunctionDef]


def tree(source: str) -> ast.Module:
    return ast.parse(source)


def functions(module: ast.Module) -> Functions:
    return {node.name: node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}


def asserting_names(module: ast.Module) -> set[str]:
    """What of `ASSERTING` a module has imported, by its name there."""
    return {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module, alias.name) in ASSERTING
    }


def can_fail(function: ast.FunctionDef, own: Functions, imported: set[str], seen: frozenset[str] = frozenset()) -> bool:
    """Whether it asserts, or calls what does: a function of its own module, or one of those imported."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "pytest":
            if node.func.attr in OF_PYTEST:
                return True
        elif isinstance(node.func, ast.Name):
            name = node.func.id
            if name in imported or (name in own and name not in seen and can_fail(own[name], own, imported, seen | {name})):
                return True
    return False


def unfailing_tests(source: str) -> list[str]:
    module = tree(source)
    own, imported = functions(module), asserting_names(module)
    return [name for name, function in own.items() if name.startswith("test_") and not can_fail(function, own, imported)]


def holds_anyway(expression: ast.expr) -> bool:
    """A constant, a tuple with something in it, the type of a constant of a module, a text that mypy and ruff ask for already."""
    if isinstance(expression, ast.Constant):
        return bool(expression.value)
    if isinstance(expression, ast.Tuple):
        return bool(expression.elts)
    if isinstance(expression, ast.Attribute):
        return expression.attr == "__doc__"
    is_type_check = isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "isinstance"
    return is_type_check and isinstance(expression.args[0], ast.Name) and expression.args[0].id.isupper()  # type: ignore[attr-defined]


def assertions_that_hold_anyway(source: str) -> list[int]:
    return [node.lineno for node in ast.walk(tree(source)) if isinstance(node, ast.Assert) and holds_anyway(node.test)]


def modules() -> Iterator[Path]:
    yield from sorted(TESTS.rglob("test_*.py"))


def test_every_test_can_fail() -> None:
    found = [f"{path.relative_to(TESTS)}: {name}" for path in modules() for name in unfailing_tests(path.read_text())]
    assert found == []


def test_no_assertion_holds_anyway() -> None:
    found = [f"{path.relative_to(TESTS)}:{line}" for path in modules() for line in assertions_that_hold_anyway(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("body", "fails"),
    [
        ("    run()", False),
        ("    assert run() == 1", True),
        ("    with pytest.raises(ValueError):\n        run()", True),
        ("    check(run())", True),
        ("    nothing(run())", False),
        ("    agree(run())", True),
        ("    other.agree(run())", False),
        ("    raises(run())", False),
        ("    circle()", False),
    ],
)
def test_what_asserts_is_found(body: str, fails: bool) -> None:
    helpers = "def check(value):\n    assert value\n\ndef nothing(value):\n    value.save()\n\ndef circle():\n    circle()\n"
    source = f"from tests.packets.rows import agree\n{helpers}\ndef test_it():\n{body}\n"
    assert unfailing_tests(source) == ([] if fails else ["test_it"])


@pytest.mark.parametrize(
    ("expression", "anyway"),
    [
        ("True", True),
        ("(value, 'text')", True),
        ("isinstance(CHECKS, tuple)", True),
        ("run.__doc__", True),
        ("value", False),
        ("()", False),
        ("isinstance(value, str)", False),
        ("isinstance(CHECKS[0], str)", False),
    ],
)
def test_what_holds_anyway_is_found(expression: str, anyway: bool) -> None:
    assert assertions_that_hold_anyway(f"assert {expression}\n") == ([1] if anyway else [])
