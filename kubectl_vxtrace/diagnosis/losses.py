"""The losses of a case: the packets that a check has to explain, grouped by path and leg, and what lies on that leg."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, answering
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Leg, LossPlace


class LossKind(StrEnum):
    """What happened to the packets.

    vanished: seen at one witness and not at the next. refused: the server itself said no. silent: the server got the
    requests and no reply of it was seen.
    """

    VANISHED = "vanished"
    REFUSED = "refused"
    SILENT = "silent"


class SegmentKind(StrEnum):
    """What a packet passes between two neighbouring hops.

    forward: a node routes or bridges the inner packet. encapsulate: VXLAN device to NIC. wire: NIC to the other node's NIC.
    decapsulate: NIC to VXLAN device. deliver: the last hop to the server behind it. resolve: nothing yet, the client asks for
    the link-layer address of its next hop.
    """

    FORWARD = "forward"
    ENCAPSULATE = "encapsulate"
    WIRE = "wire"
    DECAPSULATE = "decapsulate"
    DELIVER = "deliver"
    RESOLVE = "resolve"


# What comes next on a sender where nothing names the next hop.
_KIND_AFTER = {
    Role.POD: SegmentKind.FORWARD,
    Role.BRIDGE: SegmentKind.FORWARD,
    Role.VXLAN: SegmentKind.ENCAPSULATE,
    Role.UNDERLAY: SegmentKind.WIRE,
}
_BRIDGED = frozenset({Role.POD, Role.BRIDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Two neighbouring hops of a path, and what lies between them."""

    kind: SegmentKind
    start: Hop
    end: Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSegment:
    """A hop after which nothing names the next one, and what a packet passes there; the server is such a place as well."""

    kind: SegmentKind
    start: Hop

    @property
    def end(self) -> None:
        """There is none."""


AnySegment = Segment | OpenSegment


def is_routed(segment: AnySegment) -> bool:
    """Whether the node routes the inner packet on this segment; between a pod's interface and its bridge it is only bridged."""
    if segment.kind is not SegmentKind.FORWARD:
        return False
    return segment.end is None or {segment.start.role, segment.end.role} != _BRIDGED


def leads_to_pod(segment: AnySegment) -> bool:
    """Whether a routed segment ends at a pod of the same node, or at the bridge before it."""
    return segment.end is not None and segment.end.role in _BRIDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """Where a node sends on requests to an address of its own.

    targets: addresses with ports, None where the port stays; empty where they are not known. text: what says so. service: whose node port
    was asked. devices: the interfaces by which the node sends there, none where that is not known.
    """

    targets: tuple[tuple[str, int | None], ...]
    text: str
    service: str | None = None
    devices: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The targets' addresses."""
        return tuple(dict.fromkeys(address for address, _ in self.targets))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loss:
    """Packets of one path that met the same fate at the same leg.

    rows: of the path's JourneyTable. packets: what they stand for on the wire. answered: those
    of them that an ICMP error or RST answered. sent, arrived: of the same leg, in packets. presumed: one of the leg's captures has
    no closing numbers, so that nothing about it is certain. onward: where the node at which they end sends them on, None where it is
    the server, or nothing says that it does.
    """

    kind: LossKind
    traced: TracedPath
    leg: Leg
    rows: I32
    packets: int
    answered: int
    sent: int
    arrived: int
    segments: tuple[AnySegment, ...]
    presumed: bool
    onward: Onward | None = None

    @property
    def flow(self) -> Flow:
        """Whose packets they are."""
        return self.traced.flow

    @property
    def path(self) -> Path:
        """The path that they were on."""
        return self.traced.path

    @property
    def place(self) -> LossPlace:
        """Flow, direction and leg, as the findings about this loss name them."""
        return self.flow.id, self.path.direction, self.leg

    @property
    def start(self) -> Hop:
        """The last hop that saw the packets."""
        return self.path.hops[self.leg.from_ - 1]

    @property
    def end(self) -> Hop | None:
        """The first hop that should have seen them and did not, None where nothing names it."""
        return None if self.leg.to is None else self.path.hops[self.leg.to - 1]

    @property
    def died_in_node(self) -> bool:
        """Whether they vanished behind the last tap, in the node on which they were to end."""
        return self.kind is LossKind.VANISHED and self.segments[-1].kind is SegmentKind.DELIVER

    @property
    def receivers(self) -> tuple[str, ...]:
        """The addresses to which the packets go after translation: one, or those of all candidates where nothing named the backend."""
        return (self.flow.client.address,) if self.path.direction is Direction.REPLY else self._servers

    @property
    def senders(self) -> tuple[str, ...]:
        """The addresses from which the packets come before translation."""
        return (self.flow.client.address,) if self.path.direction is Direction.REQUEST else self._servers

    @property
    def _servers(self) -> tuple[str, ...]:
        ends = (self.flow.server,) if self.flow.server is not None else self.flow.candidates
        return tuple(dict.fromkeys(end.address for end in ends))

    def home_of(self, address: str) -> str | None:
        """The node on which the API has the end of the flow with that address, None where it is no end or the node is not known."""
        server = (self.flow.server,) if self.flow.server is not None else ()
        ends = (self.flow.client, *self.flow.candidates, *server)
        return next((end.node for end in ends if end.address == address), None)

    def segment(self, *kinds: SegmentKind) -> AnySegment | None:
        """The first segment on the leg that is of one of those kinds, or None."""
        return next((segment for segment in self.segments if segment.kind in kinds), None)


def losses_of(case: Case) -> tuple[Loss, ...]:
    """Everything in `case` that asks for an explanation, path by path, leg by leg."""
    return tuple(loss for traced in case.paths if traced.path.hops for loss in _of_path(case, traced))


def is_unanswered(case: Case, traced: TracedPath) -> bool:
    """Whether the requests of a path all reached the server's last hop while no reply was seen there.

    Requests of which nothing can be known do not count against it. A blind first hop of the reply says nothing, nor does a path that ends
    before the server's node.
    """
    journeys = traced.journeys
    if traced.path.direction is not Direction.REQUEST or not len(journeys) or not traced.path.ends_at_receiver(traced.flow):
        return False
    if not np.all(journeys.outcome <= OutcomeCode.UNDETERMINED) or not np.any(journeys.outcome == OutcomeCode.DELIVERED):
        return False
    reply = case.traced(traced.flow.id, Direction.REPLY)
    if reply is None or not reply.path.hops or len(reply.journeys):
        return False
    first = reply.hop_count(1)
    return first is not None and first.witness and not _answered_ever(case, traced)


def delivered_into_node(case: Case, traced: TracedPath) -> Loss | None:
    """The datagrams of a reply's path that came to the last tap of a client in its node's network, as what they are if they died behind
    it; None for other paths, and where none came."""
    return _delivered(case, traced) if traced.path.ends_in_node(traced.flow) else None


def delivered_to_pod(case: Case, traced: TracedPath) -> Loss | None:
    """The same of a client's pod, whose interface is the last tap."""
    path = traced.path
    ends_there = bool(path.hops) and path.hops[-1].role is Role.POD and path.ends_at_receiver(traced.flow)
    return _delivered(case, traced) if ends_there and not path.ends_in_node(traced.flow) else None


def _delivered(case: Case, traced: TracedPath) -> Loss | None:
    path, journeys = traced.path, traced.journeys
    if path.direction is not Direction.REPLY or traced.flow.protocol == "TCP" or not len(journeys):
        return None
    rows = _rows((journeys.outcome == OutcomeCode.DELIVERED) & (journeys.row[:, -1] >= 0))
    return _loss(case, traced, LossKind.VANISHED, Leg(from_=len(path.hops), to=None), rows) if len(rows) else None


def _answered_ever(case: Case, traced: TracedPath) -> bool:
    """Whether the whole file of the request's last hop holds any packet of a reply, inside the common window or not."""
    table = case.tables.get(traced.path.hops[-1].tap)
    rows = traced.journeys.row[:, -1]
    return table is not None and bool(np.any(np.isin(table.conversation, answering(table, rows[rows >= 0]))))


def _of_path(case: Case, traced: TracedPath) -> Iterator[Loss]:
    journeys, last = traced.journeys, len(traced.path.hops)
    bad = _rows(journeys.outcome >= OutcomeCode.REJECTED)
    refused = bad[_refused_by_server(traced, bad)]
    if len(refused):
        yield _loss(case, traced, LossKind.REFUSED, Leg(from_=last, to=None), refused)
    vanished = np.setdiff1d(bad, refused, assume_unique=True).astype(np.int32)
    legs = np.stack([_starts(journeys, vanished), journeys.lost_to[vanished]], axis=1)
    for lost_from, lost_to in np.unique(legs, axis=0).tolist():
        rows = vanished[(legs[:, 0] == lost_from) & (legs[:, 1] == lost_to)]
        yield _loss(case, traced, LossKind.VANISHED, Leg(from_=lost_from, to=lost_to or None), rows)
    if is_unanswered(case, traced):
        rows = _rows(journeys.outcome == OutcomeCode.DELIVERED)
        yield _loss(case, traced, LossKind.SILENT, Leg(from_=last, to=None), rows)


def _refused_by_server(traced: TracedPath, rows: I32) -> I32:
    """Positions in `rows` of rejected packets that came to the server's last hop: nothing on the way refused those."""
    journeys = traced.journeys
    if traced.path.direction is not Direction.REQUEST or traced.flow.server is None:
        return np.zeros(0, dtype=np.int32)
    came = (journeys.lost_from[rows] == len(traced.path.hops)) | (journeys.row[rows, -1] >= 0)
    refused = (journeys.outcome[rows] == OutcomeCode.REJECTED) & came & (journeys.lost_to[rows] == 0)
    return _rows(refused)


def _rows(mask: NDArray[np.bool_]) -> I32:
    return np.flatnonzero(mask).astype(np.int32)


def _starts(journey: JourneyTable, rows: I32) -> I32:
    """The hop at which each row's leg begins: `lost_from`; where that is not set, the last hop that saw the packet."""
    starts: I32 = np.where(journey.lost_from[rows] > 0, journey.lost_from[rows], _seen_last(journey, rows)).astype(np.int32)
    return starts


def _seen_last(journey: JourneyTable, rows: I32) -> I32:
    """For each row the number of the last hop that saw the packet, a witness or not."""
    hops = journey.row.shape[1]
    last: I32 = (hops - np.argmax(journey.row[rows][:, ::-1] >= 0, axis=1)).astype(np.int32)
    return last


def _loss(case: Case, traced: TracedPath, kind: LossKind, leg: Leg, rows: I32) -> Loss:
    journeys = traced.journeys
    weight = journeys.weight_packets[rows]
    packets = int(weight.sum())
    tally = next((tally for tally in traced.legs if (tally.from_, tally.to) == (leg.from_, leg.to)), None)
    return Loss(
        kind=kind,
        traced=traced,
        leg=leg,
        rows=rows,
        packets=packets,
        answered=int(weight[journeys.outcome[rows] == OutcomeCode.REJECTED].sum()),
        sent=packets if tally is None else tally.sent,
        arrived=0 if tally is None else tally.arrived,
        segments=_segments(traced, leg, kind, int(_seen_last(journeys, rows).min())),
        presumed=_presumed(case, traced.path, leg),
    )


def _segments(traced: TracedPath, leg: Leg, kind: LossKind, seen: int) -> tuple[AnySegment, ...]:
    """The segments of a leg that lie after hop `seen`, the last that saw all of the packets (it may be no witness, and yet saw them)."""
    path, flow = traced.path, traced.flow
    if flow.asks_next_hop:
        return (OpenSegment(kind=SegmentKind.RESOLVE, start=path.hops[0]),)
    if kind is not LossKind.VANISHED:
        return (OpenSegment(kind=SegmentKind.DELIVER, start=path.hops[leg.from_ - 1]),)
    hops = path.hops[max(leg.from_, seen) - 1 : leg.to]
    if len(hops) < 2:
        is_last = hops[0] is path.hops[-1] and (path.direction is Direction.REPLY or path.ends_at_receiver(flow))
        return (OpenSegment(kind=SegmentKind.DELIVER if is_last else _KIND_AFTER[hops[0].role], start=hops[0]),)
    return tuple(Segment(kind=_kind(start, end), start=start, end=end) for start, end in pairwise(hops))


def _kind(start: Hop, end: Hop) -> SegmentKind:
    if start.tap.node != end.tap.node:
        return SegmentKind.WIRE
    if (start.role, end.role) == (Role.VXLAN, Role.UNDERLAY):
        return SegmentKind.ENCAPSULATE
    if (start.role, end.role) == (Role.UNDERLAY, Role.VXLAN):
        return SegmentKind.DECAPSULATE
    return SegmentKind.FORWARD


def _presumed(case: Case, path: Path, leg: Leg) -> bool:
    hops = {leg.from_, leg.to or leg.from_}
    taps = {hop.tap for hop in path.hops if hop.hop in hops}
    return any(capture.status is CaptureStatus.PRESUMED for capture in case.recording.captures if capture.task.tap in taps)
