"""From a request to a delivered report; the clean-up happens in every case.

What a trace needs and what the analysis needs each take a fifth of a second to import: `publish` comes in while the captures run.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import LeftBehindError, UsageError
from kubectl_vxtrace.interruption import Interruption
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.options import Color, Output

if TYPE_CHECKING:
    from kubectl_vxtrace.model.report import TraceReport
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


def analysed(paths: Sequence[Path], nodes: Sequence[str], hops: Sequence[str], delivery: Delivery) -> int:
    """Report on what is on disk, with what the user says of it (`--node`, `--hop`); returns the exit code."""
    from kubectl_vxtrace import publish
    from kubectl_vxtrace.bundle import given, source

    console = Stderr(quiet=delivery.quiet, verbose=delivery.verbose)
    said = given.read_given(nodes, hops)
    with tempfile.TemporaryDirectory(prefix="vxtrace-") as scratch:
        report = publish.report_of(source.open_recording(paths, Path(scratch), said), console)
        publish.show(report, delivery.output, delivery.color, bundle=None)
    return publish.final_code(report, strict=delivery.strict, exit_zero=delivery.exit_zero, interrupted=False)


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
            report, bundle = _deliver(recording, removal, place, delivery, console)
        except BaseException:
            console.warn(f"what was recorded is in {place}")
            raise
    from kubectl_vxtrace import publish

    publish.show(report, delivery.output, delivery.color, bundle)
    return publish.final_code(report, strict=delivery.strict, exit_zero=delivery.exit_zero, interrupted=interruption.signalled)


def _import_analysis() -> None:
    import_module("kubectl_vxtrace.publish")


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
    if any(place.glob("*.pcap")):
        console.warn(f"what was captured is in {place}")
    else:
        shutil.rmtree(place)
    if cleanup is not None and cleanup.state is CleanupState.UNCONFIRMED:
        raise LeftBehindError(f"{error}\n{_left_text(cleanup)}", "kubectl vxtrace cleanup") from error


def _deliver(
    recording: Recording, removal: Future[Cleanup | None], place: Path, delivery: Delivery, console: Stderr
) -> tuple["TraceReport", Path | None]:
    """Analyse, complete the folder, and pack it; nothing is left of the folder."""
    from kubectl_vxtrace import publish

    report = publish.completed(recording, removal, place, console)
    bundle = None
    if delivery.bundle != NO_BUNDLE:
        bundle = publish.packed(place, report, Path(delivery.bundle) if delivery.bundle is not None else None)
    shutil.rmtree(place)
    return report, bundle


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


def _left_text(cleanup: Cleanup) -> str:
    return "debug pods that may be left: " + ", ".join(cleanup.left)
