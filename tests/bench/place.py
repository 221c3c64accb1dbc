"""Where benchmarks run: on the lab that is up, else on one of their own, which they take down again; and what else they share."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.datapath import records, tools

ROOT = Path(__file__).parents[2]
GIVE_UP_S = 180.0
"""Longest that one command of a benchmark may take."""


class SkippedError(Exception):
    """A benchmark cannot run here; the text says why."""


class BrokenError(Exception):
    """A benchmark found something that does not work; the text says what."""


def why_no_lab() -> str | None:
    """Why this machine cannot have a lab, or None."""
    if not sys.platform.startswith("linux"):
        return f"the lab is made of Linux network namespaces; this is {sys.platform}"
    if os.geteuid() != 0:
        return "the lab needs root"
    missing = tools.missing_tools()
    return f"the lab needs {', '.join(sorted(missing))} (Debian: {', '.join(sorted(set(missing.values())))})" if missing else None


@contextmanager
def lab() -> Iterator[records.Lab]:
    """The lab that is up, left alone afterwards; else a new one, taken down afterwards.

    Raises:
        SkippedError: there can be no lab here.
        BrokenError: it does not come up, or one is up that is not whole.
    """
    if (reason := why_no_lab()) is not None:
        raise SkippedError(reason)
    found = records.load(records.state_dir())
    if found is not None:
        lab_command("status")
        yield found
        return
    lab_command("up")
    try:
        made = records.load(records.state_dir())
        if made is None:
            raise BrokenError("tests.lab up left no records of what it made")
        yield made
    finally:
        lab_command("down")


def kubeconfig(of: records.Lab) -> Path:
    """The kubeconfig of a lab."""
    return Path(of.state_dir) / "kubeconfig"


def lab_command(*arguments: str) -> str:
    """Call the lab's command line; its stdout. BrokenError where it fails."""
    command = [sys.executable, "-m", "tests.lab", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=GIVE_UP_S, check=False)
    if done.returncode:
        raise BrokenError(f"tests.lab {' '.join(arguments)} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def plugin(*arguments: str) -> list[str]:
    """The command line of the plugin."""
    return [sys.executable, "-m", "kubectl_vxtrace", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, in which the plugin is found from any directory."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def seconds_of(command: Sequence[str], env: dict[str, str]) -> float:
    """Wall clock of a command, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GIVE_UP_S, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BrokenError(f"{' '.join(command)} exited {done.returncode}: {done.stderr}")
    return seconds


def load() -> str:
    """How busy the machine is, to be printed beside times: `load 0.42 on 2 processors`."""
    return f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors"


def judged(value: float, goal: float, unit: str) -> str:
    """`goal 3 s: met`, for something that must not be more."""
    return f"goal {goal:g} {unit}: {'met' if value <= goal else 'NOT met on this machine'}"
