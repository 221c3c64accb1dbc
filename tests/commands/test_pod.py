"""A trace from its request to its exit code; and what is imported when: it starts without what only its analysis needs."""

import errno
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import Examined
from kubectl_vxtrace.bundle import folder, reading, source
from kubectl_vxtrace.commands import delivery, pod, stdout
from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import CannotRunError, LeftBehindError, UsageError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Overlay, Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.signals import Interruption
from tests.command import ROOT
from tests.report.build import report
from tests.unpacking import contents
from tests.wire import frames

REQUEST = Request(command="pod", source=Target(name="web"), target=Target(name="api"))
ANALYSIS = (
    "numpy",
    "pyshark",
    "kubectl_vxtrace.analysis",
    "kubectl_vxtrace.diagnosis",
    "kubectl_vxtrace.journeys",
    "kubectl_vxtrace.packets",
)


def test_a_trace_starts_without_the_analysis() -> None:
    code = f"import sys, kubectl_vxtrace.commands.pod\nprint([name for name in {ANALYSIS!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_what_is_imported_meanwhile_is_the_analysis() -> None:
    code = "import sys\nfrom kubectl_vxtrace.commands import pod\npod._import_analysis()\nprint('kubectl_vxtrace.analysis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"


class _Trace:
    """A trace that has recorded, and was cleaned up as `cleanup` says."""

    cleanup = Cleanup(state=CleanupState.CONFIRMED)
    failure: BaseException | None = None
    session = "7f3a"

    def __init__(self, request: Request, folder: Path, *_: object, meanwhile: object) -> None:
        self._request, self._folder = request, folder

    def run(self) -> Recording:
        if self.failure is not None:
            raise self.failure
        (self._folder / "ada-ec-1-pod.pcap").touch()
        overlay = Overlay(backend=None, vteps=())
        return Recording(session="7f3a", version="0", started_ns=0, request=self._request, overlay=overlay, flows=(), paths=())

    def clean_up(self) -> Cleanup:
        return self.cleanup

    def audit(self) -> list[str]:
        return ['{"kind": "request"}']

    def what_may_be_left(self) -> str:
        return ""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[_Trace]:
    """Whatever is traced ends in the same report, with the clean-up that the trace had."""

    def examined(recording: Recording, *_: object) -> Examined:
        made = replace(report(), cleanup=CleanupReport(state=_Trace.cleanup.state, left=_Trace.cleanup.left))
        return Examined(report=made, case=Case(recording=recording, tables={}, paths=(), clocks=(), connections={}), picked=())

    monkeypatch.setattr(pod, "Trace", _Trace)
    monkeypatch.setattr(delivery, "examined", examined)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return _Trace


def _kept(tmp_path: Path) -> list[Path]:
    """What stays of the run's temporary files."""
    return list((tmp_path / "temporary").iterdir())


def _run(output: Output = Output.NAME, *, bundle: str = "ticket.zip", pcap: str | None = None) -> int:
    return pod.run(REQUEST, Stderr(), form=ReportFlags(output=output, pcap=pcap), bundle=bundle, exits=ExitFlags())


def test_the_verdict_is_the_exit_code(traced: type[_Trace], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run() == 3
    assert capsys.readouterr().out == "ticket.zip\n"
    assert (tmp_path / "ticket.zip").is_file()
    assert _kept(tmp_path) == []


def test_what_fails_once_somebody_wanted_the_end_is_an_interruption(
    traced: type[_Trace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Interrupted(_Trace):
        def __init__(self, request: Request, folder: Path, console: Stderr, interruption: Interruption, *, meanwhile: object) -> None:
            super().__init__(request, folder, meanwhile=meanwhile)
            self._interruption = interruption

        def run(self) -> Recording:
            self._interruption.signalled = True
            raise CannotRunError("no node could be asked")

    monkeypatch.setattr(pod, "Trace", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run()
    assert "warning: no node could be asked" in capsys.readouterr().err
    assert _kept(tmp_path) == []


UNCONFIRMED = Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-a",), pods=1)


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")


def _defect(*_: object) -> None:
    raise IndexError("index 0 is out of bounds")


def test_a_defect_of_a_writer_leaves_the_verdict_and_the_folder(
    traced: type[_Trace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(delivery, "complete", _defect)
    assert _run(Output.JSON) == 3
    said = capsys.readouterr()
    assert said.out.startswith("{")
    [kept] = _kept(tmp_path)
    reason = "the plugin failed: IndexError: index 0 is out of bounds; this is a defect: please report it"
    assert f"warning: there is no bundle: {reason}; what was recorded is in {kept}; once more" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("what", ["complete", "packed"])
@pytest.mark.parametrize(("output", "code"), [(Output.JSON, 3), (Output.NAME, 1)])
def test_a_bundle_that_cannot_be_written_does_not_eat_the_report(
    traced: type[_Trace],
    what: str,
    output: Output,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(delivery, what, _full)
    assert _run(output) == code
    said = capsys.readouterr()
    assert said.out.startswith("{") == (output is Output.JSON)
    [kept] = _kept(tmp_path)
    where = f"what was recorded is in {kept}; once more: kubectl vxtrace analyze {kept}"
    assert f"warning: there is no bundle: No space left on device: /somewhere; {where}\n" in said.err
    assert (kept / "ada-ec-1-pod.pcap").is_file()
    assert not (tmp_path / "ticket.zip").exists()


@pytest.mark.parametrize("what", ["complete", "packed"])
def test_the_verdict_is_printed_before_anything_that_may_fail(
    traced: type[_Trace], what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the process there; the last lines come when they are true."""
    seen: list[str] = []

    def look(*_: object) -> None:
        seen.append(capsys.readouterr().out)
        raise UsageError("cannot write the bundle")

    monkeypatch.setattr(delivery, what, look)
    assert _run(Output.TABLE) == 3
    [before] = seen
    assert "VERDICT        LOST, 24 of 24" in before
    assert "BUNDLE" not in before
    assert "CLEANUP" not in before
    assert capsys.readouterr().out == "CLEANUP        all debug pods are gone\n"


def test_the_verdict_does_not_wait_for_the_clean_up(
    traced: type[_Trace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()

    def clean_up(_: object) -> Cleanup:
        assert may_end.wait(30)
        return Cleanup(state=CleanupState.CONFIRMED)

    class Screen(delivery.Screen):
        def begin(self, report: TraceReport) -> None:
            super().begin(report)
            may_end.set()

    monkeypatch.setattr(traced, "clean_up", clean_up)
    monkeypatch.setattr(delivery, "Screen", Screen)
    assert _run(Output.TABLE) == 3
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["BUNDLE", "CLEANUP"]


@pytest.mark.root
def test_a_full_folder_leaves_what_can_be_analysed(
    traced: type[_Trace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was recorded is not cut by writing it anew."""
    run = traced.run

    def fill(self: _Trace) -> Recording:
        made = with_a_capture(run(self), self._folder)
        folder.write_recording(self._folder, made)
        with suppress(OSError), (tmp_path / "temporary" / "filling").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        return made

    monkeypatch.setattr(traced, "run", fill)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "vxtrace-test", tmp_path / "temporary"], check=True)
    try:
        assert _run(Output.JSON) == 3
        said = capsys.readouterr()
        assert said.out.startswith("{")
        assert "there is no bundle: No space left on device" in said.err
        [kept] = (tmp_path / "temporary").glob("vxtrace-*")
        [capture] = reading.read(kept).captures
        assert (capture.status, capture.reason) == (CaptureStatus.COMPLETE, None)
    finally:
        subprocess.run(["umount", tmp_path / "temporary"], check=True)


def with_a_capture(recording: Recording, place: Path) -> Recording:
    """The recording with a capture in its folder."""
    frames.write_pcap(place / "ada-ec-1-pod.pcap", [(1, bytes(12) + b"\x08\x00" + bytes(60))])
    task = CaptureTask(id=1, tap=Tap(node="ada-ec-1", interface="eth0"), role=Role.POD, file="ada-ec-1-pod.pcap")
    digest = folder.sha256(place / "ada-ec-1-pod.pcap")
    return replace(
        recording, folder=str(place), captures=(CaptureResult(task=task, status=CaptureStatus.COMPLETE, file=task.file, sha256=digest),)
    )


def test_a_bundle_on_stdout_is_all_of_it(traced: type[_Trace], capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    assert _run(Output.TABLE, bundle="-") == 3
    said = capfdbinary.readouterr()
    files = contents(said.out)
    assert b"ada-ec-1-pod.pcap" in files["manifest.json"]
    assert files["audit.jsonl"] == b'{"kind": "request"}\n'
    assert b"LOST, 24 of 24" in said.err
    assert _kept(tmp_path) == []


@pytest.mark.parametrize("bundle", ["to/", "ticket.tgz"])
def test_every_form_is_read_back(traced: type[_Trace], bundle: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run(bundle=bundle) == 3
    [name] = capsys.readouterr().out.splitlines()
    assert name.startswith(bundle)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert source.open_recording([tmp_path / name], scratch).session == "7f3a"


@pytest.mark.parametrize(
    ("output", "bundle", "pcap", "said"),
    [
        (Output.JSON, "-", None, "-o json needs it too"),
        (Output.NAME, "-", None, "-o name needs it too"),
        (Output.TABLE, "-", "-", "both take stdout"),
        (Output.NAME, "none", None, "writes no bundle"),
        (Output.TABLE, "nowhere/a.zip", None, "no bundle can be written in"),
    ],
)
def test_what_cannot_be_delivered_is_refused_first(
    traced: type[_Trace], output: Output, bundle: str, pcap: str | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        _run(output, bundle=bundle, pcap=pcap)
    assert _kept(tmp_path) == []


@pytest.mark.parametrize(("bundle", "pcap"), [("-", None), ("none", "-")])
def test_a_terminal_is_refused_before_anything_is_made(
    traced: type[_Trace], bundle: str, pcap: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        _run(Output.TABLE, bundle=bundle, pcap=pcap)
    assert _kept(tmp_path) == []


def test_an_analysis_that_fails_says_what_became_of_everything(
    traced: type[_Trace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(delivery, "examined", _full)
    with pytest.raises(OSError, match="No space"):
        _run()
    [kept] = _kept(tmp_path)
    said = capsys.readouterr().err
    assert said.splitlines()[0] == f"warning: what was recorded is in {kept}; once more: kubectl vxtrace analyze {kept}"
    assert said.count(str(kept.name)) == 2
    assert "0 of 0 debug pods gone" in said
    monkeypatch.setattr(traced, "cleanup", UNCONFIRMED)
    with pytest.raises(LeftBehindError, match="vxtrace-7f3a-a"):
        _run()


def test_a_trace_that_was_given_up_says_what_became_of_everything(
    traced: type[_Trace], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(traced, "failure", KeyboardInterrupt())
    monkeypatch.setattr(traced, "cleanup", Cleanup(state=CleanupState.CONFIRMED, pods=3))
    with pytest.raises(KeyboardInterrupt):
        _run()
    assert capsys.readouterr().err == "warning: nothing of the captures was kept\n3 of 3 debug pods gone\n"
    assert _kept(tmp_path) == []


def test_a_clean_up_that_fails_as_nobody_foresaw_is_unconfirmed(traced: type[_Trace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "failure", KeyboardInterrupt())
    monkeypatch.setattr(traced, "clean_up", _full)
    with pytest.raises(LeftBehindError, match="those labelled vxtrace/session=7f3a"):
        _run()


_FAILURES = pytest.mark.parametrize(
    ("failure", "said"),
    [
        (UnwritableError("cannot write to stdout: full"), "cannot write to stdout: full"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
    ],
)


def _failing(failure: Exception) -> Callable[[str], None]:
    def fail(_: str) -> None:
        raise failure

    return fail


@_FAILURES
def test_a_report_that_cannot_be_printed_is_in_the_bundle(
    traced: type[_Trace], failure: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdout, "write", _failing(failure))
    with pytest.raises(type(failure), match=said) as raised:
        _run()
    assert raised.value is failure
    assert "the report is in ticket.zip" in capsys.readouterr().err


@_FAILURES
def test_what_is_left_wins_over_a_report_that_cannot_be_printed(
    traced: type[_Trace], failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdout, "write", _failing(failure))
    monkeypatch.setattr(traced, "cleanup", UNCONFIRMED)
    with pytest.raises(LeftBehindError) as raised:
        _run()
    assert said in raised.value.message
    assert raised.value.message.endswith("\ndebug pods that may be left: default/vxtrace-7f3a-a")


def test_the_bundle_has_the_page_for_the_network_only_where_it_concerns_it(traced: type[_Trace], tmp_path: Path) -> None:
    assert _run() == 3
    files = contents(tmp_path / "ticket.zip")
    assert "handoff.md" not in files
    assert b"2020-12" in files["schema.json"]
    assert _run(bundle="again.zip", output=Output.HANDOFF) == 3
