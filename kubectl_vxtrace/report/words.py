"""What the report's numbers are called, for every form that people read."""

from collections.abc import Iterable, Sequence

from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import ADDRESS_RESOLUTION
from kubectl_vxtrace.model.report import (
    WORST_FIRST,
    CleanupReport,
    ClockBound,
    DirectionReport,
    EndpointReport,
    Finding,
    FlowReport,
    HopCount,
    Latency,
    LegTally,
    Severity,
    TraceReport,
    Verdict,
)

UNKNOWN = "?"


def verdict_word(verdict: Verdict) -> str:
    """A verdict as people read it."""
    return {Verdict.DELIVERED: "ok", Verdict.NO_TRAFFIC: "no traffic", Verdict.NOT_APPLICABLE: "-"}.get(verdict, verdict.upper())


def address_port(address: str | None, port: int | None) -> str:
    """`address:port`, with brackets around IPv6; `?` for an unknown address."""
    return UNKNOWN if address is None else host_port(address, port)


def endpoint(end: EndpointReport) -> str:
    """An endpoint by its pod's name where it has one."""
    return end.pod or address_port(end.address, end.port)


def title(report: TraceReport) -> str:
    """Who talks to whom, and over which overlay."""
    overlay = overlay_text(report)
    return f"{_ends(report)}      {overlay}" if overlay else _ends(report)


def _ends(report: TraceReport) -> str:
    if not report.flows:
        return "no packet of the traced traffic was seen"
    flow = report.flows[0]
    if len({each.client.address for each in report.flows}) > 1 and not any(each.client.pod for each in report.flows):
        names = dict.fromkeys(str(each.client.node or each.client.address) for each in report.flows)
        return " <-> ".join(names) if len(names) == 2 else f"every pair of {len(names)} nodes"
    targets = dict.fromkeys(target(each) for each in report.flows)
    clients = dict.fromkeys(endpoint(each.client) for each in report.flows)
    who = f"{len(clients)} clients" if has_clients(report) else endpoint(flow.client)
    return f"{who} -> {', '.join(targets)}"


def has_clients(report: TraceReport) -> bool:
    """Whether the report is of several clients, not all of them nodes."""
    clients = {flow.client.pod or flow.client.node or flow.client.address for flow in report.flows}
    return len(clients) > 1 and any(flow.client.pod for flow in report.flows)


def lost_of(flow: FlowReport) -> int:
    """How many packets of a flow vanished, both ways."""
    return sum(leg.lost for way in flow.directions for leg in way.legs)


def target(flow: FlowReport) -> str:
    """What a flow was addressed to: its Service, else its server."""
    if flow.service is not None and flow.service.address is not None:
        where = f"{address_port(flow.service.address, flow.service.port)}/{flow.protocol}"
        return f"{flow.service.name} ({where})" if flow.service.name else where
    if flow.server is not None:
        where = f"{address_port(flow.server.address, flow.server.port)}/{flow.protocol}"
        return f"{flow.server.pod} ({where})" if flow.server.pod else where
    if flow.protocol in ADDRESS_RESOLUTION:
        return f"{flow.candidates[0].address}/{flow.protocol}"
    return f"{UNKNOWN}/{flow.protocol}"


def overlay_text(report: TraceReport) -> str:
    """The overlay in one line; where nodes differ, all values."""
    devices = report.overlay.devices
    parts = [report.overlay.backend or ""]
    for name, values in (
        ("VNI", {device.vni for device in devices}),
        ("UDP", {device.port for device in devices}),
        ("MTU", {device.mtu for device in devices}),
    ):
        known = sorted(value for value in values if value is not None)
        if known:
            parts.append(f"{name} {'/'.join(map(str, known))}")
    return ", ".join(part for part in parts if part)


def direction_of(flow: FlowReport, direction: Direction) -> DirectionReport | None:
    """One direction of a flow, or None."""
    return next((each for each in flow.directions if each.direction == direction), None)


def expected_hops(direction: DirectionReport) -> tuple[HopCount, ...]:
    """The hops that packets should take."""
    return tuple(hop for hop in direction.hops if hop.expected)


def hop_packets(hop: HopCount) -> str:
    """A hop's count, or `blind` where it could not see."""
    return str(hop.packets) if hop.witness or hop.packets else "blind"


def lossy_leg(direction: DirectionReport) -> LegTally | None:
    """The leg that lost most, or None."""
    lossy = [leg for leg in direction.legs if leg.lost]
    return max(lossy, key=lambda leg: leg.lost) if lossy else None


def flow_verdict(flow: FlowReport) -> tuple[Verdict, str]:
    """The worst direction's verdict of a flow, and where."""
    directions = [each for each in flow.directions if each.verdict is not Verdict.NOT_APPLICABLE]
    if not directions:
        return Verdict.NOT_APPLICABLE, verdict_word(Verdict.NOT_APPLICABLE)
    worst = min(directions, key=lambda each: WORST_FIRST.index(each.verdict))
    leg = lossy_leg(worst)
    text = verdict_word(worst.verdict)
    if leg is not None:
        text += f" between hop {leg.from_} and hop {leg.to}" if leg.to is not None else f" after hop {leg.from_}"
        if worst.direction is Direction.REPLY:
            text += " of the reply"
    return worst.verdict, text


def heading(flow: FlowReport, direction: DirectionReport) -> str:
    """What a direction of a flow is called."""
    who = address_port(flow.server.address, flow.server.port) if flow.server is not None else target(flow)
    return f"request to {who}" if direction.direction is Direction.REQUEST else f"reply from {who}"


def leg_end(report: TraceReport, flow: FlowReport, direction: DirectionReport, leg: LegTally) -> str:
    """What became of the packets that a leg lost. One that was refused there has not vanished: its sender was told."""
    if direction.verdict is Verdict.REJECTED:
        text = f"{leg.lost} of {leg.sent} rejected here"
    else:
        refused = sum(
            line.outcome is Verdict.REJECTED
            and (line.flow, line.direction) == (flow.id, direction.direction)
            and max((sighting.hop for sighting in line.sightings), default=0) == leg.from_
            for line in report.packets
        )
        text = f"{leg.lost - refused} of {leg.sent} vanish here" + (f", {refused} rejected" if refused else "")
    return text + (f", {leg.undetermined} undetermined" if leg.undetermined else "")


def latencies(direction: DirectionReport) -> str:
    """The median latency of each leg for which one can be claimed, in order."""
    return ", ".join(f"{leg.from_}>{leg.to} {latency(leg.latency_ns)}" for leg in direction.legs if leg.latency_ns is not None)


def latency(found: Latency) -> str:
    """The median, and how unsure it is where two nodes' clocks are compared."""
    median = duration(found.median)
    return f"{median} +- {duration(found.uncertainty)}" if found.uncertainty else median


def duration(time_ns: int) -> str:
    """Three digits of a time, in the unit that fits it."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if abs(time_ns) >= size:
            return f"{time_ns / size:.3g} {unit}" if abs(time_ns) < 1000 * size else f"{time_ns / size:.0f} {unit}"
    return f"{time_ns} ns"


def explaining(cause: str) -> str:
    """The command that prints the page of a cause."""
    return f"kubectl vxtrace explain {cause}"


def stepped_text(clocks: Sequence[ClockBound]) -> str:
    """Whose clock was set while captures ran, and what that costs; empty where all were steady.

    Clocks are compared with one node's: if every one of them seems to have been set, it may have been that one.
    """
    nodes = [clock.node for clock in clocks if clock.stepped]
    if not nodes:
        return ""
    doubtful = all(clock.stepped for clock in clocks if clock.samples)
    whose = " and ".join(nodes) + (f", or that of {clocks[0].reference}," if doubtful else "")
    return f"the clock of {whose} was set while captures ran: no latency to or from other nodes is claimed there"


def cleanup_text(cleanup: CleanupReport | None) -> str:
    """What became of the debug pods."""
    if cleanup is None:
        return ""
    if cleanup.state == "confirmed":
        return "all debug pods are gone"
    if cleanup.state == "kept":
        return f"kept, as asked: {', '.join(cleanup.left)}"
    return f"NOT CONFIRMED, may be left: {', '.join(cleanup.left)}; run: kubectl vxtrace cleanup"


def payload_text(report: TraceReport) -> str:
    """What the captures hold of payload; empty where that is not known, as nobody knows it of files of others."""
    made = [line.scrubbed for line in report.captures if line.file is not None]
    if report.metadata.context is None or not made:
        return ""
    if all(made):
        return "the captures hold headers and DNS; all other payload was taken out (--payload keeps it)"
    return "the captures hold what applications sent, as far as it was captured: look before you share them"


def anonymized_text(report: TraceReport) -> str:
    """That addresses and names are not the true ones; empty where they are."""
    return "anonymized: pseudonyms stand for addresses and names, the same in every file" if report.metadata.anonymized else ""


def context_text(report: TraceReport) -> str:
    """With what the report was made, in one line."""
    about = report.metadata
    made = about.context
    parts = [f"ticket {about.ticket}" if about.ticket else ""]
    if made is not None:
        parts += [
            made.command,
            f"Kubernetes {'/'.join(made.kubernetes)}" if made.kubernetes else "",
            f"kernel {'/'.join(made.kernels)}" if made.kernels else "",
            made.cni or "",
            f"image {made.image}",
            f"profile {made.profile}",
        ]
    return "; ".join(filter(None, [*parts, f"plugin {about.version}, session {about.session}, {about.started}"]))


def shortened(text: str, most: int, mark: str = "...") -> str:
    """Text with its middle left out where it is longer than `most` characters; `mark` stands there."""
    if len(text) <= most:
        return text
    kept = max(most - len(mark), 2)
    return f"{text[: kept - kept // 2]}{mark}{text[len(text) - kept // 2 :]}"


def finding_text(finding: Finding) -> str:
    """What a finding says. A note says what was seen; where that has no name, there is no cause either."""
    is_nameless = finding.severity is Severity.INFO and finding.cause == "unknown"
    return finding.summary if is_nameless else f"{finding.summary} (cause: {finding.cause}, {finding.confidence})"


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings, those together that say the same in the same words of different places."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding_text(finding)), []).append(finding)
    return list(groups.values())
