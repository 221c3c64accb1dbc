"""A million hostile capture files, read: each gives our error or a sound table. Prints how many there were and what became of them.

Each input depends on --seed and its number alone, so that a run goes on where another one ended (--from) and a failure is found again:
the input that failed is written into the current directory. Fails on any failure, on an input that takes more than --slowest seconds of
processor time, or where the memory of a process that reads them grew by more than --grown MB.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.bench import resident
from tests.bench.figures import Figure, Result
from tests.bench.place import BrokenError
from tests.packets.hostile import Files, judge
from tests.packets.test_fuzz import SEEDS

GOAL = 1_000_000
_PART = 100
"""Inputs drawn from one seed."""
_PARTS_AT_ONCE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fuzz`."""
    parser.add_argument("--inputs", type=int, default=GOAL, help="how many (1000000)")
    parser.add_argument("--seconds", type=float, default=2400.0, help="begin none after so many seconds (2400)")
    parser.add_argument("--from", type=int, default=0, dest="begin", help="the number of the first input (0)")
    parser.add_argument("--seed", type=int, default=1, help="what the inputs are drawn from (1)")
    parser.add_argument("--slowest", type=float, default=2.0, help="exit 1 beyond so many seconds for one input (2)")
    parser.add_argument("--grown", type=float, default=100.0, help="exit 1 if memory grew by more than so many MB (100)")
    parser.add_argument("--smoke", action="store_true", help="2000 inputs")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if nothing failed."""
    inputs = 2_000 if arguments.smoke else arguments.inputs
    began, slowest, grown_mb, found = time.monotonic(), 0.0, 0.0, Counter[str]()
    parts = range(arguments.begin // _PART, (arguments.begin + inputs) // _PART)
    batches = [(arguments.seed, parts[start : start + _PARTS_AT_ONCE]) for start in range(0, len(parts), _PARTS_AT_ONCE)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        for batch in _in_turn(processes, batches, until_s=began + arguments.seconds):
            found += batch.found
            slowest, grown_mb = max(slowest, batch.slowest_s), max(grown_mb, batch.grown_bytes / 1e6)
    said = ", ".join(f"{found[name]} {name}" for name in ("error", "partial", "whole"))
    print(f"fuzz    {found.total()} inputs from number {arguments.begin}, seed {arguments.seed}: {said}")
    if found.total() < inputs:
        print(f"  the time was up; the rest: --from {arguments.begin + found.total()} --inputs {inputs - found.total()}")
    print(f"  {time.monotonic() - began:.0f} s, slowest input {slowest:.3f} s of processor time, memory grew by {grown_mb:.0f} MB")
    said = f"none failed, slowest {slowest:.3f} s, memory grew by {grown_mb:.0f} MB"
    figure = Figure(what="hostile files", ours=said, value=found.total(), unit="inputs", at_least=GOAL)
    return Result(status=0 if slowest <= arguments.slowest and grown_mb <= arguments.grown else 1, figures=(figure,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What became of some inputs; grown_bytes: of the process that read them, since it had read its first ones."""

    found: Counter[str]
    slowest_s: float
    grown_bytes: int


def _in_turn(processes: ProcessPoolExecutor, batches: Sequence[tuple[int, Sequence[int]]], *, until_s: float) -> Iterator[_Batch]:
    """The batches in their order, none begun after `until_s`, so that what was read has no gap."""
    waiting: deque[Future[_Batch]] = deque()
    for batch in batches:
        if time.monotonic() > until_s:
            break
        waiting.append(processes.submit(_read, *batch))
        if len(waiting) > 2 * (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@cache
def _at_first() -> int:
    """The peak of this process's memory when it was asked for first."""
    return resident.peak_bytes()


def _read(seed: int, parts: Sequence[int]) -> _Batch:
    slowest_s, found = 0.0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        for part in parts:
            files = Files((seed << 40) + part, SEEDS)
            for number in range(part * _PART, (part + 1) * _PART):
                slowest_s = max(slowest_s, one(Path(folder) / "input", files.draw(), number, found))
            _at_first()
    return _Batch(found=found, slowest_s=slowest_s, grown_bytes=resident.peak_bytes() - _at_first())


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
