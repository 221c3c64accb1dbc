"""`pod`: from a request to a delivered report; the clean-up happens in every case.

What a trace needs and what the analysis needs each take a fifth of a second to import: `finish` comes in while the captures run.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from kubectl_vxtrace import scratch
from kubectl_vxtrace.bundle.destination import destination
from kubectl_vxtrace.commands import left
from kubectl_vxtrace.commands.wanted import Wanted
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import UsageError, VxtraceError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.scratch import Scratch
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.trace import Trace

NO_BUNDLE = "none"


def run(request: Request, console: Console, *, form: ReportFlags, bundle: str | None, exits: ExitFlags) -> int:
    """Trace, report, write the bundle; returns the exit code.

    Args:
        request: what to trace.
        console: where progress is told.
        form: how the report is printed.
        bundle: where to write the bundle (bundle/destination.py); `none` for nowhere.
        exits: how the verdict becomes an exit code.

    Raises:
        VxtraceError: nothing was recorded; everything was removed again, or LeftBehindError says what was not.
        KeyboardInterrupt: interrupted before anything was recorded, and cleaned up; what else went wrong then is said.
        UnwritableError, BrokenPipeError: the report could not be printed; its bundle is written, and everything was removed.
    """
    wanted = Wanted(form=form, bundle=None if bundle == NO_BUNDLE else destination(bundle), exits=exits)
    wanted.check()
    if request.anonymize and request.payload:
        raise UsageError("--payload keeps what applications send, and --anonymize cannot hide what is named in it", "leave one of them out")
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
            left.give_up(cleanup, console, error)
            if interruption.signalled and isinstance(error, VxtraceError):
                console.warn(error.message)
                raise KeyboardInterrupt from error
            raise
        # Deleting pods takes seconds, as they are given time to end; it runs beside the analysis and its outcome joins last.
        removal = beside.submit(_clean_up, trace)
        from kubectl_vxtrace.commands import finish

        return finish.run(recording, removal, place, wanted, console, interrupted=lambda: interruption.signalled, audit=trace.audit)


def _import_analysis() -> None:
    import_module("kubectl_vxtrace.commands.finish")


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
        labelled = f"those labelled vxtrace/session={trace.session} ({type(error).__name__}: {error})"
        return Cleanup(state=CleanupState.UNCONFIRMED, left=(labelled,))


def _leave_captures(place: Scratch, console: Console, *, given_up: bool) -> None:
    """Leave what was fetched to the user, and nothing else; of captures that were `given_up`, say that there is nothing."""
    if kept := _kept_captures(place):
        console.warn(kept)
        return
    place.remove()
    if given_up:
        console.warn("nothing of the captures was kept")


def _kept_captures(place: Scratch) -> str:
    """Leave captures that were fetched to the user, and say where; empty where there are none."""
    return f"what was captured is in {place.keep()}" if any(place.path.glob("*.pcap")) else ""
