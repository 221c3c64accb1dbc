"""What changed at the nodes while captures ran, folded away: nobody needs all of it, and somebody needs one line."""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.report.changes import NodeChanges, TableChange
from kubectl_vxtrace.report.html.markup import Element, tag
from kubectl_vxtrace.report.words import shortened

_MOST_LINES = 30
"""Of each table that went, and as many that came."""

_MOST_COUNTERS = 80
_MOST_CHARACTERS = 320
_MOST_NODES = 50


def nodes(changed: Sequence[NodeChanges]) -> list[Element]:
    """The nodes, each with its tables as a diff and the counters that grew."""
    found = [_node(each) for each in changed[:_MOST_NODES]]
    return [*found, *_more(len(changed) - len(found), "nodes")]


def _node(changed: NodeChanges) -> Element:
    lines = sum(len(table.gone) + len(table.new) for table in changed.tables)
    said = f"{lines} lines of its tables changed, {len(changed.counters)} counters grew" if lines or changed.counters else "nothing changed"
    return tag(
        "details",
        tag("summary", tag("b", changed.node), f": {said}"),
        [_table(table) for table in changed.tables],
        _counters(changed),
    )


def _table(change: TableChange) -> list[Element]:
    lines = [*_side("del", "- ", change.gone), *_side("ins", "+ ", change.new)]
    return [tag("h3", change.table), tag("pre", lines, class_="diff", tabindex="0")]


def _side(kind: str, mark: str, lines: Sequence[str]) -> Iterator[Element]:
    """Lines that went, or came; the mark says which, where no colour does."""
    for line in lines[:_MOST_LINES]:
        yield tag(kind, f"{mark}{shortened(line, _MOST_CHARACTERS, '…')}\n")
    if (more := len(lines) - _MOST_LINES) > 0:
        yield tag(kind, f"{mark}... and {more} more\n")


def _counters(changed: NodeChanges) -> list[Element]:
    if not changed.counters:
        return []
    rows = [
        tag(
            "tr",
            tag("td", shortened(name, _MOST_CHARACTERS, "…")),
            tag("td", f"{value:,}", class_="n"),
            tag("td", f"{value + growth:,}", class_="n"),
            tag("td", f"+{growth:,}", class_="n"),
        )
        for name, value, growth in changed.counters[:_MOST_COUNTERS]
    ]
    titles = ("counter", "before", "after", "grew by")
    head = tag("thead", tag("tr", [tag("th", title, scope="col", class_="n" if at else None) for at, title in enumerate(titles)]))
    table = tag("table", head, tag("tbody", rows), class_="counters")
    return [
        tag("h3", "counters that grew"),
        tag("div", table, class_="wide", role="region", aria_label=f"counters of {changed.node}", tabindex="0"),
        *_more(len(changed.counters) - len(rows), "counters"),
    ]


def _more(count: int, what: str) -> list[Element]:
    return [tag("p", f"... and {count} more {what}, which are in the bundle")] if count > 0 else []
