"""The second table on the page."""

from collections.abc import Sequence

from tests.truth.reports.scoring import HALF, NOT_ASKED, RIGHT, UNKNOWN, WRONG, Marks

TITLE = "Mechanisms from public reports"
TEXT = """What people had, each made by hand on the lab and proven with tcpdump and the kernel's counters before the trace, by code that
shares nothing with the plugin. Marks: `+` right, `o` half right (a longer leg, a cause that only comes near, a text that only says where to
begin), `h` honestly unknown, `-` wrong, `.` not asked. *Text* is whether the summary or a remedy leads to the fix. *Beside it* stands what
is worse than not knowing: *extra*, every further error or warning; *lie*, where a wrong cause is an error, certain or likely; *harmful
remedy*; *false DELIVERED*.
"""
_MARKS = {RIGHT: "right", HALF: "half", UNKNOWN: "honestly unknown", WRONG: "wrong"}
LEGS_RIGHT, CAUSES_RIGHT = 0.9, 0.75


def lines(rows: Sequence[Marks]) -> list[str]:
    """The section, without its title."""
    table = ["| mechanism | report | nodes | leg | verdict | cause | text | beside it |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        marks = (
            "unproven | | | |" if row.unproven else f"`{row.leg}` | `{row.verdict}` | `{row.cause}` | `{row.text}` | {'; '.join(row.false)}"
        )
        table.append(f"| {_name(row)} | {_link(row.source)} | {row.backend} | {marks} |")
    return [TEXT, *table]


def _name(row: Marks) -> str:
    return row.title.removeprefix("report: ")


def _link(source: str) -> str:
    repository, _, number = source.partition("#")
    return f"[{source}](https://github.com/{repository}/issues/{number})" if source else ""


def figures(rows: Sequence[Marks]) -> list[str]:
    """Lines of a list."""
    proven = [row for row in rows if not row.unproven]
    if not proven:
        return []
    found = [f"- Reports: {len(proven)} proven, {len(rows) - len(proven)} not; all right {sum(row.good for row in proven)}."]
    for part in ("leg", "verdict", "cause", "text"):
        marks = [getattr(row, part) for row in proven]
        counts = ", ".join(f"{title} {marks.count(mark)}" for mark, title in _MARKS.items() if mark in marks)
        found.append(f"- Reports, {part}: {counts} of {len(proven) - marks.count(NOT_ASKED)}.")
    lies, harm, false = (sum(bool(getattr(row, name)) for row in proven) for name in ("lies", "harmful", "false_delivered"))
    extra = sum(bool(row.extra) for row in proven)
    return [
        *found,
        f"- Reports with a lie: {lies}; with a harmful remedy: {harm}; with a false DELIVERED: {false}; with extra findings: {extra}.",
    ]


def misses(rows: Sequence[Marks]) -> list[str]:
    """Lines of a list: what was said where not all is right."""
    return [f"- {row.title}: {_wrong(row)}" for row in rows if not row.good or row.unproven]


def _wrong(row: Marks) -> str:
    if row.unproven:
        return f"unproven, counts nowhere: {'; '.join(row.unproven)}"
    parts = [
        f"{part} {_MARKS[mark]}" for part in ("leg", "verdict", "cause", "text") if (mark := getattr(row, part)) in (HALF, UNKNOWN, WRONG)
    ]
    places = f" Named: {'; '.join(row.places)}." if row.leg != RIGHT and row.places else ""
    return f"{'; '.join([*parts, *row.false])}.{places} {row.said}"


def reached(rows: Sequence[Marks]) -> bool:
    """Whether the figures are: nine of ten legs and verdicts, three of four causes, and nothing that is worse than not knowing."""
    proven = [row for row in rows if not row.unproven]
    right = {part: sum(getattr(row, part) == RIGHT for row in proven) for part in ("leg", "verdict", "cause")}
    return (
        right["leg"] >= LEGS_RIGHT * len(proven)
        and right["verdict"] >= LEGS_RIGHT * len(proven)
        and right["cause"] >= CAUSES_RIGHT * len(proven)
        and not any(row.lies or row.harmful or row.false_delivered for row in proven)
    )
