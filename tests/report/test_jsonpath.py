"""kubectl's JSONPath templates over a report."""

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.report import document, jsonpath
from tests.report.build import report


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("{.verdict}", "lost"),
        ("{$.verdict}", "lost"),
        ("{ .verdict }", "lost"),
        ("verdict: {.verdict}\n", "verdict: lost\n"),
        ("{.findings[*].cause}", "underlay-udp-blocked"),
        ("{.flows[0].directions[*].verdict}", "lost no-traffic"),
        ('{.flows[0].directions[?(@.verdict=="lost")].direction}', "request"),
        ("{.flows[*].directions[0].legs[2:4].lost}", "24 0"),
        ("{.flows[0].directions[0].hops[-1].node}", "ada-ec-2"),
        ("{..backend}", "calico-vxlan"),
        ("{['verdict','impact']}", "lost total"),
        ("{.flows[0].directions[0].legs[0].from}", "1"),
        ("{.completeness.complete}", "false"),
        ("{.cleanup}", '{"state": "confirmed", "left": []}'),
        ("{.metadata.ticket}", ""),
        ("{.no.such.field}", ""),
        ('{range .findings[*]}{.cause}{"\\t"}{.packets}{"\\n"}{end}', "underlay-udp-blocked\t24\n"),
        ("{range .flows[*]}{range .directions[*]}[{.verdict}]{end}{end}", "[lost][no-traffic]"),
        ("{range .overlay.devices[*].mtu}{@} {.}{end}", "1410 1410"),
        ("{'}'}{\"{\"}", "}{"),
    ],
)
def test_a_template_prints_what_kubectl_would(template: str, printed: str) -> None:
    assert jsonpath.render(template, document.to_builtins(report())) == printed


@pytest.mark.parametrize(
    "template", ["{.verdict", "{range .flows[*]}x", "{end}", "{.[}", "{verdict}", "{}", "}{", "{range}{end}", "{.flows[?(@.id==]}"]
)
def test_what_cannot_be_read_is_refused_before_anything_is_traced(template: str) -> None:
    with pytest.raises(UsageError, match="-o jsonpath") as error:
        jsonpath.check(template)
    assert "{.verdict}" in error.value.hint
