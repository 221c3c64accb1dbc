"""What the analysis says of a real Calico: nothing where it is healthy, the right leg and cause under each fault."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse, examine
from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.diagnosis.report.verdict import exit_code
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.model.path import Direction, Role
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import Confidence, EvidenceKind, Impact, Severity, TraceReport, Verdict
from kubectl_vxtrace.topology.cni import CNIS
from tests.bundle.packing import packed
from tests.calico.recorded import NODES, SCENARIOS, SECOND_NS, raw_answers, recording, truth

FAULTS = tuple(scenario for scenario in SCENARIOS if truth(scenario) is not None)
# netpol-ingress is on at both DNS pods; all questions of its five seconds went to the one on ada-ec-3.
ELSEWHERE = {"netpol-ingress": "ada-ec-3"}


def bundled(made: Recording, scenario: str, place: Path) -> Recording:
    """The recording out of a bundle, as a customer sends it."""
    written = Path(made.folder)
    assert made.snapshot is not None
    folder.write_snapshot(written, made.snapshot)
    folder.write_facts(written, "before", made.before, raw_answers(scenario, "before"))
    folder.write_facts(written, "after", made.after, raw_answers(scenario, "after"))
    folder.write_recording(written, made)
    folder.write_manifest(written)
    packed(written, place / "bundle.zip")
    scratch = place / "scratch"
    scratch.mkdir()
    return open_recording([place / "bundle.zip"], scratch)


@pytest.fixture(params=["recorded", "bundle"])
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def report_of(scenario: str, source: str, place: Path) -> TraceReport:
    captures = place / "captures"
    captures.mkdir()
    made = recording(scenario, captures)
    return analyse(bundled(made, scenario, place) if source == "bundle" else made)


def test_the_facts_are_read_whole(tmp_path: Path) -> None:
    """Otherwise an empty table would prove that nothing is wrong."""
    made = recording("healthy", tmp_path)
    for facts in (*made.before, *made.after):
        assert all((facts.links, facts.routes, facts.neighbours, facts.fdb, facts.conntrack, facts.sets, facts.sysctls, facts.ethtool))
        assert facts.sysctls["net.ipv4.ip_forward"] == facts.sysctls["net.bridge.bridge-nf-call-iptables"] == "1"
        assert {rule.table for rule in facts.rules} >= {"raw", "mangle", "nat", "filter"}
        assert {"TcpExt.IPReversePathFilter", "Ip.InDiscards", "softnet.dropped", "conntrack.insert_failed"} <= facts.counters.keys()
    assert [vtep.node for vtep in made.overlay.vteps] == list(NODES)
    assert made.overlay.backend == "calico-vxlan"
    assert (len(made.flows), len(made.paths), len(made.captures), made.gaps) == (2, 4, 9, ())


def test_the_analysis_knows_every_network(tmp_path: Path) -> None:
    made = recording("healthy", tmp_path)
    assert made.cnis == ()
    assert examine(made).case.recording.cnis == CNIS


def test_a_healthy_calico_is_no_finding(source: str, tmp_path: Path) -> None:
    report = report_of("healthy", source, tmp_path)
    assert (report.verdict, report.impact, report.cause, exit_code(report)) == (Verdict.DELIVERED, Impact.NONE, None, ExitCode.DELIVERED)
    assert (report.findings, report.completeness.complete) == ((), True)
    assert sorted(flow.server.address or "" for flow in report.flows if flow.server is not None) == ["10.244.106.65", "10.244.56.129"]
    assert all(hop.witness and hop.packets for flow in report.flows for direction in flow.directions for hop in direction.hops)


@pytest.mark.parametrize("scenario", FAULTS)
def test_a_fault_is_named_with_its_leg_and_its_proof(scenario: str, source: str, tmp_path: Path) -> None:
    expected = truth(scenario)
    assert expected is not None
    report = report_of(scenario, source, tmp_path)
    (found,) = report.findings
    assert (found.cause, found.confidence, found.severity) == (expected.cause, Confidence.CERTAIN, Severity.ERROR)
    assert (report.verdict, report.cause, exit_code(report)) == (Verdict.DROPPED, expected.cause, ExitCode.BROKEN)
    flow = next(flow for flow in report.flows if flow.id == found.flow)
    direction = next(one for one in flow.directions if one.direction is Direction(expected.direction))
    assert found.leg is not None
    assert found.leg.to is not None
    ends = [next((hop.node, hop.role) for hop in direction.hops if hop.hop == number) for number in (found.leg.from_, found.leg.to)]
    assert ends == [(ELSEWHERE.get(scenario, node), Role(role)) for node, role in (expected.start, expected.end)]
    assert found.packets == sum(leg.lost for leg in direction.legs) > 0
    assert any(proof.kind is EvidenceKind.COUNTER and "in chain cali-" in proof.text for proof in found.evidence)


@pytest.mark.parametrize("scenario", FAULTS)
def test_without_the_counter_nothing_is_certain(scenario: str, tmp_path: Path) -> None:
    """Both looks hold the same rules; what they say of themselves is no proof that they took these packets."""
    made = recording(scenario, tmp_path)
    still = tuple(replace(one, taken_ns=one.taken_ns + 7 * SECOND_NS) for one in made.before)
    report = analyse(replace(made, after=still))
    (found,) = [one for one in report.findings if one.severity is Severity.ERROR]
    assert found.confidence is not Confidence.CERTAIN
    assert report.verdict is Verdict.LOST
