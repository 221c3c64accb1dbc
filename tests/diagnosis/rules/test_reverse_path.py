"""A pod that sends with an address that is not its own: lost only where it is proven that its node drops that."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import with_dropped
from kubectl_vxtrace.diagnosis.report.verdict import conclude, exit_code
from kubectl_vxtrace.diagnosis.rules.reverse_path import without_unproven
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.journeys import follow, with_foreign_sources
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Leg, Severity, TraceReport, Verdict
from tests.diagnosis.nodes import rule, ruled
from tests.journeys.build import lookups, tables_of
from tests.journeys.spoofing import BEHIND, FIRST_TAP, FOREIGN, POD, recorded, spoof
from tests.wire import simulator as wire

MATCH = "-m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP"
CALICO = rule("cali-PREROUTING", f'-m comment --comment "cali:tH3kHya0HJfwKLVc" {MATCH}', 1)
NODE = wire.CLIENT_NODE


def looks(*grown: tuple[Rule, int], counter: int = 0) -> tuple[tuple[NodeFacts, ...], tuple[NodeFacts, ...]]:
    """Both looks at the nodes: rules with their growth, and the kernel's own reverse path filter's."""
    before, after = ruled(NODE, (rule("PREROUTING", "-j cali-PREROUTING", 900), sum(count for _, count in grown)), *grown)
    name = "TcpExt.IPReversePathFilter"

    def counted(facts: Sequence[NodeFacts], value: int) -> tuple[NodeFacts, ...]:
        return tuple(
            replace(one, counters={**one.counters, name: value}, sysctls={"net.ipv4.conf.all.rp_filter": "1"}) if one.node == NODE else one
            for one in facts
        )

    return counted(before, 7), counted(after, 7 + counter)


def case_of(simulator: wire.Simulator, *grown: tuple[Rule, int], counter: int = 0) -> Case:
    """As the analysis makes it of a recording."""
    tables = tables_of(simulator)
    before, after = looks(*grown, counter=counter)
    recording = replace(recorded(simulator), before=before, after=after)
    return without_unproven(follow(with_foreign_sources(recording, tables), tables))


def spoofed(count: int = 20, *, own: int = 0, source: str = FOREIGN, taps: Sequence[Tap] = (FIRST_TAP,)) -> wire.Simulator:
    simulator = wire.Simulator()
    lookups(simulator, own, first=500)
    spoof(simulator, count, source=source, taps=taps)
    return simulator


def report_of(case: Case) -> TraceReport:
    return conclude(case, diagnose(case))


def test_the_counter_of_calicos_rule_proves_the_drop() -> None:
    case = case_of(spoofed(), (CALICO, 20))
    report = report_of(case)
    (found,) = report.findings
    assert (found.cause, found.confidence, found.severity) == ("workload-anti-spoofing", Confidence.CERTAIN, Severity.ERROR)
    assert (found.packets, found.leg) == (20, Leg(from_=1, to=2))
    assert {proof.kind for proof in found.evidence} >= {
        EvidenceKind.PACKETS,
        EvidenceKind.ABSENCE,
        EvidenceKind.COUNTER,
        EvidenceKind.CONFIG,
    }
    assert f'the rule "{MATCH}" in chain cali-PREROUTING' in found.summary, "a hash says nothing"
    assert f"{POD} sends from {FOREIGN}, which is not its address" in found.summary
    assert any(wire.CLIENT in proof.text and FOREIGN in proof.text for proof in found.evidence if proof.kind is EvidenceKind.CONFIG)
    assert (report.verdict, report.cause, exit_code(report)) == (Verdict.DROPPED, "workload-anti-spoofing", ExitCode.BROKEN)
    assert f"from {FOREIGN}, which is not the pod's" in report.summary
    assert [(leg.from_, leg.to, leg.lost) for leg in report.flows[0].directions[0].legs] == [(1, 2, 20)]
    assert with_dropped(case, report.findings) is not case


def test_a_counter_that_took_others_as_well_is_less_sure() -> None:
    (found,) = diagnose(case_of(spoofed(), (CALICO, 400)))
    assert (found.cause, found.confidence) == ("workload-anti-spoofing", Confidence.LIKELY)
    assert found.not_ruled_out


def test_the_kernels_own_filter_is_named_where_that_counted() -> None:
    (found,) = diagnose(case_of(spoofed(), counter=20))
    assert (found.cause, found.leg) == ("rp-filter", Leg(from_=1, to=2))


def test_what_the_pod_sends_under_its_own_address_is_judged_beside_it() -> None:
    report = report_of(case_of(spoofed(8, own=5), (CALICO, 8)))
    assert [(flow.client.address, flow.directions[0].verdict) for flow in report.flows] == [
        (wire.CLIENT, Verdict.DELIVERED),
        (FOREIGN, Verdict.DROPPED),
    ]
    assert [(found.cause, found.packets) for found in report.findings] == [("workload-anti-spoofing", 8)]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case_of(spoofed(own=5)), id="nothing counts: nobody knows where else they went"),
        pytest.param(case_of(spoofed(own=5), (CALICO, 19)), id="the counter grew by less"),
        pytest.param(case_of(spoofed(own=5), counter=19), id="the kernel's counter grew by less"),
        pytest.param(
            case_of(spoofed(own=5, taps=(FIRST_TAP, BEHIND)), (CALICO, 20)), id="a gateway: its node forwards what it sends for others"
        ),
        pytest.param(case_of(spoofed(own=5, source="10.244.114.90"), (CALICO, 20)), id="the next hop's filter leaves that network out"),
        pytest.param(case_of(spoofed(own=5), (rule("FORWARD", "-d 10.9.0.0/16 -j DROP", 1), 20)), id="a rule that asks for no way back"),
    ],
)
def test_what_is_not_proven_is_no_loss(case: Case) -> None:
    assert not any(flow.foreign for flow in (*case.flows, *case.recording.flows))
    report = report_of(case)
    assert report.verdict is Verdict.DELIVERED
    assert not [found for found in report.findings if found.severity is Severity.ERROR]


def test_one_counter_cannot_stand_for_two_sources() -> None:
    simulator = spoofed(12)
    spoof(simulator, 12, source="10.244.250.10")
    assert case_of(simulator, (CALICO, 20)).flows == ()
    assert {flow.client.address for flow in case_of(simulator, (CALICO, 24)).flows} == {FOREIGN, "10.244.250.10"}
