"""The table as a page: docs/truth.md."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.truth.cases import Case
from tests.truth.judging import Row
from tests.truth.results import ROOT

PAGE = ROOT / "docs" / "truth.md"

HEAD = """# What is true, and what the plugin says

`make truth` writes this page: each fault is switched on and traced as a user would, and so are healthy paths; the answer is compared
with the fault table. A row is right if the leg (direction, from, to) and the cause are those of the table; near is not right.
"""
ON_CLUSTER = """With kubelets, kube-proxy, CoreDNS and flannel as they are ([cluster.md](cluster.md)); the faults that can be made there.
"""
RECORDED = """What needs hardware or a cloud that the lab lacks: the evidence is written down from recorded facts, and `analyze` reads it.
"""
Answer = tuple[Case, Row]


def write(answers: Sequence[Answer], missing: int) -> str:
    """Write the page; returns its text."""
    PAGE.write_text(text := page(answers, missing))
    return text


def page(answers: Sequence[Answer], missing: int) -> str:
    """The whole text; `missing` cases have not been run yet."""
    recorded = [row for case, row in answers if case.recorded]
    wrong = [(case.on, row) for case, row in answers if row.expected is not None and not case.recorded]
    faulty = {on: [row for where, row in wrong if where == on] for on in ("lab", "cluster")}
    healthy = {on: [row for case, row in answers if case.on == on and row.expected is None] for on in ("lab", "cluster")}
    system = os.uname()
    parts = [
        HEAD,
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {system.release} ({system.machine})."
        + (f" **{missing} cases have not been run.**" if missing else ""),
        *_section("Faults of the lab", "", faulty["lab"]),
        *_section("Faults of real Kubernetes", ON_CLUSTER, faulty["cluster"]),
        *_section("Recorded, analysed offline", RECORDED, recorded),
        "\n## Healthy paths\n",
        *(f"- On {PLACES[on]}: {_healthy_text(rows)}" for on, rows in healthy.items() if rows),
        "\n## Figures\n",
        *_figures(faulty["lab"], faulty["cluster"], recorded, [*healthy["lab"], *healthy["cluster"]]),
        "\n## Misses\n",
        *_misses([row for _, row in answers]),
    ]
    return "\n".join(parts) + "\n"


PLACES = {"lab": "the lab", "cluster": "real Kubernetes"}


def _section(title: str, text: str, rows: Sequence[Row]) -> list[str]:
    return [f"\n## {title}\n", *([text] if text else []), *_table(rows)] if rows else []


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


def _figures(lab: Sequence[Row], cluster: Sequence[Row], recorded: Sequence[Row], healthy: Sequence[Row]) -> list[str]:
    faulty = [*lab, *cluster]
    lines = [
        f"- Different faults: {len({row.case.partition(': ')[2] for row in faulty})}, of {len({row.expected for row in faulty})} causes"
        f"; with those recorded {len({row.expected for row in [*faulty, *recorded]})} causes."
    ]
    for title, rows in (("Lab", lab), ("Real Kubernetes", cluster), ("Recorded", recorded)):
        if rows:
            legs, causes = sum(row.leg_right for row in rows), sum(row.cause_right for row in rows)
            lines.append(f"- {title}: leg right {share(legs, len(rows))}, cause right {share(causes, len(rows))}.")
    return [
        *lines,
        f"- Wrong causes said `certain`: {sum(len(row.wrong_certain) for row in [*faulty, *recorded, *healthy])}.",
        f"- Healthy paths with a finding, or not said to be delivered: {share(sum(not row.cause_right for row in healthy), len(healthy))}.",
    ]


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
