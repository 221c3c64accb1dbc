"""A million hostile capture files, read: each gives our error or a sound table. Prints how many there were and what became of them.

Each input depends on --seed and its number alone, so that a run goes on where another one ended (--from) and a failure is found again:
the input that failed is written into the current directory. Fails on any failure, on an input that takes more than --slowest seconds of
processor time, or where the process's memory grew by more than --grown MB.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench import resident
from tests.bench.figures import Figure, Result
from tests.bench.place import BrokenError
from tests.packets.hostile import Files, judge
from tests.packets.test_fuzz import SEEDS

GOAL = 1_000_000
_PART = 100
"""Inputs drawn from one seed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fuzz`."""
    parser.add_argument("--inputs", type=int, default=GOAL, help="how many (1000000)")
    parser.add_argument("--seconds", type=float, default=600.0, help="end after so many seconds (600)")
    parser.add_argument("--from", type=int, default=0, dest="begin", help="the number of the first input (0)")
    parser.add_argument("--seed", type=int, default=1, help="what the inputs are drawn from (1)")
    parser.add_argument("--slowest", type=float, default=2.0, help="exit 1 beyond so many seconds for one input (2)")
    parser.add_argument("--grown", type=float, default=100.0, help="exit 1 if memory grew by more than so many MB (100)")
    parser.add_argument("--smoke", action="store_true", help="2000 inputs")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if nothing failed."""
    inputs = 2_000 if arguments.smoke else arguments.inputs
    began, slowest, found = time.monotonic(), 0.0, Counter[str]()
    first_bytes = 0
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        for part in range(arguments.begin // _PART, (arguments.begin + inputs) // _PART):
            if time.monotonic() - began > arguments.seconds:
                break
            files = Files((arguments.seed << 40) + part, SEEDS)
            for number in range(part * _PART, (part + 1) * _PART):
                slowest = max(slowest, one(Path(folder) / "input", files.draw(), number, found))
            first_bytes = first_bytes or resident.peak_bytes()
    grown_mb = (resident.peak_bytes() - first_bytes) / 1e6
    said = ", ".join(f"{found[name]} {name}" for name in ("error", "partial", "whole"))
    print(f"fuzz    {found.total()} inputs from number {arguments.begin}, seed {arguments.seed}: {said}")
    if found.total() < inputs:
        print(f"  the time was up; the rest: --from {arguments.begin + found.total()} --inputs {inputs - found.total()}")
    print(f"  {time.monotonic() - began:.0f} s, slowest input {slowest:.3f} s of processor time, memory grew by {grown_mb:.0f} MB")
    said = f"none failed, slowest {slowest:.3f} s, memory grew by {grown_mb:.0f} MB"
    figure = Figure(what="hostile files", ours=said, value=found.total(), unit="inputs", at_least=GOAL)
    return Result(status=0 if slowest <= arguments.slowest and grown_mb <= arguments.grown else 1, figures=(figure,))


def one(path: Path, data: bytes, number: int, found: Counter[str]) -> float:
    """Read one input; seconds of processor time. BrokenError where it does not end as it should."""
    began = time.process_time()
    try:
        found[judge(path, data)] += 1
    except Exception as error:
        kept = Path.cwd() / f"fuzz-{number}.bin"
        kept.write_bytes(data)
        raise BrokenError(f"input {number}, kept as {kept}: {type(error).__name__}: {error}") from error
    return time.process_time() - began
