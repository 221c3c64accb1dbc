"""From a matched case and its findings to the report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.diagnosis.dropped import with_dropped
from kubectl_vxtrace.diagnosis.evidence.asked_ends import frames_of_ends
from kubectl_vxtrace.diagnosis.report.impact import impact
from kubectl_vxtrace.diagnosis.report.leg_sizes import leg_sizes
from kubectl_vxtrace.diagnosis.report.sections import capture_lines, cleanup_report, completeness, flow_reports, overlay_report
from kubectl_vxtrace.diagnosis.report.summary import summarise
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.model.cluster import CleanupState
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import CaptureStatus, Recording
from kubectl_vxtrace.model.report import BROKEN, Finding, FlowReport, Impact, Metadata, Severity, TraceReport, Verdict, first_error, worst

_UNTRIED = (
    "Look whether the client asks at all (kubectl logs), and trace while it does, or longer (--duration 2m). If it asks another address, "
    "name that with --to. If its log says that it asks and fails, look inside the pod: rules that redirect what it sends to a sidecar "
    "(iptables-save -t nat), a proxy in its environment, its own routes (ip route)."
)


def conclude(case: Case, findings: Sequence[Finding]) -> TraceReport:
    """The report of `case`, all of it but `packets`, which need the files. `findings` are those of `diagnose`, the best first."""
    settled = with_dropped(case, findings)
    flows = flow_reports(settled)
    verdict = _verdict(settled, flows)
    hurt = impact(settled)
    seen = completeness(settled)
    top = first_error(findings) if verdict in BROKEN else _unbroken(verdict, findings)
    return TraceReport(
        verdict=verdict,
        impact=hurt,
        cause=top.cause if top is not None else None,
        summary=summarise(settled, verdict, hurt, seen, top),
        remediation=top.remediation if top is not None else _UNTRIED if verdict is Verdict.NO_TRAFFIC else None,
        metadata=_metadata(case.recording),
        completeness=seen,
        overlay=overlay_report(case.recording.overlay),
        flows=flows,
        packets=(),
        findings=tuple(findings),
        clocks=case.clocks,
        captures=capture_lines(case.recording),
        cleanup=cleanup_report(case.recording),
        leg_sizes=leg_sizes(settled),
    )


def _unbroken(verdict: Verdict, findings: Sequence[Finding]) -> Finding | None:
    """What is to be told first where nothing is said to be broken: why connections fail though packets are delivered, or, where it is not
    known whether these are, the warning that says where they end. None where nothing does."""
    for finding in findings:
        says_where = verdict is Verdict.UNDETERMINED and finding.severity is Severity.WARNING and finding.leg is not None
        if says_where or CAUSES[finding.cause].beyond_packets:
            return finding
    return None


def exit_code(report: TraceReport, *, strict: bool = False) -> ExitCode:
    """The exit status that the verdict asks for: DELIVERED, BROKEN or UNDECIDED; what was left in the cluster is not looked at.

    `strict`: a loss that TCP made good counts as well.
    """
    if report.verdict in BROKEN:
        return ExitCode.DELIVERED if report.impact is Impact.RECOVERED and not strict else ExitCode.BROKEN
    if report.verdict is Verdict.DELIVERED and report.completeness.complete:
        return ExitCode.DELIVERED
    return ExitCode.UNDECIDED


def left_behind(report: TraceReport) -> bool:
    """Whether something may be left in the cluster that nobody asked to keep: LEFT_BEHIND then wins over every other exit code."""
    cleanup = report.cleanup
    return (
        cleanup is not None and cleanup.state is not CleanupState.KEPT and bool(cleanup.left or cleanup.state is CleanupState.UNCONFIRMED)
    )


def _verdict(case: Case, flows: Sequence[FlowReport]) -> Verdict:
    """Of all flows together. Where no flow was seen, it is only `no-traffic` if the clients' first hops could be seen and no capture holds
    a frame between the ends, in whatever form: one that could not be followed was seen all the same."""
    if flows:
        return worst([direction.verdict for flow in flows for direction in flow.directions])
    firsts = {path.hops[0].tap for path in case.recording.paths if path.direction is Direction.REQUEST and path.hops}
    blind = {
        capture.task.tap
        for capture in case.recording.captures
        if capture.status in (CaptureStatus.FAILED, CaptureStatus.PARTIAL) or capture.dropped_by_kernel
    }
    return Verdict.UNDETERMINED if firsts & blind or any(frames_of_ends(case)) else Verdict.NO_TRAFFIC


def _metadata(recording: Recording) -> Metadata:
    started = datetime.fromtimestamp(recording.started_ns // 1_000_000_000, tz=UTC)
    return Metadata(
        session=recording.session,
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        duration_s=recording.duration_s,
        version=recording.version,
    )
