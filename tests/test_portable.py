"""What there is not on every system is not needed to start, to analyse, or to write."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT
from tests.handover.build import by_procedure, recorded

HIDDEN_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")
HIDDEN_NAMES = {
    "os": (
        *("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY", "geteuid", "getuid", "getegid", "fchmod", "fork", "killpg"),
        *("memfd_create", "posix_fallocate", "sendfile", "pidfd_open", "setsid", "mkfifo"),
    ),
    "signal": ("SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGALRM"),
}
LIKE_WINDOWS = f"""
import os, signal, sys
# What the standard library itself needs here it takes before.
import subprocess, multiprocessing, asyncio, tempfile, shutil, concurrent.futures, selectors
for name in {HIDDEN_MODULES!r}:
    sys.modules[name] = None
for module, names in {HIDDEN_NAMES!r}.items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
sys.argv = ["kubectl-vxtrace", *sys.argv[1:]]
from kubectl_vxtrace.__main__ import main
main()
"""


def _run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIKE_WINDOWS, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": "/nowhere", "HOME": str(cwd), "PYTHONPATH": str(ROOT), "TMPDIR": str(cwd) if cwd != ROOT else "/tmp"},
    )


@pytest.mark.parametrize("arguments", [("--help",), ("pod", "--help"), ("--version",), ("explain", "underlay-udp-blocked"), ("schema",)])
def test_it_starts(arguments: tuple[str, ...]) -> None:
    done = _run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_captures_are_analysed(tmp_path: Path) -> None:
    for name, content in by_procedure(recorded()).items():
        (tmp_path / name).write_bytes(content)
    done = _run("analyze", ".", "-o", "jsonpath={.verdict}", "--pcap", "merged.pcapng", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "lost"), done.stderr
    assert (tmp_path / "merged.pcapng").stat().st_size > 0


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = _run("pod", "shop/web", "--to", "api", "--server", "https://127.0.0.1:1", "--request-timeout", "1s", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(("error: ", "hint: "))
    assert "Traceback" not in done.stderr
