"""The same packet over all hops, as columns."""

from dataclasses import dataclass
from enum import IntEnum

from kubectl_vxtrace.model.packets import I32, I64, U8, PacketTable
from kubectl_vxtrace.model.path import Direction, Flow, Path, Tap
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import ClockBound, HopCount, LegTally, Verdict


class OutcomeCode(IntEnum):
    """Outcome of one packet as stored in a JourneyTable; the report spells them in words."""

    DELIVERED = 0
    UNDETERMINED = 1
    REJECTED = 2
    LOST = 3
    DROPPED = 4


VANISHED = (OutcomeCode.REJECTED, OutcomeCode.LOST, OutcomeCode.DROPPED)
"""Outcomes of packets that did not arrive."""

VERDICTS = {
    OutcomeCode.DELIVERED: Verdict.DELIVERED,
    OutcomeCode.UNDETERMINED: Verdict.UNDETERMINED,
    OutcomeCode.REJECTED: Verdict.REJECTED,
    OutcomeCode.LOST: Verdict.LOST,
    OutcomeCode.DROPPED: Verdict.DROPPED,
}
"""How the report spells each outcome."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JourneyTable:
    """The counted packets of one path, n rows by h expected hops.

    row[n, h]: the frame's row in the hop's PacketTable, -1 where unseen. outcome: OutcomeCode. lost_from, lost_to: hop numbers of the
    leg that lost it, 0 for none (`lost_to` 0 with `lost_from` set is `null`). weight_packets: packets on the wire that it stands for.
    client_port: the client's port or ICMP identifier as at the client. time_ns: first sighting, in its node's clock.
    """

    path: Path
    row: I32
    outcome: U8
    lost_from: I32
    lost_to: I32
    weight_packets: I32
    client_port: I32
    time_ns: I64

    def __len__(self) -> int:
        return len(self.outcome)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TracedPath:
    """One path of a flow, with what became of the packets on it.

    `flow` is the flow as it was seen. `hops` holds expected hops in order, then unexpected sightings.
    """

    flow: Flow
    path: Path
    journeys: JourneyTable
    hops: tuple[HopCount, ...]
    legs: tuple[LegTally, ...]

    def hop_count(self, hop: int) -> HopCount | None:
        """The count of the expected hop of that number."""
        return next((count for count in self.hops if count.expected and count.hop == hop), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRewriting:
    """A connection of a flow (its id) that the client's node sent on with another client port, its address unchanged: no loss.

    NAT takes another port where a connection that it knows has the client's own (RFC 4787, 4.2). client_port: as the client used it, in
    JourneyTable as well; ICMP: the identifier. seen_port: behind the node. in_conntrack: whether a conntrack table says so; else packets
    that are the same but for this.
    """

    flow: int
    client_port: int
    seen_port: int
    in_conntrack: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One trace, matched: what the diagnosis judges. `connections`: how many client ports (ICMP: identifiers) each flow's id had."""

    recording: Recording
    tables: dict[Tap, PacketTable]
    paths: tuple[TracedPath, ...]
    clocks: tuple[ClockBound, ...]
    connections: dict[int, int]
    rewritten_ports: tuple[PortRewriting, ...] = ()

    @property
    def flows(self) -> tuple[Flow, ...]:
        """The flows of which a packet was seen, in order of their paths."""
        return tuple({traced.flow.id: traced.flow for traced in self.paths}.values())

    @property
    def clock_shifts_ns(self) -> dict[str, int]:
        """By how much each node's clock is taken to be ahead of the reference's: the middle of its bounds, 0 where nothing bounds it."""
        bounds = {clock.node: (clock.offset_ns.low, clock.offset_ns.high) for clock in self.clocks}
        return {node: 0 if low is None or high is None else (low + high) // 2 for node, (low, high) in bounds.items()}

    def traced(self, flow: int, direction: Direction) -> TracedPath | None:
        """The path of the flow with that id in one direction, None where it has none."""
        return next((traced for traced in self.paths if traced.flow.id == flow and traced.path.direction is direction), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJourney:
    """A packet to list. `path` is the index into Case.paths and `row` the row in that path's JourneyTable.

    sightings: hop number, its tap and the frame's row in the tap's PacketTable, in hop order.
    """

    flow: int
    direction: Direction
    path: int
    row: int
    outcome: Verdict
    client_port: int
    sightings: tuple[tuple[int, Tap, int], ...]
