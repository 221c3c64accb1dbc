"""Packets as a ladder: a column for each hop, a line for each packet or for a group of packets that went the same way."""

from collections.abc import Iterator

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import PacketLine, TraceReport, Verdict
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.html.markup import Child, Element, tag

_ALONE = 8
"""Of packets that went the same way so many have a line of their own."""

_MOST_LINES = 400

_Way = tuple[int, Direction, Verdict, tuple[int, ...]]
"""Flow, direction, outcome, and the hops that saw the packet."""


def ladder(report: TraceReport) -> Element | None:
    """The packets that the report lists; None where it lists none."""
    if not report.packets:
        return None
    hops = {(flow.id, each.direction): len(words.expected_hops(each)) for flow in report.flows for each in flow.directions}
    width = max([*hops.values(), *(sighting.hop for line in report.packets for sighting in line.sightings)])
    titles = ("id", "time (UTC)", "flow", "packet", *(str(hop) for hop in range(1, width + 1)), "outcome")
    grouped = list(_grouped(report.packets))
    rows = [_row(line, more, hops.get((line.flow, line.direction), 0), width) for line, more in grouped[:_MOST_LINES]]
    if further := len(grouped) - len(rows):
        rows.append([_more(f"... and {further} more lines, which are in the JSON", width)])
    return tag(
        "div",
        tag(
            "table",
            tag("caption", f"A dot is a hop that saw the packet. {len(report.packets)} packets are listed; counts of hops are of all."),
            tag("thead", tag("tr", [tag("th", title, scope="col") for title in titles])),
            tag("tbody", rows),
            class_="ladder",
        ),
        class_="wide",
        role="region",
        aria_label="packets by hop",
        tabindex="0",
    )


def _grouped(packets: tuple[PacketLine, ...]) -> Iterator[tuple[PacketLine, int]]:
    """Packets with a line of their own, and how many others the last of each way stands for."""
    of_way: dict[_Way, int] = {}
    for line in packets:
        way = _way(line)
        of_way[way] = of_way.get(way, 0) + 1
    seen: dict[_Way, int] = {}
    for line in packets:
        way = _way(line)
        seen[way] = number = seen.get(way, 0) + 1
        if number <= _ALONE:
            yield line, of_way[way] - _ALONE if number == _ALONE else 0


def _way(line: PacketLine) -> _Way:
    return line.flow, line.direction, line.outcome, tuple(sighting.hop for sighting in line.sightings)


def _row(line: PacketLine, more: int, hops: int, width: int) -> list[Element]:
    seen = {sighting.hop for sighting in line.sightings}
    lost = line.outcome not in (Verdict.DELIVERED, Verdict.UNDETERMINED)
    last = max(seen, default=0)
    cells: list[Child] = []
    for hop in range(1, width + 1):
        state, text, said = "", "", ""
        if hop in seen:
            state, text, said = "seen", "●", "seen"
        elif lost and hop == last + 1:
            state, text, said = "lost", "✕", "not seen"
        elif hop <= hops:
            text, said = "·", "not seen"
        cells.append(tag("td", text, class_=f"hop {state}", aria_label=said or None))
    time = line.sightings[0].time[11:26] if line.sightings else ""
    direction = "→" if line.direction is Direction.REQUEST else "←"
    row = tag(
        "tr",
        tag("td", str(line.id)),
        tag("td", time, class_="time"),
        tag("td", f"{line.flow} {direction}"),
        tag("td", line.summary, tag("pre", line.dissection) if line.dissection and lost else None, class_="packet"),
        cells,
        tag("td", words.verdict_word(line.outcome).lower(), class_="lost" if lost else None),
    )
    if not more:
        return [row]
    return [row, _more(f"... and {more} more went the same way", width)]


def _more(text: str, hops: int) -> Element:
    """A line over all columns."""
    return tag("tr", tag("td", text, colspan=hops + 5, class_="more"))
