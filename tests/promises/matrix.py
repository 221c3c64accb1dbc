"""The kill matrix on a place: traces side by side, each with its own session, folder and signals."""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.place import CLIENT, SERVICE, Lab
from tests.promises import looks, traces
from tests.promises.cells import INT3, KILL, Cell, Seen, wrong
from tests.promises.results import Row

_AT_ONCE = 4
_GO_WITHIN_S = 10.0
KEPT = "-recorded"
"""What the name of captures ends with that were left to the user, who was told so."""


def run(place: Lab, cells: Sequence[Cell], tell: Callable[[str], None]) -> list[Row]:
    """A row for each cell, and for what is to be seen after them."""
    before = looks.machine()
    rows = _beside(place, [cell for cell in cells if not cell.takes_a_minute], None, tell)
    if rows:
        rows.append(_machine_row("after these signals", before))
    slow = [cell for cell in cells if cell.takes_a_minute]
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        temporary = Path(folder) / "temporary"
        temporary.mkdir()
        ended = _beside(place, slow, temporary, tell)
        if ended:
            rows += [*ended, _machine_row("when these pods have ended", before), _cleanup(place), _next_trace(place, temporary)]
            rows.append(_machine_row("after that trace", before))
    return rows


def one(place: Lab, cell: Cell, gate: threading.Semaphore | None = None, keep: Path | None = None) -> tuple[Seen, list[str]]:
    """What became of a trace, and what of it is wrong. What it left among its temporary files is moved to `keep`."""
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        with gate or threading.Semaphore():
            seen = traces.strike(cell, place.kubeconfig, place.environment(), Path(folder))
        if keep is not None:
            for left in (Path(folder) / traces.TEMPORARY).iterdir():
                left.rename(keep / left.name)
    if cell.takes_a_minute:
        seen = traces.ended(cell, seen, place.kubeconfig)
    until = time.monotonic() + _GO_WITHIN_S
    while (instances := looks.instances([seen.session])) and time.monotonic() < until:
        time.sleep(0.2)
    return seen, [*wrong(cell, seen), *(f"tracing instance left: {name}" for name in sorted(instances))]


def _beside(place: Lab, cells: Sequence[Cell], keep: Path | None, tell: Callable[[str], None]) -> list[Row]:
    if not cells:
        return []
    gate = threading.Semaphore(_AT_ONCE)

    def work(cell: Cell) -> Row:
        try:
            seen, faults = one(place, cell, gate, keep)
            row = _row(cell, seen, faults)
        except Exception as error:  # noqa: BLE001, RUF100 (a cell that cannot be run is a row that says so)
            said = {"said": f"{type(error).__name__}: {error}"[:3000]}
            row = Row(name=cell.name, expected=_expected(cell), got="not run to its end", wrong=(type(error).__name__,), more=said)
        tell(f"{'ok   ' if not row.wrong else 'WRONG'} {row.name}: {row.got}" + (f" -- {'; '.join(row.wrong)}" if row.wrong else ""))
        return row

    with ThreadPoolExecutor(len(cells)) as pool:
        return list(pool.map(work, cells))


def _expected(cell: Cell) -> str:
    if cell.blow is KILL:
        return "killed; its pods end by themselves"
    if cell.blow is INT3:
        return "130 and no pod, or 5 and its pods end by themselves"
    kept = {True: "report and bundle", False: "nothing kept", None: "either"}[cell.keeps]
    return f"130, {kept}, no pod"


def _row(cell: Cell, seen: Seen, faults: Sequence[str]) -> Row:
    """`130, report and bundle, no pod, 4.8 s`; `-9, 3 pods Failed, 62.3 s`."""
    phases = list(seen.left.values())
    parts = [
        str(seen.code),
        *(["report and bundle"] if seen.report and seen.bundle else []),
        *(["captures kept"] if seen.files and not cell.takes_a_minute else []),
        *(f"{phases.count(phase)} pods {phase}" for phase in sorted(set(phases))),
        *([] if phases else ["no pod"]),
        f"{seen.took_s:.0f} s",
    ]
    said = {"said": seen.said[-3000:]} if faults else {}
    return Row(name=cell.name, expected=_expected(cell), got=", ".join(parts), wrong=tuple(faults), more=said)


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


def _next_trace(place: Lab, temporary: Path) -> Row:
    """A trace that has the killed ones' temporary files beside its own: it takes them away."""
    found = sorted(entry.name for entry in temporary.iterdir())
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        command = ("pod", CLIENT, "--to", SERVICE, "--duration", "2s", "-o", "json", "--bundle", "none")
        run = place.vxtrace(*command, cwd=Path(folder), environment={"TMPDIR": str(temporary)})
    left = sorted(entry.name for entry in temporary.iterdir() if not entry.name.endswith(KEPT))
    faults = [f"exit {run.code}: {run.stderr.strip()[-300:]}"] if run.code else []
    faults += [f"still there: {', '.join(left)}"] if left else []
    got = f"{run.code}; {len(found)} files and folders of the killed before, {len(left)} after, but for captures that were told of"
    return Row(name="the next trace", expected="0, none of the killed ones' temporary files", got=got, wrong=tuple(faults))


def _machine_row(name: str, before: Mapping[str, set[str]]) -> Row:
    until = time.monotonic() + _GO_WITHIN_S
    while (more := looks.grown(before, looks.machine())) and time.monotonic() < until:
        time.sleep(0.2)
    return Row(
        name=name,
        expected="no process or mount more than before",
        got="none" if not more else f"{len(more)} kinds",
        wrong=tuple(more),
    )
