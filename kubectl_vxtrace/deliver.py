"""From a request to a report on stdout, a bundle on disk and an exit code; the clean-up happens in every case."""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vxtrace.analysis import dissected, examine
from kubectl_vxtrace.bundle import archive, folder, source
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.diagnosis.verdict import exit_code, left_behind
from kubectl_vxtrace.errors import ExitCode, LeftBehindError, UsageError
from kubectl_vxtrace.interruption import Interruption
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.options import Color, Output
from kubectl_vxtrace.packets.dissect import DissectError
from kubectl_vxtrace.report import document, markdown, table

if TYPE_CHECKING:
    from kubectl_vxtrace.trace import Trace

NO_BUNDLE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the report is delivered: the flags of the output."""

    output: Output
    color: Color
    bundle: str | None
    strict: bool
    exit_zero: bool
    quiet: bool
    verbose: bool


def analysed(paths: Sequence[Path], delivery: Delivery) -> int:
    """Report on what is on disk; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="vxtrace-") as scratch:
        report = _report(source.open_recording(paths, Path(scratch)), Stderr(quiet=delivery.quiet, verbose=delivery.verbose))
        _print(report, delivery, bundle=None)
    return _final_code(report, delivery, interrupted=False)


def traced(request: Request, delivery: Delivery) -> int:
    """Trace, report, write the bundle; returns the exit code.

    Raises:
        VxtraceError: nothing was recorded; everything was removed again, or LeftBehindError says what was not.
        KeyboardInterrupt: interrupted before anything was recorded, and cleaned up.
    """
    # The Kubernetes client is imported here, as `analyze` needs none.
    from kubectl_vxtrace.trace import Trace

    _check_bundle(delivery)
    console = Stderr(quiet=delivery.quiet, verbose=delivery.verbose)
    interruption = Interruption()
    place = Path(tempfile.mkdtemp(prefix="vxtrace-"))
    trace = Trace(request, place, console, interruption)
    with interruption.installed(), ThreadPoolExecutor(1) as beside:
        try:
            recording = _record(trace, interruption, request.limits.max_wall_s)
        except BaseException as error:
            _give_up(trace, place, console, error)
            raise
        # Deleting pods takes seconds, as they are given time to end; it runs beside the analysis and its outcome joins last.
        removal = beside.submit(trace.clean_up)
        try:
            report, bundle = _deliver(recording, removal, place, delivery, console)
        except BaseException:
            console.warn(f"what was recorded is in {place}")
            raise
    _print(report, delivery, bundle)
    return _final_code(report, delivery, interrupted=interruption.signalled)


def _record(trace: "Trace", interruption: Interruption, max_wall_s: float) -> Recording:
    """Run the trace; its waiting ends early when the time for everything is over."""
    timer = threading.Timer(max_wall_s, interruption.stop.set)
    timer.daemon = True
    timer.start()
    try:
        return trace.run()
    finally:
        timer.cancel()


def _give_up(trace: "Trace", place: Path, console: Stderr, error: BaseException) -> None:
    """Clean up after a trace that ended without a recording to report on; what was captured stays on disk.

    Raises:
        LeftBehindError: a debug pod could not be confirmed gone.
    """
    cleanup = trace.clean_up()
    if any(path.is_file() for path in place.rglob("*")):
        console.warn(f"what was recorded is in {place}")
    else:
        shutil.rmtree(place)
    if cleanup is not None and cleanup.state is CleanupState.UNCONFIRMED:
        raise LeftBehindError(f"{error}\n{_left_text(cleanup)}", "kubectl vxtrace cleanup") from error


def _deliver(
    recording: Recording, removal: Future[Cleanup | None], place: Path, delivery: Delivery, console: Stderr
) -> tuple[TraceReport, Path | None]:
    """Analyse, join the clean-up's outcome, complete the folder, and pack it."""
    report = _report(recording, console)
    cleanup = removal.result()
    if cleanup is not None:
        report = replace(report, cleanup=CleanupReport(state=cleanup.state, left=cleanup.left))
        folder.write_recording(place, replace(recording, cleanup=cleanup))
    (place / folder.RESULT).write_text(document.to_json(report), encoding="utf-8")
    (place / folder.SUMMARY).write_text(markdown.render(report), encoding="utf-8")
    folder.write_manifest(place)
    if delivery.bundle == NO_BUNDLE:
        shutil.rmtree(place)
        return report, None
    destination = _destination(delivery, report)
    archive.pack(place, destination)
    shutil.rmtree(place)
    return report, destination


def _report(recording: Recording, console: Stderr) -> TraceReport:
    """The report, with tshark's dissection where there is a tshark; without, that is said once."""
    examined = examine(recording)
    try:
        return dissected(examined)
    except DissectError as error:
        console.step(f"{error.message}: {error.hint}")
        return examined.report


def _check_bundle(delivery: Delivery) -> None:
    """Refuse before anything is created what could not be delivered in the end."""
    if delivery.bundle == NO_BUNDLE:
        if delivery.output is Output.NAME:
            raise UsageError("-o name prints the bundle's path, and --bundle none writes no bundle", "leave one of them out")
        return
    destination = Path(delivery.bundle) if delivery.bundle is not None else Path.cwd() / "bundle"
    if destination.exists() and delivery.bundle is not None:
        raise UsageError(f"{destination} exists already", "name another file with --bundle")
    if not os.access(destination.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"no bundle can be written in {destination.parent.absolute()}", "name another place with --bundle, or --bundle none"
        )


def _destination(delivery: Delivery, report: TraceReport) -> Path:
    if delivery.bundle is not None:
        return Path(delivery.bundle)
    stamp = datetime.fromisoformat(report.metadata.started).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path.cwd() / f"vxtrace-{report.metadata.session}-{stamp}.zip"


def _print(report: TraceReport, delivery: Delivery, bundle: Path | None) -> None:
    sys.stdout.write(_rendered(report, delivery, bundle))
    sys.stdout.flush()


def _rendered(report: TraceReport, delivery: Delivery, bundle: Path | None) -> str:
    match delivery.output:
        case Output.JSON:
            return document.to_json(report)
        case Output.YAML:
            return document.to_yaml(report)
        case Output.MARKDOWN:
            return markdown.render(report)
        case Output.NAME:
            return f"{bundle}\n"
        case Output.TABLE:
            return table.render(
                report,
                width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
                color=_colored(delivery.color),
                bundle=str(bundle) if bundle is not None else None,
            )


def _colored(mode: Color) -> bool:
    """https://no-color.org: a NO_COLOR that is not empty switches colour off unless a flag says otherwise."""
    if mode is Color.AUTO:
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return mode is Color.ALWAYS


def _final_code(report: TraceReport, delivery: Delivery, *, interrupted: bool) -> int:
    """The contract's exit code: something left wins over everything, then an interruption."""
    if left_behind(report):
        return ExitCode.LEFT_BEHIND
    if interrupted:
        return ExitCode.INTERRUPTED
    code = exit_code(report, strict=delivery.strict)
    return ExitCode.DELIVERED if delivery.exit_zero and code in (ExitCode.BROKEN, ExitCode.UNDECIDED) else code


def _left_text(cleanup: Cleanup) -> str:
    return "debug pods that may be left: " + ", ".join(cleanup.left)
