"""Row after row on a lab of each backend: made, proven, traced, marked, undone. The parent runs it as a process of its own."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from tests.datapath import tools
from tests.datapath.records import Lab
from tests.truth import places, plugin, results, words
from tests.truth.reports import proof, scoring, state, steps, traffic
from tests.truth.reports.mechanism import Mechanism
from tests.truth.reports.scoring import Marks
from tests.truth.reports.table import MECHANISMS

KEPT = "reports"
BUNDLE = "bundle.zip"
_TIMES = 3


def start(names: Sequence[str], code: str, *, bundles: Path | None, without_fault: bool) -> "subprocess.Popen[bytes]":
    """A worker for the rows of these titles, in a mount namespace of its own; its stdin is the list of them."""
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.truth.reports.worker", code]
    argv += (["--bundles", str(bundles.absolute())] if bundles else []) + (["--without-fault"] if without_fault else [])
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=results.ROOT)
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(names)).encode())
    process.stdin.close()
    return process


def main() -> int:
    """Each backend's rows on a lab of their own; those that cannot be undone come last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("code", help="fingerprint under which the results are kept")
    parser.add_argument("--bundles", type=Path, help="keep each row's bundle in this folder")
    parser.add_argument("--without-fault", action="store_true", help="only try each proof on the lab as it is: none may hold")
    options = parser.parse_args()
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    wanted = set(json.load(sys.stdin))
    rows = [row for row in MECHANISMS if row.title in wanted]
    held = 0
    try:
        for backend in dict.fromkeys(row.backend for row in rows):
            of_backend = sorted((row for row in rows if row.backend == backend), key=lambda row: not row.heal)
            with tempfile.TemporaryDirectory(prefix="vxreports-") as folder:
                if options.without_fault:
                    held += _without_faults(backend, of_backend, Path(folder))
                else:
                    _Bench(backend, Path(folder), options.bundles).measure(of_backend, options.code)
    except KeyboardInterrupt:
        return 130
    except tools.LabError as error:
        print(f"reports: {error}", file=sys.stderr, flush=True)
        return 1
    return 1 if held else 0


class _Bench:
    """A lab that is made anew where a row leaves it changed."""

    def __init__(self, backend: str, folder: Path, bundles: Path | None) -> None:
        self._backend = backend
        self._folder = folder
        self._bundles = bundles

    def measure(self, rows: Sequence[Mechanism], code: str) -> None:
        """All of them, each kept at once. Raises LabError where no lab can be made."""
        left = list(rows)
        while left:
            with places.bare_lab(self._backend) as lab:
                as_made = state.listed(lab)
                while left:
                    row = left.pop(0)
                    began = time.monotonic()
                    marks = self._measured(lab, row)
                    unhealed = self._undone(lab, row, as_made)
                    marks = replace(marks, unhealed=tuple(unhealed))
                    results.add(KEPT, code, marks.title, [asdict(marks)])
                    print(f"{time.monotonic() - began:5.1f} s  {line_of(marks)}", file=sys.stderr, flush=True)
                    if unhealed or not row.heal:
                        break

    def _measured(self, lab: Lab, row: Mechanism) -> Marks:
        try:
            with ExitStack() as stack:
                answers = stack.enter_context(traffic.running(lab, row.traffic, self._folder)) if row.early else None
                steps.inject(lab, row.inject)
                if answers is None:
                    answers = stack.enter_context(traffic.running(lab, row.traffic, self._folder))
                time.sleep(row.settle_s)
                wrong = proof.not_true(lab, row.proof, answers)
                if wrong:
                    return scoring.marked(row, unproven=tuple(wrong))
                return self._traced(lab, row)
        except (tools.LabError, OSError, ValueError) as error:
            return scoring.marked(row, unproven=(f"{type(error).__name__}: {error}",))

    def _traced(self, lab: Lab, row: Mechanism) -> Marks:
        command = ["pod", words.filled(lab, row.client), "--to", words.filled(lab, row.target)]
        command += ["--duration", f"{round(row.duration_s * 1000)}ms", "--bundle", BUNDLE]
        (self._folder / BUNDLE).unlink(missing_ok=True)
        try:
            done = plugin.call(command, self._folder, KUBECONFIG=str(Path(lab.state_dir) / "kubeconfig"))
            marks = scoring.of_report(lab, row, done.returncode, json.loads(done.stdout))
        except (ValueError, subprocess.TimeoutExpired) as error:
            return scoring.marked(row, said=f"no report: {error}")
        if self._bundles is not None and (self._folder / BUNDLE).exists():
            self._bundles.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / BUNDLE, self._bundles / f"{row.name}.zip")
        return marks

    def _undone(self, lab: Lab, row: Mechanism, as_made: state.State) -> list[str]:
        """What is not as it was made; nothing is looked for where the lab is made anew anyway."""
        if not row.heal:
            return []
        steps.heal(lab, row.heal)
        state.forget_connections(lab)
        for _ in range(_TIMES):
            found = state.changes(as_made, state.listed(lab)) or state.broken(lab)
            if not found:
                break
        return found[:6]


def _without_faults(backend: str, rows: Sequence[Mechanism], folder: Path) -> int:
    """How many proofs hold though nothing was injected. Rows whose traffic is the whole mechanism have no such proof."""
    held = 0
    with places.bare_lab(backend) as lab:
        for row in (row for row in rows if row.inject and not row.early):
            try:
                with traffic.running(lab, row.traffic, folder) as answers:
                    time.sleep(row.settle_s)
                    wrong = proof.not_true(lab, row.proof, answers)
            except tools.LabError as error:
                wrong = [str(error)]
            state.forget_connections(lab)
            held += not wrong
            text = f"does not hold: {' | '.join(wrong)[:200]}" if wrong else "HOLDS WITHOUT THE FAULT"
            print(f"{row.name:38} {text}", file=sys.stderr, flush=True)
    return held


def line_of(marks: Marks) -> str:
    """A row in one line: leg, verdict, cause, text, what is false, what was said."""
    head = f"{marks.title.removeprefix('report: '):38} {marks.backend:8}"
    tail = f"  UNHEALED {marks.unhealed[0]}" if marks.unhealed else ""
    if marks.unproven:
        return f"{head} UNPROVEN {' | '.join(marks.unproven)[:400]}{tail}"
    return f"{head} {marks.leg} {marks.verdict} {marks.cause} {marks.text}  {'; '.join(marks.false) or '-'}  {marks.said[:160]}{tail}"


if __name__ == "__main__":
    sys.exit(main())
