"""The same packet at every hop: through address translation, encapsulation, segmentation offload and clocks that differ.

In come a recording (flows and their paths, what was captured, facts of the nodes) and the packet table of each tap; out comes a `Case`: the
counted journeys of each path, what each hop saw, what each leg did. Pure: no file, clock or client.

    with_foreign_sources   before: flows of clients that send with an address that is not theirs (attribute/foreign_sources)
    witness/     which taps can testify that a packet did not pass
    attribute/   whose the frames are: conversations, translations, backends, flows
    unpack/      from frames to packets on the wire: fragments, TCP segments, datagrams
    clock/       what can be said of the nodes' clocks, and when all captures ran
    match/       the same packet at one hop after the other; duplicates
    judge/       delivered, lost, rejected or undetermined; counts of hops and legs
    shown        after: which packets a report lists (judge/selection)

    same_packet  which header fields survive what, and so what makes two frames the same packet
    judgement    thresholds that no standard gives, with how often each is wrong
    records      what the steps hand on to each other
    columns      rows as numbers

Imports go down only: judge, match, then the first four beside each other, then the ground floor.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from kubectl_vxtrace.journeys.attribute import attribute_frames
from kubectl_vxtrace.journeys.attribute.bare_replies import with_bare_replies
from kubectl_vxtrace.journeys.attribute.direct_flows import with_direct_flows
from kubectl_vxtrace.journeys.attribute.foreign_sources import with_foreign_sources
from kubectl_vxtrace.journeys.clock import common_window, related_clocks
from kubectl_vxtrace.journeys.clock.window import Window
from kubectl_vxtrace.journeys.judge import judge_flow
from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.judge.counted import ended_before_others, frames_in_window
from kubectl_vxtrace.journeys.judge.next_hops import asked_in_vain
from kubectl_vxtrace.journeys.judge.rejections import quoted_requests
from kubectl_vxtrace.journeys.judge.selection import every, shown
from kubectl_vxtrace.journeys.match import match_packets
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import CandidatePath, Hook, Testimony
from kubectl_vxtrace.journeys.unpack import unpack_path
from kubectl_vxtrace.journeys.witness import testimonies
from kubectl_vxtrace.journeys.witness.doubled import doubled_taps
from kubectl_vxtrace.journeys.witness.programs import passage_of, taking_programs
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.recording import Recording

__all__ = ["every", "follow", "shown", "with_foreign_sources"]

MOST_THREADS = 2
"""Each needs memory for its path."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def follow(recording: Recording, tables: dict[Tap, PacketTable]) -> Case:
    """The packets of the recording's flows over all hops of their paths, in both directions.

    Only packets whose first sighting lies in the common window are counted. Flows of which no packet was seen in it are left out; what a
    client asked of a Service's backends directly makes flows of its own, and so does what one that sends nothing asks its next hop.
    """
    recording = with_bare_replies(with_direct_flows(recording, tables), tables)
    doubled = doubled_taps(tables, recording.paths)
    witnesses = testimonies(recording, tables, doubled.undecided)
    attributed = attribute_frames(recording, tables, witnesses, doubled.keep)
    recording = attributed.recording
    candidate_paths = [(candidate, path) for candidate in attributed.candidates for path in candidate.paths]
    paths = in_threads(lambda candidate_path: unpack_path(*candidate_path, attributed.frames, tables, recording), candidate_paths)
    attributed.frames.clear()  # the frames of each path stand in `paths`
    clocks = related_clocks(recording, paths, tables)
    window = common_window(recording, tables, clocks, paths, attributed.taps)
    context = Context(
        recording=recording,
        tables=tables,
        testimonies=_without(witnesses, window.over if window is not None else frozenset()),
        clocks=clocks,
        window=window,
        frames_in_window=_frames_in(window, tables),
        memberships=attributed.memberships,
        quoted=quoted_requests(tables, attributed.memberships, clocks, recording.overlay),
        undecided=attributed.undecided,
        programs=taking_programs(recording),
        entered=_entered(paths),
    )
    paths_of = [[path for path in paths if path.candidate is candidate] for candidate in attributed.candidates]
    judged = _judged(context, paths_of)
    seen = [traced for traced in judged if _was_seen(traced)]
    sending = {traced[0].flow.client.address for traced in seen}
    ids = {flow.id for flow in (*recording.flows, *(candidate.flow for candidate in attributed.candidates))}
    resolving = tuple(asked_in_vain(context, sending, max(ids, default=0) + 1))
    listed = {traced[0].flow.id for traced in seen}
    return Case(
        recording=recording,
        tables=tables,
        paths=(*(path for traced in seen for path in _with_client_port(traced)), *resolving),
        clocks=clocks.bounds(),
        connections={traced[0].flow.id: len(_client_ports(traced)) for traced in seen},
        rewritten_ports=tuple(rewriting for rewriting in attributed.rewritten_ports if rewriting.flow in listed),
    )


def _without(witnesses: Mapping[Tap, Testimony], over: Set[Tap]) -> dict[Tap, Testimony]:
    """What taps are worth, where some of their files show nothing of the common window."""
    reason = "its file ends before those of others begin"
    return {
        tap: replace(testimony, witness=False, reason=reason) if tap in over and testimony.witness else testimony
        for tap, testimony in witnesses.items()
    }


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What `work` makes of each item, in order; numpy lets other threads run while it is busy with large columns.

    An exception of any of them is raised.
    """
    waiting = list(items)
    threads = min(os.cpu_count() or 1, MOST_THREADS, len(waiting))
    if threads < 2:
        return [work(item) for item in waiting]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(work, waiting))


def _entered(paths: Sequence[CandidatePath]) -> frozenset[tuple[Tap, Hook]]:
    """Taps at which frames of any path were seen, with the way by which these passed them."""
    return frozenset(
        (hop.tap, passage_of(path.frames.path.hops, index))
        for path in paths
        for index, (hop, frames) in enumerate(zip(path.frames.path.hops, path.frames.hops, strict=True))
        if len(frames)
    )


def _frames_in(window: Window | None, tables: Mapping[Tap, PacketTable]) -> dict[Tap, int]:
    return {tap: frames_in_window(window, tap, table) for tap, table in tables.items()}


def _judged(context: Context, paths_of: Sequence[Sequence[CandidatePath]]) -> list[list[TracedPath]]:
    """The paths of each flow.

    Captures of little more than a second leave nothing of it before the margin at its end. That margin is for what may be under way when
    the first capture stops: where nothing is missing until then, all arrived, and all of it is counted.
    """
    judged = _judged_in_window(context, paths_of)
    if context.window is None or _journeys_of(judged):
        return judged
    window = context.window.to_first_stop()
    longer = replace(context, window=window, frames_in_window=_frames_in(window, context.tables))
    whole = _judged_in_window(longer, paths_of)
    return whole if _journeys_of(whole) and _nothing_is_missing(whole) else judged


def _journeys_of(judged: Sequence[Sequence[TracedPath]]) -> list[TracedPath]:
    return [path for traced in judged for path in traced if len(path.journeys)]


def _nothing_is_missing(judged: Sequence[Sequence[TracedPath]]) -> bool:
    """Whether every packet arrived, and every flow with requests has replies."""
    return all(
        {path.path.direction for path in _journeys_of([traced])} in (set(), set(Direction))
        and all((path.journeys.outcome == OutcomeCode.DELIVERED).all() for path in traced)
        for traced in judged
    )


def _judged_in_window(context: Context, paths_of: Sequence[Sequence[CandidatePath]]) -> list[list[TracedPath]]:
    if context.window is None or not context.window.last_ns:
        return in_threads(lambda paths: judge_flow(context, paths, _matched(context, paths)), paths_of)
    # Files of others do not say when they end: what any flow shows of that counts for all.
    matched = in_threads(lambda paths: _matched(context, paths), paths_of)
    ended = ended_before_others([packets for of_flow in matched for packets in of_flow], context.window)
    return in_threads(lambda flow: judge_flow(context, *flow, ended), zip(paths_of, matched, strict=True))


def _matched(context: Context, paths: Sequence[CandidatePath]) -> list[Trajectories]:
    """The packets of the paths of one flow."""
    witness = [[context.testimony_of(hop.tap).witness for hop in path.frames.path.hops] for path in paths]
    return [match_packets(path.frames, context.clocks, of_hops) for path, of_hops in zip(paths, witness, strict=True)]


def _was_seen(traced: Sequence[TracedPath]) -> bool:
    """Whether any packet of a flow was counted, or stood at no hop of its paths."""
    return any(len(path.journeys) or not all(hop.expected for hop in path.hops) for path in traced)


def _client_ports(traced: Sequence[TracedPath]) -> tuple[int, ...]:
    return tuple(np.unique(np.concatenate([path.journeys.client_port for path in traced])).tolist())


def _with_client_port(traced: Sequence[TracedPath]) -> list[TracedPath]:
    """The paths of one flow with the client's port in it, if there was only one; pings have identifiers."""
    flow, ports = traced[0].flow, _client_ports(traced)
    port = ports[0] if len(ports) == 1 and flow.protocol != "ICMP" else None
    return [replace(path, flow=replace(flow, client=replace(flow.client, port=port))) for path in traced]
