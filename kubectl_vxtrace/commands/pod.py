"""`pod`: from a request to a delivered report; the clean-up happens in every case.

What a trace needs and what the analysis needs each take a fifth of a second to import: `delivery` comes in while the captures run.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vxtrace import scratch
from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import ExitCode, LeftBehindError, UsageError, VxtraceError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.scratch import Scratch
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
    form.check()
    _check_bundle(form.output, bundle)
    scratch.sweep()
    place = Scratch()
    interruption = Interruption()
    trace = Trace(request, place.path, console, interruption, meanwhile=_import_analysis)
    interruption.left = trace.what_may_be_left
    interruption.kept = lambda: _kept_captures(place)
    with interruption.installed(), ThreadPoolExecutor(1) as beside:
        try:
            recording = _record(trace, interruption, request.limits.max_wall_s)
        except BaseException as error:
            cleanup = _clean_up(trace)
            _leave_captures(place, console, given_up=cleanup is not None and isinstance(error, KeyboardInterrupt))
            _give_up(cleanup, console, error)
            raise
        # Deleting pods takes seconds, as they are given time to end; it runs beside the analysis and its outcome joins last.
        removal = beside.submit(_clean_up, trace)
        report, written = _deliver(recording, removal, place, form, bundle, console)
    return _show(report, written, form, exits, console, interrupted=interruption.signalled)


def _show(report: "TraceReport", written: Path | None, form: ReportFlags, exits: ExitFlags, console: Console, *, interrupted: bool) -> int:
    """Print the report; returns the exit code."""
    from kubectl_vxtrace.commands import delivery

    code = delivery.final_code(report, exits, interrupted=interrupted)
    if form.output is Output.NAME and written is None:
        return code if code == ExitCode.LEFT_BEHIND else ExitCode.CANNOT_RUN
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


def _clean_up(trace: Trace) -> Cleanup | None:
    """Remove the debug pods. Where that fails as nobody foresaw, nobody knows what is left."""
    try:
        return trace.clean_up()
    except Exception as error:
        left = f"those labelled vxtrace/session={trace.session} ({type(error).__name__}: {error})"
        return Cleanup(state=CleanupState.UNCONFIRMED, left=(left,))


def _leave_captures(place: Scratch, console: Console, *, given_up: bool) -> None:
    """Leave what was fetched to the user, and nothing else; of captures that were `given_up`, say that there is nothing."""
    if kept := _kept_captures(place):
        console.warn(kept)
        return
    place.remove()
    if given_up:
        console.warn("nothing of the captures was kept")


def _give_up(cleanup: Cleanup | None, console: Console, error: BaseException) -> None:
    """Say what is left in the cluster of a trace that ended without a report.

    Raises:
        LeftBehindError: a debug pod could not be confirmed gone.
    """
    if cleanup is not None and cleanup.state is CleanupState.UNCONFIRMED:
        raise LeftBehindError(f"{str(error) or 'interrupted'}\n{_left_text(cleanup.left)}", "kubectl vxtrace cleanup") from error
    _say(cleanup, console)


def _kept_captures(place: Scratch) -> str:
    """Leave captures that were fetched to the user, and say where; empty where there are none."""
    return f"what was captured is in {place.keep()}" if any(place.path.glob("*.pcap")) else ""


def _say(cleanup: Cleanup | None, console: Console) -> None:
    """What became of the debug pods; who reads JSON sees it here as well."""
    if cleanup is None:
        return
    match cleanup.state:
        case CleanupState.CONFIRMED:
            console.step(f"{cleanup.pods} of {cleanup.pods} debug pods gone")
        case CleanupState.KEPT:
            console.step(f"debug pods kept: {', '.join(cleanup.left)}")
        case CleanupState.UNCONFIRMED:
            console.warn(f"{_left_text(cleanup.left)}; later: kubectl vxtrace cleanup")


def _deliver(
    recording: Recording, removal: Future[Cleanup | None], place: Scratch, form: ReportFlags, bundle: str | None, console: Console
) -> tuple["TraceReport", Path | None]:
    """Analyse, write the merged capture where it is wanted, and the bundle; nothing is left of the folder.

    Raises:
        LeftBehindError: there is no report, and a debug pod could not be confirmed gone.
    """
    from kubectl_vxtrace.commands import delivery
    from kubectl_vxtrace.payload import without_payload

    try:
        recording = without_payload(recording, console)
        found = delivery.examined(recording, console)
    except BaseException as error:
        console.warn(f"what was recorded is in {place.keep()}; once more: kubectl vxtrace analyze {place.path}")
        _give_up(removal.result(), console, error)
        raise
    cleanup = removal.result()
    _say(cleanup, console)
    found = delivery.joined(found, cleanup)
    try:
        delivery.write_pcap(form.pcap, found, console)
    except (UnwritableError, BrokenPipeError, VxtraceError) as error:
        console.warn(f"there is no merged capture: {error or 'nobody reads it'}")
    if bundle == NO_BUNDLE:
        place.remove()
        return found.report, None
    try:
        delivery.complete(place.path, found, recording, cleanup, console)
        written = delivery.packed(place.path, found.report, Path(bundle) if bundle is not None else None)
    except (OSError, VxtraceError) as error:
        console.warn(f"there is no bundle: {error}; what was recorded is in {place.keep()}")
        return found.report, None
    place.remove()
    return found.report, written


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
