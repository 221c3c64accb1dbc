"""`python -m tests.truth`, which `make truth` calls: trace every fault and the healthy paths, write docs/truth.md.

It may be interrupted: the next call goes on, unless the code has changed meanwhile. Exit status: 0 the figures are reached, 1 they are not,
130 interrupted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from tests.lab.__main__ import require_machine
from tests.truth import page, results, worker
from tests.truth.cases import BACKENDS, Case
from tests.truth.judging import Row

CAUSES_RIGHT = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, write the page, print it."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    require_machine()
    chosen = [case for case in worker.every_case() if _fits(case, options)]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    code = results.fingerprint()
    if options.again:
        results.forget([case.name for case in chosen])
    status = _run([case for case in chosen if case.name not in results.known(code)], code, one_by_one=options.one_by_one)
    known = results.known(code)
    rows = [row for case in chosen for row in known.get(case.name, ())]
    make = page.page if options.words or options.only or options.on else page.write
    print(make([(case, row) for case in chosen for row in known.get(case.name, ())], sum(case.name not in known for case in chosen)))
    return status or (0 if reached(rows) and all(case.name in known for case in chosen) else 1)


def _fits(case: Case, options: argparse.Namespace) -> bool:
    kind = "recorded" if case.recorded else "faults" if case.truths() else "healthy"
    return (
        options.only in (None, kind)
        and options.on in (None, case.on)
        and (not options.words or any(word in case.name for word in options.words))
    )


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
    """One worker for each lab and one for the clusters, side by side."""
    running = []
    try:
        for on, backends in (*(("lab", [backend]) for backend in BACKENDS), ("cluster", list(BACKENDS))):
            wanted = [case for case in cases if case.on == on and case.backend in backends]
            if wanted:
                used = [backend for backend in backends if any(case.backend == backend for case in wanted)]
                running.append(worker.start(on, used, [case.name for case in wanted], code))
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
    parser.add_argument("--on", choices=("lab", "cluster"), help="only there; the page is printed then, not written")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--again", action="store_true", help="forget earlier results first")
    parser.add_argument("--one-by-one", action="store_true", help="one place after the other")
    return parser


if __name__ == "__main__":
    sys.exit(main())
