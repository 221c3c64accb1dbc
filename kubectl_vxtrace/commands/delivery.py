"""From a recording to a report on stdout, a bundle on disk and an exit code."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from kubectl_vxtrace import merged
from kubectl_vxtrace.analysis import Examined, dissected, examine
from kubectl_vxtrace.anonymous import Anonymous, anonymous, check_nothing_remains, check_same, check_text
from kubectl_vxtrace.bundle import folder, pack
from kubectl_vxtrace.bundle.destination import Destination
from kubectl_vxtrace.commands import forms, stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.diagnosis.report.verdict import exit_code, left_behind
from kubectl_vxtrace.errors import CannotRunError, ExitCode, PcapError, UsageError
from kubectl_vxtrace.flags.records import STDOUT, ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
from kubectl_vxtrace.packets.dissect import DissectError
from kubectl_vxtrace.report import document, handoff, table, wide
from kubectl_vxtrace.report.changes import changes
from kubectl_vxtrace.report.crossing import crossings
from kubectl_vxtrace.report.html import page

T = TypeVar("T")

_MOST_MERGED = 1_000_000
"""Packets of all hops that a bundle holds twice: by capture, and merged."""

TABLES = {Output.TABLE: table.body, Output.WIDE: wide.body}
"""Forms whose last lines name the bundle."""


def examined(recording: Recording, console: Console) -> Examined:
    """The report and what it was made from, with tshark's dissection where there is a tshark; without, that is said once."""
    found = examine(recording)
    try:
        return replace(found, report=dissected(found))
    except (DissectError, PcapError) as error:
        console.step(f"{error.message}: {error.hint}")
        return found


@dataclass(frozen=True, slots=True)
class Hidden:
    """A trace under pseudonyms, and what was made of it."""

    recording: Recording
    found: Examined
    anonymous: Anonymous

    def changed(self, value: T) -> T:
        """The same record under the same pseudonyms."""
        return self.anonymous.changed(value)

    def check(self, place: Path) -> None:
        """Raise CannotRunError where a file of the bundle says an address that has a pseudonym."""
        check_nothing_remains(place, self.anonymous)


def anonymised(recording: Recording, found: Examined, console: Console) -> Hidden:
    """The recording under pseudonyms, below its own folder, and its report, which says the same as that of `found`.

    Raises:
        CannotRunError: it cannot be had, with the reason: nothing may be given away then.
    """
    try:
        hidden = anonymous(recording, Path(recording.folder) / "anonymous")
    except OSError as error:
        raise CannotRunError(f"cannot anonymize: {error.strerror or error}", "set TMPDIR to a place that has room") from error
    again = examined(hidden.recording, console)
    check_same(found.report, again.report)
    check_text("the report", document.to_json(again.report), hidden)
    if hidden.left_out:
        console.step(f"{hidden.left_out} raw answers of nodes are left out of the bundle: they say addresses as numbers")
    return Hidden(hidden.recording, again, hidden)


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
    found_between = crossings(found.case)
    for name, text in (
        (folder.RESULT, document.to_json(report)),
        (folder.SCHEMA, document.schema_text()),
        (folder.SUMMARY, document.to_markdown(report)),
        (folder.PAGE, page.render(report, changes(found.case.recording.before, found.case.recording.after))),
        (folder.README, folder.readme(anonymized=recording.anonymized)),
        *([(folder.HANDOFF, handoff.render(report, found_between))] if handoff.concerns(found_between) else []),
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
        console.step(found.report.summary)
        with stdout.binary() as stream:
            merged.write(found.case, found.report, stream)
        return
    try:
        with Path(destination).open("xb") as stream:
            merged.write(found.case, found.report, stream)
    except OSError as error:
        raise UsageError(f"cannot write {destination}: {error.strerror}", "name another place with --pcap") from error


def _write_merged(path: Path, found: Examined, console: Console) -> None:
    """Write the merged capture into the bundle, which is whole without it where a capture cannot be read again, or there is no room."""
    try:
        with path.open("wb") as stream:
            merged.write(found.case, found.report, stream)
    except (PcapError, OSError) as error:
        path.unlink(missing_ok=True)
        console.warn(f"there is no {path.name}: {error.message if isinstance(error, PcapError) else error.strerror}")


def packed(place: Path, report: TraceReport, wanted: Destination) -> Path | None:
    """The trace folder as a bundle where it is wanted; its path, None for stdout.

    Raises:
        UsageError: it cannot be written there.
        UnwritableError, BrokenPipeError: it is stdout, which cannot be written to.
    """
    started = datetime.fromisoformat(report.metadata.started).astimezone(UTC)
    name = f"vxtrace-{report.metadata.session}-{started:%Y%m%dT%H%M%SZ}"
    packing = pack.Packing(folder=place, name=name, time_s=int(started.timestamp()))
    path = wanted.path(name)
    if path is None:
        with stdout.binary() as stream:
            pack.write(packing, stream, wanted.form)
    else:
        pack.pack(packing, path, wanted.form)
    return path


def show(found: Examined, form: ReportFlags) -> None:
    """Print a report that is complete and has no bundle, unless stdout carries the capture."""
    screen = Screen(form)
    screen.begin(found.report)
    screen.report(found)
    screen.end(found.report, None)


class Screen:
    """A report on stdout, as soon as each part of it is known: nothing that may fail or take long stands before the verdict.

    `form` says how; `taken`: stdout carries something else, and nothing is printed.
    """

    def __init__(self, form: ReportFlags, *, taken: bool = False) -> None:
        self._form = form
        self._taken = taken or form.pcap == STDOUT

    def begin(self, report: TraceReport) -> None:
        """Print what needs nothing but the analysis: the table without its last lines."""
        if (body := TABLES.get(self._form.output)) is not None:
            self._print(body(report, width=stdout.columns(), color=stdout.colored(self._form.color)))

    def report(self, found: Examined) -> None:
        """Print a form that says in its middle what became of the debug pods: all but the table."""
        if not self._taken:
            for piece in forms.pieces(found, self._form.output):
                self._print(piece)

    def end(self, report: TraceReport, bundle: Path | None) -> None:
        """Print what names the bundle that was written: the table's last lines, or its name alone."""
        if self._form.output in TABLES:
            where = str(bundle) if bundle is not None else None
            self._print(table.ending(report, width=stdout.columns(), color=stdout.colored(self._form.color), bundle=where))
        elif self._form.output is Output.NAME and bundle is not None:
            self._print(f"{bundle}\n")

    def _print(self, text: str) -> None:
        """Raises UnwritableError or BrokenPipeError."""
        if not self._taken:
            stdout.write(text)


def final_code(report: TraceReport, exits: ExitFlags, *, interrupted: bool) -> int:
    """The contract's exit code: something left wins over everything, then an interruption."""
    if left_behind(report):
        return ExitCode.LEFT_BEHIND
    if interrupted:
        return ExitCode.INTERRUPTED
    code = exit_code(report, strict=exits.strict)
    return ExitCode.DELIVERED if exits.exit_zero and code in (ExitCode.BROKEN, ExitCode.UNDECIDED) else code
