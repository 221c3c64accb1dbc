"""The report for a terminal and for a ticket's text: what is broken first in detail, the verdict last, where the eye is."""

import textwrap
from collections.abc import Iterator

from tabulate import tabulate

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import ADDRESS_RESOLUTION
from kubectl_vxtrace.model.report import (
    DirectionReport,
    FlowReport,
    HopCount,
    LegTally,
    PacketLine,
    Severity,
    TraceReport,
    Verdict,
)
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.paint import Paint

_MIN_WIDTH = 60
# Directions of which the hops are drawn; every flow always has its line.
_MAX_DRAWN = 8
_MAX_LOST_SHOWN = 5
# What tshark says of a packet mostly repeats its summary; a few lines show the layers.
_MOST_DISSECTED = 2
# A name that lost its middle says something still.
_LEAST_NAME = 12


def render(report: TraceReport, *, width: int | None, color: bool, bundle: str | None = None) -> str:
    """The report as text with a final newline.

    Args:
        report: any report.
        width: of the terminal. Sentences and notes are wrapped at it, long names in tables lose their middle; None leaves all whole.
        color: use ANSI colours.
        bundle: path of the bundle, if one was written.
    """
    paint = Paint(enabled=color)
    blocks = [
        "\n".join(_opening(report, paint, width)),
        _flow_table(report, paint, width),
        *(_hop_block(flow, direction, paint, width) for flow, direction in _drawn(report)),
        _packet_table(report, width),
        "\n".join(_closing(report, paint, width, bundle)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(report: TraceReport, paint: Paint, width: int | None) -> Iterator[str]:
    """Who talks to whom; with what that was traced; what the captures hold."""
    yield paint.heading("\n".join(_wrapped(_clean(words.title(report)), width, 0)))
    said = words.context_text(report) if report.metadata.context is not None else ""
    for text in filter(None, (said, words.payload_text(report))):
        yield from _wrapped(_clean(text), width, 0)


def _clean(text: str) -> str:
    return clean(text, keep_newlines=False)


def _table(rows: list[list[str]], headers: list[str], right: set[int]) -> list[str]:
    """The lines of a table, the headers first."""
    align = ["right" if column in right else "left" for column in range(len(headers))]
    text = tabulate([list(map(_clean, row)) for row in rows], headers, tablefmt="plain", disable_numparse=True, colalign=align)
    return [line.rstrip() for line in text.splitlines()]


def _fitting_table(rows: list[list[str]], headers: list[str], right: set[int], column: int, width: int | None) -> list[str]:
    """The same; where it is wider than `width`, the texts of one column lose their middle."""
    lines = _table(rows, headers, right)
    over = max(map(len, lines)) - width if width is not None else 0
    if over <= 0:
        return lines
    longest = max((len(_clean(row[column])) for row in rows), default=0)
    most = max(longest - over, _LEAST_NAME)
    return _table([[*row[:column], words.shortened(_clean(row[column]), most), *row[column + 1 :]] for row in rows], headers, right)


def _flow_table(report: TraceReport, paint: Paint, width: int | None) -> str:
    if not report.flows:
        return ""
    several = len({words.target(flow) for flow in report.flows}) > 1
    headers = [*(["service"] if several else []), "backend", "node", "asked", "arrived", "answered", "back"]
    rows = [[*([words.target(flow)] if several else []), *_backend(flow), *_four_counts(flow)] for flow in report.flows]
    first = len(headers) - 4
    lines = _fitting_table(rows, headers, set(range(first, first + 4)), 0, None if width is None else width - _LEAST_NAME)
    verdicts = [words.flow_verdict(flow) for flow in report.flows]
    column = len(lines[0]) + 2
    noted = _noted(lines[1:], [text for _, text in verdicts], column, width)
    painted = [
        line[:column] + paint.verdict(line[column:], verdict)
        for (verdict, _), of_flow in zip(verdicts, noted, strict=True)
        for line in of_flow
    ]
    return "\n".join([lines[0], *painted])


def _noted(lines: list[str], notes: list[str], column: int, width: int | None) -> list[list[str]]:
    """Each line of a table with a note behind it, which goes on below where it is too long for `width`. `column`: where notes begin."""
    found = []
    for line, note in zip(lines, notes, strict=True):
        first, *further = _wrapped(_clean(note), width, column)
        found.append([f"{line.ljust(column)}{first}".rstrip(), *(" " * column + text for text in further)])
    return found


def _backend(flow: FlowReport) -> list[str]:
    if flow.server is not None:
        return [words.address_port(flow.server.address, flow.server.port), flow.server.node or words.UNKNOWN]
    if flow.protocol in ADDRESS_RESOLUTION:
        return [flow.candidates[0].address or words.UNKNOWN, words.UNKNOWN]
    return [f"unknown (1 of {len(flow.candidates)})" if flow.candidates else "unknown", words.UNKNOWN]


def _four_counts(flow: FlowReport) -> list[str]:
    """asked, arrived, answered, back: first and last expected hop of both directions."""
    counts: list[str] = []
    for direction in (Direction.REQUEST, Direction.REPLY):
        report = words.direction_of(flow, direction)
        hops = words.expected_hops(report) if report is not None else ()
        if not hops or (report is not None and report.verdict is Verdict.NOT_APPLICABLE):
            counts += ["-", "-"]
        elif direction is Direction.REQUEST and flow.server is None:
            counts += [words.hop_packets(hops[0]), "-"]
        else:
            counts += [words.hop_packets(hops[0]), words.hop_packets(hops[-1])]
    return counts


def _drawn(report: TraceReport) -> list[tuple[FlowReport, DirectionReport]]:
    """The directions that are drawn hop by hop: what is not delivered; if all is, the first flow."""
    shown = [(flow, each) for flow in report.flows for each in flow.directions if each.verdict is not Verdict.NOT_APPLICABLE and each.hops]
    broken = [(flow, each) for flow, each in shown if each.verdict not in (Verdict.DELIVERED, Verdict.NO_TRAFFIC)]
    return broken[:_MAX_DRAWN] or [(flow, each) for flow, each in shown if flow.id == report.flows[0].id]


def _hop_block(flow: FlowReport, direction: DirectionReport, paint: Paint, width: int | None) -> str:
    who = words.address_port(flow.server.address, flow.server.port) if flow.server is not None else words.target(flow)
    heading = f"request to {who}" if direction.direction is Direction.REQUEST else f"reply from {who}"
    lines = _table([_hop_row(hop) for hop in direction.hops], ["hop", "node", "interface", "role", "packets"], right={0, 4})
    notes = [_hop_note(hop, previous) for hop, previous in zip(direction.hops, (None, *direction.hops), strict=False)]
    drawn = [lines[0]]
    bars = {leg.from_: leg for leg in direction.legs if leg.lost}
    noted = _noted(lines[1:], notes, len(lines[0]) + 2, None if width is None else width - 1)
    for hop, of_hop in zip(direction.hops, noted, strict=True):
        drawn += of_hop
        if hop.hop in bars:
            drawn.append(paint.bar(_bar(bars[hop.hop])))
    return "\n".join([paint.heading(_clean(heading)), *(" " + line for line in drawn)])


def _bar(leg: LegTally) -> str:
    rest = f", {leg.undetermined} undetermined" if leg.undetermined else ""
    return f"    ------------ {leg.lost} of {leg.sent} vanish here{rest} ------------"


def _hop_row(hop: HopCount) -> list[str]:
    number = str(hop.hop) if hop.expected else f"({hop.hop})"
    return [number, hop.node, hop.interface or words.UNKNOWN, hop.role, words.hop_packets(hop)]


def _hop_note(hop: HopCount, previous: HopCount | None) -> str:
    """The address tuple where it changes, the outer one where there is one, and why a hop without packets can be trusted."""
    notes = []
    if hop.tuple and (previous is None or hop.tuple != previous.tuple):
        notes.append(f"translated: {hop.tuple}" if previous is not None and previous.tuple else hop.tuple)
    if hop.outer is not None:
        notes.append(f"{hop.outer.source} > {words.address_port(hop.outer.destination, hop.outer.port)} VNI {hop.outer.vni}")
    if not hop.expected:
        notes.append("not expected here")
    if hop.reason:
        notes.append(hop.reason)
    elif hop.packets == 0 and hop.witness:
        notes.append(f"capture is alive: {hop.control} other packets" if hop.control else "capture complete")
    return "; ".join(notes)


def _packet_table(report: TraceReport, width: int | None) -> str:
    lost = [line for line in report.packets if line.outcome is not Verdict.DELIVERED]
    delivered = [line for line in report.packets if line.outcome is Verdict.DELIVERED]
    chosen = sorted(lost[:_MAX_LOST_SHOWN] + delivered, key=lambda line: line.id)
    if not chosen:
        return ""
    hops = max((sighting.hop for line in chosen for sighting in line.sightings), default=0)
    hops = max(hops, *(_hops_of(report, line) for line in chosen))
    headers = ["id", "time (UTC)", "packet", " ".join(str(hop % 10) for hop in range(1, hops + 1)), "outcome"]
    rows = [_packet_row(report, line, hops) for line in chosen]
    table = "\n".join(_fitting_table(rows, headers, {0}, 2, width))
    total = sum(hop.packets for flow in report.flows for each in flow.directions for hop in each.hops[:1])
    dissected = [f"  {line.id}: {_clean(line.dissection)}" for line in (lost or delivered)[:_MOST_DISSECTED] if line.dissection]
    return "\n".join([f"packets ({len(chosen)} of {total})", table, *dissected])


def _hops_of(report: TraceReport, line: PacketLine) -> int:
    flow = next(flow for flow in report.flows if flow.id == line.flow)
    direction = words.direction_of(flow, line.direction)
    return len(words.expected_hops(direction)) if direction is not None else 0


def _packet_row(report: TraceReport, line: PacketLine, width: int) -> list[str]:
    seen = {sighting.hop for sighting in line.sightings}
    own = _hops_of(report, line)
    marks = ["x" if hop in seen else "." if hop <= own else " " for hop in range(1, width + 1)]
    time = line.sightings[0].time[11:26] if line.sightings else ""
    return [str(line.id), time, line.summary, " ".join(marks), words.verdict_word(line.outcome).lower()]


def _closing(report: TraceReport, paint: Paint, width: int | None, bundle: str | None) -> Iterator[str]:
    label_width = 15
    for label, text in _closing_items(report, bundle):
        # What goes on below an item of a list stands under its words.
        inner = 2 if text.startswith("- ") else 0
        lines = _wrapped(_clean(text), width, label_width + inner)
        first = paint.verdict(lines[0], report.verdict) if label == "VERDICT" else lines[0]
        yield paint.heading(label.ljust(label_width)) + first
        for line in lines[1:]:
            yield " " * (label_width + inner) + line


def _wrapped(text: str, width: int | None, indent: int) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(max(width, _MIN_WIDTH) - indent, _LEAST_NAME), break_long_words=False, break_on_hyphens=False) or [text]


def _closing_items(report: TraceReport, bundle: str | None) -> Iterator[tuple[str, str]]:
    yield "VERDICT", report.summary
    finding = report.main_finding
    if finding is not None:
        yield "WHY", f"{finding.summary} (cause: {finding.cause}, {finding.confidence})"
        for evidence in finding.evidence:
            yield "", f"- {evidence.text}"
        if finding.not_ruled_out:
            yield "NOT RULED OUT", "; ".join(finding.not_ruled_out)
    for other in report.findings:
        if other is not finding:
            label = {Severity.ERROR: "ALSO", Severity.WARNING: "WARNING", Severity.INFO: "NOTE"}[other.severity]
            # A note says what was seen; where that has no name, there is no cause either.
            nameless = other.severity is Severity.INFO and other.cause == "unknown"
            yield label, other.summary if nameless else f"{other.summary} (cause: {other.cause}, {other.confidence})"
    for blind in report.completeness.blind:
        where = "/".join(part for part in (blind.node, blind.interface) if part)
        yield "BLIND", f"{where}: {blind.reason}" if where else blind.reason
    for note in report.completeness.notes:
        yield "NOTE", note
    if stepped := words.stepped_text(report.clocks):
        yield "CLOCK", stepped
    if report.remediation:
        yield "NEXT", report.remediation
    if finding is not None:
        yield "MORE", words.explaining(finding.cause)
    if bundle is not None:
        yield "BUNDLE", f"{bundle}  (attach this to the ticket)"
    if report.cleanup is not None:
        yield "CLEANUP", words.cleanup_text(report.cleanup)
