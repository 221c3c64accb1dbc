"""From captures to counted journeys: whose packets they are, the same packet at every hop, and where it vanished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys import arrivals, outcome, rejected, tally
from kubectl_vxtrace.journeys.clocks import Clocks, Samples, clocks_of
from kubectl_vxtrace.journeys.doubled import Doubled, doubled
from kubectl_vxtrace.journeys.flows import ANY, Candidate, candidates_of, strays_of, without_strangers
from kubectl_vxtrace.journeys.frames import frames_of
from kubectl_vxtrace.journeys.identified import Identified
from kubectl_vxtrace.journeys.identity import Roles, groups_of
from kubectl_vxtrace.journeys.known import address_book, connections_of
from kubectl_vxtrace.journeys.learn import learned_connections
from kubectl_vxtrace.journeys.origin import begun_here
from kubectl_vxtrace.journeys.sightings import (
    REPLY,
    REQUEST,
    Sightings,
    backends_seen,
    divided,
    joined,
    later_fragments,
)
from kubectl_vxtrace.journeys.switched import switched
from kubectl_vxtrace.journeys.threads import each
from kubectl_vxtrace.journeys.trails import Trails, Way, merging_hops, offset_samples, trails_of, way_of
from kubectl_vxtrace.journeys.translated import translated_connections
from kubectl_vxtrace.journeys.twins import name_backends
from kubectl_vxtrace.journeys.window import Window, stretches_of, window_of
from kubectl_vxtrace.journeys.witness import Testimony, testimonies, testimony_of
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Path, Role, Tap
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One path of one candidate: its units, and sightings that stand at no hop of it."""

    candidate: Candidate
    way: Way
    unexpected: Mapping[Tap, Sightings]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What all paths share. `unsure`: groups some of whose packets may be others'."""

    recording: Recording
    tables: Mapping[Tap, PacketTable]
    clocks: Clocks
    window: Window | None
    known: Mapping[Tap, Testimony]
    refusals: rejected.Refusals
    in_window: Mapping[Tap, int]
    unsure: frozenset[int]


def follow(recording: Recording, tables: dict[Tap, PacketTable]) -> Case:
    """The packets of the recording's flows over all hops of their paths, in both directions.

    Only packets whose first sighting lies in the common window are counted. Flows of which no packet was seen in it are left out.
    """
    twice = doubled(tables, recording.paths)
    known = testimonies(recording, tables, twice.unsure)
    named, roles, unsure = _sightings(recording, tables, known, twice)
    strays = strays_of(recording, named)
    seen = without_strangers(recording, named)
    traced = {tap for tap, one in seen.items() if len(one)}
    groups = groups_of(recording, address_book(recording, ()))
    candidates = candidates_of(recording, groups, seen, strays)
    shares = {tap: divided(seen.pop(tap)) for tap in tuple(seen)}
    ways = [(candidate, path) for candidate in candidates for path in candidate.paths]
    parts = each(lambda way: _part(*way, shares, tables, recording), ways)
    shares.clear()  # the frames of each path stand in `parts`
    clocks = _clocks(recording, parts, tables)
    nodes = sorted({tap.node for tap in tables} | {hop.tap.node for part in parts for hop in part.way.path.hops})
    window = window_of(stretches_of(recording.captures, tables, traced), clocks, nodes)
    scene = _Scene(
        recording=recording,
        tables=tables,
        clocks=clocks,
        window=window,
        known=known,
        refusals=rejected.refusals_of(tables, roles, clocks, recording.overlay),
        in_window={tap: tally.frames_in_window(window, tap, table) for tap, table in tables.items()},
        unsure=unsure,
    )
    judged: list[TracedPath] = []
    connections: dict[int, int] = {}
    ways_of = [[part for part in parts if part.candidate is candidate] for candidate in candidates]
    for candidate, mine in zip(candidates, each(lambda some: _judge_flow(scene, some), ways_of), strict=True):
        ports = np.unique(np.concatenate([one.journeys.client_port for one in mine])) if mine else np.zeros(0, np.int32)
        if not len(ports) and not any(not hop.expected for one in mine for hop in one.hops):
            continue
        flow = _with_client_port(candidate.flow, ports)
        judged += [replace(one, flow=flow) for one in mine]
        connections[candidate.flow.id] = len(ports)
    return Case(
        recording=recording,
        tables=tables,
        paths=tuple(judged),
        clocks=clocks.bounds(),
        connections=connections,
    )


def _with_client_port(flow: Flow, ports: NDArray[np.int32]) -> Flow:
    port = int(ports[0]) if len(ports) == 1 and flow.protocol != "ICMP" else None
    client: Endpoint = replace(flow.client, port=port)
    return replace(flow, client=client)


def _sightings(
    recording: Recording, tables: Mapping[Tap, PacketTable], known: Mapping[Tap, Testimony], twice: Doubled
) -> tuple[dict[Tap, Sightings], dict[Tap, tuple[Roles, Roles]], frozenset[int]]:
    """The frames that belong to planned flows, with their backends as far as anything names them; and groups that may lack some."""
    connections = connections_of(recording)
    first = Identified(recording, tables, connections)
    if strange := translated_connections(first):
        connections = (*connections, *strange)
        first = Identified(recording, tables, connections)
    learned = learned_connections(first)
    last = Identified(recording, tables, (*connections, *learned.connections)) if learned.connections else first
    later = later_fragments(tables, last.book, last.seen)
    seen = {tap: joined(one, later.get(tap)) for tap, one in last.seen.items()}
    for tap, keep in twice.keep.items():
        seen[tap] = seen[tap].take(keep[seen[tap].row])
    seen = begun_here(recording, last.groups, seen, known)
    return name_backends(tables, seen, backends_seen(last.groups, seen, last.names)), last.roles, learned.unsure


def _part(
    candidate: Candidate,
    path: Path,
    shares: Mapping[Tap, Mapping[tuple[int, int, int], Sightings]],
    tables: Mapping[Tap, PacketTable],
    recording: Recording,
) -> _Part:
    wanted = (candidate.group, candidate.planned, REQUEST if path.direction is Direction.REQUEST else REPLY)
    mine = {tap: parts[wanted] for tap, parts in shares.items() if wanted in parts}
    if candidate.port != ANY:
        mine = {tap: part for tap, one in mine.items() if len(part := one.take(one.server_port == candidate.port))}
    ways = frames_of(path, mine, tables)
    ipv6 = ":" in candidate.flow.client.address
    way = way_of(path, ways.hops, candidate.flow.protocol, _overlay_mtu(recording, path), ipv6)
    return _Part(candidate=candidate, way=way, unexpected=ways.unexpected)


def _overlay_mtu(recording: Recording, path: Path) -> int | None:
    """The largest MTU of the VXLAN devices on the path, None where unknown or where the path has none."""
    taps = {hop.tap for hop in path.hops if hop.role is Role.VXLAN}
    mtus = [vtep.mtu_bytes for vtep in recording.overlay.vteps if Tap(node=vtep.node, interface=vtep.interface) in taps]
    return max((mtu for mtu in mtus if mtu), default=None)


def _clocks(recording: Recording, parts: Sequence[_Part], tables: Mapping[Tap, PacketTable]) -> Clocks:
    """Every captured node's clock against the client's node."""
    nodes = sorted({tap.node for tap in tables})
    firsts = [flow.client.node for flow in recording.flows if flow.client.node]
    reference = firsts[0] if firsts else (nodes[0] if nodes else "")
    samples: dict[str, Samples] = {}
    for part in parts:
        for node in {hop.tap.node for hop in part.way.path.hops} - {reference}:
            samples[node] = samples.get(node, Samples()).with_(offset_samples(part.way, node, reference))
    return clocks_of(reference, nodes, samples, (*recording.before, *recording.after), _ran_ns(recording, reference, tables))


def _ran_ns(recording: Recording, reference: str, tables: Mapping[Tap, PacketTable]) -> tuple[int, int]:
    """From when to when the reference node's captures ran: as they say, else from its first frame to its last, else from anybody's."""
    mine = [one for one in recording.captures if one.task.tap.node == reference]
    times = [one for capture in mine for one in (capture.started_ns, capture.stopped_ns) if one is not None]
    for some in ([table for tap, table in tables.items() if tap.node == reference], tables.values()):
        if not times:
            times = [int(bound) for table in some if len(table) for bound in (table.time_ns.min(), table.time_ns.max())]
    return min(times, default=0), max(times, default=0)


def _judge_flow(scene: _Scene, parts: Sequence[_Part]) -> list[TracedPath]:
    """All paths of one flow: outcomes of requests depend on what the replies say."""
    trails = [trails_of(part.way, scene.clocks, [one.witness for one in _testimonies(scene, part)]) for part in parts]
    if scene.recording.request is not None and scene.recording.request.filter is not None:
        trails = _picked(trails)
    ways = {one.way.path.direction: one for one in trails}
    found = []
    for part, one in zip(parts, trails, strict=True):
        other = Direction.REPLY if one.way.path.direction is Direction.REQUEST else Direction.REQUEST
        result = _judge_path(scene, part, one, ways.get(other))
        if part.candidate.flow.server is None and part.way.path.direction is Direction.REPLY and not len(result.journeys):
            continue
        found.append(result)
    return found


def _picked(trails: Sequence[Trails]) -> list[Trails]:
    """What the user's filter picked, which the capture applied to what the client sends at its first hop; and the replies to that."""
    requests = [one for one in trails if one.way.path.direction is Direction.REQUEST]
    ports = np.concatenate([one.client_port[one.first == 0] for one in requests] or [np.zeros(0, np.int32)])
    return [
        one.take(np.flatnonzero(one.first == 0 if one.way.path.direction is Direction.REQUEST else np.isin(one.client_port, ports)))
        for one in trails
    ]


def _judge_path(scene: _Scene, part: _Part, trails: Trails, back: Trails | None) -> TracedPath:
    path = part.way.path
    request = path.direction is Direction.REQUEST
    reached, doubtful = _arrivals(scene, part, trails, back)
    known = _testimonies(scene, part)
    # Outside the window a hop's capture may not have run yet, or not any more: what it missed there says nothing of it.
    counted = tally.counted(trails, scene.window)
    noticed = trails.seen | switched(trails, part.candidate.flow)
    missed = outcome.demoted(noticed[counted], reached[counted], [one.witness for one in known])
    known = [_less(one, count) for one, count in zip(known, missed, strict=True)]
    witness = [one.witness for one in known]
    nameless = part.candidate.flow.server is None and request
    parting = [testimony_of(tap, scene.known, scene.recording).witness for tap in part.candidate.last]
    parted = nameless and bool(parting) and all(parting)
    outcomes = outcome.judge(trails.seen, reached, witness, arrives=not nameless, parting_witnessed=parted)
    if trails.way.tcp:
        pure = (trails.payload_bytes.max(axis=1, initial=0) == 0) & (trails.flags & 0x17 == 0x10)
        outcome.merged_away(outcomes, pure, merging_hops(trails))
    else:
        apart = outcome.changed_form(
            outcomes, trails.client_port, trails.payload_bytes.max(axis=1, initial=0), trails.first, counted, witness
        )
        outcome.forget(outcomes, apart, OutcomeCode.LOST)
    if not trails.way.comparable or part.candidate.group in scene.unsure:
        outcome.forget(outcomes, np.ones(len(trails), dtype=np.bool_), OutcomeCode.LOST)
    outcome.forget(outcomes, trails.unsure, OutcomeCode.LOST, OutcomeCode.DELIVERED)
    outcome.forget(outcomes, doubtful, OutcomeCode.LOST)
    if request:
        rejected.refuse(trails, back, outcomes, scene.refusals, part.candidate.group, scene.clocks)
    inside = np.flatnonzero(counted)
    inside = inside[np.argsort(rejected.reference_times(trails, scene.clocks)[inside], kind="stable")]
    chosen = trails.take(inside)
    journeys = _journeys(chosen, outcomes, inside)
    view = tally.View(tables=scene.tables, window=scene.window, testimonies=known, in_window=scene.in_window)
    roles = {capture.task.tap: capture.task.role for capture in scene.recording.captures}
    odd = {tap: (roles.get(tap, Role.UNDERLAY), testimony_of(tap, scene.known, scene.recording)) for tap in part.unexpected}
    hops = tally.hop_counts(chosen, view) + tally.unexpected_counts(part.unexpected, view, odd, len(path.hops), path.direction)
    legs = tally.leg_tallies(chosen, journeys, reached[inside], witness, scene.clocks)
    legs += tally.open_leg(chosen, journeys) if nameless else ()
    return TracedPath(flow=part.candidate.flow, path=path, journeys=journeys, hops=hops, legs=legs)


def _arrivals(scene: _Scene, part: _Part, trails: Trails, back: Trails | None) -> tuple[I32, NDArray[np.bool_]]:
    """How many hops each packet has provably passed, seen or not (one more than there are: it arrived); and which of several alike may
    have arrived."""
    answers = arrivals.answers_to(trails, back, part.candidate.flow.protocol, scene.clocks)
    reached = np.where(answers.proven, np.int32(trails.frame.shape[1] + 1), np.int32(0))
    if part.way.path.direction is Direction.REQUEST:
        reached = np.maximum(reached, rejected.reached_by_refusals(trails, scene.refusals, part.candidate.group, arrivals.homes(trails)))
    return reached.astype(np.int32), answers.doubtful


def _testimonies(scene: _Scene, part: _Part) -> list[Testimony]:
    return [testimony_of(hop.tap, scene.known, scene.recording) for hop in part.way.path.hops]


def _less(testimony: Testimony, missed: int) -> Testimony:
    """A testimony less what the hop demonstrably missed."""
    if not missed:
        return testimony
    return replace(testimony, witness=False, reason=f"did not see {missed} packets that hops before and after it saw")


def _journeys(trails: Trails, outcomes: outcome.Outcomes, which: NDArray[np.intp]) -> JourneyTable:
    row = np.empty_like(trails.frame)
    for hop, frames in enumerate(trails.way.frames):
        row[:, hop] = np.append(frames.row, np.int32(-1))[trails.frame[:, hop]]  # -1, unseen, is the place behind the last one
    table = JourneyTable(
        path=trails.way.path,
        row=row,
        outcome=outcomes.outcome[which],
        lost_from=outcomes.lost_from[which],
        lost_to=outcomes.lost_to[which],
        weight_packets=trails.weight,
        client_port=trails.client_port,
        time_ns=trails.time_ns,
    )
    for column in (table.row, table.outcome, table.lost_from, table.lost_to, table.weight_packets, table.client_port, table.time_ns):
        column.setflags(write=False)
    return table
