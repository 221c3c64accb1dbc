"""Processes are ended by exactly their pid and start time."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.datapath import processes
from tests.datapath.records import write_json


def recorded_as(directory: Path, name: str, pid: int, ticks: int) -> None:
    write_json(directory / processes.PIDS / f"{name}.json", {"pid": pid, "start_ticks": ticks})


def test_a_pid_that_now_belongs_to_another_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as other:
        ticks = processes.start_ticks(other.pid)
        assert ticks is not None
        recorded_as(tmp_path, "old", other.pid, ticks - 1)
        processes.stop(str(tmp_path), processes.recorded(str(tmp_path)))
        assert other.poll() is None
        assert processes.recorded(str(tmp_path)) == ()
        recorded_as(tmp_path, "it", other.pid, ticks)
        processes.stop(str(tmp_path), processes.recorded(str(tmp_path)))
        assert other.wait(5) == -15


def test_one_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        recorded_as(tmp_path, "stubborn", stubborn.pid, processes.start_ticks(stubborn.pid) or 0)
        processes.stop(str(tmp_path), processes.recorded(str(tmp_path)), patience_s=0.2)
        assert stubborn.wait(5) == -9


def test_a_process_is_found_by_the_whole_end_of_its_arguments(tmp_path: Path) -> None:
    tail = ["-m", "nobody", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *tail], start_new_session=True) as process:
        until = time.monotonic() + 10
        while not (found := processes.with_arguments(tail)) and time.monotonic() < until:
            time.sleep(0.01)  # until it has become the program
        assert [one.pid for one in found] == [process.pid]
        assert processes.with_arguments(tail[:-1]) == ()
        assert processes.with_arguments(["nobody", f"{tmp_path}/x"]) == ()
        processes.stop(str(tmp_path), found)
        assert process.wait(5) == -15


def test_damaged_pid_files_and_gone_processes_are_nothing(tmp_path: Path) -> None:
    (tmp_path / processes.PIDS).mkdir()
    (tmp_path / processes.PIDS / "damaged.json").write_text("{")
    assert processes.recorded(str(tmp_path)) == ()
    assert processes.start_ticks(2**22 + 1) is None
    mine = processes.start_ticks(os.getpid())
    assert processes.alive(processes.Running(name="me", pid=os.getpid(), start_ticks=mine or 0))
