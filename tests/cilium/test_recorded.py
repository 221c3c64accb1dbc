"""What the analysis says of a real Cilium: delivered where it is healthy, the policy where one took the packets, and never a route."""

from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import analyse
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import Confidence, Finding, Severity, TraceReport, Verdict
from tests.cilium.recorded import (
    BY_A_RULE_AT_THE_NIC,
    BY_THE_PODS_PROGRAM,
    BY_THE_TUNNELS_PROGRAM,
    DATAPATHS,
    dropped_on_the_way,
    last_hops,
    recording,
    unpacked,
    with_policy,
    without_drop_log,
)


def errors(report: TraceReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity is Severity.ERROR]


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_a_healthy_network_is_delivered_and_finds_nothing(datapath: str, tmp_path: Path) -> None:
    report = analyse(recording(unpacked(datapath, tmp_path)))
    assert report.verdict is Verdict.DELIVERED
    assert [finding for finding in report.findings if finding.severity is not Severity.INFO] == []


@pytest.mark.parametrize("datapath", ["default", "legacy-tc"])
def test_it_is_seen_whole(datapath: str, tmp_path: Path) -> None:
    report = analyse(recording(unpacked(datapath, tmp_path)))
    assert (report.completeness.complete, report.findings) == (True, ())


def test_of_redirected_packets_only_the_leg_into_each_pod_is_not_seen(tmp_path: Path) -> None:
    made = recording(unpacked("bpf-host-routing", tmp_path))
    report = analyse(made)
    assert {(blind.node, blind.interface) for blind in report.completeness.blind} == last_hops(made)
    assert {finding.cause for finding in report.findings} == {"capture-blind"}
    assert all("hands packets to the pod past this tap" in blind.reason for blind in report.completeness.blind)


def test_without_the_kernels_log_of_drops_redirected_answers_are_not_known_to_arrive_and_never_lost(tmp_path: Path) -> None:
    report = analyse(without_drop_log(recording(unpacked("bpf-host-routing", tmp_path))))
    assert report.verdict is Verdict.UNDETERMINED
    assert errors(report) == []


def test_a_drop_beside_a_redirected_answer_leaves_it_open(tmp_path: Path) -> None:
    """One that a forwarded packet can be; what sockets drop, of which there are 100 here, is none."""
    made = recording(unpacked("bpf-host-routing", tmp_path))
    times_ns = (made.started_ns + number * 5_000_000 for number in range(3_000))
    noisy = tuple(KernelDrop(node="ada-ec-1", time_ns=time_ns, reason="NETFILTER_DROP", location="nf_hook_slow") for time_ns in times_ns)
    report = analyse(replace(made, kernel_drops=noisy))
    assert report.verdict is Verdict.UNDETERMINED
    assert errors(report) == []


def test_what_was_redirected_before_the_log_began_is_left_open(tmp_path: Path) -> None:
    made = recording(unpacked("bpf-host-routing", tmp_path))
    late = made.started_ns + 4_000_000_000
    logged = dict.fromkeys(("ada-ec-1", "ada-ec-2", "ada-ec-3"), (late, late + 60_000_000_000))
    report = analyse(replace(made, kernel_drops_logged=logged))
    assert report.verdict is Verdict.UNDETERMINED
    assert errors(report) == []


@pytest.mark.parametrize("datapath", DATAPATHS)
def test_what_a_rule_drops_behind_ciliums_program_at_the_nic_is_no_doubt_about_the_tunnel(datapath: str, tmp_path: Path) -> None:
    """The program could have taken the packets past the tunnel's tap: the kernel says that they were dropped."""
    report = analyse(dropped_on_the_way(unpacked(datapath, tmp_path), BY_A_RULE_AT_THE_NIC))
    assert report.verdict is Verdict.DROPPED
    legs = {(finding.leg.from_, finding.leg.to) for finding in errors(report) if finding.leg is not None}
    assert legs == {(4, 5)}


@pytest.mark.parametrize("at_client", [True, False], ids=["egress", "ingress"])
@pytest.mark.parametrize("datapath", DATAPATHS)
class TestDroppedByItsProgram:
    """Questions that Cilium's program drops, at the client's pod or before the server's."""

    def made(self, datapath: str, at_client: bool, place: Path) -> Recording:
        return dropped_on_the_way(unpacked(datapath, place), BY_THE_PODS_PROGRAM if at_client else BY_THE_TUNNELS_PROGRAM)

    def test_a_policy_that_lets_nothing_through_is_certain(self, datapath: str, at_client: bool, tmp_path: Path) -> None:
        report = analyse(with_policy(self.made(datapath, at_client, tmp_path), "Egress" if at_client else "Ingress"))
        assert report.verdict is Verdict.DROPPED
        assert {finding.cause for finding in errors(report)} == {"network-policy-drop"}
        for found in errors(report):
            assert "CiliumNetworkPolicy" in found.summary
            assert found.leg is not None
            assert (found.leg.from_, found.leg.to) == ((1, 2) if at_client else (5, 6))
            assert found.confidence is Confidence.CERTAIN

    def test_one_with_rules_is_likely(self, datapath: str, at_client: bool, tmp_path: Path) -> None:
        report = analyse(with_policy(self.made(datapath, at_client, tmp_path), "Egress" if at_client else "Ingress", rules=1))
        assert {(finding.cause, finding.confidence) for finding in errors(report)} == {("network-policy-drop", Confidence.LIKELY)}

    def test_without_a_policy_it_is_the_program_and_nobody_is_told_to_remove_it(
        self, datapath: str, at_client: bool, tmp_path: Path
    ) -> None:
        report = analyse(self.made(datapath, at_client, tmp_path))
        assert {(finding.cause, finding.confidence) for finding in errors(report)} <= {
            ("tc-program", Confidence.LIKELY),
            ("tc-program", Confidence.CERTAIN),
        }
        assert errors(report)
        assert not any(word in (finding.remediation or "") for finding in errors(report) for word in ("detach", " del "))

    def test_a_policy_of_the_other_direction_is_none(self, datapath: str, at_client: bool, tmp_path: Path) -> None:
        report = analyse(with_policy(self.made(datapath, at_client, tmp_path), "Ingress" if at_client else "Egress"))
        assert {finding.cause for finding in errors(report)} == {"tc-program"}

    def test_without_the_kernels_word_it_may_have_been_the_policy_and_no_route_is_blamed(
        self, datapath: str, at_client: bool, tmp_path: Path
    ) -> None:
        made = without_drop_log(self.made(datapath, at_client, tmp_path))
        report = analyse(with_policy(made, "Egress" if at_client else "Ingress"))
        assert {finding.cause for finding in errors(report)} <= {"network-policy-drop"}
        assert all(finding.confidence is not Confidence.CERTAIN for finding in errors(report))
