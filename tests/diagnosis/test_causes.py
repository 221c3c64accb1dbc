"""What holds for the causes as they stand in their modules."""

import ast
import inspect
import pkgutil
import string
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from kubectl_vxtrace.diagnosis import causes
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes import CASE_CHECKS, CAUSES, CHECKS


def modules() -> list[ModuleType]:
    """All modules of questions."""
    names = [found.name for found in pkgutil.walk_packages(causes.__path__, f"{causes.__name__}.") if not found.ispkg]
    return [import_module(name) for name in names]


def own_causes() -> list[Cause]:
    return [cause for module in modules() for cause in getattr(module, "CAUSES", ())]


def test_every_cause_of_a_module_is_known_and_has_a_name_of_its_own() -> None:
    assert sorted(cause.slug for cause in own_causes()) == sorted(CAUSES)
    assert {cause.slug: cause for cause in own_causes()} == CAUSES


def test_a_constant_is_called_as_its_cause_is() -> None:
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, Cause):
                assert name == value.slug.upper().replace("-", "_")


def test_every_check_is_asked() -> None:
    asked = {check.check for check in CHECKS} | set(CASE_CHECKS)
    written = {value for module in modules() for name, value in vars(module).items() if name.startswith("check") and callable(value)}
    assert asked == written


def test_entries_are_whole() -> None:
    for cause in CAUSES.values():
        assert cause.remediation.endswith("."), cause.slug
        assert cause.source, cause.slug


def calls_of(module: ModuleType) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call))


def asked_for(remediation: str) -> set[str]:
    """The names that a remediation wants to have filled in."""
    return {name for _, name, _, _ in string.Formatter().parse(remediation) if name}


def test_what_a_remediation_asks_for_is_filled_in() -> None:
    """Where a check fills it in by name: exactly those names."""
    constants = {cause.slug.upper().replace("-", "_"): cause for cause in CAUSES.values()}
    filled = set()
    for call in (call for module in modules() for call in calls_of(module)):
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr == "remedy" and ast.unparse(function.value) in constants:
            cause = constants[ast.unparse(function.value)]
            filled.add(cause.slug)
            if all(keyword.arg is not None for keyword in call.keywords):
                assert {keyword.arg for keyword in call.keywords} == asked_for(cause.remediation), cause.slug
    templates = {cause.slug for cause in CAUSES.values() if asked_for(cause.remediation)}
    # One check hands over either of two causes, and another formats its own text.
    assert templates - filled <= {"fdb-wrong-destination", "vxlan-tx-checksum"}
