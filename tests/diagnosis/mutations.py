"""What the tests of the checks would notice: `python -m tests.diagnosis.mutations [PLACE.QUESTION...]`.

In each module of a question one rule after the other is taken away, and the module's tests are run: a guard (an `if` that only returns or
goes on) never holds, another `if` always does, a function that answers yes or no says yes. A mutant that no test notices is printed. Exit
status: 0 if in every module a test notices one, 1 if not. `--first`: go on with the next module as soon as one is noticed.
"""

import argparse
import ast
import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

ROOT = Path(__file__).parents[2]
CAUSES = ROOT / "kubectl_vxtrace" / "diagnosis" / "causes"
TESTS = ROOT / "tests" / "diagnosis" / "causes"
# What these runs remember of failures is not what the real ones do.
CACHE = ROOT / "build" / "mutations"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module in which one rule is missing: what was changed, in words, and the code of the function that it is in."""

    change: str
    function: str
    code: CodeType


def questions() -> tuple[str, ...]:
    """`wire.mtu` and the like: each module of a question."""
    paths = sorted(path for path in CAUSES.glob("*/*.py") if path.name != "__init__.py")
    return tuple(f"{path.parent.name}.{path.stem}" for path in paths)


def test_file(question: str) -> Path:
    """The tests that mirror a module."""
    place, _, name = question.partition(".")
    return TESTS / place / f"test_{name}.py"


def mutants(question: str) -> Iterator[Mutant]:
    """The module with one rule taken away, for each rule in it."""
    path = CAUSES / f"{question.replace('.', '/')}.py"
    source = path.read_text()
    for function in [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]:
        for number, change in enumerate(_changes(function)):
            tree = ast.parse(source)
            mutated = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function.name)
            _change(mutated, number)
            yield Mutant(change, function.name, _code(tree, path, function.name))


def _changes(function: ast.FunctionDef) -> list[str]:
    words = {False: "never", True: "always"}
    changes = [f"line {rule.lineno}: {words[not _is_guard(rule)]} `if {ast.unparse(rule.test)}`" for rule in _rules(function)]
    return changes + ([f"line {function.lineno}: {function.name} says yes always"] if _says_yes_or_no(function) else [])


def _change(function: ast.FunctionDef, number: int) -> None:
    rules = _rules(function)
    if number < len(rules):
        rules[number].test = ast.copy_location(ast.Constant(not _is_guard(rules[number])), rules[number].test)
    else:
        function.body = [ast.copy_location(ast.Return(ast.copy_location(ast.Constant(True), function.body[0])), function.body[0])]


def _rules(function: ast.FunctionDef) -> list[ast.If]:
    """The conditions without an alternative, guards first."""
    ifs = [node for node in ast.walk(function) if isinstance(node, ast.If) and not node.orelse]
    return sorted(ifs, key=lambda node: not _is_guard(node))


def _is_guard(rule: ast.If) -> bool:
    """Whether a function gives up on that condition, or goes on with the next thing."""
    return len(rule.body) == 1 and isinstance(rule.body[0], ast.Return | ast.Continue)


def _says_yes_or_no(function: ast.FunctionDef) -> bool:
    return isinstance(function.returns, ast.Name) and function.returns.id == "bool"


def _code(tree: ast.Module, path: Path, name: str) -> CodeType:
    """The code of one function of a module."""
    module = compile(tree, str(path), "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType) and constant.co_name == name)


def noticed(question: str, mutant: Mutant) -> bool:
    """Whether a test of the module fails with the mutant in its place."""
    module = importlib.import_module(f"kubectl_vxtrace.diagnosis.causes.{question}")
    function = _function(module, mutant.function)
    whole = function.__code__
    function.__code__ = mutant.code
    try:
        return run(question) is not pytest.ExitCode.OK
    finally:
        function.__code__ = whole


def _function(module: ModuleType, name: str) -> FunctionType:
    function: Callable[..., object] = getattr(module, name)
    assert isinstance(function, FunctionType)
    return function


def run(question: str) -> int | pytest.ExitCode:
    """The exit status of a module's tests."""
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(["-q", "-x", "-o", f"cache_dir={CACHE}", str(test_file(question))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the modules, print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis.mutations", description=__doc__)
    parser.add_argument("questions", nargs="*", default=list(questions()))
    parser.add_argument("--first", action="store_true", help="one noticed mutant for each module is enough")
    options = parser.parse_args(arguments)
    poor = [question for question in options.questions if not _tried(question, first=options.first)]
    return 1 if poor else 0


def _tried(question: str, *, first: bool) -> bool:
    """Whether the tests of a module notice one of its mutants, and pass as it is; `first` leaves the second to the suite."""
    if not first and run(question) is not pytest.ExitCode.OK:
        print(f"{question}: its tests fail as it is", flush=True)
        return False
    killed, survived = 0, []
    for mutant in mutants(question):
        if noticed(question, mutant):
            killed += 1
            if first:
                break
        else:
            survived.append(mutant.change)
    print(f"{question}: {killed} noticed" + "".join(f"\n    not noticed: {change}" for change in survived), flush=True)
    return killed > 0


if __name__ == "__main__":
    sys.exit(main())
