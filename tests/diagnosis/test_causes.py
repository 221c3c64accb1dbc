"""What holds for the causes as they stand in their modules."""

import pkgutil
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
