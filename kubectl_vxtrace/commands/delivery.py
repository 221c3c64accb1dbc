"""From a recording to a report on stdout, a bundle on disk and an exit code."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kubectl_vxtrace import merged
from kubectl_vxtrace.analysis import Examined, dissected, examine
from kubectl_vxtrace.bundle import archive, folder
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.diagnosis.report.verdict import exit_code, left_behind
from kubectl_vxtrace.errors import ExitCode, PcapError, UsageError
from kubectl_vxtrace.flags.records import STDOUT, ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
from kubectl_vxtrace.packets.dissect import DissectError
from kubectl_vxtrace.report import document, table
from kubectl_vxtrace.report.html import page

_MOST_MERGED = 1_000_000
"""Packets of all hops that a bundle holds twice: by capture, and merged."""


def examined(recording: Recording, console: Console) -> Examined:
    """The report and what it was made from, with tshark's dissection where there is a tshark; without, that is said once."""
    found = examine(recording)
    try:
        return replace(found, report=dissected(found))
    except (DissectError, PcapError) as error:
        console.step(f"{error.message}: {error.hint}")
        return found


def joined(found: Examined, cleanup: Cleanup | None) -> Examined:
    """The same with what became of the debug pods."""
    if cleanup is None:
        return found
    return replace(found, report=replace(found.report, cleanup=CleanupReport(state=cleanup.state, left=cleanup.left)))


def complete(place: Path, found: Examined, recording: Recording, cleanup: Cleanup | None, console: Console) -> None:
    """Complete the trace folder `place`.

    Raises:
        OSError: it cannot be written to.
    """
    if cleanup is not None:
        folder.write_recording(place, replace(recording, cleanup=cleanup))
    report = found.report
    for name, text in (
        (folder.RESULT, document.to_json(report)),
        (folder.SUMMARY, document.to_markdown(report)),
        (folder.PAGE, page.render(report)),
        (folder.README, folder.README_TEXT),
    ):
        (place / name).write_text(text, encoding="utf-8")
    if sum(map(len, found.case.tables.values())) <= _MOST_MERGED:
        _write_merged(place / folder.MERGED, found, console)
    else:
        console.step(f"{folder.MERGED} is left out: more than {_MOST_MERGED:,} packets; analyze --pcap FILE writes it from the bundle")
    folder.write_manifest(place)


def write_pcap(destination: str | None, found: Examined, console: Console) -> None:
    """Write the merged capture where `--pcap` says, if anywhere.

    Raises:
        UnwritableError, BrokenPipeError: it is stdout, which cannot be written to.
        UsageError: it is a file that cannot be written, or a terminal.
        PcapError: a capture can no longer be read.
    """
    if destination is None:
        return
    if destination == STDOUT:
        with stdout.binary() as stream:
            merged.write(found.case, found.report, stream)
        console.step(found.report.summary)
        return
    try:
        with Path(destination).open("xb") as stream:
            merged.write(found.case, found.report, stream)
    except OSError as error:
        raise UsageError(f"cannot write {destination}: {error.strerror}", "name another place with --pcap") from error


def _write_merged(path: Path, found: Examined, console: Console) -> None:
    """Write the merged capture into the bundle, which is whole without it where a capture cannot be read again. Raises OSError."""
    try:
        with path.open("wb") as stream:
            merged.write(found.case, found.report, stream)
    except PcapError as error:
        path.unlink()
        console.warn(f"there is no {path.name}: {error.message}")


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
    """Print the report as `form` says, unless stdout carries the capture; `bundle` is what was written of it."""
    if form.pcap != STDOUT:
        stdout.write(_rendered(report, form, bundle))


def _rendered(report: TraceReport, form: ReportFlags, bundle: Path | None) -> str:
    match form.output:
        case Output.JSON:
            return document.to_json(report)
        case Output.YAML:
            return document.to_yaml(report)
        case Output.MARKDOWN:
            return document.to_markdown(report)
        case Output.HTML:
            return page.render(report)
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
