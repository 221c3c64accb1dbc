"""What differs between two recordings of a real Calico, and between reports made by hand."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.model.path import Direction, Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import Latency, TraceReport, Verdict
from kubectl_vxtrace.report.comparison import SETTINGS, compare
from kubectl_vxtrace.report.comparison_text import render
from kubectl_vxtrace.report.differences import Comparison, Given
from tests.calico.recorded import recording
from tests.report.build import report


def _given(scenario: str, place: Path) -> Given:
    found = examine(recording(scenario, place))
    return Given(name=f"{scenario}.zip", report=found.report, recording=found.case.recording)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return _given("healthy", tmp_path_factory.mktemp("healthy"))


@pytest.fixture(scope="module")
def policy(healthy: Given, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(healthy, _given("netpol-ingress", tmp_path_factory.mktemp("policy")))


def test_a_recording_differs_from_itself_in_nothing(healthy: Given) -> None:
    found = compare(healthy, healthy)
    assert found.same
    assert render(found, width=100).endswith("\n\nnothing else differs")


def test_a_policy_that_came_is_seen_in_verdict_hops_finding_counter_and_rules(policy: Comparison) -> None:
    assert not policy.same
    assert [side.verdict for side in policy.sides] == [Verdict.DELIVERED, Verdict.DROPPED]
    [broken] = [flow for flow in policy.flows if flow.directions]
    assert broken.verdicts == ("ok", "DROPPED between hop 5 and hop 6")
    assert [hop.hop for hop in broken.directions[0].hops] == [6]
    assert [(finding.side, finding.cause) for finding in policy.findings] == [(1, "network-policy-drop")]
    [counter] = policy.counters
    assert (counter.node, counter.grown[0]) == ("ada-ec-3", None)
    rules = next(table for node in policy.nodes if node.node == "ada-ec-3" for table in node.tables if table.table == "rules")
    assert any("End of tier default" in line for line in rules.new)
    assert not any("End of tier default" in line for line in rules.gone)


def test_tables_that_differ_between_any_two_traces_are_left_out(policy: Comparison) -> None:
    assert {table.table for node in policy.nodes for table in node.tables} <= SETTINGS
    assert "nf_conntrack_count" not in str(policy.nodes)


def test_the_text_fits_and_says_what_only_one_has(policy: Comparison) -> None:
    text = render(policy, width=100)
    assert "A  healthy.zip, " in text
    assert "  only B  network-policy-drop (error, certain)" in text
    assert "settings of ada-ec-3\n  rules\n  - " in text
    tables, _, _ = text.partition("\nsettings of")
    assert all(len(line) <= 100 for line in tables.splitlines())
    whole = render(policy, width=None)
    assert "kube-system/kube-dns (10.96.0.10:53/UDP) at 10.244.106.65:53" in whole
    assert "names in full" not in whole


def test_it_can_be_written_as_json(policy: Comparison) -> None:
    made = msgspec.to_builtins(policy)
    assert made["sides"][1]["cause"] == "network-policy-drop"


NOTHING = Recording(session="7f3a", version="0", started_ns=0, overlay=Overlay(), flows=(), paths=())


def _by_hand(one: TraceReport, other: TraceReport) -> Comparison:
    return compare(Given(name="a", report=one, recording=NOTHING), Given(name="b", report=other, recording=NOTHING))


def test_pods_that_were_made_anew_are_the_same_flow() -> None:
    [flow] = report().flows
    assert flow.server is not None
    anew = replace(
        flow,
        client=replace(flow.client, pod="kotsadm/kotsadm-77", address="10.244.114.99"),
        server=replace(flow.server, pod="kube-system/coredns-77", address="10.244.56.99"),
    )
    found = _by_hand(report(), replace(report(), flows=(anew,)))
    assert [None in flow.clients for flow in found.flows] == [False]


def test_a_flow_of_one_alone_is_told(policy: Comparison) -> None:
    [alone] = [flow for flow in policy.flows if not flow.directions]
    assert (alone.verdicts, alone.clients[1], alone.differs) == (("ok", None), None, True)


@pytest.mark.parametrize(("median_ns", "uncertainty_ns", "told"), [(50_000, 0, True), (50_000, 30_000, False), (15_000, 0, False)])
def test_a_leg_is_slower_only_where_the_clocks_leave_no_doubt(median_ns: int, uncertainty_ns: int, told: bool) -> None:
    def slowed(median: int, uncertainty: int) -> TraceReport:
        [flow] = report().flows
        latency = Latency(min=median, median=median, max=median, uncertainty=uncertainty)
        directions = tuple(
            replace(each, legs=tuple(replace(leg, latency_ns=latency) for leg in each.legs))
            if each.direction is Direction.REQUEST
            else each
            for each in flow.directions
        )
        return replace(report(), flows=(replace(flow, directions=directions),))

    found = _by_hand(slowed(10_000, 0), slowed(median_ns, uncertainty_ns))
    assert any(direction.latencies for flow in found.flows for direction in flow.directions) is told


def test_what_it_was_made_with_differs() -> None:
    other = replace(report(), metadata=replace(report().metadata, version="9.9"))
    found = _by_hand(report(), other)
    assert [(setting.name, setting.values[1]) for setting in found.settings] == [("plugin", "9.9")]
