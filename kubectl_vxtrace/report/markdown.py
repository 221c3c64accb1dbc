"""summary.md: the report as somebody pastes it into a ticket."""

import re

from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report import table


def render(report: TraceReport) -> str:
    """The report as Markdown: a heading and the text table in a fence, so that no ticket system reflows or interprets it."""
    text = table.render(report, width=100, color=False)
    # CommonMark 4.5: a fence ends at a run of at least as many backticks.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    about = f"kubectl vxtrace {report.metadata.version}, session {report.metadata.session}, {report.metadata.started}"
    return f"### kubectl vxtrace: {_one_line(report.verdict)}\n\n{_one_line(about)}\n\n{fence}text\n{text}{fence}\n"


def _one_line(text: str) -> str:
    """Text outside the fence: no line breaks, and nothing that Markdown or HTML would act on."""
    return re.sub(r"([\\`*_{}\[\]<>#|&])", r"\\\1", clean(text, keep_newlines=False))
