"""Which packets are counted: those whose first sighting lies in the common window."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.window import Window
from kubectl_vxtrace.journeys.judgement import LATE_ENDS_ONE_IN, STOP_STAGGER_NS
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Tap


def frames_in_window(window: Window | None, tap: Tap, table: PacketTable) -> int:
    """How many frames of a tap lie in the common window."""
    return int(np.count_nonzero(in_window(window, tap.node, table.time_ns)))


def in_window(window: Window | None, node: str, times_ns: I64) -> NDArray[np.bool_]:
    """Which times of a node lie in the common window."""
    if window is None or node not in window.start_ns:
        return np.zeros(len(times_ns), dtype=np.bool_)
    return np.asarray((times_ns >= window.start_ns[node]) & (times_ns <= window.end_ns[node]))


def counted(trajectories: Trajectories, window: Window | None, steady: Sequence[bool]) -> NDArray[np.bool_]:
    """Whether each packet's first sighting lies in the common window, and the next hop's file had not ended before it came there.

    steady: for each hop whether its clock was not set. Of a packet that was first seen by one that was, a later sighting decides, where
    there is one by a steady clock: what a clock was set by is not known, so that hardly anything is surely in the window by it.
    """
    inside, late = np.zeros(len(trajectories), dtype=np.bool_), np.zeros(len(trajectories), dtype=np.bool_)
    told_by = _telling_hops(trajectories, steady)
    for index, hop in enumerate(trajectories.frames.path.hops):
        told = told_by == index
        inside[told] = in_window(window, hop.tap.node, _times_ns(trajectories, index, told))
        begun = trajectories.first == index
        late[begun] = _after_last_frame(window, trajectories, index, begun)
    late &= inside
    # More than a few are no accident of the end, but a loss that began late.
    return inside & ~late if late.sum() * LATE_ENDS_ONE_IN <= inside.sum() else inside


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


def _after_last_frame(window: Window | None, trajectories: Trajectories, first: int, begun: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Packets of the very end that a hop did not see whose file holds nothing later; only for files of others."""
    hops = trajectories.frames.path.hops
    node = hops[first].tap.node
    times_ns = trajectories.time_ns[begun]
    late = np.zeros(len(times_ns), dtype=np.bool_)
    if window is None or node not in window.last_ns:
        return late
    seen = trajectories.seen[begun]
    for index in range(first + 1, len(hops)):
        last_ns = window.last_ns[node].get(hops[index].tap)
        if last_ns is not None:
            ended = times_ns > max(last_ns, window.end_ns[node] - STOP_STAGGER_NS)
            late |= ended & seen[:, index - 1] & ~seen[:, index]
    return late
