"""`python -m tests.truth`, which `make truth` calls: trace faults, reported mechanisms and healthy paths, write docs/truth.md.

It may be interrupted: the next call goes on, unless the code has changed meanwhile. Exit status: 0 the figures are reached, 1 they are not,
130 interrupted.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.__main__ import require_machine
from tests.truth import page, results, worker
from tests.truth.cases import BACKENDS, Case
from tests.truth.judging import Row
from tests.truth.reports import section
from tests.truth.reports import worker as reports_worker
from tests.truth.reports.mechanism import Mechanism
from tests.truth.reports.scoring import Marks
from tests.truth.reports.table import MECHANISMS

CAUSES_RIGHT = 0.95
REPORTS = "reports"
TENTH = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, write the page, print it."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    require_machine()
    cases = [case for case in worker.every_case() if _fits(case, options)]
    reports = [row for row in MECHANISMS if _report_fits(row, options)]
    names = [*(case.name for case in cases), *(row.title for row in reports)]
    if options.list:
        print("\n".join(names))
        return 0
    code = results.fingerprint()
    if options.without_fault:
        return reports_worker.start([row.title for row in reports], code, bundles=None, without_fault=True).wait()
    if options.again:
        results.forget(names)
    known = results.known(code)
    status = _run([case for case in cases if case.name not in known], code, one_by_one=options.one_by_one)
    status = status or _run_reports([row for row in reports if row.title not in known], code, options.bundles)
    known = results.known(code)
    answers = [(case, Row.kept(row)) for case in cases for row in known.get(case.name, ())]
    marks = [Marks.kept(kept) for row in reports for kept in known.get(row.title, ())]
    make = page.page if options.words or options.only or options.on or options.tenth else page.write
    print(make(answers, marks, sum(name not in known for name in names)))
    good = reached([row for _, row in answers]) and section.reached(marks) and all(name in known for name in names)
    return status or (0 if good else 1)


def _fits(case: Case, options: argparse.Namespace) -> bool:
    kind = "synthesised" if case.synthesised else "faults" if case.truths() else "healthy"
    return options.only in (None, kind) and options.on in (None, case.on) and _named(case.name, options)


def _report_fits(row: Mechanism, options: argparse.Namespace) -> bool:
    return options.only in (None, REPORTS) and options.on in (None, "lab") and _named(row.title, options)


def _named(name: str, options: argparse.Namespace) -> bool:
    return (not options.words or any(word in name for word in options.words)) and (not options.tenth or in_tenth(name))


def in_tenth(name: str) -> bool:
    """Whether a case is of the tenth that CI runs: by its name alone, so that others may come and go."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()) % TENTH == 0


def reached(rows: Sequence[Row]) -> bool:
    """Whether the figures are: every leg, 95 % of the causes, nothing beside them, nothing found where nothing is."""
    faulty = [row for row in rows if row.expected is not None]
    healthy_rows = [row for row in rows if row.expected is None]
    return (
        all(row.leg_right for row in faulty)
        and sum(row.cause_right for row in faulty) >= CAUSES_RIGHT * len(faulty)
        and not any(row.wrong_certain or row.extra for row in rows)
        and all(row.cause_right for row in healthy_rows)
    )


@contextmanager
def _told_to_stop(running: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Where this is interrupted, so are they; a terminal has told them already."""
    try:
        yield
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
        raise


def _run(cases: Sequence[Case], code: str, *, one_by_one: bool) -> int:
    """One worker for each lab and one for the clusters, side by side."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        with _told_to_stop(running):
            for on, backends in (*(("lab", [backend]) for backend in BACKENDS), ("cluster", list(BACKENDS))):
                wanted = [case for case in cases if case.on == on and case.backend in backends]
                if wanted:
                    used = [backend for backend in backends if any(case.backend == backend for case in wanted)]
                    running.append(worker.start(on, used, [case.name for case in wanted], code))
                    if one_by_one:
                        running[-1].wait()
            return max((process.wait() for process in running), default=0)
    except KeyboardInterrupt:
        return 130


def _run_reports(rows: Sequence[Mechanism], code: str, bundles: Path | None) -> int:
    """One worker, when the others are done: it counts what its own traffic does within seconds."""
    if not rows:
        return 0
    running = [reports_worker.start([row.title for row in rows], code, bundles=bundles, without_fault=False)]
    try:
        with _told_to_stop(running):
            return running[0].wait()
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases whose names have one of these words; the page is printed then, not written")
    kinds = ("faults", "synthesised", "healthy", REPORTS)
    parser.add_argument("--only", choices=kinds, help="only these; the page is printed then, not written")
    parser.add_argument("--on", choices=("lab", "cluster"), help="only there; the page is printed then, not written")
    parser.add_argument("--tenth", action="store_true", help="only a fixed tenth of them; the page is printed then, not written")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--again", action="store_true", help="forget earlier results first")
    parser.add_argument("--one-by-one", action="store_true", help="one place after the other")
    parser.add_argument("--bundles", type=Path, metavar="DIR", help="keep the bundles of reported mechanisms there, one for each")
    parser.add_argument(
        "--without-fault", action="store_true", help="trace nothing; try each report's proof on a whole lab, where none may hold"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
