"""Packets as lines (-o packets): one packet, one line, one `name=value` beside the other, for grep, awk and less."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import rfc3339
from kubectl_vxtrace.model.report import FlowReport, TraceReport, Verdict
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report import words

_Leg = tuple[int, str, int]
"""Flow, direction, and the hop that saw a packet last."""

_SECOND_NS = 1_000_000_000


class SeenPacket(NamedTuple):
    """A packet that goes on a line: there may be a million of them. hops, frames: which saw it, and its frame in the capture of each."""

    flow: int
    direction: Direction
    client_port: int | None
    outcome: Verdict
    summary: str
    time_ns: int | None
    hops: Sequence[int]
    frames: Sequence[int]


def lines(report: TraceReport, packets: Iterable[SeenPacket]) -> Iterator[str]:
    """A line for each of `packets`, each with its newline; nothing else, so that they can be counted.

    `TIME outcome=lost flow=1 dir=request proto=UDP client=ADDRESS:PORT server=ADDRESS:PORT hops=6 seen=1,2,3 frames=7,9,4 ... text=...`.
    TIME is the first sighting's (UTC, by that node's clock), `hops` how many the path has, `seen` the hops that saw it, `frames` its
    frame in the capture of each. One that did not arrive has `last=NODE/INTERFACE` and `leg=3>4`, and a cause where one is named. `text`
    is last, as it may have blanks.
    """
    flows, causes = {flow.id: flow for flow in report.flows}, _causes(report)
    ways: dict[tuple[int, Direction], _Way] = {}
    for packet in packets:
        key = packet.flow, packet.direction
        if (way := ways.get(key)) is None:
            way = ways[key] = _way(flows[packet.flow], packet.direction, causes)
        yield _line(packet, way)


@dataclass(slots=True)
class _Way:
    """What the lines of one flow's direction have in common. before, between: what stands around the client. ended: by the hop that saw a
    packet last, what is said of one that did not arrive. clients: by port, as they are written."""

    flow: FlowReport
    before: str
    between: str
    ended: Mapping[int, str]
    clients: dict[int | None, str] = field(default_factory=dict)

    def client(self, port: int | None) -> str:
        """The client with a port of its."""
        if (found := self.clients.get(port)) is None:
            end = self.flow.client
            found = self.clients[port] = _word(words.address_port(end.address, port or end.port))
        return found


def _way(flow: FlowReport, side: Direction, causes: Mapping[_Leg, str]) -> _Way:
    direction = words.direction_of(flow, side)
    hops = words.expected_hops(direction) if direction is not None else ()
    server = words.address_port(flow.server.address, flow.server.port) if flow.server is not None else words.UNKNOWN
    legs = {leg.from_: leg for leg in reversed(direction.legs)} if direction is not None else {}
    ended = {}
    for hop in reversed(hops):
        leg = legs.get(hop.hop)
        cause = causes.get((flow.id, side.value, hop.hop))
        place = _word(f"{hop.node}/{hop.interface or words.UNKNOWN}")
        to = f"{hop.hop}>{leg.to or words.UNKNOWN}" if leg is not None else "-"
        ended[hop.hop] = f" last={place} leg={to}" + (f" cause={_word(cause)}" if cause else "")
    return _Way(
        flow=flow,
        before=f"flow={flow.id} dir={side.value} proto={_word(flow.protocol)} client=",
        between=f" server={_word(server)} hops={len(hops)} seen=",
        ended=ended,
    )


def _line(packet: SeenPacket, way: _Way) -> str:
    time = _time(packet.time_ns) if packet.time_ns is not None else "-"
    seen, frames = ",".join(map(str, packet.hops)) or "-", ",".join(map(str, packet.frames)) or "-"
    ended = ""
    if packet.outcome is not Verdict.DELIVERED and packet.hops:
        ended = way.ended.get(max(packet.hops), f" last={words.UNKNOWN} leg=-")
    return (
        f"{time} outcome={packet.outcome.value} {way.before}{way.client(packet.client_port)}{way.between}{seen} frames={frames}{ended}"
        f" text={clean(packet.summary, keep_newlines=False)}\n"
    )


def _time(time_ns: int) -> str:
    second, nanoseconds = divmod(time_ns, _SECOND_NS)
    return f"{_second(second)}.{nanoseconds:09d}Z"


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    """RFC 3339 up to the second: many packets have the same."""
    return rfc3339(second * _SECOND_NS).partition(".")[0]


def _word(text: str) -> str:
    """`text` as one word."""
    return clean(text, keep_newlines=False).replace(" ", "_")


def _causes(report: TraceReport) -> dict[_Leg, str]:
    """The cause of each leg by where packets were seen last: the first finding about it, which is the one that counts."""
    causes: dict[_Leg, str] = {}
    for finding in report.findings:
        if finding.flow is not None and finding.direction is not None and finding.leg is not None:
            causes.setdefault((finding.flow, finding.direction.value, finding.leg.from_), finding.cause)
    return causes
