"""What was found so far, on disk: one file for each place and table, so that each may be run again alone."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.truth.results import fingerprint

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "promises"
SOURCES = ("kubectl_vxtrace",)


class NotRunError(Exception):
    """Something cannot be put to the test here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One promise that was put to the test.

    Attributes:
        name: what was done.
        expected: what is promised.
        got: what came.
        wrong: in which points that is not what is promised.
        more: for whoever mends it; no part of the page.
    """

    name: str
    expected: str
    got: str
    wrong: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one kind on one place. `why_not` is there in place of rows that could not be had; `load` is the machine's at its end."""

    kind: str
    place: str
    date: str
    commit: str
    code: str
    rows: tuple[Row, ...] = ()
    why_not: str | None = None
    load: str = ""


def made(kind: str, place: str, rows: Sequence[Row], *, why_not: str | None = None) -> Table:
    """A table of now and of the code that is here."""
    return Table(
        kind=kind,
        place=place,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=commit(),
        code=fingerprint(SOURCES),
        rows=tuple(rows),
        why_not=why_not,
        load=f"load {os.getloadavg()[1]:.0f} on {os.cpu_count()} processors",
    )


def commit() -> str:
    """The commit that is checked out, `+` where files of the plugin are not as it has them."""
    head = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    return head + ("+" if _git("status", "--porcelain", "--", *SOURCES) else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def keep(table: Table) -> None:
    """Keep it in place of the last one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _path(table.kind, table.place).write_text(json.dumps(asdict(table), indent=1) + "\n")


def add(kind: str, place: str, rows: Sequence[Row]) -> None:
    """Keep rows beside those that are kept of the same plugin, in place of those of the same names."""
    table = made(kind, place, rows)
    before = kept(kind, place)
    if before is not None and before.code == table.code:
        names = {row.name for row in rows}
        table = replace(table, rows=(*(row for row in before.rows if row.name not in names), *rows))
    keep(table)


def forget(kind: str, place: str) -> None:
    """Keep nothing of it."""
    _path(kind, place).unlink(missing_ok=True)


def kept(kind: str, place: str) -> Table | None:
    """The last one; None where there is none."""
    path = _path(kind, place)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    rows = tuple(Row(**{**row, "wrong": tuple(row["wrong"])}) for row in found.pop("rows"))
    return Table(**found, rows=rows)


def _path(kind: str, place: str) -> Path:
    return FOLDER / f"{kind}-{place}.json"
