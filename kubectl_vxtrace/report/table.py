"""The report for a terminal and for a ticket's text: what is broken first in detail, the verdict last, where the eye is."""

from collections.abc import Iterable, Iterator

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import ADDRESS_RESOLUTION
from kubectl_vxtrace.model.report import (
    DirectionReport,
    Finding,
    FlowReport,
    HopCount,
    PacketLine,
    Severity,
    TraceReport,
    Verdict,
)
from kubectl_vxtrace.report import between_nodes, words
from kubectl_vxtrace.report.layout import Fitted, noted, one_line, wrapped
from kubectl_vxtrace.report.mesh import mesh_of
from kubectl_vxtrace.report.paint import Paint

# Directions of which the hops are drawn; every flow always has its line.
_MAX_DRAWN = 8
_MAX_LOST_SHOWN = 5
# What tshark says of a packet mostly repeats its summary; a few lines show the layers.
_MOST_DISSECTED = 2


def render(report: TraceReport, *, width: int | None, color: bool, bundle: str | None = None) -> str:
    """The report as text with a final newline.

    Args:
        report: any report.
        width: of the terminal. Sentences and notes are wrapped at it, long names in tables lose their middle; None leaves all whole.
        color: use ANSI colours.
        bundle: path of the bundle, if one was written.
    """
    return body(report, width=width, color=color) + ending(report, width=width, color=color, bundle=bundle)


def body(report: TraceReport, *, width: int | None, color: bool) -> str:
    """The text down to what follows from the verdict: all that is known before the bundle is written and the debug pods are gone."""
    paint, fitted = Paint(enabled=color), Fitted(width)
    blocks = [
        "\n".join(opening(report, paint, width)),
        _matrix(report, paint, fitted) or _flow_table(report, paint, fitted),
        *(_hop_block(report, flow, direction, paint, fitted) for flow, direction in _drawn(report)),
        _packet_table(report, fitted),
        _comparison(report, fitted),
        "\n".join(["names in full", *fitted.names()]) if fitted.whole else "",
        "\n".join(verdict_lines(report, paint, width)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def ending(report: TraceReport, *, width: int | None, color: bool, bundle: str | None) -> str:
    """The last lines: the bundle, if one was written, and what became of the debug pods."""
    return "".join(f"{line}\n" for line in _closing(_last_items(report, bundle), report, Paint(enabled=color), width))


def verdict_lines(report: TraceReport, paint: Paint, width: int | None) -> Iterator[str]:
    """Verdict, why, what to do."""
    return _closing(_closing_items(report), report, paint, width)


def opening(report: TraceReport, paint: Paint, width: int | None) -> Iterator[str]:
    """Who talks to whom; with what that was traced; what the captures hold."""
    yield paint.heading("\n".join(wrapped(one_line(words.title(report)), width, 0)))
    said = words.context_text(report) if report.metadata.context is not None else ""
    for text in filter(None, (said, words.payload_text(report), words.anonymized_text(report))):
        yield from wrapped(one_line(text), width, 0)


def _comparison(report: TraceReport, fitted: Fitted) -> str:
    """What was sent between nodes to compare ports, checksums and sizes, where not all of it arrives."""
    rows = between_nodes.rows(between_nodes.telling(report.ab))
    if not rows:
        return ""
    lines = fitted.table(rows, between_nodes.HEADERS, set(between_nodes.NUMBERS), {0, 1}, indent=2)
    return "\n".join([between_nodes.TITLE, *(f"  {line}" for line in lines)])


def _matrix(report: TraceReport, paint: Paint, fitted: Fitted) -> str:
    """Between several nodes: who reaches whom."""
    mesh = mesh_of(report)
    if mesh is None:
        return ""
    numbers = range(len(mesh.nodes))
    rows = [
        [str(row + 1), name, *("-" if row == column else mesh.cells.get((row, column), ("", None))[0] for column in numbers)]
        for row, name in enumerate(mesh.nodes)
    ]
    lines = fitted.table(rows, ["", "from / to", *(str(column + 1) for column in numbers)], {0}, {1})
    bad = {text: verdict for text, verdict in mesh.cells.values() if verdict is not Verdict.DELIVERED}
    painted = [lines[0]]
    for line in lines[1:]:
        for text, verdict in bad.items():
            line = line.replace(text, paint.verdict(text, verdict))
        painted.append(line)
    return "\n".join([*painted, *(wrapped(mesh.note, fitted.width, 0) if mesh.note is not None else ())])


def _flow_table(report: TraceReport, paint: Paint, fitted: Fitted) -> str:
    if not report.flows:
        return ""
    several, clients = len({words.target(flow) for flow in report.flows}) > 1, words.has_clients(report)
    headers = [
        *(["client"] if clients else []),
        *(["service"] if several else []),
        "backend",
        "node",
        "asked",
        "arrived",
        "answered",
        "back",
    ]
    # Where clients are compared, those that lose most come first.
    flows = sorted(report.flows, key=lambda flow: -words.lost_of(flow)) if clients else report.flows
    rows = [
        [
            *([words.endpoint(flow.client)] if clients else []),
            *([words.target(flow)] if several else []),
            *_backend(flow),
            *_four_counts(flow),
        ]
        for flow in flows
    ]
    first = len(headers) - 4
    lines = fitted.table(rows, headers, set(range(first, first + 4)), set(range(first)))
    verdicts = [words.flow_verdict(flow) for flow in flows]
    painted = [
        line.removesuffix(text) + paint.verdict(text, verdict) if line.endswith(text) else line
        for (verdict, text), of_flow in zip(verdicts, noted(lines, [text for _, text in verdicts], fitted.width, 4), strict=True)
        for line in of_flow
    ]
    return "\n".join([lines[0], *painted])


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


def _hop_block(report: TraceReport, flow: FlowReport, direction: DirectionReport, paint: Paint, fitted: Fitted) -> str:
    rows = [_hop_row(hop) for hop in direction.hops]
    lines = fitted.table(rows, ["hop", "node", "interface", "role", "packets"], {0, 4}, {1, 2}, indent=1)
    notes = [_hop_note(hop, previous) for hop, previous in zip(direction.hops, (None, *direction.hops), strict=False)]
    drawn = [lines[0]]
    bars = {leg.from_: leg for leg in direction.legs if leg.lost}
    for hop, of_hop in zip(direction.hops, noted(lines, notes, None if fitted.width is None else fitted.width - 1, 8), strict=True):
        drawn += of_hop
        if hop.hop in bars:
            drawn.append(paint.bar(f"    ------------ {words.leg_end(report, flow, direction, bars[hop.hop])} ------------"))
    if latencies := words.latencies(direction):
        first, *further = wrapped(f"latency: {latencies}", fitted.width, 4)
        drawn += [f"   {first}", *(f"     {text}" for text in further)]
    heading = words.heading(flow, direction) + (f", client {words.endpoint(flow.client)}" if words.has_clients(report) else "")
    return "\n".join([paint.heading(one_line(heading)), *(" " + line for line in drawn)])


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


def _packet_table(report: TraceReport, fitted: Fitted) -> str:
    lost = [line for line in report.packets if line.outcome is not Verdict.DELIVERED]
    delivered = [line for line in report.packets if line.outcome is Verdict.DELIVERED]
    chosen = sorted(lost[:_MAX_LOST_SHOWN] + delivered, key=lambda line: line.id)
    if not chosen:
        return ""
    hops = max((sighting.hop for line in chosen for sighting in line.sightings), default=0)
    hops = max(hops, *(_hops_of(report, line) for line in chosen))
    headers = ["id", "time (UTC)", "packet", " ".join(str(hop % 10) for hop in range(1, hops + 1)), "outcome"]
    rows = [_packet_row(report, line, hops) for line in chosen]
    lines = fitted.table(rows, headers, {0}, {2}, texts=True)
    total = sum(hop.packets for flow in report.flows for each in flow.directions for hop in each.hops[:1])
    dissected = [
        "    " * bool(number) + text
        for line in (lost or delivered)[:_MOST_DISSECTED]
        if line.dissection
        for number, text in enumerate(wrapped(f"  {line.id}: {one_line(line.dissection)}", fitted.width, 4))
    ]
    return "\n".join([f"packets ({len(chosen)} of {total})", *lines, *dissected])


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


def _closing(items: Iterable[tuple[str, str]], report: TraceReport, paint: Paint, width: int | None) -> Iterator[str]:
    label_width = 15
    for label, text in items:
        # What goes on below an item of a list stands under its words.
        inner = 2 if text.startswith("- ") else 0
        lines = wrapped(one_line(text), width, label_width + inner)
        first = paint.verdict(lines[0], report.verdict) if label == "VERDICT" else lines[0]
        yield paint.heading(label.ljust(label_width)) + first
        for line in lines[1:]:
            yield " " * (label_width + inner) + line


def _closing_items(report: TraceReport) -> Iterator[tuple[str, str]]:
    yield "VERDICT", report.summary
    finding = report.main_finding
    if finding is not None:
        yield "WHY", words.finding_text(finding)
        for evidence in finding.evidence:
            yield "", f"- {evidence.text}"
        if finding.not_ruled_out:
            yield "NOT RULED OUT", "; ".join(finding.not_ruled_out)
    yield from _other_findings(report, finding)
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


def _other_findings(report: TraceReport, main: Finding | None) -> Iterator[tuple[str, str]]:
    """The findings beside the main one; what is said of several paths in the same words, as of a mesh's, stands once."""
    labels = {Severity.ERROR: "ALSO", Severity.WARNING: "WARNING", Severity.INFO: "NOTE"}
    for first, *more in words.alike(report.findings):
        label, count = labels[first.severity], len(more)
        if first is not main:
            yield label, f"{words.finding_text(first)}, on {count + 1} paths" if more else words.finding_text(first)
        elif more:
            yield label, f"the same on {count} other path{'s' if count > 1 else ''}"


def _last_items(report: TraceReport, bundle: str | None) -> Iterator[tuple[str, str]]:
    if bundle is not None:
        yield "BUNDLE", f"{bundle}  (attach this to the ticket)"
    if report.cleanup is not None:
        yield "CLEANUP", words.cleanup_text(report.cleanup)
