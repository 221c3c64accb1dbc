"""`pod`: from a request to a delivered report; the clean-up happens in every case.

What a trace needs and what the analysis needs each take a fifth of a second to import: `delivery` comes in while the captures run.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import ExitCode, LeftBehindError, UsageError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.trace import Trace

if TYPE_CHECKING:
    from kubectl_vxtrace.model.report import TraceReport

NO_BUNDLE = "none"


def run(request: Request, console: Console, *, form: ReportFlags, bundle: str | None, exits: ExitFlags) -> int:
    """Trace, report, write the bundle; returns the exit code.

    Args:
        request: what to trace.
        console: where progress is told.
        form: how the report is printed.
        bundle: where to write the bundle; `none` for nowhere, None for a name of its own in the current directory.
        exits: how the verdict becomes an exit code.

    Raises:
        VxtraceError: nothing was recorded; everything was removed again, or LeftBehindError says what was not.
        KeyboardInterrupt: interrupted before anything was recorded, and cleaned up.
        UnwritableError, BrokenPipeError: the report could not be printed; its bundle is written, and everything was removed.
    """
    _check_bundle(form.output, bundle)
    interruption = Interruption()
    place = Path(tempfile.mkdtemp(prefix="vxtrace-"))
    trace = Trace(request, place, console, interruption, meanwhile=_import_analysis)
    with interruption.installed(), ThreadPoolExecutor(1) as beside:
        try:
            recording = _record(trace, interruption, request.limits.max_wall_s)
        except BaseException as error:
            _give_up(trace, place, console, error)
            raise
        # Deleting pods takes seconds, as they are given time to end; it runs beside the analysis and its outcome joins last.
        removal = beside.submit(trace.clean_up)
        try:
            report, written = _deliver(recording, removal, place, bundle, console)
        except BaseException:
            console.warn(f"what was recorded is in {place}")
            raise
    from kubectl_vxtrace.commands import delivery

    code = delivery.final_code(report, exits, interrupted=interruption.signalled)
    try:
        delivery.show(report, form, written)
    except (UnwritableError, BrokenPipeError) as error:
        if written is not None:
            console.warn(f"the report is in {written}")
        if code == ExitCode.LEFT_BEHIND:
            left = report.cleanup.left if report.cleanup is not None else ()
            raise LeftBehindError(f"{error}\n{_left_text(left)}", "kubectl vxtrace cleanup") from error
        raise
    return code


def _import_analysis() -> None:
    import_module("kubectl_vxtrace.commands.delivery")


def _record(trace: Trace, interruption: Interruption, max_wall_s: float) -> Recording:
    """Run the trace; its waiting ends early when the time for everything is over."""
    timer = threading.Timer(max_wall_s, interruption.stop.set)
    timer.daemon = True
    timer.start()
    try:
        return trace.run()
    finally:
        timer.cancel()


def _give_up(trace: Trace, place: Path, console: Console, error: BaseException) -> None:
    """Clean up after a trace that ended without a recording to report on; what was captured stays on disk.

    Raises:
        LeftBehindError: a debug pod could not be confirmed gone.
    """
    cleanup = trace.clean_up()
    if any(place.glob("*.pcap")):
        console.warn(f"what was captured is in {place}")
    else:
        shutil.rmtree(place)
    if cleanup is not None and cleanup.state is CleanupState.UNCONFIRMED:
        raise LeftBehindError(f"{error}\n{_left_text(cleanup.left)}", "kubectl vxtrace cleanup") from error


def _deliver(
    recording: Recording, removal: Future[Cleanup | None], place: Path, bundle: str | None, console: Console
) -> tuple["TraceReport", Path | None]:
    """Analyse, complete the folder, and pack it; nothing is left of the folder."""
    from kubectl_vxtrace.commands import delivery

    report = delivery.completed(recording, removal, place, console)
    written = None
    if bundle != NO_BUNDLE:
        written = delivery.packed(place, report, Path(bundle) if bundle is not None else None)
    shutil.rmtree(place)
    return report, written


def _check_bundle(output: Output, bundle: str | None) -> None:
    """Refuse before anything is created what could not be delivered in the end."""
    if bundle == NO_BUNDLE:
        if output is Output.NAME:
            raise UsageError("-o name prints the bundle's path, and --bundle none writes no bundle", "leave one of them out")
        return
    destination = Path(bundle) if bundle is not None else Path.cwd() / "bundle"
    if destination.exists() and bundle is not None:
        raise UsageError(f"{destination} exists already", "name another file with --bundle")
    if not os.access(destination.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"no bundle can be written in {destination.parent.absolute()}", "name another place with --bundle, or --bundle none"
        )


def _left_text(left: Sequence[str]) -> str:
    return "debug pods that may be left: " + ", ".join(left)
