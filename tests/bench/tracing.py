"""One run of the plugin's main command, with the time at which each line on stderr came."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.place import GIVE_UP_S, BrokenError, environment, kubeconfig, plugin
from tests.datapath import records

# The exit codes of a trace that worked: delivered, broken path, nothing or not everything seen.
_TRACED = (0, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that the plugin said, and when, counted from its start."""

    at_s: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A trace that has ended: wall clock of the whole command, its lines on stderr, its report."""

    wall_s: float
    lines: tuple[Line, ...]
    report: dict[str, Any]

    @property
    def captures(self) -> list[dict[str, Any]]:
        """The report's captures, but for those whose interface nobody knew (an idle pod behind a bridge).

        BrokenError where one has no closing numbers.
        """
        found = [capture for capture in self.report["captures"] if capture["interface"] is not None]
        for capture in found:
            if None in (capture["received"], capture["captured"], capture["dropped_by_kernel"]):
                raise BrokenError(f"the capture on {capture['node']} {capture['interface']} ended without its numbers")
        return found


def trace(lab: records.Lab, *arguments: str, listening: Callable[[], None] = lambda: None) -> Traced:
    """Run `kubectl-vxtrace pod ARGUMENTS`, without a bundle; `listening` is called once its captures run.

    Raises:
        BrokenError: it failed.
    """
    command = plugin("pod", *arguments, "--bundle", "none", "-o", "json", "--max-wall", f"{GIVE_UP_S:g}s")
    env = environment(KUBECONFIG=str(kubeconfig(lab)), PYTHONUNBUFFERED="1")
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as cwd:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True)
        lines = []
        try:
            assert process.stderr is not None
            for text in process.stderr:
                lines.append(Line(at_s=time.perf_counter() - started, text=text.rstrip()))
                if "listening" in text:
                    listening()
            process.wait(GIVE_UP_S)
        except BaseException:
            process.terminate()  # it cleans up
            process.wait(GIVE_UP_S)
            raise
        wall_s = time.perf_counter() - started
        if process.returncode not in _TRACED:
            raise BrokenError(f"{' '.join(command)} exited {process.returncode}:\n" + "\n".join(line.text for line in lines))
        stdout.seek(0)
        return Traced(wall_s=wall_s, lines=tuple(lines), report=json.load(stdout))


def breakdown(traces: Sequence[Traced], duration_s: float) -> list[str]:
    """Where the quickest trace spent its time: seconds up to each line that it said, and to its end, less the time of the capture."""
    shown = min(traces, key=lambda traced: traced.wall_s)
    ends = [*(line.at_s for line in shown.lines), shown.wall_s]
    spent = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    longest = spent.index(max(spent))
    spent[longest] -= duration_s
    texts = [f"until {line.text[:60]!r}" for line in shown.lines] + ["until the end"]
    return [f"{seconds:7.3f} s {text}" for seconds, text in zip(spent, texts, strict=True)]
