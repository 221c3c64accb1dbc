"""Whether what the plugin says of a world can be true: every difference in words."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kubectl_vxtrace.model.journeys import JourneyTable, OutcomeCode
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.packets.digest import LEAST_DIGEST_BYTES
from tests.journeys.worlds import Run, legs_between, tap_of, window, witness
from tests.wire.dress import header_bytes
from tests.wire.emit import Fate
from tests.wire.places import Stop
from tests.wire.world import Capture, Flow, Packet, World

VANISHED = (OutcomeCode.LOST, OutcomeCode.REJECTED, OutcomeCode.DROPPED)
Leg = tuple[int, int]
FULL_SEGMENT_BYTES = 1300


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What may be said of one packet. counted: whether it must be counted (None: it may). leg: where it may be called lost.

    lost, delivered, undetermined: whether that may be said.
    """

    counted: bool | None
    leg: Leg | None = None
    lost: bool = False
    delivered: bool = False
    undetermined: bool = False


@dataclass(slots=True)
class Bounds:
    """How many packets of one direction may be said to have vanished per leg, to have arrived, to be unknown: least and most.

    anywhere: how many may be said to have vanished on whatever leg.
    """

    anywhere: int = 0
    lost: dict[Leg, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    delivered: list[int] = field(default_factory=lambda: [0, 0])
    undetermined: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, may: Verdicts) -> None:
        """One more packet."""
        if may.counted is False:
            return
        choices = may.lost + may.delivered + may.undetermined
        least = int(may.counted is True and choices == 1)
        self.anywhere += may.lost and not may.leg
        if may.lost and may.leg:
            self.lost[may.leg][0] += least
            self.lost[may.leg][1] += 1
        for allowed, bounds in ((may.delivered, self.delivered), (may.undetermined, self.undetermined)):
            bounds[0] += least if allowed else 0
            bounds[1] += allowed


def contradictions(run: Run) -> list[str]:
    """Everything that the plugin says of the world and that is not so; empty if all is well."""
    found = list(_legs_add_up(run))
    groups: dict[tuple[Hashable, bool], list[int]] = defaultdict(list)
    for number, fate in enumerate(run.emitted.fates):
        groups[_group(run.emitted.world.flows[fate.packet.flow]), fate.packet.reply].append(number)
    for (_, reply), numbers in groups.items():
        fates = [run.emitted.fates[number] for number in numbers]
        if any(doubtful(run.emitted.world, fate.stops) or lonely_copy(run, fate) or owner_unknown(run, fate) for fate in fates):
            continue
        group = _group(run.emitted.world.flows[fates[0].packet.flow])
        flows = {number for number, flow in enumerate(run.emitted.world.flows) if _group(flow) == group}
        mine = list(_tables(run, flows, Direction.REPLY if reply else Direction.REQUEST))
        found += _counts(run, numbers, mine)
        for table in mine:
            found += _sound(run, table)
    return found


def _group(flow: Flow) -> Hashable:
    """Flows whose packets may be counted together where nothing names the backend."""
    if flow.protocol == "ICMP":
        return (flow.protocol, flow.server)
    return (flow.protocol, flow.service_port) if flow.service_port is not None else (flow.protocol, flow.server, flow.server_port)


def _tables(run: Run, flows: set[int], direction: Direction) -> Iterator[JourneyTable]:
    """The journeys of some of the world's flows, and of ones of an unknown backend that may be theirs."""
    world, case = run.emitted.world, run.case
    groups = {_group(world.flows[number]) for number in flows}
    for table in (traced.journeys for traced in case.paths):
        flow = next(one for one in case.flows if one.id == table.path.flow)
        named = table.path.flow - 1 in flows
        unknown_backend = flow.server is None and any(
            _group(one) in groups and one.protocol == flow.protocol and one.service_port == (flow.service.port if flow.service else None)
            for one in world.flows
        )
        if table.path.direction is direction and (named or unknown_backend):
            yield table


def _counts(run: Run, numbers: Sequence[int], journeys: Sequence[JourneyTable]) -> Iterator[str]:
    """The counts per leg and outcome are within what may be said."""
    bounds = Bounds()
    for number in numbers:
        bounds.add(verdicts(run, run.emitted.fates[number]))
    lost: Counter[Leg] = Counter()
    arrived = unknown = 0
    for table in journeys:
        for outcome, start, end, weight in zip(
            table.outcome.tolist(), table.lost_from.tolist(), table.lost_to.tolist(), table.weight_packets.tolist(), strict=True
        ):
            lost[start, end] += weight if outcome in VANISHED else 0
            arrived += weight if outcome == OutcomeCode.DELIVERED else 0
            unknown += weight if outcome == OutcomeCode.UNDETERMINED else 0
    fates = [run.emitted.fates[number] for number in numbers]
    if any(uncountable(run, fate.packet) for fate in fates):
        yield from (
            f"lost at {leg}, where nothing vanished" for leg in lost if lost[leg] and leg not in bounds.lost and not bounds.anywhere
        )
        return
    direction = "reply" if run.emitted.fates[numbers[0]].packet.reply else "request"
    for leg in {*lost, *bounds.lost} if lost.total() or bounds.lost else ():
        least, most = bounds.lost[leg]
        if not least <= lost[leg] <= most + bounds.anywhere:
            yield f"{direction}: {lost[leg]} lost at {leg}, true is {least} to {most}"
    if lost.total() > bounds.anywhere + sum(most for _, most in bounds.lost.values()):
        yield f"{direction}: {lost.total()} lost, more than vanished"
    for word, value, (least, most) in (("delivered", arrived, bounds.delivered), ("undetermined", unknown, bounds.undetermined)):
        if not least <= value <= most:
            yield f"{direction}: {value} {word}, true is {least} to {most}"


def verdicts(run: Run, fate: Fate) -> Verdicts:
    """What may be said of a packet, by the contract."""
    world, limits = run.emitted.world, window(run.emitted)
    if not fate.shown:
        return Verdicts(counted=False)
    at = fate.shown[min(fate.shown)]
    surely = limits.surely_start_ns <= at <= limits.surely_end_ns
    counted = True if surely else (None if limits.start_ns <= at <= limits.end_ns else False)
    witnesses = [witness(run.emitted.taken[stop.tap]) for stop in fate.stops]
    if unknowable(run, fate):
        return Verdicts(counted=counted, lost=fate.lost_after is not None, delivered=True, undetermined=True)
    if counted is None and fate.lost_after is not None:
        # Near the window's ends some captures did not run, so that where it vanished is between others.
        return Verdicts(counted=None, lost=True, undetermined=True)
    opaque = _opaque(run, fate.packet)
    if len(fate.stops) in fate.shown:
        return Verdicts(counted=counted, delivered=True, undetermined=opaque)
    if fate.lost_after is None:
        return Verdicts(counted=counted, delivered=_answered(run, fate.packet), undetermined=True)
    leg = legs_between(witnesses, fate.lost_after)
    if leg is None or leg[0] not in fate.shown:
        return Verdicts(counted=counted, undetermined=True)
    return Verdicts(counted=counted, leg=leg, lost=True, undetermined=opaque or _may_be_merged(world, fate.packet))


def _answered(run: Run, packet: Packet) -> bool:
    """Whether any tap saw something that may be an answer to a packet: answered means arrived, seen at the last hop or not."""
    return any(
        fate.shown and (fate.packet.flow, fate.packet.client_port) == (packet.flow, packet.client_port)
        for fate in run.emitted.fates
        if fate.packet.reply is not packet.reply and fate.packet.time_ns >= packet.time_ns
    )


def _opaque(run: Run, packet: Packet) -> bool:
    """Whether the packet's socket sent a super-packet of UDP whose first datagram nobody saw by itself: their size may be unknown, and so
    may which of its datagrams came out of one."""
    flow = run.emitted.world.flows[packet.flow]
    merge = flow.merge_reply if packet.reply else flow.merge
    if flow.protocol != "UDP" or not merge:
        return False
    heads: dict[int, Fate] = {}
    for fate in run.emitted.fates:
        one = fate.packet
        if one.burst is not None and (one.flow, one.reply, one.client_port) == (packet.flow, packet.reply, packet.client_port):
            heads.setdefault(one.burst, fate)
    if packet.burst is not None:
        heads = {packet.burst: heads[packet.burst]}
    return not all(_alone(run, head, merge) for head in heads.values())


def _alone(run: Run, fate: Fate, merge: Sequence[int]) -> bool:
    """Whether the packet was seen by itself, and a datagram with enough of its payload to compare it with what super-packets begin with."""
    world, packet = run.emitted.world, fate.packet
    flow = world.flows[packet.flow]
    for hop in fate.shown:
        stop = fate.stops[hop - 1]
        headers = header_bytes(flow, packet, stop, hop, 0, tunnel=world.tunnel, six=world.six)
        least = min(LEAST_DIGEST_BYTES, len(packet.payload)) if flow.protocol == "UDP" else 0
        if merge[hop - 1] == 1 and world.capture(stop.tap).snaplen >= headers + least:
            return True
    return False


def unknowable(run: Run, fate: Fate) -> bool:
    """Whether nothing in any capture can say what became of the packet.

    Of packets that nothing tells apart a copy that the network made stands for one that vanished; so does one that a capture missed.
    Nor where nobody wrote down which socket's new port is whose, and several said the same.
    """
    world = run.emitted.world
    flow = world.flows[fate.packet.flow]
    if flow.port_shift and not flow.known:
        packets = [one for one in world.packets if _same_ends(world.flows[one.flow], flow)]
        sockets = [((one.flow, one.client_port), _content(world, replace(one, client_port=0))) for one in packets]
        own = fate.packet.flow, fate.packet.client_port
        others = {said for socket, said in sockets if socket != own}
        if any(said in others for socket, said in sockets if socket == own):
            return True
    mine = identity(world, fate.packet)
    equal = [one for one in run.emitted.fates if identity(world, one.packet) == mine]
    return len(equal) > 1 and any(one.packet.copied_after is not None or set(one.shown) != set(one.passed) for one in equal)


def lonely_copy(run: Run, fate: Fate) -> bool:
    """Whether a copy without an IP ID may be a packet of its own, which the hops before all could miss."""
    packet, world = fate.packet, run.emitted.world
    if packet.copied_after is None or (packet.ip_id and not world.six):
        return False
    return not any(witness(run.emitted.taken[stop.tap]) for stop in fate.stops[: packet.copied_after])


def owner_unknown(run: Run, fate: Fate) -> bool:
    """Whether nothing says whose the packet is behind a translation of the client's end, or of a port that asks in two forms: no conntrack
    table was read (or both forms have one tuple), and the client's interface, where they differ, may have missed it."""
    flow, taken = run.emitted.world.flows[fate.packet.flow], run.emitted.taken
    own = fate.stops[-1 if fate.packet.reply else 0].tap
    others = [one for one in run.emitted.world.flows if _served_by(one) == _served_by(flow) and one.service_port != flow.service_port]
    same_tuple = any(one.port_shift == flow.port_shift for one in others)
    if witness(taken[own]) and taken[own].capture == Capture():
        return same_tuple and not any(witness(taken[fate.stops[hop - 1].tap]) for hop in fate.shown)
    return same_tuple or ((flow.masquerade or flow.port_shift != 0 or bool(others)) and not flow.known)


def _same_ends(one: Flow, other: Flow) -> bool:
    """Whether packets of both go between the same addresses, once they are translated."""
    return (one.protocol, one.server) == (other.protocol, other.server)


def _served_by(flow: Flow) -> Hashable:
    return flow.protocol, flow.server, flow.server_port


def doubtful(world: World, stops: Sequence[Stop]) -> bool:
    """Whether a tap saw everything twice and no frame has an IP ID, inner or outer: all may have been sent twice, some lost."""
    doubled = [stop for stop in stops if world.capture(stop.tap).twice and (stop.role != "underlay" or world.tunnel.outer_six)]
    return bool(doubled) and (world.six or any(not one.ip_id for one in world.packets))


def uncountable(run: Run, packet: Packet) -> bool:
    """Whether nothing says how many packets a frame holds: no file has any of the connection's alone, and segments are not full."""
    world = run.emitted.world
    flow = world.flows[packet.flow]
    merge = flow.merge_reply if packet.reply else flow.merge
    mine = [fate for fate in run.emitted.fates if (fate.packet.flow, fate.packet.reply) == (packet.flow, packet.reply)]
    full = max(len(fate.packet.payload) for fate in mine) > FULL_SEGMENT_BYTES
    if not merge or any(_alone(run, fate, merge) for fate in mine if fate.packet.burst is not None):
        return False
    return flow.protocol == "UDP" or world.mtu_bytes is None or not full


def _may_be_merged(world: World, packet: Packet) -> bool:
    """Whether a pure ACK that vanished may live on in another frame of its connection."""
    flow = world.flows[packet.flow]
    merge = flow.merge_reply if packet.reply else flow.merge
    pure = flow.protocol == "TCP" and not packet.payload and packet.flags & 0x17 == 0x10
    return pure and any(most > 1 for most in merge)


def identity(world: World, packet: Packet) -> Hashable:
    """The same for packets that nothing in their bytes tells apart, as far as it is captured at every hop."""
    flow = world.flows[packet.flow]
    short = min((one.snaplen for one in world.captures.values()), default=512) < 300
    renumbered = flow.merge or flow.merge_reply or packet.wire_ip_id is not None
    ident = 0 if world.six else packet.ip_id
    # What a super-packet holds is not captured: its datagrams are told apart by what the kernel counts on, their IP ID.
    hidden = flow.protocol == "UDP" and packet.burst is not None and renumbered
    base = (_group(flow), packet.reply, packet.client_port, len(packet.payload))
    if flow.protocol == "TCP":
        return (*base, packet.seq, packet.flags if not packet.payload else 0, packet.ack if not packet.payload else 0, 0)
    content = b"" if short or hidden else packet.payload[:96]
    # An SCTP packet's number stands in its chunk, an ICMP one's in the header.
    counted = flow.protocol == "ICMP" or (flow.protocol == "SCTP" and not short)
    return (*base, content, packet.seq if counted else 0, ident)


def _content(world: World, packet: Packet) -> Hashable:
    """The same for packets that say the same, to whichever port or Service."""
    whole = identity(world, packet)
    assert isinstance(whole, tuple)
    return whole[1:]


def _sound(run: Run, table: JourneyTable) -> Iterator[str]:
    """No journey joins frames of different packets, and no more are called lost than vanished among those that it may be."""
    world, fates = run.emitted.world, run.emitted.fates
    taken = [run.emitted.taken[hop.tap.node, hop.tap.interface] for hop in table.path.hops]
    assert [tap_of(one.tap) for one in taken] == [hop.tap for hop in table.path.hops]
    classes: dict[Hashable, list[int]] = defaultdict(list)
    for number, packet in enumerate(world.packets):
        classes[identity(world, packet)].append(number)
    claims: Counter[frozenset[int]] = Counter()
    for row, outcome, weight in zip(table.row.tolist(), table.outcome.tolist(), table.weight_packets.tolist(), strict=True):
        held = [taken[hop].shots[at].packets for hop, at in enumerate(row) if at >= 0]
        may_be = [frozenset(equal for number in one for equal in classes[identity(world, world.packets[number])]) for one in held]
        candidates = frozenset.intersection(*may_be)
        if not candidates:
            yield f"a journey joins different packets: {held}"
        if outcome in VANISHED:
            claims[candidates] += weight
        if outcome == OutcomeCode.DELIVERED and not any(fates[number].arrived for number in candidates):
            yield f"called delivered, all vanished: {sorted(candidates)}"
    for candidates, weight in claims.items():
        vanished = sum(not fates[number].arrived for number in candidates)
        if weight > vanished:
            yield f"{weight} called lost of {sorted(candidates)}, of which {vanished} vanished"


def _legs_add_up(run: Run) -> Iterator[str]:
    """What a leg was given is what arrived, was lost and is unknown; nothing is counted twice."""
    for traced in run.case.paths:
        table, legs = traced.journeys, traced.legs
        for leg in legs:
            if leg.sent != leg.arrived + leg.lost + leg.undetermined:
                yield f"leg {leg.from_} to {leg.to}: {leg.sent} sent, {leg.arrived} + {leg.lost} + {leg.undetermined}"
        lost = int(table.weight_packets[np.isin(table.outcome, VANISHED) & (table.lost_from > 0)].sum())
        inside = sum(leg.lost for leg in legs)
        if inside > lost:
            yield f"{inside} lost on legs, {lost} journeys"
