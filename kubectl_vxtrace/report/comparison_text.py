"""A comparison for a terminal: both verdicts, then only what differs, marked as diff(1) marks it."""

import re
from collections.abc import Iterator, Sequence

from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.changes import NodeChanges
from kubectl_vxtrace.report.differences import Comparison, DirectionDifference, FlowDifference, LossCounter, Pair
from kubectl_vxtrace.report.layout import Fitted, one_line, table, wrapped

_NAMES = ("A", "B")
_MARKS = ("-", "+")
_MOST_LINES = 12
"""Of each table, of each side; -o json has all."""
_MOST_LINE = 200
_ID = re.compile(r"^id=\S+ ")
"""Of a rule: by which findings and bundles know it."""


def render(comparison: Comparison, *, width: int | None) -> str:
    """The comparison as text without a final newline. width: of the terminal; None leaves everything whole."""
    fitted = Fitted(width)
    blocks = [
        list(_sides(comparison, width)),
        _settings(comparison, fitted),
        _flows(comparison.flows, fitted),
        *(list(_direction(direction)) for flow in comparison.flows for direction in flow.directions),
        list(_findings(comparison, width)),
        _counters(comparison.counters, fitted),
        *(list(_node(node)) for node in comparison.nodes),
        ["names in full", *fitted.names()] if fitted.whole else [],
        list(_closing(comparison)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _sides(comparison: Comparison, width: int | None) -> Iterator[str]:
    for name, side in zip(_NAMES, comparison.sides, strict=True):
        yield f"{name}  {one_line(side.name)}, {side.started}, {side.duration_s:g} s"
        cause = f" (cause: {side.cause})" if side.cause is not None else ""
        yield from (f"   {line}" for line in wrapped(one_line(side.summary) + cause, width, 3))


def _settings(comparison: Comparison, fitted: Fitted) -> list[str]:
    rows = [(setting.name, *_pair(setting.values)) for setting in comparison.settings]
    return fitted.table(rows, ("made with", *_NAMES), set(), {1, 2}) if rows else []


def _pair(values: Pair) -> tuple[str, str]:
    first, second = (value if value is not None else "-" for value in values)
    return first, second


def _flows(flows: Sequence[FlowDifference], fitted: Fitted) -> list[str]:
    rows = [(flow.protocol, _same(flow.clients), _same(flow.targets), *_pair(flow.verdicts)) for flow in flows]
    return fitted.table(rows, ("flow", "client", "target", *_NAMES), set(), {1, 2}) if rows else []


def _same(values: Pair) -> str:
    """What is the same once, else both."""
    known = [value for value in dict.fromkeys(values) if value is not None]
    return " / ".join(known)


def _direction(direction: DirectionDifference) -> Iterator[str]:
    yield f"{one_line(direction.heading)}: {' / '.join(_pair(direction.verdicts))}"
    rows = [(f"hop {hop.hop}", *_pair(hop.sides)) for hop in direction.hops]
    rows += [(f"median {setting.name}", *_pair(setting.values)) for setting in direction.latencies]
    if rows:
        yield from (f"  {line}" for line in table(rows, ("", *_NAMES), set()))


def _findings(comparison: Comparison, width: int | None) -> Iterator[str]:
    if comparison.findings:
        yield "findings"
    for finding in comparison.findings:
        yield f"  only {_NAMES[finding.side]}  {finding.cause} ({finding.severity.value}, {finding.confidence.value})"
        yield from (" " * 10 + line for line in wrapped(one_line(finding.summary), width, 10))


def _counters(counters: Sequence[LossCounter], fitted: Fitted) -> list[str]:
    rows = [(counter.node, counter.counter, *(f"+{each}" if each is not None else "-" for each in counter.grown)) for counter in counters]
    return fitted.table(rows, ("node", "counter of losses that grew", *_NAMES), {2, 3}, {1}, texts=True) if rows else []


def _node(node: NodeChanges) -> Iterator[str]:
    yield f"settings of {one_line(node.node)}"
    for change in node.tables:
        yield f"  {change.table}"
        for mark, lines in zip(_MARKS, (change.gone, change.new), strict=True):
            yield from (f"  {mark} {_shown(line)}" for line in lines[:_MOST_LINES])
            if len(lines) > _MOST_LINES:
                yield f"  {mark} ... and {len(lines) - _MOST_LINES} more; -o json has them"


def _shown(line: str) -> str:
    return words.shortened(one_line(_ID.sub("", line)), _MOST_LINE)


def _closing(comparison: Comparison) -> Iterator[str]:
    if comparison.unread:
        yield f"settings not compared, as one of the two does not have them: {one_line(', '.join(comparison.unread))}"
    if comparison.same:
        yield "nothing else differs"
