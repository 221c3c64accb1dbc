"""What went wrong where: the packets that a check has to explain, grouped by path and leg."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.turned import answering
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import Leg


class Kind(StrEnum):
    """What happened to the packets.

    vanished: seen at one witness and not at the next. refused: the server itself said no. silent: the server got the
    requests and no reply of it was seen.
    """

    VANISHED = "vanished"
    REFUSED = "refused"
    SILENT = "silent"


class Place(StrEnum):
    """What a packet passes between two neighbouring hops.

    forward: a node routes or bridges the inner packet. encapsulate: VXLAN device to NIC. wire: NIC to the other node's NIC.
    decapsulate: NIC to VXLAN device. deliver: the last hop to the server behind it.
    """

    FORWARD = "forward"
    ENCAPSULATE = "encapsulate"
    WIRE = "wire"
    DECAPSULATE = "decapsulate"
    DELIVER = "deliver"


# What comes next on a sender where nothing names the next hop.
_PLACE_BEHIND = {
    Role.POD: Place.FORWARD,
    Role.BRIDGE: Place.FORWARD,
    Role.VXLAN: Place.ENCAPSULATE,
    Role.UNDERLAY: Place.WIRE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Two neighbouring hops of a path, and what lies between them; `end` is None where nothing names the next hop."""

    place: Place
    start: Hop
    end: Hop | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trouble:
    """Packets of one path that met the same fate at the same leg.

    rows: of the path's JourneyTable. packets: what they stand for on the wire. answered: those
    of them that an ICMP error or RST answered. sent, arrived: of the same leg, in packets. presumed: one of the leg's captures has
    no closing numbers, so that nothing about it is certain.
    """

    kind: Kind
    traced: TracedPath
    leg: Leg
    rows: I32
    packets: int
    answered: int
    sent: int
    arrived: int
    stretches: tuple[Stretch, ...]
    presumed: bool

    @property
    def flow(self) -> Flow:
        """Whose packets they are."""
        return self.traced.flow

    @property
    def path(self) -> Path:
        """The path that they were on."""
        return self.traced.path

    @property
    def start(self) -> Hop:
        """The last hop that saw the packets."""
        return self.path.hops[self.leg.from_ - 1]

    @property
    def end(self) -> Hop | None:
        """The first hop that should have seen them and did not, None where nothing names it."""
        return None if self.leg.to is None else self.path.hops[self.leg.to - 1]

    def stretch(self, place: Place) -> Stretch | None:
        """The first stretch of that kind on the leg, or None."""
        return next((stretch for stretch in self.stretches if stretch.place is place), None)


def troubles(case: Case) -> Iterator[Trouble]:
    """Everything in `case` that asks for an explanation, path by path, leg by leg."""
    for traced in case.paths:
        if traced.path.hops:
            yield from _of_path(case, traced)


def is_unanswered(case: Case, traced: TracedPath) -> bool:
    """Whether the requests of a path all reached the server's last hop while no reply was seen there.

    Requests of which nothing can be known do not count against it. A blind first hop of the reply says nothing.
    """
    journeys = traced.journeys
    if traced.path.direction is not Direction.REQUEST or not len(journeys):
        return False
    if not np.all(journeys.outcome <= OutcomeCode.UNDETERMINED) or not np.any(journeys.outcome == OutcomeCode.DELIVERED):
        return False
    reply = case.traced(traced.flow.id, Direction.REPLY)
    if reply is None or not reply.path.hops or len(reply.journeys):
        return False
    first = reply.hop_count(1)
    return first is not None and first.witness and not _answered_ever(case, traced)


def _answered_ever(case: Case, traced: TracedPath) -> bool:
    """Whether the whole file of the request's last hop holds any packet of a reply, inside the common window or not."""
    table = case.tables.get(traced.path.hops[-1].tap)
    rows = traced.journeys.row[:, -1]
    return table is not None and bool(np.any(np.isin(table.conversation, answering(table, rows[rows >= 0]))))


def _of_path(case: Case, traced: TracedPath) -> Iterator[Trouble]:
    journeys, last = traced.journeys, len(traced.path.hops)
    bad = _rows(journeys.outcome >= OutcomeCode.REJECTED)
    refused = bad[_refused_by_server(traced, bad)]
    if len(refused):
        yield _trouble(case, traced, Kind.REFUSED, Leg(from_=last, to=None), refused)
    vanished = np.setdiff1d(bad, refused, assume_unique=True).astype(np.int32)
    legs = np.stack([_starts(journeys, vanished), journeys.lost_to[vanished]], axis=1)
    for lost_from, lost_to in np.unique(legs, axis=0).tolist():
        rows = vanished[(legs[:, 0] == lost_from) & (legs[:, 1] == lost_to)]
        yield _trouble(case, traced, Kind.VANISHED, Leg(from_=lost_from, to=lost_to or None), rows)
    if is_unanswered(case, traced):
        rows = _rows(journeys.outcome == OutcomeCode.DELIVERED)
        yield _trouble(case, traced, Kind.SILENT, Leg(from_=last, to=None), rows)


def _refused_by_server(traced: TracedPath, rows: I32) -> I32:
    """Positions in `rows` of rejected packets that came to the server's last hop: nobody on the way refused those."""
    journeys = traced.journeys
    if traced.path.direction is not Direction.REQUEST or traced.flow.server is None:
        return np.zeros(0, dtype=np.int32)
    last = journeys.lost_from[rows] == len(traced.path.hops)
    refused = (journeys.outcome[rows] == OutcomeCode.REJECTED) & last & (journeys.lost_to[rows] == 0)
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


def _trouble(case: Case, traced: TracedPath, kind: Kind, leg: Leg, rows: I32) -> Trouble:
    journeys = traced.journeys
    weight = journeys.weight_packets[rows]
    packets = int(weight.sum())
    tally = next((tally for tally in traced.legs if (tally.from_, tally.to) == (leg.from_, leg.to)), None)
    return Trouble(
        kind=kind,
        traced=traced,
        leg=leg,
        rows=rows,
        packets=packets,
        answered=int(weight[journeys.outcome[rows] == OutcomeCode.REJECTED].sum()),
        sent=packets if tally is None else tally.sent,
        arrived=0 if tally is None else tally.arrived,
        stretches=_stretches(traced.path, leg, kind, seen=int(_seen_last(journeys, rows).min())),
        presumed=_presumed(case, traced.path, leg),
    )


def _stretches(path: Path, leg: Leg, kind: Kind, *, seen: int) -> tuple[Stretch, ...]:
    """The stretches of a leg that lie behind hop `seen`, the last that saw all of the packets (it may be no witness, and yet saw them)."""
    start = path.hops[leg.from_ - 1]
    if kind is not Kind.VANISHED:
        return (Stretch(place=Place.DELIVER, start=start, end=None),)
    hops = path.hops[max(leg.from_, seen) - 1 : leg.to]
    if len(hops) < 2:
        return (Stretch(place=_PLACE_BEHIND[hops[0].role], start=hops[0], end=None),)
    return tuple(Stretch(place=_place(start, end), start=start, end=end) for start, end in pairwise(hops))


def _place(start: Hop, end: Hop) -> Place:
    if start.tap.node != end.tap.node:
        return Place.WIRE
    if (start.role, end.role) == (Role.VXLAN, Role.UNDERLAY):
        return Place.ENCAPSULATE
    if (start.role, end.role) == (Role.UNDERLAY, Role.VXLAN):
        return Place.DECAPSULATE
    return Place.FORWARD


def _presumed(case: Case, path: Path, leg: Leg) -> bool:
    hops = {leg.from_, leg.to or leg.from_}
    taps = {hop.tap for hop in path.hops if hop.hop in hops}
    return any(capture.status is CaptureStatus.PRESUMED for capture in case.recording.captures if capture.task.tap in taps)
