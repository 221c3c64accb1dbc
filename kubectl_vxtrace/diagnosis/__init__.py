"""Which leg's loss has which cause. Pure: from a matched case to findings and a report."""

from collections.abc import Callable, Iterator

from kubectl_vxtrace.diagnosis import endpoint, links, neighbours, rules, service, sight, underlay, vtep
from kubectl_vxtrace.diagnosis.resolve import settle_findings
from kubectl_vxtrace.diagnosis.trouble import troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Finding

CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    vtep.check,
    neighbours.check,
    links.check,
    rules.check,
    underlay.check,
    service.check,
    endpoint.check,
    sight.check,
)


def diagnose(case: Case) -> tuple[Finding, ...]:
    """All findings of a case, the best first: one error for each loss, then warnings and infos."""
    found = [finding for check in CHECKS for finding in check(case)]
    return settle_findings(case, found, troubles(case))
