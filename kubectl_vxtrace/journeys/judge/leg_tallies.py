"""What became of packets between neighbouring witnesses, and how long that took."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.model.journeys import VANISHED, JourneyTable, OutcomeCode
from kubectl_vxtrace.model.packets import I32, I64
from kubectl_vxtrace.model.report import Latency, LegTally


def leg_tallies(
    trajectories: Trajectories, journeys: JourneyTable, passed: I32, witness: Sequence[bool], clocks: Clocks
) -> tuple[LegTally, ...]:
    """What became of packets between neighbouring witnesses; blind hops lie inside a leg. `passed`: how many hops each provably passed."""
    witnesses = [index for index, is_witness in enumerate(witness) if is_witness]
    seen, vanished = trajectories.seen, _vanished(journeys)
    # seen there or later, or known to have come there
    later = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1] | (np.arange(seen.shape[1]) < passed[:, None])
    tallies = []
    for start, end in pairwise(witnesses):
        sent = seen[:, start]
        arrived = sent & later[:, end]
        lost = vanished & (journeys.lost_from == start + 1) & (journeys.lost_to == end + 1)
        unknown = sent & ~arrived & ~lost
        tallies.append(
            LegTally(
                from_=start + 1,
                to=end + 1,
                sent=int(trajectories.weight[sent].sum()),
                arrived=int(trajectories.weight[arrived].sum()),
                lost=int(trajectories.weight[lost].sum()),
                undetermined=int(trajectories.weight[unknown].sum()),
                latency_ns=latency(trajectories, start, end, clocks),
            )
        )
    return tuple(tallies)


def open_leg(trajectories: Trajectories, journeys: JourneyTable) -> tuple[LegTally, ...]:
    """The leg behind the last hop of a path of which only the beginning is known, if packets vanished there."""
    return tuple(
        LegTally(from_=length, to=None, sent=sent, arrived=0, lost=lost, undetermined=sent - lost)
        for length, sent, lost in _behind_last(trajectories, journeys, _vanished(journeys))
    )


def leg_into_node(trajectories: Trajectories, journeys: JourneyTable) -> tuple[LegTally, ...]:
    """The leg from the last hop of a whole path into its node, if packets died in there; what the server itself rejected did not."""
    died = np.isin(journeys.outcome, (OutcomeCode.LOST, OutcomeCode.DROPPED))
    return tuple(
        LegTally(from_=length, to=None, sent=sent, arrived=sent - lost, lost=lost, undetermined=0)
        for length, sent, lost in _behind_last(trajectories, journeys, died)
    )


def _behind_last(trajectories: Trajectories, journeys: JourneyTable, lost: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """The last hop, the packets seen there and those of them that were lost behind it, if there are any."""
    length = trajectories.frame.shape[1]
    behind = lost & (journeys.lost_from == length) & (journeys.lost_to == 0)
    if length and behind.any():
        yield length, int(trajectories.weight[trajectories.seen[:, -1]].sum()), int(trajectories.weight[behind].sum())


def _vanished(journeys: JourneyTable) -> NDArray[np.bool_]:
    return np.isin(journeys.outcome, VANISHED)


def latency(trajectories: Trajectories, start: int, end: int, clocks: Clocks) -> Latency | None:
    """How long packets took between two hops: exact on one node; across nodes with half the width of the clocks' bounds, where it is
    widest, as uncertainty.

    None where nothing bounds the clocks, a clock stepped, nothing was seen at both, or the median would be finer than the
    uncertainty.
    """
    hops = trajectories.frames.path.hops
    nodes = hops[start].tap.node, hops[end].tap.node
    both = trajectories.seen[:, start] & trajectories.seen[:, end]
    before = _times(trajectories, start, both)
    bounds = clocks.over(nodes[1], nodes[0], before)
    if not both.any() or bounds is None:
        return None
    low, high = bounds
    delays = (_times(trajectories, end, both) - before).astype(np.float64) - (low + high) / 2
    uncertainty = int(np.ceil((high - low).max() / 2))
    least, median, most = (max(int(value), 0) for value in (delays.min(), np.median(delays), delays.max()))
    if median < uncertainty:
        return None
    return Latency(min=least, median=median, max=most, uncertainty=uncertainty)


def _times(trajectories: Trajectories, hop: int, which: NDArray[np.bool_]) -> I64:
    frames = trajectories.frames.hops[hop]
    rows: NDArray[np.int32] = frames.row[trajectories.frame[which, hop]]
    return np.asarray(frames.table.time_ns[rows], dtype=np.int64)
