"""The matrix of a trace between nodes, and what its broken cells have in common."""

from collections.abc import Collection
from dataclasses import replace
from itertools import permutations

import pytest

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import EndpointReport, FlowReport, Impact, TraceReport, Verdict
from kubectl_vxtrace.report.html import page as html
from kubectl_vxtrace.report.mesh import mesh_of
from kubectl_vxtrace.report.table import render
from tests.report.build import direction, report

NODES = ("node-a", "node-b", "node-c")


def flow(number: int, sender: str, receiver: str, *, broken: bool) -> FlowReport:
    counts, verdict = ((12, 12, 12, 4, 4, 4), Verdict.LOST) if broken else ((12,) * 6, Verdict.DELIVERED)
    client, server = (EndpointReport(address=f"10.244.{NODES.index(name)}.0", node=name) for name in (sender, receiver))
    ways = (direction(Direction.REQUEST, counts, verdict),)
    return replace(report().flows[0], id=number, protocol="ICMP", client=client, service=None, server=server, directions=ways)


def mesh(broken: Collection[tuple[str, str]]) -> TraceReport:
    flows = tuple(flow(number, *pair, broken=pair in broken) for number, pair in enumerate(permutations(NODES, 2), start=1))
    lost = next((each for each in flows if (each.client.node, each.server.node if each.server else None) in broken), None)
    findings = tuple(replace(each, flow=lost.id, packets=8) for each in report().findings) if lost is not None else ()
    return replace(
        report(),
        verdict=Verdict.LOST if broken else Verdict.DELIVERED,
        impact=Impact.PARTIAL if broken else Impact.NONE,
        cause=report().cause if broken else None,
        remediation=report().remediation if broken else None,
        flows=flows,
        findings=findings,
        packets=(),
    )


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        ((), None),
        ([("node-a", "node-b")], None),
        ([("node-a", "node-b"), ("node-c", "node-b")], "all 2 broken pairs are those to node-b"),
        ([("node-b", "node-a"), ("node-b", "node-c")], "all 2 broken pairs are those sent by node-b"),
        ([("node-b", "node-a"), ("node-c", "node-b")], "all 2 broken pairs have node-b in common"),
        ([("node-a", "node-b"), ("node-b", "node-c"), ("node-c", "node-a")], None),
    ],
)
def test_what_the_broken_pairs_have_in_common(broken: Collection[tuple[str, str]], note: str | None) -> None:
    found = mesh_of(mesh(broken))
    assert found is not None
    assert found.note == note


def test_each_pair_has_a_cell() -> None:
    text = render(mesh([("node-a", "node-c")]), width=120, color=False)
    rows = [line.split() for line in text.splitlines() if line.split()[1:2] and line.split()[1] in NODES and line.split()[0] in "123"]
    assert rows[:3] == [["1", "node-a", "-", "ok", "8/12", "lost"], ["2", "node-b", "ok", "-", "ok"], ["3", "node-c", "ok", "ok", "-"]]


def test_a_trace_of_a_pod_and_one_of_two_nodes_have_no_matrix() -> None:
    assert mesh_of(report()) is None
    assert mesh_of(replace(mesh(()), flows=mesh(()).flows[:1])) is None  # node-a to node-b alone


def test_the_page_says_once_what_holds_of_several_paths() -> None:
    given = mesh([("node-a", "node-b")])
    [one] = given.findings
    page = html.render(replace(given, findings=(one, replace(one, not_ruled_out=()), replace(one, not_ruled_out=()))))
    assert page.count('<article class="error">') == 1
    place = "flow 1, request, hop 3 to 4, 8 packets"
    assert f'<p class="place">{place}</p><p class="place">The same: {place}; {place}</p>' in page


def test_the_page_has_the_same_matrix() -> None:
    page = html.render(mesh([("node-a", "node-b"), ("node-c", "node-b")]))
    assert page.count('<span class="good">ok</span>') == 4
    assert page.count('<span class="bad">8/12 lost</span>') == 2
    assert "all 2 broken pairs are those to node-b" in page
    assert "Who reaches whom" not in html.render(report())
