"""What went wrong where: the packets that a check has to explain, grouped by path and leg."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.turned import answering
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.recording import CaptureStatus
from kubectl_vxtrace.model.report import HopCount, Leg


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

    index: of the path in the case. rows: rows of the path's JourneyTable. packets: what they stand for on the wire. answered: those
    of them that an ICMP error or RST answered. sent, arrived: of the same leg, in packets. presumed: one of the leg's captures has
    no closing numbers, so that nothing about it is certain.
    """

    kind: Kind
    index: int
    flow: Flow
    path: Path
    leg: Leg
    rows: I32
    packets: int
    answered: int
    sent: int
    arrived: int
    stretches: tuple[Stretch, ...]
    presumed: bool

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
    for index, path in enumerate(case.paths):
        if path.hops:
            yield from _of_path(case, index)


def is_unanswered(case: Case, index: int) -> bool:
    """Whether the requests of path `index` all reached the server's last hop while no reply was seen there.

    Requests of which nothing can be known do not count against it. A blind first hop of the reply says nothing.
    """
    path, journey = case.paths[index], case.journeys[index]
    if path.direction is not Direction.REQUEST or not len(journey):
        return False
    if not np.all(journey.outcome <= OutcomeCode.UNDETERMINED) or not np.any(journey.outcome == OutcomeCode.DELIVERED):
        return False
    reply = _reply_index(case, path.flow)
    if reply is None or len(case.journeys[reply]):
        return False
    first = _hop_count(case, reply, 1)
    return first is not None and first.witness and not _answered_ever(case, index)


def _answered_ever(case: Case, index: int) -> bool:
    """Whether the whole file of the request's last hop holds any packet of a reply, inside the common window or not."""
    table = case.tables.get(case.paths[index].hops[-1].tap)
    rows = case.journeys[index].row[:, -1]
    return table is not None and bool(np.any(np.isin(table.conversation, answering(table, rows[rows >= 0]))))


def _of_path(case: Case, index: int) -> Iterator[Trouble]:
    journey = case.journeys[index]
    bad = _rows(journey.outcome >= OutcomeCode.REJECTED)
    refused = bad[_refused_by_server(case, index, bad)]
    if len(refused):
        yield _trouble(case, index, Kind.REFUSED, Leg(from_=len(case.paths[index].hops), to=None), refused)
    vanished = np.setdiff1d(bad, refused, assume_unique=True).astype(np.int32)
    start = _starts(journey, vanished)
    legs = np.stack([start, journey.lost_to[vanished]], axis=1)
    for lost_from, lost_to in np.unique(legs, axis=0).tolist():
        rows = vanished[(legs[:, 0] == lost_from) & (legs[:, 1] == lost_to)]
        yield _trouble(case, index, Kind.VANISHED, Leg(from_=lost_from, to=lost_to or None), rows)
    if is_unanswered(case, index):
        rows = _rows(journey.outcome == OutcomeCode.DELIVERED)
        yield _trouble(case, index, Kind.SILENT, Leg(from_=len(case.paths[index].hops), to=None), rows)


def _refused_by_server(case: Case, index: int, rows: I32) -> I32:
    """Positions in `rows` of rejected packets that were seen at the server's last hop: nobody on the way refused those."""
    path, journey = case.paths[index], case.journeys[index]
    if path.direction is not Direction.REQUEST or _flow(case, path.flow).server is None:
        return np.zeros(0, dtype=np.int32)
    refused = (journey.outcome[rows] == OutcomeCode.REJECTED) & (journey.row[rows, -1] >= 0) & (journey.lost_to[rows] == 0)
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


def _trouble(case: Case, index: int, kind: Kind, leg: Leg, rows: I32) -> Trouble:
    path, journey = case.paths[index], case.journeys[index]
    packets = int(journey.weight_packets[rows].sum())
    answered = int(journey.weight_packets[rows][journey.outcome[rows] == OutcomeCode.REJECTED].sum())
    tally = next((tally for tally in case.legs[index] if (tally.from_, tally.to) == (leg.from_, leg.to)), None)
    return Trouble(
        kind=kind,
        index=index,
        flow=_flow(case, path.flow),
        path=path,
        leg=leg,
        rows=rows,
        packets=packets,
        answered=answered,
        sent=packets if tally is None else tally.sent,
        arrived=0 if tally is None else tally.arrived,
        stretches=_stretches(path, leg, kind, seen=int(_seen_last(journey, rows).min())),
        presumed=_presumed(case, path, leg),
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


def _flow(case: Case, flow_id: int) -> Flow:
    return next(flow for flow in case.flows if flow.id == flow_id)


def _reply_index(case: Case, flow_id: int) -> int | None:
    return next(
        (index for index, path in enumerate(case.paths) if path.flow == flow_id and path.direction is Direction.REPLY and path.hops),
        None,
    )


def _hop_count(case: Case, index: int, hop: int) -> HopCount | None:
    return next((count for count in case.hops[index] if count.expected and count.hop == hop), None)
