"""A stdout that cannot be written to, and one that nobody reads: never a traceback, and an exit code of the contract."""

import os
import subprocess
import sys

import pytest

from tests.command import ROOT

COMMANDS = ["schema", "--help", "--version", "explain", "version --kubeconfig /nonexistent", "analyze tests/topology/recorded/healthy"]


def _run(command: str, redirection: str, *, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} {'-u' if unbuffered else ''} -m kubectl_vxtrace {command} {redirection}"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str, unbuffered: bool) -> None:
    done = _run(command, ">/dev/full", unbuffered=unbuffered)
    assert done.returncode == 1
    assert done.stderr.endswith("error: cannot write to stdout: No space left on device\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_stdout_at_all(command: str) -> None:
    done = _run(command, ">&-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: stdout is closed")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_stdout_that_cannot_be_written_to(command: str) -> None:
    done = _run(command, "1</dev/null")
    assert done.returncode == 1
    assert done.stderr.endswith("error: cannot write to stdout: Bad file descriptor\n")


@pytest.mark.parametrize("unbuffered", [[], ["-u"]])
@pytest.mark.parametrize("command", ["schema", "explain", "--help"])
def test_a_reader_that_has_gone_is_told_nothing(command: str, unbuffered: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, *unbuffered, "-m", "kubectl_vxtrace", command]
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_of_ours_is_said_whatever_stdout_is() -> None:
    done = _run("explain gremlins", ">/dev/full")
    assert done.returncode == 2
    assert "no cause is called 'gremlins'" in done.stderr


def test_no_stderr() -> None:
    assert (_run("version --kubeconfig /nonexistent", "2>&-").returncode, _run("explain gremlins", "2>&-").returncode) == (0, 2)
