"""Calls of the plugin, to their end or beside what the test does meanwhile."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.place import CLIENT, SERVICE, Lab, Run

_ENDED: list[Run] = []


def told(run: Run) -> str:
    """What became of a trace, in a line: `exit 4, undetermined, blind ada-ec-2 (no debug pod), cleanup confirmed`."""
    if not run.stdout.startswith("{"):
        return f"exit {run.code}: {next((line for line in run.stderr.splitlines() if line.startswith('error:')), '')[:200]}"
    report = run.report
    blind = {line["node"]: line["reason"] for line in report["completeness"]["blind"]}
    parts = [f"exit {run.code}", report["verdict"], *(f"blind {node} ({reason[:160]})" for node, reason in blind.items())]
    cleanup = report["cleanup"]
    return ", ".join([*parts, f"cleanup {cleanup['state']}", *cleanup["left"]])


def last() -> Run | None:
    """The last trace of `trace` or `tracing` that has ended; it is forgotten."""
    found = _ENDED[-1] if _ENDED else None
    _ENDED.clear()
    return found


def trace(place: Lab, cwd: Path, *more: str, duration: str = "2s", to: str = SERVICE) -> Run:
    """A trace without a bundle."""
    _ENDED.append(run := place.trace("--bundle", "none", *more, cwd=cwd, duration=duration, to=to))
    return run


def refused(run: Run, code: int, *said: str) -> None:
    """It printed no report, and these words on stderr."""
    assert run.code == code, run.stderr
    assert run.stdout == ""
    for text in said:
        assert text in run.stderr


class Beside:
    """A trace that runs while the test goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)
            if "listening" in line:
                self._listening.set()

    def until_listening(self) -> None:
        """Wait until every capture listens."""
        assert self._listening.wait(60), "".join(self._said)

    def end(self, timeout_s: float = 120.0) -> Run:
        """Wait until it has ended."""
        assert self._process.stdout is not None
        stdout = self._process.stdout.read()
        code = self._process.wait(timeout_s)
        self._reader.join(10)
        _ENDED.append(run := Run(code, stdout, "".join(self._said)))
        return run


@contextmanager
def tracing(place: Lab, cwd: Path, *more: str, source: str = CLIENT, duration: str = "6s") -> Iterator[Beside]:
    """A trace of a pod to the service, ended if the test fails before its end."""
    command = ["-m", "kubectl_vxtrace", "pod", source, "--to", SERVICE, "--duration", duration, "--bundle", "none", "-o", "json", *more]
    environment = {**place.environment(), "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, *command], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Beside(process)
        finally:
            if process.poll() is None:
                process.terminate()
