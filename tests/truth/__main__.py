"""`python -m tests.truth`: trace every fault of the lab and the healthy paths, write docs/truth.md. `make truth` calls it.

It may be interrupted: the next call goes on, unless the code has changed meanwhile. Exit status: 0 the figures are reached, 1 they are not,
130 interrupted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from tests.lab.__main__ import require_machine
from tests.truth import healthy, page, recorded, results, worker
from tests.truth.cases import BACKENDS, Case, fault_cases, told_cases
from tests.truth.judging import Row

CAUSES_RIGHT = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, write the page, print it."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    require_machine()
    every = [*fault_cases(), *told_cases(), *recorded.cases(), *healthy.cases()]
    chosen = [case for case in every if _fits(case, options)]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    code = results.fingerprint()
    if options.again:
        results.forget([case.name for case in chosen])
    status = _run([case for case in chosen if case.name not in results.known(code)], code, one_by_one=options.one_by_one)
    known = results.known(code)
    rows = [row for case in chosen for row in known.get(case.name, ())]
    offline = [row for case in chosen if case.recorded for row in known.get(case.name, ())]
    here = [row for row in rows if row not in offline]
    make = page.page if options.words or options.only else page.write
    print(make(here, offline, sum(case.name not in known for case in chosen)))
    return status or (0 if reached(rows) and all(case.name in known for case in chosen) else 1)


def _fits(case: Case, options: argparse.Namespace) -> bool:
    kind = "recorded" if case.recorded else "faults" if case.truths() else "healthy"
    return options.only in (None, kind) and (not options.words or any(word in case.name for word in options.words))


def reached(rows: Sequence[Row]) -> bool:
    """Whether the figures are: every leg, 95 % of the causes, no wrong certainty, nothing found where nothing is."""
    faulty = [row for row in rows if row.expected is not None]
    healthy_rows = [row for row in rows if row.expected is None]
    return (
        all(row.leg_right for row in faulty)
        and sum(row.cause_right for row in faulty) >= CAUSES_RIGHT * len(faulty)
        and not any(row.wrong_certain for row in rows)
        and all(row.cause_right for row in healthy_rows)
    )


def _run(cases: Sequence[Case], code: str, *, one_by_one: bool) -> int:
    """One worker for each backend, side by side."""
    running = []
    try:
        for backend in BACKENDS:
            names = [case.name for case in cases if case.backend == backend]
            if names:
                running.append(worker.start(backend, names, code))
                if one_by_one:
                    running[-1].wait()
        return max((process.wait() for process in running), default=0)
    except KeyboardInterrupt:
        for process in running:  # a terminal has told them already
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases whose names have one of these words; the page is printed then, not written")
    parser.add_argument("--only", choices=("faults", "recorded", "healthy"), help="only these; the page is printed then, not written")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--again", action="store_true", help="forget earlier results first")
    parser.add_argument("--one-by-one", action="store_true", help="one lab after the other")
    return parser


if __name__ == "__main__":
    sys.exit(main())
