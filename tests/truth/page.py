"""The table as a page: docs/truth.md."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.truth import freshness
from tests.truth.cases import Case
from tests.truth.judging import Row
from tests.truth.reports import section
from tests.truth.reports.scoring import Marks
from tests.truth.results import PAGE

HEAD = """# What is true, and what the plugin says

`make truth` writes this page: each fault is switched on and traced as a user would, and so are healthy paths; the answer is compared
with the fault table. A row is right if the first error's leg (direction, from, to) and cause are those of the table, and nothing else is
found; near is not right. What else is an error or a warning stands under *beside it*, and is a miss.

All nodes of the lab share one kernel, and its messages and drop reasons come from there: the evidence `kernel` shows more on the lab than
a real node may show. Columns of evidence from real Kubernetes have the same limit, for its nodes run on one machine as well.
"""
ON_CLUSTER = """With kubelets, kube-proxy, CoreDNS and flannel as they are ([cluster.md](cluster.md)); the faults that can be made there.
"""
SYNTHESISED = """What needs hardware or a cloud that the lab lacks: a trace of the lab, in whose bundle the nodes are made to say what
drivers and kernels are known to print; how many packets died is what the kernel counted. No machine has said these words, so the rows show
that such words lead to the right verdict, and are not counted among the others.
"""
Answer = tuple[Case, Row]


def write(answers: Sequence[Answer], marks: Sequence[Marks], missing: int) -> str:
    """Write the page; returns its text."""
    PAGE.write_text(text := page(answers, marks, missing))
    return text


def page(answers: Sequence[Answer], marks: Sequence[Marks], missing: int) -> str:
    """The whole text: the first table's rows, the second's, and how many cases have not been run yet."""
    synthesised = [row for case, row in answers if case.synthesised]
    wrong = [(case.on, row) for case, row in answers if row.expected is not None and not case.synthesised]
    faulty = {on: [row for where, row in wrong if where == on] for on in ("lab", "cluster")}
    healthy = {on: [row for case, row in answers if case.on == on and row.expected is None] for on in ("lab", "cluster")}
    system = os.uname()
    parts = [
        HEAD,
        f"{datetime.now(UTC):%Y-%m-%d}, Linux {system.release} ({system.machine}). {freshness.written()}"
        + (f" **{missing} cases have not been run.**" if missing else ""),
        *_section("Faults of the lab", "", faulty["lab"]),
        *_section("Faults of real Kubernetes", ON_CLUSTER, faulty["cluster"]),
        *_section("Synthesised, analysed offline", SYNTHESISED, synthesised),
        *([f"\n## {section.TITLE}\n", *section.lines(marks)] if marks else []),
        "\n## Healthy paths\n",
        *(f"- On {PLACES[on]}: {_healthy_text(rows)}" for on, rows in healthy.items() if rows),
        "\n## Figures\n",
        *_figures(faulty["lab"], faulty["cluster"], synthesised, [*healthy["lab"], *healthy["cluster"]]),
        *section.figures(marks),
        f"\n{MISSES}\n",
        *([*_misses([row for _, row in answers]), *section.misses(marks)] or ["None."]),
    ]
    return "\n".join(parts) + "\n"


MISSES = "## Misses"


def may_miss(text: str, name: str) -> bool:
    """Whether a page says of a case that it is wrong; of one that the page does not have it says nothing, so that may be wrong too."""
    if f"| {name.removeprefix('report: ')} |" not in text and ": healthy, " not in name:
        return True
    return f"\n- {name}: " in text.partition(MISSES)[2]


PLACES = {"lab": "the lab", "cluster": "real Kubernetes"}


def _section(title: str, text: str, rows: Sequence[Row]) -> list[str]:
    return [f"\n## {title}\n", *([text] if text else []), *_table(rows)] if rows else []


def _table(rows: Sequence[Row]) -> list[str]:
    head = "| fault | leg expected | leg said | cause expected | cause said | confidence | evidence | beside it |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        said_leg = "the same" if row.leg_right else f"**{row.said_leg}**"
        said = "the same" if row.cause_right else f"**{row.said or 'none'}**"
        kinds, extra = ", ".join(row.evidence), "; ".join(row.extra)
        lines.append(f"| {row.case} | {row.expected_leg} | {said_leg} | {row.expected} | {said} | {row.confidence} | {kinds} | {extra} |")
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


def _figures(lab: Sequence[Row], cluster: Sequence[Row], synthesised: Sequence[Row], healthy: Sequence[Row]) -> list[str]:
    faulty = [*lab, *cluster]
    lines = [
        f"- Different faults: {len({row.case.partition(': ')[2] for row in faulty})}, of {len({row.expected for row in faulty})} causes"
        f"; with those synthesised {len({row.expected for row in [*faulty, *synthesised]})} causes."
    ]
    for title, rows in (("Lab", lab), ("Real Kubernetes", cluster), ("Synthesised", synthesised)):
        if rows:
            legs, causes = sum(row.leg_right for row in rows), sum(row.cause_right for row in rows)
            lines.append(f"- {title}: leg right {share(legs, len(rows))}, cause right {share(causes, len(rows))}.")
    return [
        *lines,
        f"- Wrong causes said `certain`: {sum(len(row.wrong_certain) for row in [*faulty, *synthesised, *healthy])}.",
        f"- Faults with another error or warning beside them: {share(sum(bool(row.extra) for row in faulty), len(faulty))}.",
        f"- Healthy paths with a finding, or not said to be delivered: {share(sum(not row.cause_right for row in healthy), len(healthy))}.",
    ]


def _misses(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        if row.right:
            continue
        parts = [] if row.cause_right else [f"cause {row.said or 'none'}, not {row.expected or 'none'}"]
        parts += [] if row.leg_right or row.expected is None else [f"leg {row.said_leg}, not {row.expected_leg}"]
        parts += [f"certain of {cause}, which is not on" for cause in row.wrong_certain]
        parts += [f"beside it {extra}" for extra in row.extra]
        lines.append(f"- {row.case}: {'; '.join(parts)}. {row.note}")
    return lines
