"""A trace from its request to its exit code; and what is imported when: it starts without what only its analysis needs."""

import errno
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import Examined
from kubectl_vxtrace.commands import delivery, pod, stdout
from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import LeftBehindError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport
from kubectl_vxtrace.model.request import Request, Target
from tests.command import ROOT
from tests.report.build import report

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


def _run(output: Output = Output.NAME) -> int:
    return pod.run(REQUEST, Stderr(), form=ReportFlags(output=output), bundle="ticket.zip", exits=ExitFlags())


def test_the_verdict_is_the_exit_code(traced: type[_Trace], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run() == 3
    assert capsys.readouterr().out == "ticket.zip\n"
    assert (tmp_path / "ticket.zip").is_file()
    assert _kept(tmp_path) == []


UNCONFIRMED = Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-a",), pods=1)


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")


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
    assert f"warning: there is no bundle: [Errno 28] No space left on device: '/somewhere'; what was recorded is in {kept}\n" in said.err
    assert (kept / "ada-ec-1-pod.pcap").is_file()
    assert not (tmp_path / "ticket.zip").exists()


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
