"""The scripts that run in the pod, under both shells that images have."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def in_every_shell(check: Callable[[list[str], Path], None], folder: Path) -> None:
    """Run a slow check in all shells at once, each in a folder of its own."""
    shells = [shell for shell in (["dash"], ["busybox", "sh"]) if shutil.which(shell[0])]
    assert shells
    folders = [folder / shell[0] for shell in shells]
    for path in folders:
        path.mkdir()
    with ThreadPoolExecutor() as pool:
        list(pool.map(check, shells, folders))


def pid1(shell: list[str], idle_s: int, folder: Path) -> list[str]:
    return [*shell, "-c", first_process(), "vxtrace", str(idle_s), str(folder)]


def test_ends_when_nobody_calls(tmp_path: Path) -> None:
    def check(shell: list[str], folder: Path) -> None:
        begun = time.monotonic()
        with started(pid1(shell, 1, folder)) as process:
            said, _ = process.communicate(timeout=5)
        assert process.returncode == 3
        assert said == b"vxtrace: nobody has called for 1 seconds\n"
        assert time.monotonic() - begun < 3

    in_every_shell(check, tmp_path)


def test_calls_keep_it_alive(tmp_path: Path) -> None:
    def check(shell: list[str], folder: Path) -> None:
        with started(pid1(shell, 1, folder)) as process:
            for _ in range(9):
                (folder / ".lease").touch()
                time.sleep(0.25)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=1) == 0

    in_every_shell(check, tmp_path)


@as_root
@pytest.mark.root
def test_term_ends_captures_with_int_and_returns_promptly(tmp_path: Path) -> None:
    """In a process namespace of its own: a `capture` writes its end on INT; another ignores INT and ends on TERM."""

    def check(shell: list[str], folder: Path) -> None:
        capture = f"trap 'echo whole > {folder}/closed; exit 0' INT; echo > {folder}/ready; while :; do sleep 0.05; done"
        stubborn = "trap '' INT; sleep 30"
        # A shell starts background jobs with INT ignored, and a trap on what was ignored at start has no effect; env restores it.
        start = f'env --default-signal=INT dash -c "$2" & dash -c "$3" & exec {" ".join(shell)} -c "$1" vxtrace 60 {folder}'
        inner = ["dash", "-c", start, "x", first_process(), capture, stubborn]
        with started([*NAMESPACE, *inner]) as process:
            deadline = time.monotonic() + 3
            while not (folder / "ready").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            begun = time.monotonic()
            os.kill(child, signal.SIGTERM)
            process.wait(timeout=5)
        assert (folder / "closed").read_text() == "whole\n"
        assert 0.9 < time.monotonic() - begun < 2

    in_every_shell(check, tmp_path)


@as_root
@pytest.mark.root
def test_orphans_are_reaped(tmp_path: Path) -> None:
    def check(shell: list[str], folder: Path) -> None:
        orphan = "(sleep 0.2 &) ; (sleep 0.3 &) ; "
        inner = ["dash", "-c", f'{orphan} exec {" ".join(shell)} -c "$1" vxtrace 60 {folder}', "x", first_process()]
        with started([*NAMESPACE, *inner]) as process:
            time.sleep(1.4)
            child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
            left = Path(f"/proc/{child}/task/{child}/children").read_text().split()
            states = [Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] for pid in left if Path(f"/proc/{pid}").exists()]
        assert "Z" not in states
        assert len(left) <= 1

    in_every_shell(check, tmp_path)


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


def test_what_a_call_left_to_be_done_is_done_at_the_end(tmp_path: Path) -> None:
    def check(shell: list[str], folder: Path) -> None:
        (folder / ".finish").write_text(f"echo done >{folder}/sign; exit 1\n")
        with started(pid1(shell, 60, folder)) as process:
            time.sleep(0.3)
            assert not (folder / "sign").exists()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=5)
        assert process.returncode == 0
        assert (folder / "sign").read_text() == "done\n"

    in_every_shell(check, tmp_path)
