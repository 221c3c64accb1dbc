"""Which packets are counted: those whose first sighting lies in the common window."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.window import Window
from kubectl_vxtrace.journeys.judgement import LATE_ENDS_ONE_IN, STOP_STAGGER_NS
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.model.packets import I64, PacketTable
from kubectl_vxtrace.model.path import Tap


def frames_in_window(window: Window | None, tap: Tap, table: PacketTable) -> int:
    """How many frames of a tap lie in the common window."""
    return int(np.count_nonzero(in_window(window, tap.node, table.time_ns)))


def in_window(window: Window | None, node: str, times_ns: I64) -> NDArray[np.bool_]:
    """Which times of a node lie in the common window."""
    if window is None or node not in window.start_ns:
        return np.zeros(len(times_ns), dtype=np.bool_)
    return np.asarray((times_ns >= window.start_ns[node]) & (times_ns <= window.end_ns[node]))


def counted(trajectories: Trajectories, window: Window | None) -> NDArray[np.bool_]:
    """Whether each packet's first sighting lies in the common window, and the next hop's file had not ended before it came there."""
    inside, late = np.zeros(len(trajectories), dtype=np.bool_), np.zeros(len(trajectories), dtype=np.bool_)
    for index, hop in enumerate(trajectories.frames.path.hops):
        begun = trajectories.first == index
        inside[begun] = in_window(window, hop.tap.node, trajectories.time_ns[begun])
        late[begun] = _after_last_frame(window, trajectories, index, begun)
    late &= inside
    # More than a few are no accident of the end, but a loss that began late.
    return inside & ~late if late.sum() * LATE_ENDS_ONE_IN <= inside.sum() else inside


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
