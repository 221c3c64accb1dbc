"""Flows of which packets were seen, with their paths: planned ones, ones with the port that was used, ones without a backend."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from kubectl_vxtrace.journeys.identity import NOBODY, Group
from kubectl_vxtrace.journeys.sightings import Sightings
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Tap
from kubectl_vxtrace.model.recording import Recording

MAX_PORTS = 256
ANY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A flow that packets may belong to, with its paths. `group`, `planned` and `port` say which sightings are its own.

    `planned` is the index of the planned flow, NOBODY for packets whose backend nothing names. `port` is the server's port where
    the plan left it open, else ANY. `last` are, for packets without a backend, the next taps of the paths that part at the
    end of the request's path.
    """

    flow: Flow
    paths: tuple[Path, ...]
    group: int
    planned: int
    port: int = ANY
    last: tuple[Tap, ...] = ()


def strays_of(recording: Recording, seen: Mapping[Tap, Sightings]) -> frozenset[tuple[int, Tap]]:
    """The groups of which requests were translated to a stranger, each with every tap that saw some so."""
    nowhere = len(recording.flows)
    return frozenset((group, tap) for tap, one in seen.items() for group in np.unique(one.group[one.planned == nowhere]).tolist())


def without_strangers(recording: Recording, seen: Mapping[Tap, Sightings]) -> dict[Tap, Sightings]:
    """The sightings, in which no planned backend stands for packets that went to a stranger."""
    nowhere = len(recording.flows)
    return {tap: replace(one, planned=np.where(one.planned == nowhere, np.int32(NOBODY), one.planned)) for tap, one in seen.items()}


def candidates_of(
    recording: Recording, groups: Sequence[Group], seen: Mapping[Tap, Sightings], strays: Container[tuple[int, Tap]] = ()
) -> tuple[Candidate, ...]:
    """The flows that the sightings belong to, planned ones first and in order; ids of further ones follow the planned ones'.

    strays: see `strays_of`.
    """
    found: list[Candidate] = []
    next_id = max((flow.id for flow in recording.flows), default=0) + 1
    for number, group in enumerate(groups):
        for server in group.servers:
            flow = recording.flows[server.planned]
            ports = _ports(seen, server.planned) if server.port is None and not group.echo else ()
            for ordinal, port in enumerate(ports[:MAX_PORTS]):
                found.append(_with_port(recording, number, server.planned, port, flow.id if ordinal == 0 else next_id))
                next_id += ordinal > 0
            if server.port is not None or group.echo or len(ports) > MAX_PORTS:
                found.append(Candidate(flow=flow, paths=_paths(recording, flow), group=number, planned=server.planned))
    for number, group in enumerate(groups):
        if any(((one.group == number) & (one.planned == NOBODY)).any() for one in seen.values()):
            found.append(_nameless(recording, number, group, next_id, [tap for tap in seen if (number, tap) in strays]))
            next_id += group.nameless is None
    return tuple(found)


def _ports(seen: Mapping[Tap, Sightings], planned: int) -> tuple[int, ...]:
    """Server ports of a planned flow's sightings, the most frequent first."""
    values, counts = np.unique(np.concatenate([one.server_port[one.planned == planned] for one in seen.values()]), return_counts=True)
    return tuple(values[np.argsort(-counts, kind="stable")].tolist())


def _paths(recording: Recording, flow: Flow) -> tuple[Path, ...]:
    paths = [path for path in recording.paths if path.flow == flow.id]
    return tuple(sorted(paths, key=lambda path: path.direction is Direction.REPLY))


def _with_port(recording: Recording, group: int, planned: int, port: int, flow_id: int) -> Candidate:
    flow = recording.flows[planned]
    server = replace(flow.server, port=port) if flow.server else None
    seen = replace(flow, id=flow_id, server=server)
    paths = tuple(replace(path, flow=flow_id) for path in _paths(recording, flow))
    return Candidate(flow=seen, paths=paths, group=group, planned=planned, port=port)


def _nameless(recording: Recording, number: int, group: Group, next_id: int, strays: Sequence[Tap]) -> Candidate:
    """The flow of packets that nothing names a backend for: its path is what the paths to all backends share.

    strays: taps that saw some of them go to a stranger, which the path follows over the client's node.
    """
    flows = [recording.flows[server.planned] for server in group.servers]
    if group.nameless is not None:
        flow = recording.flows[group.nameless]
        known = _paths(recording, flow)
        if known or not flows:
            return Candidate(flow=flow, paths=known, group=number, planned=NOBODY)
    else:
        servers = tuple(flow.server for flow in flows if flow.server)
        flow = replace(flows[0], id=next_id, server=None, candidates=servers)
    paths: list[Path] = []
    last: tuple[Tap, ...] = ()
    for direction in Direction:
        ways = [path for one in flows for path in recording.paths if path.flow == one.id and path.direction is direction]
        if ways:
            hops, ends = _shared([path.hops for path in ways], direction, strays)
            paths.append(Path(flow=flow.id, direction=direction, hops=hops, basis=ways[0].basis))
            last = ends if direction is Direction.REQUEST else last
    return Candidate(flow=flow, paths=tuple(paths), group=number, planned=NOBODY, last=last)


def _shared(ways: Sequence[tuple[Hop, ...]], direction: Direction, strays: Sequence[Tap]) -> tuple[tuple[Hop, ...], tuple[Tap, ...]]:
    """The client's end that all ways share, numbered from 1 in their direction, and the taps where they part."""
    from_client = [way if direction is Direction.REQUEST else way[::-1] for way in ways]
    own = [_at_home(way) for way in from_client]
    followed = [sum(hop.tap in strays for hop in hops[1:]) for hops in own]
    if any(followed):
        most = max(followed)
        own, from_client = ([one for one, count in zip(some, followed, strict=True) if count == most] for some in (own, from_client))
    mine = own if any(followed) else from_client
    length = 0
    while all(len(way) > length for way in mine) and len({(way[length].tap, way[length].role) for way in mine}) == 1:
        length += 1
    shared = from_client[0][:length]
    ordered = shared if direction is Direction.REQUEST else shared[::-1]
    parting = dict.fromkeys(way[length].tap for way in from_client if len(way) > length)
    return tuple(replace(hop, hop=number) for number, hop in enumerate(ordered, 1)), tuple(parting)


def _at_home(way: tuple[Hop, ...]) -> tuple[Hop, ...]:
    """The beginning of a way that lies on its first node."""
    return tuple(takewhile(lambda hop: hop.tap.node == way[0].tap.node, way))
