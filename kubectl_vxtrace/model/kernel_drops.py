"""Drops that a kernel named beside packets that were seen last shortly before: which can be theirs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.facts import KernelDrop


def drops_beside(seen_ns: NDArray[np.int64], drops: Sequence[KernelDrop], slack_ns: int, within_ns: int) -> tuple[int, int]:
    """How many of the packets have a drop right behind their last sighting, each drop taken once, and how many of `drops` lie there at all.

    seen_ns: the last sightings, sorted, by the clock of the drops' node. slack_ns: how unsure the times are beside each other.
    within_ns: so long after a sighting a drop may come.
    """
    times = np.sort(np.array([drop.time_ns for drop in drops], dtype=np.int64))
    lows = np.searchsorted(times, seen_ns - slack_ns, side="left")
    highs = np.searchsorted(times, seen_ns + within_ns + slack_ns, side="right")
    inside = np.zeros(len(times) + 1, dtype=np.int64)
    np.add.at(inside, lows, 1)
    np.add.at(inside, highs, -1)
    own = int(np.count_nonzero(np.cumsum(inside)[:-1]))
    return min(int(np.count_nonzero(highs > lows)), own), own
