"""The measured part of docs/promises.md: below a line of its own; what stands above is written by hand."""

import re
from collections.abc import Sequence

from tests.promises import results
from tests.promises.cells import BLOWS, MATRIX
from tests.promises.held import Phase
from tests.promises.results import Row, Table
from tests.truth.results import fingerprint

PAGE = results.ROOT / "docs" / "promises.md"
BEGIN = "<!-- Below this line `make promises` writes. -->"
PLACES = {"lab": "the lab", "cluster": "real Kubernetes"}
TITLES = {
    "matrix": "Signals in every phase",
    "chaos": "An API that fails",
    "sick": "A cluster that is sick",
    "repetition": "Traces in a row",
}
LEGEND = """In each cell: exit status (negative: the signal it died of), what was kept, what there was of its pods in the end, and the
seconds from the first signal until then. A busy machine takes longer for all of it.
"""
_CELL = 80
ELSEWHERE = {("sick", "lab")}
"""What a place cannot have."""


def write() -> tuple[str, bool]:
    """Write what was found last; the whole text, and whether every promise was kept and none was not put to the test."""
    by_hand = PAGE.read_text().partition(BEGIN)[0]
    tables = {(kind, place): results.kept(kind, place) for kind in TITLES for place in PLACES}
    text = f"{by_hand}{BEGIN}\n\n{measured(tables)}"
    PAGE.write_text(text)
    return text, all(_whole(table) for place, table in tables.items() if place not in ELSEWHERE)


def _whole(table: Table | None) -> bool:
    return table is not None and bool(table.rows) and not any(row.wrong for row in table.rows)


def measured(tables: dict[tuple[str, str], Table | None]) -> str:
    """The measured part: sections of both places, and what is wrong."""
    parts = ["## Measured\n"]
    for kind, title in TITLES.items():
        parts += [f"### {title}\n", *([LEGEND] if kind == "matrix" else [])]
        for place in PLACES:
            parts += _section(kind, place, tables[kind, place])
    return "\n".join([*parts, "### What is not kept\n", *_misses(tables)]) + "\n"


def _section(kind: str, place: str, table: Table | None) -> list[str]:
    where = PLACES[place]
    if table is None:
        return [f"On {where}: **not run**.\n"]
    if table.why_not is not None:
        return [f"On {where}: not run: {table.why_not}.\n"]
    right = sum(not row.wrong for row in table.rows)
    code = f"commit {table.commit}, code `{table.code}`" + (f", {table.load}" if table.load else "")
    lines = [f"On {where}, {table.date}, {code}: {right} of {len(table.rows)} as promised.\n"]
    rows = table.rows
    if kind == "matrix":
        by_name = {row.name: row for row in rows}
        lines += [*_matrix(by_name), ""]
        rows = tuple(row for row in rows if row.name not in {cell.name for cell in MATRIX})
    return [*lines, *_rows(rows), ""] if rows else lines


def _matrix(rows: dict[str, Row]) -> list[str]:
    """Phases down, signals across."""
    lines = [f"| phase | {' | '.join(blow.name for blow in BLOWS)} |", "|---" * (len(BLOWS) + 1) + "|"]
    for phase in Phase:
        cells = [_cell(rows.get(f"{phase.value}: {blow.name}")) for blow in BLOWS]
        lines.append(f"| {phase.value} | {' | '.join(cells)} |")
    return lines


def _cell(row: Row | None) -> str:
    if row is None:
        return "**not run**"
    got = _plain(row.got.partition("\n")[0][:_CELL])
    return f"**{got}: {_plain('; '.join(row.wrong))}**" if row.wrong else got


def _rows(rows: Sequence[Row]) -> list[str]:
    lines = ["| what was done | promised | got |", "|---|---|---|"]
    for row in rows:
        got = f"**{row.got}: {'; '.join(row.wrong)}**" if row.wrong else row.got
        lines.append("| " + " | ".join(_plain(text) for text in (row.name, row.expected, got)) + " |")
    return lines


def _plain(text: str) -> str:
    """Text for a table's cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _misses(tables: dict[tuple[str, str], Table | None]) -> list[str]:
    lines = []
    for (kind, place), table in tables.items():
        for row in table.rows if table is not None else ():
            if row.wrong:
                lines.append(f"- On {PLACES[place]}, {TITLES[kind].lower()}, {_plain(row.name)}: {_plain('; '.join(row.wrong))}.")
    return lines or ["Nothing that was put to the test."]


def say_fresh() -> int:
    """Print whether the page was written by the plugin that is here; exit status 1 where it was not."""
    codes = set(re.findall(r"code `(\w+)`", PAGE.read_text().partition(BEGIN)[2]))
    if codes == {fingerprint(results.SOURCES)}:
        return 0
    print("docs/promises.md was measured with another kubectl_vxtrace. `make promises` writes it anew.")
    return 1
