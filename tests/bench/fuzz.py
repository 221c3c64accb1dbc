"""Hostile input by the million: capture files, nodes' answers and bundles. Each gives our error or a sound result, and none takes long.

Prints how many there were and what became of them. Each input depends on --seed and its number alone, so that a run goes on where another
one ended (--from) and a failure is found again; the input that failed is written into the current directory. Exit 1 on any failure, on an
input that takes more processor time than --slowest allows, or where the memory of a process that reads them grew by more than --grown MB.
"""

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Protocol

from tests.bench import resident
from tests.bench.figures import Figure, Result
from tests.bench.fuzzbundles import Bundles
from tests.bench.fuzzbundles import judge as judge_bundle
from tests.bench.fuzzfacts import Answers
from tests.bench.fuzzfacts import judge as judge_answer
from tests.packets.hostile import Files
from tests.packets.hostile import judge as judge_capture
from tests.packets.test_fuzz import SEEDS

_PART = 100
"""Inputs drawn from one seed."""
_PARTS_AT_ONCE = 10


class Source(Protocol):
    """Where inputs come from."""

    def draw(self) -> bytes:
        """The next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of input: how it is drawn from a number, who judges it (in a folder; raises what is a failure), how many make the goal, and
    the most processor time that one may take."""

    made: Callable[[int], Source]
    judge: Callable[[Path, bytes], str]
    goal: int
    most_s: float


KINDS = {
    "captures": Kind(
        made=partial(Files, packets=SEEDS), judge=lambda folder, data: judge_capture(folder / "a", data), goal=10**6, most_s=2.0
    ),
    "answers": Kind(made=Answers, judge=judge_answer, goal=10**5, most_s=2.0),
    "bundles": Kind(made=Bundles, judge=judge_bundle, goal=10**4, most_s=10.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """An input that did not end as it should: its number, how it ended, and what it is."""

    number: int
    error: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What became of inputs of one kind. grown_bytes: of the process that read them, since it had read its first ones."""

    kind: str
    found: Counter[str]
    crashed: tuple[Crash, ...]
    slowest_s: float
    grown_bytes: int = 0

    @property
    def tried(self) -> int:
        """How many there were."""
        return self.found.total() + len(self.crashed)


class _TooLongError(BaseException):
    """An input takes too long. No `except Exception` of what is tried may take it."""


def fuzz(kind: str, numbers: Sequence[int], *, seed: int = 1) -> Fuzzed:
    """Try the inputs of these numbers, one after the other, in this process; it must be its main thread."""
    found, crashed, slowest_s = Counter[str](), [], 0.0
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        for number, data in _inputs(KINDS[kind], numbers, seed):
            began_s = time.process_time()
            try:
                with warnings.catch_warnings(), _bounded(KINDS[kind].most_s):
                    warnings.simplefilter("ignore")
                    found[KINDS[kind].judge(Path(folder), data)] += 1
            except (Exception, _TooLongError) as error:
                crashed.append(Crash(number=number, error=f"{type(error).__name__}: {error} ({_where(error)})", data=data))
            slowest_s = max(slowest_s, time.process_time() - began_s)
    return Fuzzed(kind=kind, found=found, crashed=tuple(crashed), slowest_s=slowest_s)


def _inputs(kind: Kind, numbers: Sequence[int], seed: int) -> Iterator[tuple[int, bytes]]:
    wanted = set(numbers)
    for part in sorted({number // _PART for number in numbers}):
        source = kind.made((seed << 40) + part)
        for number in range(part * _PART, (part + 1) * _PART):
            data = source.draw()
            if number in wanted:
                yield number, data


@contextmanager
def _bounded(most_s: float) -> Iterator[None]:
    """Raise _TooLongError after so much processor time, which is the same on a busy machine."""

    def stop(*_: object) -> None:
        raise _TooLongError(f"more than {most_s:g} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, most_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _where(error: BaseException) -> str:
    """The innermost line that it came through."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fuzz`."""
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="of what (all)")
    parser.add_argument("--inputs", type=int, help="how many of each (1000000 captures, 100000 answers, 10000 bundles)")
    parser.add_argument("--seconds", type=float, default=2400.0, help="begin none after so many seconds of each kind (2400)")
    parser.add_argument("--from", type=int, default=0, dest="begin", help="the number of the first input, a multiple of 100 (0)")
    parser.add_argument("--seed", type=int, default=1, help="what the inputs are drawn from (1)")
    parser.add_argument("--grown", type=float, default=100.0, help="exit 1 if memory grew by more than so many MB (100)")
    parser.add_argument("--smoke", action="store_true", help="one in 500")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if nothing failed."""
    kinds = list(KINDS) if arguments.kind == "all" else [arguments.kind]
    results = [_tried(kind, arguments) for kind in kinds]
    return Result(status=max(result.status for result in results), figures=tuple(figure for result in results for figure in result.figures))


def _tried(kind: str, arguments: argparse.Namespace) -> Result:
    """All inputs of one kind."""
    goal = KINDS[kind].goal
    inputs = max(goal // 500, _PART) if arguments.smoke else arguments.inputs or goal
    parts = range(arguments.begin // _PART, (arguments.begin + inputs) // _PART)
    batches = [parts[start : start + _PARTS_AT_ONCE] for start in range(0, len(parts), _PARTS_AT_ONCE)]
    began_s, whole = time.monotonic(), Fuzzed(kind=kind, found=Counter(), crashed=(), slowest_s=0.0)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        for batch in _in_turn(processes, kind, arguments.seed, batches, until_s=began_s + arguments.seconds):
            whole = _together(whole, batch)
            for crash in batch.crashed:
                kept = Path.cwd() / f"fuzz-{kind}-{crash.number}.bin"
                kept.write_bytes(crash.data)
                print(f"  input {crash.number}, kept as {kept}: {crash.error}")
    said = ", ".join(f"{count} {name}" for name, count in sorted(whole.found.items()))
    print(f"fuzz    {whole.tried} {kind} from number {arguments.begin}, seed {arguments.seed}: {said}, {len(whole.crashed)} failed")
    if whole.tried < inputs:
        print(f"  the time was up; the rest: --kind {kind} --from {arguments.begin + whole.tried} --inputs {inputs - whole.tried}")
    grown_mb = whole.grown_bytes / 1e6
    print(
        f"  {time.monotonic() - began_s:.0f} s, slowest input {whole.slowest_s:.3f} s of processor time, memory grew by {grown_mb:.0f} MB",
        flush=True,
    )
    said = f"{len(whole.crashed)} failed, slowest {whole.slowest_s:.3f} s, memory grew by {grown_mb:.0f} MB"
    figure = Figure(what=f"hostile {kind}", ours=said, value=whole.tried, unit="inputs", at_least=goal)
    return Result(status=1 if whole.crashed or grown_mb > arguments.grown else 0, figures=(figure,))


def _together(whole: Fuzzed, batch: Fuzzed) -> Fuzzed:
    return Fuzzed(
        kind=whole.kind,
        found=whole.found + batch.found,
        crashed=whole.crashed + batch.crashed,
        slowest_s=max(whole.slowest_s, batch.slowest_s),
        grown_bytes=max(whole.grown_bytes, batch.grown_bytes),
    )


def _in_turn(processes: ProcessPoolExecutor, kind: str, seed: int, batches: Sequence[Sequence[int]], *, until_s: float) -> Iterator[Fuzzed]:
    """The batches in their order, none begun after `until_s`, so that what was read has no gap."""
    waiting: deque[Future[Fuzzed]] = deque()
    for parts in batches:
        if time.monotonic() > until_s:
            break
        waiting.append(processes.submit(_read, kind, seed, parts))
        if len(waiting) > 2 * (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@cache
def _at_first() -> int:
    """The peak of this process's memory when it was asked for first."""
    return resident.peak_bytes()


def _read(kind: str, seed: int, parts: Sequence[int]) -> Fuzzed:
    found = fuzz(kind, range(parts[0] * _PART, (parts[-1] + 1) * _PART), seed=seed)
    before = _at_first()
    return Fuzzed(
        kind=kind,
        found=found.found,
        crashed=found.crashed,
        slowest_s=found.slowest_s,
        grown_bytes=resident.peak_bytes() - before,
    )
