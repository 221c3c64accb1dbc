"""The table as a page: docs/truth.md."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.truth.judging import Row
from tests.truth.results import ROOT

PAGE = ROOT / "docs" / "truth.md"

HEAD = """# What is true, and what the plugin says

`make truth` writes this page: each fault of the lab is switched on and traced as a user would, and so are healthy paths; the answer is
compared with the fault table. A row is right if the leg (direction, from, to) and the cause are those of the table; near is not right.
"""


def write(lab_rows: Sequence[Row], recorded_rows: Sequence[Row], missing: int) -> str:
    """Write the page; returns its text."""
    PAGE.write_text(text := page(lab_rows, recorded_rows, missing))
    return text


def page(lab_rows: Sequence[Row], recorded_rows: Sequence[Row], missing: int) -> str:
    """The whole text; `missing` cases have not been run yet."""
    faulty = [row for row in lab_rows if row.expected is not None]
    healthy = [row for row in lab_rows if row.expected is None]
    system = os.uname()
    parts = [
        HEAD,
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {system.release} ({system.machine})."
        + (f" **{missing} cases have not been run.**" if missing else ""),
        "\n## Faults of the lab\n",
        *_table(faulty),
        "\n## Healthy paths\n",
        _healthy_text(healthy),
        *([] if not recorded_rows else ["\n## Recorded, analysed offline\n", RECORDED_HEAD, *_table(recorded_rows)]),
        "\n## Figures\n",
        *_figures(faulty, healthy, recorded_rows),
        "\n## Misses\n",
        *_misses([*faulty, *recorded_rows, *healthy]),
    ]
    return "\n".join(parts) + "\n"


RECORDED_HEAD = (
    "What needs hardware or a cloud that the lab lacks: the evidence is written down from recorded facts, and `analyze` reads it.\n"
)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| fault | leg expected | leg said | cause expected | cause said | confidence | evidence |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        said_leg = "the same" if row.leg_right else f"**{row.said_leg}**"
        said = "the same" if row.cause_right else f"**{row.said or 'none'}**"
        kinds = ", ".join(row.evidence)
        lines.append(f"| {row.case} | {row.expected_leg} | {said_leg} | {row.expected} | {said} | {row.confidence} | {kinds} |")
    return lines


def _healthy_text(rows: Sequence[Row]) -> str:
    clean = sum(row.cause_right for row in rows)
    kinds = len({row.case.split(" (")[0] for row in rows})
    return (
        f"{len(rows)} traces of {kinds} kinds (traffic, target, shape of the nodes, their settings); {clean} delivered without any finding."
    )


def share(right: int, of: int) -> str:
    """`39 of 40 (97.5 %)`."""
    return f"{right} of {of} ({100 * right / of:.1f} %)" if of else "0 of 0"


def _figures(faulty: Sequence[Row], healthy: Sequence[Row], recorded: Sequence[Row]) -> list[str]:
    names = {row.case.partition(": ")[2] for row in faulty}
    lines = [
        f"- Different faults: {len(names)}, of {len({row.expected for row in faulty})} causes.",
        f"- Leg right: {share(sum(row.leg_right for row in faulty), len(faulty))}.",
        f"- Cause right: {share(sum(row.cause_right for row in faulty), len(faulty))}.",
        f"- Wrong causes said `certain`: {sum(len(row.wrong_certain) for row in [*faulty, *recorded, *healthy])}.",
        f"- Healthy paths with a finding, or not said to be delivered: {share(sum(not row.cause_right for row in healthy), len(healthy))}.",
    ]
    if recorded:
        lines.append(f"- Recorded: cause right {share(sum(row.cause_right for row in recorded), len(recorded))}.")
    return lines


def _misses(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        if row.leg_right and row.cause_right and not row.wrong_certain:
            continue
        parts = [] if row.cause_right else [f"cause {row.said or 'none'}, not {row.expected or 'none'}"]
        parts += [] if row.leg_right or row.expected is None else [f"leg {row.said_leg}, not {row.expected_leg}"]
        parts += [f"certain of {cause}, which is not on" for cause in row.wrong_certain]
        lines.append(f"- {row.case}: {'; '.join(parts)}. {row.note}")
    return lines or ["None."]
