"""From a world to capture files, and to what really happened to each of its packets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.wire import files
from tests.wire.dress import dress, header_bytes
from tests.wire.noise import noise_of
from tests.wire.places import Stop, TapName, way
from tests.wire.world import Capture, Packet, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A frame that passed a tap. packets: which of World.packets it holds, none for noise. part: of `parts` of a train. headers: how many
    of its bytes tell whose it is."""

    time_ns: int
    frame: bytes
    packets: tuple[int, ...] = ()
    part: int = 0
    parts: int = 1
    hop: int = 0
    headers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one tap's capture holds. `shots` are in the order of the file. `started_ns` and `stopped_ns` are in the node's clock."""

    tap: TapName
    capture: Capture
    shots: tuple[Shot, ...]
    times_ns: tuple[int, ...]
    received: int
    dropped_by_kernel: int
    started_ns: int
    stopped_ns: int

    @property
    def readable(self) -> int:
        """How many frames a reader finds: one less where the last record is cut."""
        return len(self.shots) - (self.capture.cut_record and bool(self.shots))

    @property
    def anonymous(self) -> int:
        """How many frames of packets were captured too short to tell whose they are."""
        return sum(shot.headers > self.capture.snaplen for shot in self.shots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What really became of a packet: passed are the hops that it passed whole; shown those where it is whole in the file as well,
    each with when it passed; lost_after is None if it arrived."""

    packet: Packet
    stops: tuple[Stop, ...]
    passed: frozenset[int]
    shown: Mapping[int, int]
    lost_after: int | None

    @property
    def arrived(self) -> bool:
        """Whether it came to its path's last hop."""
        return self.lost_after is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A world's capture files in memory, and the fate of each of its packets."""

    world: World
    taken: Mapping[TapName, Taken]
    fates: tuple[Fate, ...]

    def write(self, folder: Path) -> dict[TapName, Path]:
        """The capture files; blind taps have none."""
        paths = {}
        for number, (tap, one) in enumerate(sorted(self.taken.items())):
            if one.capture.blind:
                continue
            paths[tap] = folder / f"{number}-{tap[0]}-{tap[1]}{files.SUFFIXES[one.capture.file_format]}"
            files.write(paths[tap], [(at, shot.frame) for at, shot in zip(one.times_ns, one.shots, strict=True)], one.capture)
        return paths


@dataclass(slots=True)
class _Stage:
    """Frames by tap, in the making."""

    world: World
    shots: dict[TapName, list[Shot]] = field(default_factory=dict)

    def put(self, stop: Stop, hop: int, time_ns: int, members: Sequence[int], packets: Sequence[Packet], outer_ident: int) -> None:
        """Show packets at a tap, as one frame or as a train."""
        first, flow = packets[0], self.world.flows[packets[0].flow]
        parts = dress(flow, packets, stop, hop, tunnel=self.world.tunnel, six=self.world.six, outer_ident=outer_ident)
        order = range(len(parts))
        for place, index in enumerate(reversed(order) if first.parts_reversed else order):
            if not _part_passes(first, index, hop):
                continue
            headers = header_bytes(flow, first, stop, hop, index, tunnel=self.world.tunnel, six=self.world.six)
            shot = Shot(
                time_ns=time_ns + place * 500, frame=parts[index], packets=tuple(members), part=index, parts=len(parts), hop=hop,
                headers=headers,
            )  # fmt: skip
            self.shots.setdefault(stop.tap, []).append(shot)


def _part_passes(packet: Packet, index: int, hop: int) -> bool:
    if packet.lost_part is None or packet.lost_after is None:
        return True
    return hop <= packet.lost_after if index == packet.lost_part else hop <= max(packet.parts_until, packet.lost_after)


def emit(world: World) -> Emitted:
    """The files of a world, and the truth about it."""
    shots = passing(world)
    taps = dict.fromkeys(stop.tap for number in range(len(world.flows)) for stop in _stops(world, number, False))
    for tap, time_ns, frame in noise_of(world, tuple(taps)):
        shots.setdefault(tap, []).append(Shot(time_ns=time_ns, frame=frame))
    taken = {tap: _take(world, tap, shots.get(tap, [])) for tap in taps}
    return Emitted(world=world, taken=taken, fates=_fates(world, taken))


def passing(world: World) -> dict[TapName, list[Shot]]:
    """The frames of the world's packets at each tap that they pass, whatever is captured there; without noise."""
    stage = _Stage(world)
    for flow in range(len(world.flows)):
        for reply in (False, True):
            mine = [(number, one) for number, one in enumerate(world.packets) if one.flow == flow and one.reply == reply]
            _pass_all(stage, mine, _stops(world, flow, reply))
    return stage.shots


def _stops(world: World, flow: int, reply: bool) -> tuple[Stop, ...]:
    return way(world.flows[flow].server, reply=reply, shape=world.shape)


def _last_hop(packet: Packet, length: int) -> int:
    """The last hop where any part of it is."""
    end = length if packet.lost_after is None else packet.lost_after
    return max(end, packet.parts_until) if packet.lost_part is not None else end


def _pass_all(stage: _Stage, packets: Sequence[tuple[int, Packet]], stops: Sequence[Stop]) -> None:
    """Take the packets of one direction over its hops. Those of one frame pass together, and leave it one after the other."""
    wired = next((hop for hop, stop in enumerate(stops, 1) if stop.role == "underlay"), len(stops) + 1)
    place = {number: index for index, (number, _) in enumerate(packets)}
    late: dict[int, int] = {}
    for hop, stop in enumerate(stops, 1):
        alive = [(number, one) for number, one in packets if one.first <= hop <= _last_hop(one, len(stops)) and hop not in one.hidden]
        for run in _runs(stage.world, alive, hop, place):
            numbers, members = [number for number, _ in run], [_renumbered(one) if hop >= wired else one for _, one in run]
            time_ns = max(_at(stage.world, one, hop) + late.get(number, 0) for number, one in run)
            stage.put(stop, hop, time_ns, numbers, members, _outer_ident(numbers[0], members[0]))
            for index, (number, one) in enumerate(run):
                late[number] = time_ns + index * 1_000 - _at(stage.world, one, hop)
    for number, one in packets:
        _copy(stage, number, one, stops)
        _loop(stage, number, one, stops)


def _outer_ident(number: int, packet: Packet) -> int:
    return number + 1 if packet.outer_ip_id is None else packet.outer_ip_id


def _renumbered(packet: Packet) -> Packet:
    return packet if packet.wire_ip_id is None else replace(packet, ip_id=packet.wire_ip_id)


def _at(world: World, packet: Packet, hop: int) -> int:
    delays = sum(world.delays_ns[packet.first - 1 : hop - 1])
    return packet.time_ns + delays + sum(packet.jitter_ns[packet.first - 1 : hop - 1])


def _runs(world: World, alive: Sequence[tuple[int, Packet]], hop: int, place: Mapping[int, int]) -> Iterator[list[tuple[int, Packet]]]:
    """Packets that share a frame at a hop: of one burst, next to each other, as many as offloads merge there."""
    run: list[tuple[int, Packet]] = []
    for number, one in alive:
        flow = world.flows[one.flow]
        merge = flow.merge_reply if one.reply else flow.merge
        most = merge[hop - 1] if merge and one.burst is not None else 1
        joins = run and one.burst is not None and one.burst == run[-1][1].burst and len(run) < most
        # What follows a shorter segment begins a frame of its own: super-packets are cut from equal segments.
        if joins and place[number] == place[run[-1][0]] + 1 and len(run[-1][1].payload) == len(run[0][1].payload) >= len(one.payload):
            run.append((number, one))
            continue
        if run:
            yield run
        run = [(number, one)]
    if run:
        yield run


def _copy(stage: _Stage, number: int, packet: Packet, stops: Sequence[Stop]) -> None:
    """The copy that the network makes of a packet."""
    if not _is_copied(packet):
        return
    last = len(stops) if packet.copy_lost_after is None else packet.copy_lost_after
    for hop in range((packet.copied_after or 0) + 1, last + 1):
        stage.put(stops[hop - 1], hop, _at(stage.world, packet, hop) + 20_000, [number], [packet], _outer_ident(number, packet))


def _loop(stage: _Stage, number: int, packet: Packet, stops: Sequence[Stop]) -> None:
    """A packet that the receiving node sends back into the tunnel, again and again: each round takes two from its TTL."""
    encapsulated = [index for index, stop in enumerate(stops) if stop.role in ("vxlan", "underlay")]
    for round_ in range(1, packet.loops + 1):
        for place, index in enumerate(encapsulated if round_ % 2 == 0 else encapsulated[::-1]):
            stop = replace(stops[index], ttl=stops[index].ttl - round_)
            at = _at(stage.world, packet, len(stops)) + round_ * 400_000 + place * 30_000
            stage.put(stop, index + 1, at, [number], [packet], _outer_ident(number, packet) + round_ * 300)


def _take(world: World, tap: TapName, shots: Sequence[Shot]) -> Taken:
    """What the tap's capture made of the frames that passed it."""
    capture, clock = world.capture(tap), world.clock(tap[0])
    passing = sorted((shot for shot in shots if capture.start_ns <= shot.time_ns <= capture.end_ns), key=lambda shot: shot.time_ns)
    if capture.twice:
        passing = [copy for shot in passing for copy in (shot, replace(shot, time_ns=shot.time_ns + 200))]
    dropped = {ordinal % len(passing) for ordinal in capture.kernel_drops} if passing else set()
    kept = [shot for ordinal, shot in enumerate(passing) if ordinal not in dropped]
    kept = kept[: max(len(kept) - capture.tail_cut, 0)]
    if capture.shuffled:
        kept = kept[::2] + kept[1::2]
    return Taken(
        tap=tap,
        capture=capture,
        shots=() if capture.blind else tuple(kept),
        times_ns=() if capture.blind else tuple(clock.shows(shot.time_ns) for shot in kept),
        received=len(passing) - len(dropped),
        dropped_by_kernel=len(dropped),
        started_ns=clock.shows(capture.start_ns),
        stopped_ns=clock.shows(capture.end_ns),
    )


def _fates(world: World, taken: Mapping[TapName, Taken]) -> tuple[Fate, ...]:
    """What became of each packet, and where it is whole in a file."""
    parts: dict[tuple[int, int], dict[int, int]] = {}
    needed: dict[tuple[int, int], int] = {}
    for one in taken.values():
        for shot in one.shots[: one.readable]:
            if shot.headers > one.capture.snaplen:
                continue
            for number in shot.packets:
                seen = parts.setdefault((number, shot.hop), {})
                seen[shot.part] = min(seen.get(shot.part, shot.time_ns), shot.time_ns)
                needed[number, shot.hop] = shot.parts
    found = []
    for number, packet in enumerate(world.packets):
        mine = _stops(world, packet.flow, packet.reply)
        last = _last_seen(packet, len(mine))
        shown = {
            hop: min(parts[number, hop].values())
            for hop in range(1, len(mine) + 1)
            if (number, hop) in parts and len(parts[number, hop]) == needed[number, hop] and hop <= last
        }
        passed = frozenset(range(packet.first, last + 1))
        lost_after = None if last == len(mine) else last
        found.append(Fate(packet=packet, stops=mine, passed=passed, shown=shown, lost_after=lost_after))
    return tuple(found)


def _last_seen(packet: Packet, length: int) -> int:
    """The last hop that it passed whole, itself or as the network's copy of it."""
    own = length if packet.lost_after is None else packet.lost_after
    if not _is_copied(packet):
        return own
    return max(own, length if packet.copy_lost_after is None else packet.copy_lost_after)


def _is_copied(packet: Packet) -> bool:
    return packet.copied_after is not None and (packet.lost_after is None or packet.lost_after >= packet.copied_after)
