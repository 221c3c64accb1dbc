"""What nobody foresaw, and streams that fail: one line on stderr and an exit code of the contract, never a traceback, never a hang."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import ROOT

HEALTHY = "tests/topology/recorded/healthy"
# The command line with a part of it replaced: what `{broken}` names ends as `{error}` says.
_BROKEN = """
import sys
import kubectl_vxtrace.{module} as module
def fail(*_, **__):
    raise {error}
module.{name} = fail
sys.argv = ["kubectl-vxtrace", *sys.argv[1:]]
from kubectl_vxtrace.__main__ import main
main()
"""


def _broken(error: str, *words: str, module: str = "commands.explain", name: str = "run") -> subprocess.CompletedProcess[str]:
    code = _BROKEN.format(module=module, name=name, error=error)
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (f"OSError({errno.ENOSPC}, 'No space left on device', '/tmp/x')", "/tmp/x: No space left on device", "TMPDIR"),
        (f"OSError({errno.EFBIG}, 'File too large')", "File too large", "ulimit -f"),
        ("MemoryError()", "there is not enough memory", "fewer or smaller captures"),
        ("ValueError('a\\nb \\x1b[31m')", "the plugin failed: ValueError: a b \\x1b[31m", "report it"),
        ("RecursionError('deep')", "the plugin failed: RecursionError: deep", "report it"),
    ],
)
def test_whatever_fails_is_one_line(error: str, said: str, hint: str) -> None:
    done = _broken(error, "explain")
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == f"error: {said}"
    assert second.startswith("hint: ")
    assert hint in second


_ASIDE = """
import sys, threading, warnings
import kubectl_vxtrace.commands.explain as module
class Thing:
    def __del__(self):
        raise ValueError("no destructor")
def aside(*_):
    def fail():
        raise ValueError("a\\nb")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Thing()
    warnings.warn("x")
module.run = aside
sys.argv = ["kubectl-vxtrace", "explain"]
from kubectl_vxtrace.__main__ import main
main()
"""


def test_what_fails_beside_the_command_is_one_line_too() -> None:
    done = subprocess.run([sys.executable, "-c", _ASIDE], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "warning: a part of the plugin failed: ValueError: a b\n")


def test_who_asks_for_more_sees_where() -> None:
    done = _broken("ValueError('x')", "version", "-v", module="commands.version")
    assert done.returncode == 1
    assert "in fail" in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "redirection"),
    [
        ("explain gremlins", 2, "2>/dev/full"),
        ("explain gremlins", 2, "2</dev/null"),
        ("nonsense", 2, "2>&-"),
        (f"analyze {HEALTHY} -o json", 0, "2>/dev/full"),
        ("version -v --kubeconfig /nonexistent", 0, "2>/dev/full"),
    ],
)
def test_a_stderr_that_fails_changes_nothing(command: str, code: int, redirection: str) -> None:
    line = f"{sys.executable} -m kubectl_vxtrace {command} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    plain = subprocess.run(["sh", "-c", line.removesuffix(redirection)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (code, plain.stdout)


def test_a_reader_of_stderr_that_has_gone_changes_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "kubectl_vxtrace", "explain", "gremlins"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=writer, check=False, cwd=ROOT, timeout=60)
    os.close(writer)
    assert done.returncode == 2


_OPENED = """
import sys, os
from kubectl_vxtrace.__main__ import occupy_streams
occupy_streams()
with open(sys.argv[1], "w") as file:
    os.write(2, b"said")
    os.write(1, b"told")
"""


def test_no_file_becomes_stderr(tmp_path: Path) -> None:
    line = f"{sys.executable} -c '{_OPENED}' {tmp_path / 'file'} 2>&- 1>&- 0<&-"
    subprocess.run(["sh", "-c", line], check=True, cwd=ROOT, timeout=60)
    assert (tmp_path / "file").read_bytes() == b""


_SLOW = """
import sys, time, threading
import kubectl_vxtrace.bundle.source as module
def wait(*_, **__):
    threading.Thread(target=time.sleep, args=(60,)).start()  # as one that waits for a node
    print("waiting", file=sys.stderr, flush=True)
    time.sleep(60)
module.open_recording = wait
sys.argv = ["kubectl-vxtrace", "analyze", "tests/topology/recorded/healthy"]
from kubectl_vxtrace.__main__ import main
main()
"""


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_long_analysis_and_its_threads(number: signal.Signals, times: int, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", _SLOW], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting\n"
    began_s = time.monotonic()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.001)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - began_s < 10
    assert "Traceback" not in said
    if times == 1:
        assert list(tmp_path.iterdir()) == []


_WHILE_IMPORTED = """
import os, signal, sys
from kubectl_vxtrace.__main__ import main
class Finder:
    def __init__(self, name):
        self.name = name
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            self.name = ""
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder(sys.argv.pop(1)))
main()
"""


@pytest.mark.parametrize("name", ["kubectl_vxtrace.signals", "typer", "kubectl_vxtrace.commands.analyze", "numpy"])
def test_ctrl_c_while_it_is_being_imported(name: str) -> None:
    argv = [sys.executable, "-c", _WHILE_IMPORTED, name, "analyze", HEALTHY]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert "Traceback" not in done.stderr
