"""The scripts that run in the pod, under both shells that images have."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubectl_vxtrace.kube.manifest import first_process
from kubectl_vxtrace.kube.nodes import call_script

SHELLS = [
    pytest.param(shell, id=shell[-1], marks=pytest.mark.skipif(not shutil.which(shell[0]), reason=f"no {shell[0]}"))
    for shell in (["dash"], ["busybox", "sh"])
]
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a process namespace")


@contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pid1(shell: list[str], idle_s: int, folder: Path) -> list[str]:
    return [*shell, "-c", first_process(), "vxtrace", str(idle_s), str(folder)]


@pytest.mark.parametrize("shell", SHELLS)
def test_ends_when_nobody_calls(shell: list[str], tmp_path: Path) -> None:
    begun = time.monotonic()
    with started(pid1(shell, 1, tmp_path)) as process:
        said, _ = process.communicate(timeout=5)
    assert process.returncode == 3
    assert said == b"vxtrace: nobody has called for 1 seconds\n"
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("shell", SHELLS)
def test_calls_keep_it_alive(shell: list[str], tmp_path: Path) -> None:
    with started(pid1(shell, 2, tmp_path)) as process:
        for _ in range(14):
            (tmp_path / ".lease").touch()
            time.sleep(0.25)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=1) == 0


@as_root
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_term_ends_captures_with_int_and_returns_promptly(shell: list[str], tmp_path: Path) -> None:
    """In a process namespace of its own: a `capture` writes its end on INT; another ignores INT and ends on TERM."""
    capture = f"trap 'echo whole > {tmp_path}/closed; exit 0' INT; echo > {tmp_path}/ready; while :; do sleep 0.05; done"
    # A shell starts background jobs with INT ignored, and POSIX forbids a trap on what was ignored at start; env restores it.
    start = f'env --default-signal=INT dash -c "$2" & trap \'\' INT; (sleep 30) & trap - INT; exec {" ".join(shell)} -c "$1" vxtrace 60 {tmp_path}'
    inner = ["dash", "-c", start, "x", first_process(), capture]
    with started([*NAMESPACE, *inner]) as process:
        deadline = time.monotonic() + 3
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        begun = time.monotonic()
        os.kill(child, signal.SIGTERM)
        process.wait(timeout=5)
    assert (tmp_path / "closed").read_text() == "whole\n"
    assert time.monotonic() - begun < 2.5


@as_root
@pytest.mark.root
@pytest.mark.parametrize("shell", SHELLS)
def test_orphans_are_reaped(shell: list[str], tmp_path: Path) -> None:
    orphan = "(sleep 0.2 &) ; (sleep 0.3 &) ; "
    inner = ["dash", "-c", f'{orphan} exec {" ".join(shell)} -c "$1" vxtrace 60 {tmp_path}', "x", first_process()]
    with started([*NAMESPACE, *inner]) as process:
        time.sleep(2.4)
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        left = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        states = [Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] for pid in left if Path(f"/proc/{pid}").exists()]
    assert "Z" not in states
    assert len(left) <= 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_call_renews_the_lease_and_becomes_the_command(shell: list[str], tmp_path: Path) -> None:
    lease = tmp_path / ".lease"
    hostile = "$(touch x); `id`"
    argv = [*shell, "-c", call_script(str(lease)), "vxtrace", "printf", "%s", hostile]
    done = subprocess.run(argv, capture_output=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr, sorted(path.name for path in tmp_path.iterdir())) == (hostile.encode(), b"", [".lease"])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_call_works_without_a_folder_to_write(shell: list[str], tmp_path: Path) -> None:
    argv = [*shell, "-c", call_script(str(tmp_path / "none" / ".lease")), "vxtrace", "echo", "x"]
    done = subprocess.run(argv, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"x\n", b"")
