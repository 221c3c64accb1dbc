"""Flows of which packets were seen, with their paths: planned ones, ones with the port that was used, ones of unknown backends."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from kubectl_vxtrace.journeys.attribute.groups import FlowGroup, unlisted_flow
from kubectl_vxtrace.journeys.judgement import MOST_PORTS
from kubectl_vxtrace.journeys.records import NO_FLOW, Candidate, FlowFrames
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Tap
from kubectl_vxtrace.model.recording import Recording


def taps_of_unlisted(recording: Recording, frames_of: Mapping[Tap, FlowFrames]) -> frozenset[tuple[int, Tap]]:
    """The groups of which requests were translated to an unlisted backend, each with every tap that saw some so."""
    unlisted = unlisted_flow(recording)
    return frozenset(
        (group, tap) for tap, frames in frames_of.items() for group in np.unique(frames.group[frames.planned == unlisted]).tolist()
    )


def without_unlisted(recording: Recording, frames_of: Mapping[Tap, FlowFrames]) -> dict[Tap, FlowFrames]:
    """The frames, in which no planned flow stands for packets that went to an unlisted backend."""
    unlisted = unlisted_flow(recording)
    return {
        tap: replace(frames, planned=np.where(frames.planned == unlisted, np.int32(NO_FLOW), frames.planned))
        for tap, frames in frames_of.items()
    }


def candidates_of(
    recording: Recording, groups: Sequence[FlowGroup], frames_of: Mapping[Tap, FlowFrames], unlisted: Container[tuple[int, Tap]] = ()
) -> tuple[Candidate, ...]:
    """The flows that the frames belong to, planned ones first and in order; ids of further ones follow the planned ones'.

    unlisted: see `taps_of_unlisted`.
    """
    candidates: list[Candidate] = []
    next_id = max((flow.id for flow in recording.flows), default=0) + 1
    for number, group in enumerate(groups):
        for backend in group.backends:
            flow = recording.flows[backend.planned]
            ports = _ports(frames_of, backend.planned) if backend.port is None and not group.echo else ()
            for ordinal, port in enumerate(ports[:MOST_PORTS]):
                candidates.append(_with_port(recording, number, backend.planned, port, flow.id if ordinal == 0 else next_id))
                next_id += ordinal > 0
            if backend.port is not None or group.echo or len(ports) > MOST_PORTS:
                candidates.append(Candidate(flow=flow, paths=_paths(recording, flow), group=number, planned=backend.planned))
    for number, group in enumerate(groups):
        if any(((frames.group == number) & (frames.planned == NO_FLOW)).any() for frames in frames_of.values()):
            taps = [tap for tap in frames_of if (number, tap) in unlisted]
            candidates.append(_of_unknown_backend(recording, number, group, next_id, taps))
            next_id += group.unknown_backend is None
    return tuple(candidates)


def _ports(frames_of: Mapping[Tap, FlowFrames], planned: int) -> tuple[int, ...]:
    """Server ports of a planned flow's frames, the most frequent first."""
    columns = [frames.server_port[frames.planned == planned] for frames in frames_of.values()]
    values, counts = np.unique(np.concatenate(columns), return_counts=True)
    return tuple(values[np.argsort(-counts, kind="stable")].tolist())


def _paths(recording: Recording, flow: Flow) -> tuple[Path, ...]:
    paths = [path for path in recording.paths if path.flow == flow.id]
    return tuple(sorted(paths, key=lambda path: path.direction is Direction.REPLY))


def _with_port(recording: Recording, group: int, planned: int, port: int, flow_id: int) -> Candidate:
    flow = recording.flows[planned]
    server = replace(flow.server, port=port) if flow.server else None
    paths = tuple(replace(path, flow=flow_id) for path in _paths(recording, flow))
    return Candidate(flow=replace(flow, id=flow_id, server=server), paths=paths, group=group, planned=planned, port=port)


def _of_unknown_backend(recording: Recording, number: int, group: FlowGroup, next_id: int, taps: Sequence[Tap]) -> Candidate:
    """The flow of packets that nothing names a backend for: its path is what the paths to all backends share.

    taps: those that saw some of them go to an unlisted backend, which the path follows over the client's node.
    """
    flows = [recording.flows[backend.planned] for backend in group.backends]
    if group.unknown_backend is not None:
        flow = recording.flows[group.unknown_backend]
        planned_paths = _paths(recording, flow)
        if planned_paths or not flows:
            return Candidate(flow=flow, paths=planned_paths, group=number, planned=NO_FLOW)
    else:
        servers = tuple(flow.server for flow in flows if flow.server)
        flow = replace(flows[0], id=next_id, server=None, candidates=servers)
    paths: list[Path] = []
    next_taps: tuple[Tap, ...] = ()
    for direction in Direction:
        to_backends = [path for planned in flows for path in recording.paths if path.flow == planned.id and path.direction is direction]
        if to_backends:
            hops, parting = _shared_hops([path.hops for path in to_backends], direction, taps)
            paths.append(Path(flow=flow.id, direction=direction, hops=hops, basis=to_backends[0].basis))
            own = tuple(path.hops[-1].tap for path in to_backends if path.hops and _returns(recording, path))
            next_taps = tuple(dict.fromkeys((*parting, *own))) if direction is Direction.REQUEST else next_taps
    return Candidate(flow=flow, paths=tuple(paths), group=number, planned=NO_FLOW, next_taps=next_taps)


def _returns(recording: Recording, path: Path) -> bool:
    """Whether a path leads back to the client itself: the tap at which packets would arrive is the one that saw them leave."""
    flow = next(flow for flow in recording.flows if flow.id == path.flow)
    return flow.server is not None and flow.server.address == flow.client.address


def _shared_hops(paths: Sequence[tuple[Hop, ...]], direction: Direction, taps: Sequence[Tap]) -> tuple[tuple[Hop, ...], tuple[Tap, ...]]:
    """The client's end that all paths share, numbered from 1 in their direction, and the taps where they part."""
    from_client = [hops if direction is Direction.REQUEST else hops[::-1] for hops in paths]
    on_client_node = [_on_first_node(hops) for hops in from_client]
    followed = [sum(hop.tap in taps for hop in hops[1:]) for hops in on_client_node]
    if any(followed):
        is_most = [count == max(followed) for count in followed]
        on_client_node, from_client = (
            [hops for hops, most in zip(some, is_most, strict=True) if most] for some in (on_client_node, from_client)
        )
    compared = on_client_node if any(followed) else from_client
    length = 0
    while all(len(hops) > length for hops in compared) and len({(hops[length].tap, hops[length].role) for hops in compared}) == 1:
        length += 1
    shared = from_client[0][:length]
    ordered = shared if direction is Direction.REQUEST else shared[::-1]
    parting = dict.fromkeys(hops[length].tap for hops in from_client if len(hops) > length)
    return tuple(replace(hop, hop=number) for number, hop in enumerate(ordered, 1)), tuple(parting)


def _on_first_node(hops: tuple[Hop, ...]) -> tuple[Hop, ...]:
    """The beginning of a path that lies on its first node."""
    return tuple(takewhile(lambda hop: hop.tap.node == hops[0].tap.node, hops))
