"""Cases built by hand: a kotsadm pod on ada-ec-1 asks a DNS server on ada-ec-2, six hops each way."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kubectl_vxtrace.model.cluster import Cleanup, ClusterSnapshot
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import Notice, Notices
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Overlay, Path, Role, ServiceRef, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Gap, Recording
from kubectl_vxtrace.model.report import HopCount, LegTally
from tests.diagnosis.frames import PROTOCOLS, Frame, table
from tests.diagnosis.nodes import facts, vtep
from tests.diagnosis.places import (
    CLIENT,
    MAC_A,
    MAC_B,
    NIC_A,
    NIC_B,
    ROLES,
    SECOND_NS,
    SERVER,
    SERVER_END,
    SERVICE,
    START_NS,
    TAPS,
    A,
    B,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """`count` packets of one direction that `reach` the hop of that number and no later one.

    leg: where they were lost, to None for `null`; None: delivered, or `outcome`. segment: TCP flags, seq, ack, payload bytes.
    wire_bytes: as on the NIC, the world's if None. outer_port: UDP source port of the encapsulation. outer_id: IP ID of the first one's
    encapsulation, counting on; 0: none have one. fragment: IPv4 flags and offset of the inner packet.
    """

    count: int = 1
    reach: int = 6
    leg: tuple[int, int | None] | None = None
    outcome: OutcomeCode = OutcomeCode.DELIVERED
    segment: tuple[int, int, int, int] = (0, 0, 0, 40)
    port: int | None = None
    wire_bytes: int | None = None
    outer_port: int = 50000
    outer_id: int = 0
    fragment: int = 0


def with_paths(case: Case, **changes: Sequence[Any]) -> Case:
    """`case` with parts of its paths replaced: for each path one value, in order."""
    paths = list(case.paths)
    for name, values in changes.items():
        paths = [replace(traced, **{name: value}) for traced, value in zip(paths, values, strict=True)]
    return replace(case, paths=tuple(paths))


def with_flow(case: Case, flow: Flow) -> Case:
    """`case` with another record of its only flow."""
    return with_paths(case, flow=[flow] * len(case.paths))


def lost_behind(journeys: JourneyTable, *, hop: int) -> JourneyTable:
    """The packets of a path, all of which are lost behind one of its hops, for nothing names the next one."""
    count = len(journeys)
    nowhere = np.zeros(count, dtype=np.int32)
    outcome = np.full(count, OutcomeCode.LOST, dtype=np.uint8)
    return replace(journeys, outcome=outcome, lost_from=nowhere + np.int32(hop), lost_to=nowhere)


def noticed(case: Case, notice: Notice, codes: Sequence[int | None], direction: Direction = Direction.REPLY) -> Case:
    """`case`, in which the first packets of a direction have such a notice with these codes, or none, at the hop that they end at."""
    traced = next(traced for traced in case.paths if traced.path.direction is direction)
    tap = traced.path.hops[-1].tap
    rows = [(int(row), code) for row, code in zip(traced.journeys.row[:, -1], codes, strict=False) if code is not None]
    notices = Notices(
        row=np.array([row for row, _ in rows], dtype=np.int32),
        notice=np.full(len(rows), notice, dtype=np.uint8),
        code=np.array([code for _, code in rows], dtype=np.uint16),
    )
    return replace(case, tables={**case.tables, tap: replace(case.tables[tap], notices=notices)})


def of_flow(traced: TracedPath, flow: Flow) -> TracedPath:
    """The same path and packets as another flow's."""
    path = replace(traced.path, flow=flow.id)
    return replace(traced, flow=flow, path=path, journeys=replace(traced.journeys, path=path))


def sent_to(case: Case, outer_destination: str) -> tuple[TracedPath, ...]:
    """The paths of `case` on which the sender's FDB names that underlay address."""
    return tuple(replace(traced, path=replace(traced.path, outer_destination=outer_destination)) for traced in case.paths)


def lost(count: int, from_: int, to: int | None, *, outcome: OutcomeCode = OutcomeCode.LOST) -> Fate:
    return Fate(count=count, reach=from_, leg=(from_, to), outcome=outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a case is made of; tests replace the parts they are about. `extra`: further frames by hop number of the request.

    ethernet: MAC addresses, source and destination, of the frames of a direction on the NICs.
    """

    requests: tuple[Fate, ...] = (Fate(count=24),)
    replies: tuple[Fate, ...] | None = (Fate(count=24),)
    protocol: str = "UDP"
    vni: int = 4096
    port: int = 4789
    outer_destination: str = NIC_B
    wire_bytes: int = 132
    hops: int = 6
    server: Endpoint | None = SERVER_END
    extra: Mapping[int, tuple[Frame, ...]] = field(default_factory=dict)
    before: tuple[NodeFacts, ...] = ()
    after: tuple[NodeFacts, ...] = ()
    status: CaptureStatus = CaptureStatus.COMPLETE
    blind: Mapping[int, str] = field(default_factory=dict)
    zero: Mapping[int, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    snapshot: ClusterSnapshot | None = None
    cleanup: Cleanup | None = None
    interrupted: bool = False
    roles: tuple[Role, ...] = ROLES
    ethernet: Mapping[Direction, tuple[str, str]] = field(default_factory=dict)

    def flow(self) -> Flow:
        return Flow(
            id=1,
            protocol=self.protocol,
            client=Endpoint(address=CLIENT, pod="kotsadm/kotsadm-1", node=A),
            service=ServiceRef(address=SERVICE, port=53, name="kube-system/kube-dns"),
            server=self.server,
        )

    def path(self, direction: Direction) -> Path:
        order = range(self.hops) if direction is Direction.REQUEST else range(self.hops - 1, -1, -1)
        hops = tuple(Hop(hop=number, role=self.roles[place], tap=TAPS[place]) for number, place in enumerate(order, 1))
        return Path(flow=1, direction=direction, hops=hops)

    def frame(self, direction: Direction, place: int, port: int, fate: Fate) -> Frame:
        """A packet of the flow as it looks at the tap `place`, from 0."""
        request = direction is Direction.REQUEST
        server = SERVICE if place == 0 else SERVER
        outer = None
        if self.roles[place] is Role.UNDERLAY:
            outer = (NIC_A, self.outer_destination) if request else (NIC_B, NIC_A)
        flags, seq, ack, payload = fate.segment
        ends = (CLIENT, server, port, 53) if request else (server, CLIENT, 53, port)
        return Frame(
            source=ends[0],
            destination=ends[1],
            protocol=PROTOCOLS[self.protocol],
            source_port=ends[2],
            destination_port=ends[3],
            flags=flags,
            seq=seq,
            ack=ack,
            payload_bytes=payload,
            wire_bytes=fate.wire_bytes or self.wire_bytes,
            tunnel=None if outer is None else (*outer, fate.outer_port, self.port, self.vni),
            macs=(MAC_A, MAC_B) if request else (MAC_B, MAC_A),
            ethernet=None if outer is None else self.ethernet.get(direction),
            outer_id=0 if outer is None else fate.outer_id,
            fragment=fate.fragment,
        )

    def seen(self) -> dict[int, tuple[Frame, ...]]:
        """What each tap saw, by the hop's number on the request's way: those of `extra` first."""
        return {number: tuple(frames) for number, frames in enumerate(self._journeys()[1], 1)}

    def _journeys(self) -> tuple[tuple[JourneyTable, ...], list[list[Frame]]]:
        frames: list[list[Frame]] = [list(self.extra.get(number, ())) for number in range(1, len(TAPS) + 1)]
        requests = self._journey(self.path(Direction.REQUEST), self.requests, frames, itertools.count(40_000))
        if self.replies is None:
            return (requests,), frames
        # What is answered arrived: replies go to the ports of those, once there are none left to ports that asked before.
        arrived = requests.client_port[requests.outcome == OutcomeCode.DELIVERED].tolist()
        ports = itertools.chain(arrived, itertools.count(40_000 + len(requests)))
        return (requests, self._journey(self.path(Direction.REPLY), self.replies, frames, ports)), frames

    def case(self) -> Case:
        journeys, frames = self._journeys()
        paths = tuple(journey.path for journey in journeys)
        return Case(
            recording=self._recording(paths),
            tables={tap: table(tap, seen) for tap, seen in zip(TAPS, frames, strict=True)},
            paths=tuple(self._traced(journey) for journey in journeys),
            clocks=(),
            connections={1: sum(fate.count for fate in self.requests)},
        )

    def _traced(self, journey: JourneyTable) -> TracedPath:
        hops, legs = self._hops(journey.path, journey), self._legs(journey)
        return TracedPath(flow=self.flow(), path=journey.path, journeys=journey, hops=hops, legs=legs)

    def _journey(self, path: Path, fates: Sequence[Fate], frames: list[list[Frame]], free_ports: Iterator[int]) -> JourneyTable:
        rows, outcome, legs, ports = [], [], [], []
        for fate in fates:
            for place_in_fate in range(fate.count):
                free = next(free_ports)
                port = fate.port or free
                row = [-1] * len(path.hops)
                for index, hop in enumerate(path.hops[: fate.reach]):
                    place = TAPS.index(hop.tap)
                    row[index] = len(frames[place])
                    numbered = replace(fate, outer_id=fate.outer_id and fate.outer_id + place_in_fate)
                    frames[place].append(self.frame(path.direction, place, port, numbered))
                rows.append(row)
                outcome.append(fate.outcome)
                legs.append((0, 0) if fate.leg is None else (fate.leg[0], fate.leg[1] or 0))
                ports.append(port)
        return JourneyTable(
            path=path,
            row=np.array(rows, dtype=np.int32).reshape(len(rows), len(path.hops)),
            outcome=np.array(outcome, dtype=np.uint8),
            lost_from=np.array([leg[0] for leg in legs], dtype=np.int32),
            lost_to=np.array([leg[1] for leg in legs], dtype=np.int32),
            weight_packets=np.ones(len(rows), dtype=np.int32),
            client_port=np.array(ports, dtype=np.int32),
            time_ns=START_NS + np.arange(len(rows), dtype=np.int64) * SECOND_NS // 5,
        )

    def _hops(self, path: Path, journey: JourneyTable) -> tuple[HopCount, ...]:
        found = []
        for index, hop in enumerate(path.hops):
            place = TAPS.index(hop.tap) + 1
            seen = int((journey.row[:, index] >= 0).sum())
            found.append(
                HopCount(
                    hop=hop.hop,
                    role=hop.role,
                    node=hop.tap.node,
                    interface=hop.tap.interface,
                    capture=place,
                    packets=seen,
                    frames=seen,
                    control=31,
                    witness=place not in self.blind,
                    reason=self.blind.get(place) or self.zero.get(place),
                )
            )
        return tuple(found)

    def _legs(self, journey: JourneyTable) -> tuple[LegTally, ...]:
        found = []
        pairs = {(int(start), int(end) or None) for start, end in zip(journey.lost_from, journey.lost_to, strict=True) if start}
        pairs |= {(number, number + 1) for number in range(1, self.hops)}
        for start, end in sorted(pairs, key=lambda pair: (pair[0], pair[1] or 99)):
            sent = journey.row[:, start - 1] >= 0
            gone = sent & (journey.lost_from == start) & (journey.lost_to == (end or 0))
            arrived = int((sent & (journey.row[:, end - 1] >= 0)).sum()) if end is not None else int((sent & ~gone).sum())
            found.append(LegTally(from_=start, to=end, sent=int(sent.sum()), arrived=arrived, lost=int(gone.sum())))
        return tuple(found)

    def _recording(self, paths: tuple[Path, ...]) -> Recording:
        return Recording(
            session="7f3a",
            version="0.1.0",
            started_ns=START_NS,
            duration_s=5.0,
            overlay=Overlay(backend="calico-vxlan", vteps=(vtep(A), vtep(B))),
            flows=(self.flow(),),
            paths=paths,
            before=self.before,
            after=self.after,
            captures=tuple(self._capture(number, tap) for number, tap in enumerate(TAPS, 1)),
            snapshot=self.snapshot,
            cleanup=self.cleanup,
            interrupted=self.interrupted,
            gaps=self.gaps,
        )

    def _capture(self, number: int, tap: Tap) -> CaptureResult:
        status = CaptureStatus.PARTIAL if number in self.blind else CaptureStatus.ZERO if number in self.zero else self.status
        timed = status is not CaptureStatus.PRESUMED
        return CaptureResult(
            task=CaptureTask(id=number, tap=tap, role=self.roles[number - 1], file=f"{number}.pcap", argv=("tcpdump", "-i", tap.interface)),
            status=status,
            reason=self.blind.get(number) or self.zero.get(number),
            started_ns=START_NS if timed else None,
            stopped_ns=START_NS + 5 * SECOND_NS if timed else None,
            dropped_by_kernel=0 if timed else None,
            file=f"{number}.pcap",
        )


HEALTHY = World(before=(facts(A), facts(B)), after=(facts(A, later=True), facts(B, later=True)))


"""24 requests, 24 replies, two looks at both nodes in which nothing grew."""
