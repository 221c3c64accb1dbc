"""The checks of one question, asked alone."""

from types import ModuleType

from kubectl_vxtrace.diagnosis.case import with_losses
from kubectl_vxtrace.diagnosis.causes import CASE_CHECKS, CHECKS
from kubectl_vxtrace.diagnosis.checks import ask
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Finding


def asked(case: Case, *modules: ModuleType) -> list[Finding]:
    """What the checks of `modules` find, before other explanations are weighed against it."""
    names = {module.__name__ for module in modules}
    losing = with_losses(case)
    of_losses = [check for check in CHECKS if check.check.__module__ in names]
    of_cases = [check for check in CASE_CHECKS if check.__module__ in names]
    assert of_losses or of_cases
    return [*ask(losing, of_losses), *(finding for check in of_cases for finding in check(losing))]
