"""What differs between two recordings: verdicts, with what they were made, flows and their hops, findings, and the nodes' settings."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import (
    DirectionReport,
    Finding,
    FlowReport,
    HopCount,
    Latency,
    LegTally,
    TraceReport,
)
from kubectl_vxtrace.report import words
from kubectl_vxtrace.report.changes import NodeChanges, TableChange, changes, tells_of_loss
from kubectl_vxtrace.report.differences import (
    Comparison,
    DirectionDifference,
    FindingDifference,
    FlowDifference,
    Given,
    HopDifference,
    LossCounter,
    Pair,
    Setting,
    Side,
)

T = TypeVar("T")

SETTINGS: Final = frozenset(
    {
        *(
            "kernel",
            "links",
            "routes",
            "routing rules",
            "outer lookups",
            "neighbours",
            "fdb",
            "rules",
            "sets",
            "bpf programs",
            "tc filters",
        ),
        *("service translations", "ipsec policies", "ipvs", "proxy mode", "wireguard", "sysctls", "ethtool", "listeners"),
    }
)
"""Tables that somebody set. The others (connections, sockets, lookups for the ends of one trace) differ between any two traces."""

_LEVELS: Final = ("net.netfilter.nf_conntrack_count ",)

MUCH_SLOWER: Final = 2
"""So many times the median of the other is told, if the clocks leave no doubt about it."""


def compare(one: Given, other: Given) -> Comparison:
    """What differs between two recordings. Flows are taken for the same by client and target, else by target and node, else by protocol."""
    reports = (one.report, other.report)
    return Comparison(
        sides=(_side(one), _side(other)),
        settings=tuple(_settings(*reports)),
        flows=tuple(_flow(*pair) for pair in _paired(*(report.flows for report in reports))),
        findings=tuple(_findings(*reports)),
        counters=tuple(_counters(one.recording, other.recording)),
        nodes=tuple(_nodes(one.recording, other.recording)),
        unread=tuple(_unread(one.recording, other.recording)),
    )


def _side(given: Given) -> Side:
    report, about = given.report, given.report.metadata
    return Side(
        name=given.name,
        verdict=report.verdict,
        summary=report.summary,
        cause=report.cause,
        session=about.session,
        started=about.started,
        duration_s=about.duration_s,
    )


def _settings(one: TraceReport, other: TraceReport) -> Iterator[Setting]:
    for name, value in _MADE_WITH:
        values = value(one), value(other)
        if values[0] != values[1]:
            yield Setting(name=name, values=values)


def _joined(values: Iterable[object]) -> str | None:
    return "/".join(sorted({str(value) for value in values if value is not None})) or None


def _of_context(name: str) -> Callable[[TraceReport], str | None]:
    def value(report: TraceReport) -> str | None:
        found = getattr(report.metadata.context, name, None)
        return _joined(found) if isinstance(found, tuple) else found

    return value


def _of_devices(name: str) -> Callable[[TraceReport], str | None]:
    return lambda report: _joined(getattr(device, name) for device in report.overlay.devices)


_MADE_WITH: Final[tuple[tuple[str, Callable[[TraceReport], str | None]], ...]] = (
    ("command", _of_context("command")),
    ("plugin", lambda report: report.metadata.version),
    ("Kubernetes", _of_context("kubernetes")),
    ("kernel", _of_context("kernels")),
    ("network", lambda report: report.overlay.backend),
    ("VNI", _of_devices("vni")),
    ("UDP port", _of_devices("port")),
    ("MTU", _of_devices("mtu")),
    ("image", _of_context("image")),
    ("profile", _of_context("profile")),
    ("filter", _of_context("filter")),
)


def _paired(ones: Sequence[FlowReport], others: Sequence[FlowReport]) -> Iterator[tuple[FlowReport | None, FlowReport | None]]:
    """Flows that are the same thing on both sides, then those that only one has. Addresses of pods change when these are made anew."""
    partners: dict[int, FlowReport] = {}
    left = list(others)
    for key in (_by_ends, _by_target, _by_protocol):
        waiting = {key(flow): flow for flow in reversed(left)}
        for flow in ones:
            if flow.id not in partners and (found := waiting.pop(key(flow), None)) is not None:
                partners[flow.id] = found
                left.remove(found)
    yield from ((flow, partners.get(flow.id)) for flow in ones)
    yield from ((None, flow) for flow in left)


def _by_ends(flow: FlowReport) -> Hashable:
    server = (flow.server.pod or flow.server.address, flow.server.port) if flow.server is not None else None
    return flow.protocol, words.endpoint(flow.client), _service(flow), server


def _by_target(flow: FlowReport) -> Hashable:
    return flow.protocol, _service(flow), flow.server.node if flow.server is not None else None


def _by_protocol(flow: FlowReport) -> Hashable:
    return flow.protocol


def _service(flow: FlowReport) -> Hashable:
    return (flow.service.name or flow.service.address, flow.service.port) if flow.service is not None else None


def _flow(one: FlowReport | None, other: FlowReport | None) -> FlowDifference:
    flows = (one, other)
    return FlowDifference(
        protocol=next(flow.protocol for flow in flows if flow is not None),
        clients=_both(flows, lambda flow: words.endpoint(flow.client)),
        targets=_both(flows, _backend),
        verdicts=_both(flows, lambda flow: words.flow_verdict(flow)[1]),
        directions=tuple(_directions(one, other)) if one is not None and other is not None else (),
    )


def _both(pair: tuple[T | None, T | None], text: Callable[[T], str]) -> Pair:
    first, second = (text(each) if each is not None else None for each in pair)
    return first, second


def _backend(flow: FlowReport) -> str:
    """`kube-system/kube-dns (10.96.0.10:53/UDP) at 10.244.1.7:53`."""
    if flow.service is None or flow.server is None:
        return words.target(flow)
    return f"{words.target(flow)} at {words.address_port(flow.server.address, flow.server.port)}"


def _directions(one: FlowReport, other: FlowReport) -> Iterator[DirectionDifference]:
    for first in one.directions:
        second = words.direction_of(other, first.direction)
        if second is None:
            continue
        found = DirectionDifference(
            heading=words.heading(one, first),
            verdicts=(_ended(first), _ended(second)),
            hops=tuple(_hops(first, second)),
            latencies=tuple(_latencies(first, second)),
        )
        if found.hops or found.latencies or found.verdicts[0] != found.verdicts[1]:
            yield found


def _ended(direction: DirectionReport) -> str:
    """`LOST 10 of 10 between hop 3 and hop 4`, `ok`."""
    word, leg = words.verdict_word(direction.verdict), words.lossy_leg(direction)
    if leg is None:
        return word
    where = f"between hop {leg.from_} and hop {leg.to}" if leg.to is not None else f"after hop {leg.from_}"
    return f"{word} {where}"


def _hops(first: DirectionReport, second: DirectionReport) -> Iterator[HopDifference]:
    ones, others = ({hop.hop: hop for hop in words.expected_hops(direction)} for direction in (first, second))
    for number in sorted(ones.keys() | others.keys()):
        pair = ones.get(number), others.get(number)
        if _what(pair[0]) != _what(pair[1]):
            yield HopDifference(hop=number, sides=_both(pair, lambda hop: f"{_place(hop)}: {words.hop_packets(hop)}"))


def _place(hop: HopCount) -> str:
    return f"{hop.node}/{hop.interface or words.UNKNOWN}"


def _what(hop: HopCount | None) -> Hashable:
    """What counts of a hop: whose it is, whether it could see, and whether it saw anything. Pods' interfaces are named at random."""
    if hop is None:
        return None
    return hop.role, hop.node, hop.interface if hop.role.value != "pod" else None, hop.witness, hop.packets > 0


def _latencies(first: DirectionReport, second: DirectionReport) -> Iterator[Setting]:
    others = {(leg.from_, leg.to): leg for leg in second.legs}
    for leg in first.legs:
        other = others.get((leg.from_, leg.to))
        if other is not None and _is_slower(leg, other):
            yield Setting(name=f"{leg.from_}>{leg.to}", values=_both((leg.latency_ns, other.latency_ns), words.latency))


def _is_slower(one: LegTally, other: LegTally) -> bool:
    """Whether one of two legs is much slower than the other, whatever the clocks leave open."""
    if one.latency_ns is None or other.latency_ns is None:
        return False
    slow, fast = sorted((one.latency_ns, other.latency_ns), key=lambda latency: -latency.median)
    return _least(slow) > MUCH_SLOWER * (fast.median + fast.uncertainty)


def _least(latency: Latency) -> int:
    return latency.median - latency.uncertainty


def _findings(one: TraceReport, other: TraceReport) -> Iterator[FindingDifference]:
    """By cause: the same cause at another place is the same finding."""
    causes = tuple({finding.cause for finding in report.findings} for report in (one, other))
    for side, report in enumerate((one, other)):
        told: set[str] = set()
        for finding in report.findings:
            if finding.cause not in causes[1 - side] and finding.cause not in told:
                told.add(finding.cause)
                yield _finding(side, finding)


def _finding(side: int, finding: Finding) -> FindingDifference:
    return FindingDifference(
        side=side, cause=finding.cause, severity=finding.severity, confidence=finding.confidence, summary=finding.summary
    )


def _counters(one: Recording, other: Recording) -> Iterator[LossCounter]:
    """Counters of lost packets that grew during one of the two only."""
    grown: list[dict[tuple[str, str], int]] = []
    for recording in (one, other):
        nodes = changes(recording.before, recording.after)
        grown.append({(node.node, name): growth for node in nodes for name, _, growth in node.counters if tells_of_loss(name)})
    for node, counter in dict.fromkeys((*grown[0], *grown[1])):
        found = grown[0].get((node, counter)), grown[1].get((node, counter))
        if None in found:
            yield LossCounter(node=node, counter=counter, grown=found)


def _nodes(one: Recording, other: Recording) -> Iterator[NodeChanges]:
    for node in changes(one.before, other.before):
        tables = (_without_levels(table) for table in node.tables if table.table in SETTINGS)
        if told := tuple(table for table in tables if table.gone or table.new):
            yield replace(node, tables=told, counters=())


def _without_levels(change: TableChange) -> TableChange:
    """The change without what the kernel itself counts under the name of a setting."""
    gone, new = (tuple(line for line in lines if not line.startswith(_LEVELS)) for lines in (change.gone, change.new))
    return replace(change, gone=gone, new=new)


def _unread(one: Recording, other: Recording) -> Iterator[str]:
    named = tuple({facts.node for facts in recording.before} for recording in (one, other))
    taps = tuple({capture.task.tap.node for capture in recording.captures} for recording in (one, other))
    yield from sorted((taps[0] & taps[1]) - (named[0] & named[1]))
