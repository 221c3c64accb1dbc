"""The end of a trace: from its recording to a report on the screen, a bundle on disk, and an exit code.

Nothing that may fail or take long stands before the verdict: it is printed first, then come the merged capture and the bundle.
"""

import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from kubectl_vxtrace.analysis import Examined
from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.commands import delivery, left, stdout
from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.commands.wanted import Wanted
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import ExitCode, LeftBehindError, VxtraceError
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.scratch import Scratch

_NOT_PRINTED = (UnwritableError, BrokenPipeError)


def run(
    recording: Recording,
    removal: Future[Cleanup | None],
    place: Scratch,
    wanted: Wanted,
    console: Console,
    *,
    interrupted: Callable[[], bool],
    audit: Callable[[], Iterable[str]],
) -> int:
    """Analyse, print, and write what else is wanted; nothing is left of the folder but where that cannot be written. The exit code.

    Args:
        recording: what was recorded, in the folder `place`.
        removal: of the debug pods, which is under way.
        place: the trace folder.
        wanted: what to print and to write.
        console: where is told what could not be written.
        interrupted: whether somebody wanted the trace to end.
        audit: what was asked of the API and of nodes until then.

    Raises:
        LeftBehindError: the report cannot be printed, or there is none, and a debug pod could not be confirmed gone.
        UnwritableError, BrokenPipeError: the report cannot be printed; its bundle is written, and everything was removed.
    """
    try:
        found = delivery.examined(recording, console)
        hidden = delivery.anonymised(recording, found, console) if recording.request is not None and recording.request.anonymize else None
    except BaseException as error:
        console.warn(_kept(place))
        left.give_up(removal.result(), console, error)
        raise
    trace = _Analysed(true=found, given=found, recording=recording)
    if hidden is not None:
        trace = _Analysed(true=found, given=hidden.found, recording=hidden.recording, hidden=hidden)
    shows_true = hidden is not None and wanted.form.output in delivery.TABLES and stdout.columns() is not None
    if shows_true:
        console.step("this table has the true names; what is written or printed otherwise has pseudonyms")
    screen = _Patient(delivery.Screen(wanted.form, taken=wanted.bundle_on_stdout))
    if wanted.bundle_on_stdout:
        console.step(found.report.summary)
    screen.do(lambda: screen.screen.begin((trace.true if shows_true else trace.given).report))
    cleanup = removal.result()
    left.say(cleanup, console)
    trace = trace.joined(cleanup)
    shown = trace.true if shows_true else trace.given
    screen.do(lambda: screen.screen.report(shown))
    _write_pcap(trace.given, wanted, console)
    path, is_written = _write_bundle(lambda: trace.complete(console, audit), trace, place, wanted, console)
    screen.do(lambda: screen.screen.end(shown.report, path))
    if screen.failure is not None and path is not None:
        console.warn(f"the report is in {path}")
    code = delivery.final_code(trace.true.report, wanted.exits, interrupted=interrupted())
    if screen.failure is not None:
        _say_unprinted(screen.failure, trace.true.report, code)
    if wanted.form.output is Output.NAME and not is_written and code != ExitCode.LEFT_BEHIND:
        return ExitCode.CANNOT_RUN
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analysed:
    """A trace: `true` with the names that it has, `given` as it is given away, `recording` and `cleanup` as well.

    They differ where it is `hidden` under pseudonyms.
    """

    true: Examined
    given: Examined
    recording: Recording
    cleanup: Cleanup | None = None
    hidden: delivery.Hidden | None = None

    def joined(self, cleanup: Cleanup | None) -> "_Analysed":
        """The same with what became of the debug pods."""
        true = delivery.joined(self.true, cleanup)
        if self.hidden is None:
            return replace(self, true=true, given=true, cleanup=cleanup)
        changed = self.hidden.changed(cleanup)
        return replace(self, true=true, given=delivery.joined(self.given, changed), cleanup=changed)

    def complete(self, console: Console, audit: Callable[[], Iterable[str]]) -> Path:
        """Write into the recording's folder all that the bundle holds; the folder.

        Raises:
            OSError: it cannot be written to.
            CannotRunError: what is hidden would still be said.
        """
        place = Path(self.recording.folder)
        folder.write_audit(place, audit() if self.hidden is None else map(self.hidden.changed, audit()))
        delivery.complete(place, self.given, self.recording, self.cleanup, console)
        if self.hidden is not None:
            self.hidden.check(place)
        return place


class _Patient:
    """A screen that may fail without anything else being left undone. `failure` is why it did, the first time."""

    def __init__(self, screen: delivery.Screen) -> None:
        self.screen = screen
        self.failure: Exception | None = None

    def do(self, show: Callable[[], None]) -> None:
        """Show something, unless that has failed before."""
        if self.failure is None:
            try:
                show()
            except _NOT_PRINTED as error:
                self.failure = error


def _write_pcap(found: Examined, wanted: Wanted, console: Console) -> None:
    try:
        delivery.write_pcap(wanted.form.pcap, found, console)
    except (*_NOT_PRINTED, VxtraceError) as error:
        console.warn(f"there is no merged capture: {_reason(error)}")


def _write_bundle(
    complete: Callable[[], Path], trace: _Analysed, place: Scratch, wanted: Wanted, console: Console
) -> tuple[Path | None, bool]:
    """Write the bundle where one is wanted; its path, None for stdout or none, and whether it was written.

    Where it cannot be, the folder that it would have held is left, and said.
    """
    written, path = False, None
    try:
        if wanted.bundle is not None:
            path = delivery.packed(complete(), trace.given.report, wanted.bundle)
            written = True
        place.remove()
    except (OSError, VxtraceError) as error:
        console.warn(f"there is no bundle: {_reason(error)}; {_kept(place)}")
    except Exception as error:  # a defect of a writer; the verdict was printed and stands
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        console.warn(f"there is no bundle: the plugin failed: {said}; this is a defect: please report it; {_kept(place)}")
        console.detail("".join(traceback.format_exception(error)))
    return path, written


def _reason(error: OSError | VxtraceError) -> str:
    if isinstance(error, BrokenPipeError):
        return "nobody reads it"
    if isinstance(error, OSError):
        return ": ".join(filter(None, (error.strerror or str(error), error.filename)))
    return str(error)


def _kept(place: Scratch) -> str:
    """Leave the folder to the user; what to say of that."""
    return f"what was recorded is in {place.keep()}; once more: kubectl vxtrace analyze {place.path}"


def _say_unprinted(failure: Exception, report: TraceReport, code: int) -> None:
    """Raise why the report could not be printed, with what is left in the cluster where something is."""
    if code == ExitCode.LEFT_BEHIND:
        pods = report.cleanup.left if report.cleanup is not None else ()
        raise LeftBehindError(f"{failure}\n{left.text(pods)}", "kubectl vxtrace cleanup") from failure
    raise failure
