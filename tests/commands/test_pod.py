"""A trace from its request to its exit code; and what is imported when: it starts without what only its analysis needs."""

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_vxtrace.commands import delivery, pod, stdout
from kubectl_vxtrace.commands.stdout import UnwritableError
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import LeftBehindError
from kubectl_vxtrace.flags.records import ExitFlags, ReportFlags
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import CleanupReport, TraceReport
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

    def __init__(self, request: Request, *_: object, meanwhile: object) -> None:
        self._request = request

    def run(self) -> Recording:
        overlay = Overlay(backend=None, vteps=())
        return Recording(session="7f3a", version="0", started_ns=0, request=self._request, overlay=overlay, flows=(), paths=())

    def clean_up(self) -> Cleanup:
        return self.cleanup


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[_Trace]:
    """Whatever is traced ends in the same report, with the clean-up that the trace had."""

    def reported(*_: object) -> TraceReport:
        return replace(report(), cleanup=CleanupReport(state=_Trace.cleanup.state, left=_Trace.cleanup.left))

    monkeypatch.setattr(pod, "Trace", _Trace)
    monkeypatch.setattr(delivery, "report_of", reported)
    monkeypatch.chdir(tmp_path)
    return _Trace


def _run(output: Output = Output.NAME) -> int:
    return pod.run(REQUEST, Stderr(), form=ReportFlags(output=output), bundle="ticket.zip", exits=ExitFlags())


def test_the_verdict_is_the_exit_code(traced: type[_Trace], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run() == 3
    assert capsys.readouterr().out == "ticket.zip\n"
    assert (tmp_path / "ticket.zip").is_file()


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
    monkeypatch.setattr(traced, "cleanup", Cleanup(state=CleanupState.UNCONFIRMED, left=("default/vxtrace-7f3a-a",), pods=1))
    with pytest.raises(LeftBehindError) as raised:
        _run()
    assert said in raised.value.message
    assert raised.value.message.endswith("\ndebug pods that may be left: default/vxtrace-7f3a-a")
