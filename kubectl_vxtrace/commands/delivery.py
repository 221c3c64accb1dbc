"""From a recording to a report on stdout, a bundle on disk and an exit code."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kubectl_vxtrace.analysis import dissected, examine
from kubectl_vxtrace.bundle import archive, folder
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.diagnosis.report.verdict import exit_code, left_behind
from kubectl_vxtrace.errors import ExitCode, PcapError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
from kubectl_vxtrace.packets.dissect import DissectError
from kubectl_vxtrace.report import document, table


def report_of(recording: Recording, console: Console) -> TraceReport:
    """The report, with tshark's dissection where there is a tshark; without, that is said once."""
    examined = examine(recording)
    try:
        return dissected(examined)
    except (DissectError, PcapError) as error:
        console.step(f"{error.message}: {error.hint}")
        return examined.report


def joined(report: TraceReport, cleanup: Cleanup | None) -> TraceReport:
    """The report with what became of the debug pods."""
    return report if cleanup is None else replace(report, cleanup=CleanupReport(state=cleanup.state, left=cleanup.left))


def complete(place: Path, report: TraceReport, recording: Recording, cleanup: Cleanup | None) -> None:
    """Complete the trace folder `place`.

    Raises:
        OSError: it cannot be written to.
    """
    if cleanup is not None:
        folder.write_recording(place, replace(recording, cleanup=cleanup))
    (place / folder.RESULT).write_text(document.to_json(report), encoding="utf-8")
    (place / folder.SUMMARY).write_text(document.to_markdown(report), encoding="utf-8")
    folder.write_manifest(place)


def packed(place: Path, report: TraceReport, destination: Path | None) -> Path:
    """The trace folder as a bundle, in the current directory if no destination is given; its path.

    Raises:
        UsageError: it cannot be written there.
    """
    if destination is None:
        stamp = datetime.fromisoformat(report.metadata.started).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        destination = Path.cwd() / f"vxtrace-{report.metadata.session}-{stamp}.zip"
    archive.pack(place, destination)
    return destination


def show(report: TraceReport, form: ReportFlags, bundle: Path | None) -> None:
    """Print the report as `form` says; `bundle` is what was written of it."""
    stdout.write(_rendered(report, form, bundle))


def _rendered(report: TraceReport, form: ReportFlags, bundle: Path | None) -> str:
    match form.output:
        case Output.JSON:
            return document.to_json(report)
        case Output.YAML:
            return document.to_yaml(report)
        case Output.MARKDOWN:
            return document.to_markdown(report)
        case Output.NAME:
            return f"{bundle}\n"
        case Output.TABLE:
            written = str(bundle) if bundle is not None else None
            return table.render(report, width=stdout.columns(), color=stdout.colored(form.color), bundle=written)


def final_code(report: TraceReport, exits: ExitFlags, *, interrupted: bool) -> int:
    """The contract's exit code: something left wins over everything, then an interruption."""
    if left_behind(report):
        return ExitCode.LEFT_BEHIND
    if interrupted:
        return ExitCode.INTERRUPTED
    code = exit_code(report, strict=exits.strict)
    return ExitCode.DELIVERED if exits.exit_zero and code in (ExitCode.BROKEN, ExitCode.UNDECIDED) else code
