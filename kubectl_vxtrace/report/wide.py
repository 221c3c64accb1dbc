"""The report as a table with everything in it (-o wide): no line of a table is cut, whatever the terminal."""

from collections.abc import Iterable, Iterator, Sequence

from kubectl_vxtrace.model.report import DirectionReport, FlowReport, HopCount, Latency, PacketLine, TraceReport, Verdict
from kubectl_vxtrace.report import between_nodes, words
from kubectl_vxtrace.report.layout import one_line, table
from kubectl_vxtrace.report.paint import Paint
from kubectl_vxtrace.report.table import ending, opening, verdict_lines


def render(report: TraceReport, *, width: int | None, color: bool, bundle: str | None = None) -> str:
    """The report as text with a final newline: every flow and direction, with frames, outer addresses and latencies; clocks and captures.

    Args:
        report: any report.
        width: of the terminal, at which sentences are wrapped; None leaves them whole. Tables are never cut.
        color: use ANSI colours.
        bundle: path of the bundle, if one was written.
    """
    return body(report, width=width, color=color) + ending(report, width=width, color=color, bundle=bundle)


def body(report: TraceReport, *, width: int | None, color: bool) -> str:
    """The text without its last lines, which name the bundle and what became of the debug pods."""
    paint = Paint(enabled=color)
    blocks: list[Iterable[str]] = [opening(report, paint, width), _flows(report, paint)]
    for flow in report.flows:
        for direction in flow.directions:
            if direction.hops and direction.verdict is not Verdict.NOT_APPLICABLE:
                blocks += [_hops(flow, direction, paint), _legs(direction)]
    compared = _titled(paint, between_nodes.TITLE, between_nodes.rows(report.ab), between_nodes.HEADERS, set(between_nodes.NUMBERS))
    blocks += [
        _packets(report, paint),
        compared,
        _clocks(report, paint),
        _captures(report, paint),
        verdict_lines(report, paint, width),
    ]
    texts = ["\n".join(block) for block in blocks]
    return "\n\n".join(filter(None, texts)) + "\n"


def _titled(paint: Paint, title: str, rows: Sequence[Sequence[str]], headers: Sequence[str], right: set[int]) -> Iterator[str]:
    """A table under its title; nothing without rows."""
    if rows:
        yield paint.heading(one_line(title))
        yield from (f"  {line}" for line in table(rows, headers, right))


def _flows(report: TraceReport, paint: Paint) -> Iterator[str]:
    headers = ("flow", "protocol", "client", "pod", "node", "service", "server", "pod", "node", "connections", "verdict")
    rows = []
    for flow in report.flows:
        client, server = flow.client, flow.server
        rows.append(
            [
                str(flow.id),
                flow.protocol,
                words.address_port(client.address, client.port),
                client.pod or words.UNKNOWN,
                client.node or words.UNKNOWN,
                words.target(flow) if flow.service is not None else "-",
                words.address_port(server.address, server.port) if server is not None else words.UNKNOWN,
                (server.pod if server is not None else None) or words.UNKNOWN,
                (server.node if server is not None else None) or words.UNKNOWN,
                str(flow.connections),
                words.flow_verdict(flow)[1],
            ]
        )
    return _titled(paint, "flows", rows, headers, {0, 9})


def _hops(flow: FlowReport, direction: DirectionReport, paint: Paint) -> Iterator[str]:
    title = f"flow {flow.id}, {words.heading(flow, direction)}: {words.verdict_word(direction.verdict)}"
    headers = ("hop", "node", "interface", "role", "packets", "frames", "other", "capture", "addresses", "outer", "note")
    return _titled(paint, title, [_hop(hop) for hop in direction.hops], headers, {0, 4, 5, 6, 7})


def _hop(hop: HopCount) -> list[str]:
    outer = hop.outer
    notes = ("" if hop.expected else "not expected here", "" if hop.witness else "cannot testify", hop.reason or "")
    return [
        str(hop.hop) if hop.expected else f"({hop.hop})",
        hop.node,
        hop.interface or words.UNKNOWN,
        hop.role.value,
        words.hop_packets(hop),
        str(hop.frames),
        str(hop.control),
        "-" if hop.capture is None else str(hop.capture),
        hop.tuple or "-",
        f"{outer.source} > {words.address_port(outer.destination, outer.port)} VNI {outer.vni}" if outer is not None else "-",
        "; ".join(filter(None, notes)),
    ]


def _legs(direction: DirectionReport) -> list[str]:
    headers = ("leg", "sent", "arrived", "lost", "undetermined", "min", "median", "max", "unsure by")
    rows = [
        [
            f"{leg.from_}>{leg.to or words.UNKNOWN}",
            *map(str, (leg.sent, leg.arrived, leg.lost, leg.undetermined)),
            *_latency(leg.latency_ns),
        ]
        for leg in direction.legs
    ]
    return [f"  {line}" for line in table(rows, headers, set(range(1, len(headers))))] if rows else []


def _latency(found: Latency | None) -> list[str]:
    if found is None:
        return ["-"] * 4
    return [words.duration(time_ns) for time_ns in (found.min, found.median, found.max, found.uncertainty)]


def _packets(report: TraceReport, paint: Paint) -> Iterator[str]:
    headers = ("id", "time (UTC)", "flow", "direction", "outcome", "hop:frame", "packet")
    return _titled(paint, f"packets ({len(report.packets)} listed)", [_packet(line) for line in report.packets], headers, {0, 2})


def _packet(line: PacketLine) -> list[str]:
    sightings = ",".join(f"{sighting.hop}:{sighting.frame}" for sighting in line.sightings)
    time = line.sightings[0].time if line.sightings else "-"
    outcome = words.verdict_word(line.outcome).lower()
    return [str(line.id), time, str(line.flow), line.direction.value, outcome, sightings or "-", line.summary]


def _clocks(report: TraceReport, paint: Paint) -> Iterator[str]:
    rows = []
    for clock in report.clocks:
        low, high = clock.offset_ns.low, clock.offset_ns.high
        bound = "not known" if low is None or high is None else f"{words.duration(low)} to {words.duration(high)}"
        rows.append([clock.node, clock.reference, bound, str(clock.samples), "was set while captures ran" if clock.stepped else ""])
    return _titled(paint, "clocks", rows, ("node", "against", "ahead by", "samples", "note"), {3})


def _captures(report: TraceReport, paint: Paint) -> Iterator[str]:
    headers = ("id", "node", "interface", "received", "captured", "dropped", "bytes", "file")
    rows = [
        [
            str(line.id),
            line.node,
            line.interface or words.UNKNOWN,
            *("?" if count is None else str(count) for count in (line.received, line.captured, line.dropped_by_kernel)),
            str(line.bytes),
            line.file or "-",
        ]
        for line in report.captures
    ]
    return _titled(paint, "captures", rows, headers, {0, 3, 4, 5, 6})
