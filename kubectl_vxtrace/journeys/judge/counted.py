"""Which packets are counted: those whose first sighting lies in the common window."""

from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.clock.window import Window
from kubectl_vxtrace.journeys.judge.exchanges import last_times
from kubectl_vxtrace.journeys.judgement import LATE_ENDS_ONE_IN, STOP_STAGGER_NS, WINDOW_MARGIN_NS
from kubectl_vxtrace.journeys.match.trajectories import Trajectories, reference_times
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Path, Tap


def frames_in_window(window: Window | None, tap: Tap, table: PacketTable) -> int:
    """How many frames of a tap lie in the common window."""
    return int(np.count_nonzero(in_window(window, tap.node, table.time_ns)))


def in_window(window: Window | None, node: str, times_ns: I64, under_way_ns: int = 0) -> NDArray[np.bool_]:
    """Which times of a node lie in the common window, less `under_way_ns` at its end."""
    if window is None or node not in window.start_ns:
        return np.zeros(len(times_ns), dtype=np.bool_)
    return np.asarray((times_ns >= window.start_ns[node]) & (times_ns <= window.end_ns[node] - under_way_ns))


def under_way(window: Window | None, packets: Trajectories, clocks: Clocks) -> int:
    """How much earlier than the window's end a path's packets must have left to have arrived before the captures stopped, beyond the
    margin that the window has (ns).

    That is twice the longest that one took: of two clocks only the middle is known, and one way may be as long as both. At most a third
    of the window.
    """
    if window is None or window.last_ns or not len(packets):
        return 0
    arrived = packets.seen[:, 0] & packets.seen[:, -1]
    if not arrived.any():
        return 0
    took_ns = (last_times(packets, clocks) - reference_times(packets, clocks))[arrived].max()
    lasts_ns = min(end - window.start_ns[node] for node, end in window.end_ns.items())
    return int(np.clip(2 * took_ns - WINDOW_MARGIN_NS, 0, max(lasts_ns // 3, 0)))


def ended_before_others(matched: Sequence[Trajectories], window: Window | None) -> frozenset[Tap]:
    """The taps whose files had provably ended while others ran on: packets that passed them unseen came later than their last frame.

    Only for files of others, and of taps that saw any packet. matched: all paths of all flows; what a request shows of a file also holds
    for replies.
    """
    ended: set[Tap] = set()
    telling = {
        hop.tap for packets in matched for hop, frames in zip(packets.frames.path.hops, packets.frames.hops, strict=True) if len(frames)
    }
    for packets in matched:
        hops = packets.frames.path.hops
        behind = np.logical_or.accumulate(packets.seen[:, ::-1], axis=1)[:, ::-1]
        for index, hop in enumerate(hops[:-1]):
            passed_unseen = behind[:, index + 1] & ~packets.seen[:, index]
            if hop.tap in telling and after_last_frame(window, packets, hop.tap)[passed_unseen].any():
                ended.add(hop.tap)
    return frozenset(ended)


def after_last_frame(window: Window | None, packets: Trajectories, tap: Tap) -> NDArray[np.bool_]:
    """Whether each packet was first seen after the last frame of a tap's file; nowhere where that says nothing."""
    after = np.zeros(len(packets), dtype=np.bool_)
    for index, hop in enumerate(packets.frames.path.hops):
        last_ns = window.last_ns.get(hop.tap.node, {}).get(tap) if window is not None else None
        if last_ns is not None:
            begun = packets.first == index
            after[begun] = packets.time_ns[begun] > last_ns
    return after


def counted(
    trajectories: Trajectories, window: Window | None, steady: Sequence[bool], ended: Set[Tap] = frozenset(), under_way_ns: int = 0
) -> NDArray[np.bool_]:
    """Whether each packet's first sighting lies in the common window, and the next hop's file had not ended before it came there.

    ended: taps whose files had (see ended_before_others): of what vanishes there after their last frame nothing is known.
    under_way_ns: see `under_way`.
    steady: for each hop whether its clock was not set. Of a packet that was first seen by one that was, a later sighting decides, where
    there is one by a steady clock: what a clock was set by is not known, so that hardly anything is surely in the window by it.
    """
    inside, late = np.zeros(len(trajectories), dtype=np.bool_), np.zeros(len(trajectories), dtype=np.bool_)
    told_by = _telling_hops(trajectories, steady)
    for index, hop in enumerate(trajectories.frames.path.hops):
        told = told_by == index
        inside[told] = in_window(window, hop.tap.node, _times_ns(trajectories, index, told), under_way_ns)
        begun = trajectories.first == index
        late[begun] = _late_at_end(window, trajectories, index, begun)
    for before, index in _captured_legs(window, trajectories.frames.path):
        tap = trajectories.frames.path.hops[index].tap
        if tap in ended:
            vanished = trajectories.seen[:, before] & ~trajectories.seen[:, before + 1 :].any(axis=1)
            inside &= ~(vanished & after_last_frame(window, trajectories, tap))
    late &= inside
    # More than a few are no accident of the end, but a loss that began late.
    return inside & ~late if late.sum() <= max(1, inside.sum() // LATE_ENDS_ONE_IN) else inside


def _telling_hops(trajectories: Trajectories, steady: Sequence[bool]) -> I32:
    """The first hop with a steady clock that saw each packet; of others the first that did."""
    if all(steady):
        return trajectories.first
    by_steady = trajectories.seen & np.asarray(steady, dtype=np.bool_)
    return np.where(by_steady.any(axis=1), by_steady.argmax(axis=1), trajectories.first).astype(np.int32)


def _times_ns(trajectories: Trajectories, hop: int, which: NDArray[np.bool_]) -> I64:
    """When packets were seen at a hop, in its node's clock."""
    times_ns = trajectories.time_ns[which]
    later = trajectories.first[which] != hop
    if later.any():
        frames = trajectories.frames.hops[hop]
        times_ns = np.where(later, frames.table.time_ns[frames.row[trajectories.frame[which, hop]]], times_ns)
    return times_ns


def _late_at_end(window: Window | None, trajectories: Trajectories, first: int, begun: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Packets of the very end that a hop did not see whose file holds nothing later; only for files of others."""
    hops = trajectories.frames.path.hops
    node = hops[first].tap.node
    times_ns = trajectories.time_ns[begun]
    late = np.zeros(len(times_ns), dtype=np.bool_)
    if window is None or node not in window.last_ns:
        return late
    seen = trajectories.seen[begun]
    for before, index in _captured_legs(window, trajectories.frames.path):
        if before >= first:
            ended = times_ns > max(window.last_ns[node][hops[index].tap], window.end_ns[node] - STOP_STAGGER_NS)
            late |= ended & seen[:, before] & ~seen[:, index]
    return late


def _captured_legs(window: Window | None, path: Path) -> Iterator[tuple[int, int]]:
    """The hops of which there are files, each with the one before it; none where the captures themselves say when they ran."""
    last_ns = window.last_ns if window is not None else {}
    captured = [index for index, hop in enumerate(path.hops) if hop.tap in last_ns.get(hop.tap.node, {})]
    return pairwise(captured)
