"""The kill matrix on a place: traces side by side, each with its own session, folder and signals."""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.e2e.place import Lab
from tests.promises import looks, traces
from tests.promises.cells import KILL, Cell, Seen, wrong
from tests.promises.results import Row

_AT_ONCE = 6
_GO_WITHIN_S = 10.0
TABLE = "matrix"


def run(place: Lab, cells: Sequence[Cell], tell: Callable[[str], None]) -> list[Row]:
    """A row for each cell, and one for what the machine shows after them."""
    before = looks.machine()
    gate = threading.Semaphore(_AT_ONCE)
    gently = _beside(place, [cell for cell in cells if cell.blow is not KILL], gate, tell)
    rows = [*gently, _machine_row("after all signals but KILL", before)] if gently else []
    killed = _beside(place, [cell for cell in cells if cell.blow is KILL], gate, tell)
    if killed:
        rows += [
            *killed,
            _machine_row("after all KILL, before the cleanup", before),
            _cleanup(place),
            _machine_row("after the cleanup", before),
        ]
    return rows


def one(place: Lab, cell: Cell, gate: threading.Semaphore | None = None) -> tuple[Seen, list[str]]:
    """What became of a trace, and what of it is wrong."""
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        with gate or threading.Semaphore():
            seen = traces.strike(cell, place.kubeconfig, place.environment(), Path(folder))
        if cell.blow is KILL:
            seen = traces.ended(seen, place.kubeconfig)
    return seen, wrong(cell, seen)


def _beside(place: Lab, cells: Sequence[Cell], gate: threading.Semaphore, tell: Callable[[str], None]) -> list[Row]:
    if not cells:
        return []

    def work(cell: Cell) -> Row:
        try:
            seen, faults = one(place, cell, gate)
            row = _row(cell, seen, faults)
        except Exception as error:  # noqa: BLE001, RUF100 (a cell that cannot be run is a row that says so)
            row = Row(
                name=cell.name,
                expected=_expected(cell),
                got=f"{type(error).__name__}: {error}"[:600],
                wrong=("it did not come to its end",),
            )
        tell(f"{'ok  ' if not row.wrong else 'WRONG'} {row.name}: {row.got}" + (f" -- {'; '.join(row.wrong)}" if row.wrong else ""))
        return row

    with ThreadPoolExecutor(len(cells)) as pool:
        return list(pool.map(work, cells))


def _expected(cell: Cell) -> str:
    if cell.blow is KILL:
        return "dies; pods end by themselves"
    kept = {True: "report and bundle", False: "nothing kept", None: "either"}[cell.keeps]
    return f"130, {kept}, no pod"


def _row(cell: Cell, seen: Seen, faults: Sequence[str]) -> Row:
    kept = f"{seen.report} and bundle" if seen.report else "nothing"
    if seen.files:
        kept += f", {len(seen.files)} in TMPDIR"
    phases = ", ".join(f"{list(seen.left.values()).count(phase)} {phase}" for phase in sorted(set(seen.left.values())))
    got = f"{seen.code}; kept: {kept}; pods: {phases or 'none'}; {seen.took_s:.1f} s"
    said = {"said": seen.said[-3000:]} if faults else {}
    return Row(name=cell.name, expected=_expected(cell), got=got, wrong=tuple(faults), more=said)


def _cleanup(place: Lab) -> Row:
    """One `cleanup`, as a user calls it; afterwards the API itself has no debug pod."""
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        run = place.vxtrace("cleanup", cwd=Path(folder))
    left = looks.pods(place.kubeconfig)
    faults = [f"exit {run.code}: {run.stderr.strip()[-300:]}"] if run.code else []
    faults += [f"left: {', '.join(left)}"] if left else []
    said = run.stdout.splitlines()[0] if run.stdout else "nothing"
    return Row(
        name="one cleanup", expected="0, no debug pod in the API", got=f"{run.code}; {said!r}; pods: {len(left)}", wrong=tuple(faults)
    )


def _machine_row(name: str, before: Mapping[str, set[str]]) -> Row:
    until = time.monotonic() + _GO_WITHIN_S
    while (more := looks.grown(before, looks.machine())) and time.monotonic() < until:
        time.sleep(0.2)
    return Row(
        name=name,
        expected="no process, mount or tracing instance more than before",
        got="none" if not more else f"{len(more)} kinds",
        wrong=tuple(more),
    )


def without_text(rows: Sequence[Row]) -> list[Row]:
    """The rows without what was said, which is for whoever mends it."""
    return [replace(row, more={}) for row in rows]
