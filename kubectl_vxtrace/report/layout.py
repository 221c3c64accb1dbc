"""Text laid out for a terminal: tables that fit its width, notes beside them, sentences that go on below."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tabulate import MIN_PADDING, tabulate

from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report.words import shortened

MIN_WIDTH = 60
"""Narrower terminals get lines of so many columns, which they break themselves."""

LEAST_NAME = 12
"""A name that lost its middle says something still."""

_BETWEEN_COLUMNS = 2


def one_line(text: str) -> str:
    """`text` as it may stand in a line."""
    return clean(text, keep_newlines=False)


def wrapped(text: str, width: int | None, indent: int) -> list[str]:
    """The lines of a sentence that begins `indent` columns from the left; None as width leaves it whole."""
    if width is None:
        return [text]
    return textwrap.wrap(text, max(max(width, MIN_WIDTH) - indent, LEAST_NAME), break_long_words=False, break_on_hyphens=False) or [text]


def table(rows: Iterable[Sequence[str]], headers: Sequence[str], right: frozenset[int] | set[int]) -> list[str]:
    """The lines of a table, the headers first. right: columns that are aligned on the right."""
    align = ["right" if column in right else "left" for column in range(len(headers))]
    text = tabulate([list(map(one_line, row)) for row in rows], list(headers), tablefmt="plain", disable_numparse=True, colalign=align)
    return [line.rstrip() for line in text.splitlines()]


@dataclass(slots=True)
class Fitted:
    """Makes tables that fit, and keeps what it had to shorten for that.

    width: of the terminal; None leaves everything whole.
    """

    width: int | None
    whole: dict[str, str] = field(default_factory=dict)
    """What stands for a name in the tables, by the name."""

    def table(
        self,
        rows: Sequence[Sequence[str]],
        headers: Sequence[str],
        right: set[int],
        names: set[int],
        *,
        indent: int = 0,
        texts: bool = False,
    ) -> list[str]:
        """The lines of a table; where it is too wide, `names` lose their middle, the longest first.

        Args:
            rows: cells.
            headers: of the columns.
            right: columns that are aligned on the right.
            names: columns that may be shortened.
            indent: columns on its left.
            texts: these are no names, and nobody looks for them whole.
        """
        if self.width is None:
            return table(rows, headers, right)
        cells = [list(map(one_line, row)) for row in rows]
        widths = [max([len(header) + MIN_PADDING, *(len(row[column]) for row in cells)]) for column, header in enumerate(headers)]
        room = max(self.width, MIN_WIDTH) - indent
        while names and _total(widths) > room:
            widest = max(sorted(names), key=lambda column: widths[column])
            if widths[widest] <= max(LEAST_NAME, len(headers[widest]) + MIN_PADDING):
                break
            widths[widest] -= 1
        for row in cells:
            for column in names:
                row[column] = self._fit(row[column], widths[column], keep=not texts)
        return table(cells, headers, right)

    def _fit(self, text: str, most: int, *, keep: bool) -> str:
        short = shortened(text, most)
        if short != text and keep:
            self.whole[text] = short
        return short

    def names(self) -> list[str]:
        """What stands for what in the tables; the whole name has a line of its own where it is too long for one beside the other."""
        lines = []
        for whole, short in self.whole.items():
            beside = self.width is None or len(short) + len(whole) + 4 <= max(self.width, MIN_WIDTH)
            lines += [f"  {short}  {whole}"] if beside else [f"  {short}", f"    {whole}"]
        return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN_COLUMNS * (len(widths) - 1)


def noted(lines: Sequence[str], notes: Sequence[str], width: int | None, indent: int) -> list[list[str]]:
    """Each line of a table with its note: beside it where there is room, else below, `indent` columns from the left. The first line is the
    table's header, which has none."""
    column = max(map(len, lines)) + _BETWEEN_COLUMNS
    found = []
    for line, text in zip(lines[1:], map(one_line, notes), strict=True):
        if width is None or column + len(text) <= max(width, MIN_WIDTH):
            found.append([f"{line.ljust(column)}{text}".rstrip()])
        else:
            found.append([line, *(" " * indent + part for part in wrapped(text, width, indent))])
    return found
