"""Hops behind a program that may have taken packets: no witnesses for those that are missing there, unless it is known what became of them.

A hop behind a program that saw all that came to it stays a witness, and nothing is said: a healthy network of such programs is seen whole.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import Hook, TakingProgram
from kubectl_vxtrace.journeys.witness.programs import hops_behind, passage_of
from kubectl_vxtrace.model.kernel_drops import fitting_drops
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import BEFORE_TAP


def doubts_of(
    context: Context, hops: Sequence[Hop], packets: Trajectories, passed: I32, is_counted: NDArray[np.bool_], witness: Sequence[bool]
) -> tuple[str | None, ...]:
    """For each of `hops` why it cannot testify for packets of the path that are missing there, None where nothing speaks against it.

    Args:
        context: the trace.
        hops: of the path; where only its beginning is known, also one that may come next.
        packets: of the path.
        passed: how many hops each has provably passed, seen there or not.
        is_counted: which packets count.
        witness: whether each hop is a witness by itself.
    """
    reasons: list[str | None] = [None] * len(hops)
    last = np.full(len(packets), -1, dtype=np.int32)
    for index in range(packets.frame.shape[1]):
        last[packets.frame[:, index] >= 0] = index
    last = np.maximum(last, passed - 1)
    for program in context.programs:
        behind = hops_behind(program, hops)
        if not behind:
            continue
        sure = max((index for index in range(behind.start) if witness[index]), default=-1)
        # What was seen behind the program has passed it.
        missing = is_counted & (last >= sure) & (last < behind.start)
        if not missing.any() or (program.hook is not Hook.XDP and _is_accounted(context, program, packets, np.flatnonzero(missing), last)):
            continue
        for index in behind:
            entered = program.unless_entered and (hops[index].tap, passage_of(hops, index)) in context.entered
            if reasons[index] is None and not entered:
                reasons[index] = f"{program.text} {BEFORE_TAP}"
    return tuple(reasons)


def _is_accounted(context: Context, program: TakingProgram, packets: Trajectories, missing: NDArray[np.intp], last: I32) -> bool:
    """Whether it is known what became of what is missing behind the program: its own counter, or the kernel's word, says it was dropped.

    Between NIC and VXLAN device it does not matter who dropped it: it has not gone past the device's tap.
    """
    path_hops = packets.frames.path.hops
    places = [index for index in np.unique(last[missing]).tolist() if index >= 0]
    if not places or {path_hops[index].tap.node for index in places} != {program.node}:
        return False
    seen_ns = np.sort(np.concatenate([_seen_last(packets, missing[last[missing] == index], index) for index in places]))
    if program.dropped is not None and program.dropped >= len(seen_ns):
        return True
    in_udp = any(path_hops[index].role is Role.UNDERLAY for index in places)
    drops = (drop for drop in context.recording.kernel_drops if drop.node == program.node and (in_udp or drop.reason.startswith("TC_")))
    return bool(fitting_drops(drops, seen_ns, context.recording.duration_s))


def _seen_last(packets: Trajectories, which: NDArray[np.intp], hop: int) -> NDArray[np.int64]:
    """When the frames of packets were seen at a hop; one that holds several is dropped as one."""
    frames = packets.frames.hops[hop]
    frame = np.unique(packets.frame[which, hop])
    return np.asarray(frames.table.time_ns[frames.row[frame[frame >= 0]]], dtype=np.int64)
