"""The report as one HTML file that needs nothing else: no script, no image, no address to load from."""

from collections.abc import Iterator, Sequence
from importlib.resources import files

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import DirectionReport, Finding, FlowReport, FrameRef, HopCount, Latency, TraceReport, Verdict
from kubectl_vxtrace.report import between_nodes, words
from kubectl_vxtrace.report.changes import NodeChanges
from kubectl_vxtrace.report.html import ladder, nodes, path
from kubectl_vxtrace.report.html.markup import Child, Content, Element, document, tag
from kubectl_vxtrace.report.mesh import mesh_of

# Nothing is loaded and nothing runs, also if foreign text should ever become markup (https://www.w3.org/TR/CSP3/).
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_FRAMES = 12
_MOST_DIRECTIONS = 40


def render(report: TraceReport, changed: Sequence[NodeChanges] = ()) -> str:
    """The page. Readable without colours, in dark and light, on paper, by keyboard and screen reader.

    Args:
        report: what it says.
        changed: what changed at the nodes meanwhile, where they were looked at.
    """
    title = f"{report.verdict.value}, {words.title(report)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"kubectl vxtrace: {title}"),
        tag("style", files(__package__).joinpath("page.css").read_text("utf-8")),
    )
    main = tag(
        "main",
        _answer(report),
        _section("Who reaches whom", _matrix(report)),
        _section("Backends", _flows(report)),
        _section("Path", _paths(report)),
        _section("Packets", ladder.ladder(report)),
        _section("Findings", [_finding(first, more) for first, *more in words.alike(report.findings)]),
        _section("Datagrams between the nodes", _compared(report)),
        _section("What could not be seen", _unseen(report)),
        _section("Clocks", _clocks(report)),
        _section("Captures", _captures(report)),
        _section("Nodes, before and after", nodes.nodes(changed)),
        class_=_state(report.verdict),
    )
    return document(tag("html", head, tag("body", main, _footer(report)), lang="en"))


def _state(verdict: Verdict) -> str:
    """Which of three colours a verdict has: its words say the same."""
    if verdict is Verdict.DELIVERED:
        return "good"
    return "unknown" if verdict in (Verdict.UNDETERMINED, Verdict.NO_TRAFFIC) else "bad"


def _section(title: str, content: Content) -> Element | None:
    """A part of the page; None where it would be empty."""
    section = tag("section", tag("h2", title), content, aria_label=title)
    return section if len(section) > 1 else None


def _answer(report: TraceReport) -> Element:
    """Verdict, why, what to do: first, and large."""
    finding = report.main_finding
    return tag(
        "header",
        tag("p", words.title(report), class_="ends"),
        tag("h1", report.verdict.value.replace("-", " ")),
        tag("p", report.summary.removeprefix(f"{report.verdict.value.upper()}, "), class_="summary"),
        [
            tag("dl", tag("dt", "Why"), tag("dd", finding.summary, " ", tag("small", f"cause {finding.cause}, {finding.confidence.value}")))
            if finding is not None
            else None,
            tag("dl", tag("dt", "Next"), tag("dd", report.remediation)) if report.remediation else None,
        ],
    )


def _table(name: str, headers: Sequence[str], rows: Sequence[Sequence[Child]], numbers: frozenset[int] = frozenset()) -> Element | None:
    """A table that scrolls by itself where it is too wide; None without rows.

    Args:
        name: what a screen reader calls it.
        headers: of its columns.
        rows: cells.
        numbers: columns that are aligned on the right.
    """
    if not rows:
        return None
    return tag(
        "div",
        tag(
            "table",
            tag(
                "thead", tag("tr", [tag("th", text, scope="col", class_="n" if at in numbers else None) for at, text in enumerate(headers)])
            ),
            tag(
                "tbody",
                [tag("tr", [tag("td", cell, class_=_class(headers[at], at in numbers)) for at, cell in enumerate(row)]) for row in rows],
            ),
        ),
        class_="wide",
        role="region",
        aria_label=name,
        tabindex="0",
    )


def _class(header: str, is_number: bool) -> str | None:
    return "n" if is_number else "node" if header == "node" else None


def _matrix(report: TraceReport) -> Content:
    """Between several nodes: a row for each sender, a column for each receiver."""
    mesh = mesh_of(report)
    if mesh is None:
        return None
    numbers = range(len(mesh.nodes))
    rows: list[list[Child]] = []
    for row, sender in enumerate(mesh.nodes):
        cells = (mesh.cells.get((row, column)) for column in numbers)
        rows.append([tag("b", sender), *(tag("span", cell[0], class_=_state(cell[1])) if cell is not None else "" for cell in cells)])
    return [_table("who reaches whom", ("from / to", *mesh.nodes), rows), tag("p", mesh.note) if mesh.note is not None else None]


def _flows(report: TraceReport) -> Element | None:
    rows: list[list[Child]] = []
    clients = words.has_clients(report)
    for flow in report.flows:
        verdict, text = words.flow_verdict(flow)
        server = flow.server
        backend = words.address_port(server.address, server.port) if server is not None else words.UNKNOWN
        pod, node = (server.pod, server.node) if server is not None else (None, None)
        who = (words.endpoint(flow.client),) if clients else ()
        texts = (*who, backend, pod or words.UNKNOWN, node or words.UNKNOWN, words.target(flow), str(flow.connections))
        rows.append([str(flow.id), tag("b", text, class_=_state(verdict)), *texts])
    headers = ("flow", "verdict", *(("client",) if clients else ()), "backend", "pod", "node", "addressed to", "connections")
    return _table("backends", headers, rows, frozenset({0, len(headers) - 1}))


def _paths(report: TraceReport) -> list[Element]:
    """The directions drawn, and how many more there are."""
    directions = list(_directions(report))
    drawn = [_direction(flow, each) for flow, each in directions[:_MOST_DIRECTIONS]]
    more = len(directions) - len(drawn)
    return [*drawn, tag("p", f"... and {more} more directions, which are in the table of backends and in the JSON")] if more else drawn


def _directions(report: TraceReport) -> Iterator[tuple[FlowReport, DirectionReport]]:
    """Broken ones first, each in the order of the report."""
    shown = [(flow, each) for flow in report.flows for each in flow.directions if each.verdict is not Verdict.NOT_APPLICABLE and each.hops]
    yield from sorted(shown, key=lambda one: one[1].verdict in (Verdict.DELIVERED, Verdict.NO_TRAFFIC))


def _direction(flow: FlowReport, direction: DirectionReport) -> Element:
    who = words.address_port(flow.server.address, flow.server.port) if flow.server is not None else words.target(flow)
    heading = f"Flow {flow.id}: request to {who}" if direction.direction is Direction.REQUEST else f"Flow {flow.id}: reply from {who}"
    verdict = words.verdict_word(direction.verdict)
    headers = ("hop", "node", "interface", "role", "packets", "frames", "other packets", "addresses", "note")
    hops = _table(f"hops, {heading}", headers, [_hop_row(hop) for hop in direction.hops], frozenset({0, 4, 5, 6}))
    legs = _table(
        f"legs, {heading}",
        ("leg", "sent", "arrived", "lost", "undetermined", "latency: median (min to max) +- uncertainty"),
        [
            [f"{leg.from_} to {leg.to or '?'}", *map(str, (leg.sent, leg.arrived, leg.lost, leg.undetermined)), _latency(leg.latency_ns)]
            for leg in direction.legs
        ],
        frozenset({1, 2, 3, 4}),
    )
    return tag(
        "article",
        tag("h3", heading, " ", tag("b", verdict, class_=_state(direction.verdict))),
        tag(
            "div",
            path.drawing(direction, f"{heading}: {verdict}"),
            class_="wide",
            role="region",
            aria_label=f"drawing, {heading}",
            tabindex="0",
        ),
        tag("details", tag("summary", "Hops and legs"), hops, legs, open="open" if _state(direction.verdict) == "bad" else None),
    )


def _hop_row(hop: HopCount) -> list[Child]:
    outer = hop.outer
    addresses = [hop.tuple or ""]
    if outer is not None:
        addresses.append(f"{outer.source} > {words.address_port(outer.destination, outer.port)} VNI {outer.vni}")
    notes = [hop.reason or "", "" if hop.expected else "not expected here", "" if hop.witness else "cannot testify"]
    return [
        str(hop.hop) if hop.expected else f"({hop.hop})",
        hop.node,
        hop.interface or words.UNKNOWN,
        hop.role.value,
        words.hop_packets(hop),
        str(hop.frames),
        str(hop.control),
        "; ".join(filter(None, addresses)),
        "; ".join(filter(None, notes)),
    ]


def _latency(latency: Latency | None) -> str:
    """In microseconds, no finer than what the clocks allow."""
    if latency is None:
        return "not known"
    median, least, most, doubt = (f"{value / 1000:,.1f}" for value in (latency.median, latency.min, latency.max, latency.uncertainty))
    return f"{median} µs ({least} to {most}) ± {doubt}"


def _finding(finding: Finding, more: Sequence[Finding]) -> Element:
    """A finding with its proofs, and where `more` say the same."""
    return tag(
        "article",
        tag("h3", finding.cause, " ", tag("small", f"{finding.severity.value}, {finding.confidence.value}")),
        tag("p", finding.summary),
        tag("p", _place(finding), class_="place"),
        tag("p", "The same: ", "; ".join(map(_place, more)), class_="place") if more else None,
        tag("ul", [tag("li", tag("small", f"{each.kind.value}: "), each.text, _frames(each.frames)) for each in finding.evidence]),
        tag("p", tag("b", "Not ruled out: "), "; ".join(finding.not_ruled_out)) if finding.not_ruled_out else None,
        tag("p", tag("b", "Next: "), finding.remediation) if finding.remediation else None,
        class_=finding.severity.value,
    )


def _place(finding: Finding) -> str:
    parts = [
        f"flow {finding.flow}" if finding.flow is not None else "",
        finding.direction.value if finding.direction is not None else "",
        f"hop {finding.leg.from_} to {finding.leg.to or '?'}" if finding.leg is not None else "",
        f"{finding.packets} packets" if finding.packets else "",
    ]
    return ", ".join(filter(None, parts))


def _frames(frames: Sequence[FrameRef]) -> Child:
    """Frames of captures as `capture 3: 17, 19`."""
    by_capture: dict[int, list[int]] = {}
    for frame in frames:
        by_capture.setdefault(frame.capture, []).append(frame.frame)
    texts = [
        f"capture {capture}: frame {', '.join(map(str, numbers[:_MOST_FRAMES]))}{' ...' if len(numbers) > _MOST_FRAMES else ''}"
        for capture, numbers in by_capture.items()
    ]
    return tag("small", f" ({'; '.join(texts)})") if texts else None


def _compared(report: TraceReport) -> list[Child]:
    """What was sent between nodes to compare ports, checksums, sizes and source ports."""
    if not report.ab:
        return []
    rows: list[list[Child]] = [list(row) for row in between_nodes.rows(report.ab)]
    said = tag("ul", [tag("li", way.summary) for way in report.ab])
    return [said, _table("datagrams between the nodes", between_nodes.HEADERS, rows, between_nodes.NUMBERS)]


def _unseen(report: TraceReport) -> list[Element]:
    blind = report.completeness.blind
    places = [": ".join(filter(None, ("/".join(filter(None, (each.node, each.interface))), each.reason))) for each in blind]
    lines = [*places, *report.completeness.notes, *filter(None, [words.stepped_text(report.clocks)])]
    return [tag("ul", [tag("li", line) for line in lines])] if lines else []


def _clocks(report: TraceReport) -> Element | None:
    rows: list[list[Child]] = []
    for clock in report.clocks:
        low, high = clock.offset_ns.low, clock.offset_ns.high
        bound = "not known" if low is None or high is None else f"{low / 1e6:+,.3f} to {high / 1e6:+,.3f} ms"
        rows.append([clock.node, clock.reference, bound, str(clock.samples), "was set while captures ran" if clock.stepped else ""])
    return _table("clocks", ("node", "against", "its clock is ahead by", "samples", ""), rows, frozenset({3}))


def _captures(report: TraceReport) -> Element | None:
    rows: list[list[Child]] = [
        [
            str(line.id),
            line.node,
            line.interface or words.UNKNOWN,
            *("?" if count is None else str(count) for count in (line.received, line.captured, line.dropped_by_kernel)),
            line.file or "none",
            line.started or "",
            line.stopped or "",
            tag("details", tag("summary", "filter"), tag("code", line.filter)) if line.filter else "",
        ]
        for line in report.captures
    ]
    headers = ("id", "node", "interface", "received", "captured", "dropped", "file", "from", "to", "")
    return _table("captures", headers, rows, frozenset({0, 3, 4, 5}))


def _footer(report: TraceReport) -> Element:
    lines = [
        words.payload_text(report),
        words.anonymized_text(report),
        words.context_text(report),
        f"debug pods: {words.cleanup_text(report.cleanup)}" if report.cleanup is not None else "",
    ]
    return tag("footer", [tag("p", line) for line in lines if line])
