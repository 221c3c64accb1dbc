"""Which drops that a kernel named can be of packets that were seen last shortly before."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.facts import KernelDrop

DROP_WITHIN_NS = 10_000_000
"""A drop that the kernel names is of a packet that was seen last so much before, at most.

False: 2e-2 a packet beside two unrelated drops of the same kind a second (derived); a path needs nine of ten.
Missed: 1 a packet that waits longer before it is dropped (derived); what tc drops never waits.
"""
DROP_SHARE = 0.9
"""So many of the packets that a kernel dropped for one reason, at one place, have a drop of that kind right after they were last seen.

False: 0 a path of more than ten packets without drops of that kind (derived).
Missed: 0 a path while the kernel's log loses less than a tenth of its events (derived).
"""
MAX_DROP_CHANCE = 0.002
"""Drops of one kind are those of the packets that they fit if so many would fit by chance less often than this.

False: 2e-3 a path whose node drops others' packets for the same reason at the same place (derived).
Missed: 1 a path of which one packet is missing where three others are dropped so in 15 s (derived); none of those with three.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingDrops:
    """Drops of one kind (`reason`, `location`) that `packets` packets have within `within_ns` of their last sighting."""

    reason: str
    location: str
    packets: int
    within_ns: int


def fitting_drops(
    drops: Iterable[KernelDrop], seen_ns: NDArray[np.int64], duration_s: float, *, unsure_ns: int = 0
) -> tuple[FittingDrops, ...]:
    """The kinds of drops that nearly all of the packets have right after they were last seen, and that would hardly fit by chance.

    Args:
        drops: of one node.
        seen_ns: the last sightings, sorted, by that node's clock.
        duration_s: of the captures in which the drops came.
        unsure_ns: how unsure the sightings are by that clock.
    """
    kinds: dict[tuple[str, str], list[KernelDrop]] = {}
    for drop in drops:
        kinds.setdefault((drop.reason, drop.location), []).append(drop)
    fits = (_fit(kind, seen_ns, duration_s, unsure_ns) for kind in kinds.values())
    return tuple(fit for fit in fits if fit is not None)


def _fit(drops: Sequence[KernelDrop], seen_ns: NDArray[np.int64], duration_s: float, unsure_ns: int) -> FittingDrops | None:
    slack_ns = max(drop.uncertainty_ns for drop in drops) + unsure_ns
    packets, own = _drops_beside(seen_ns, drops, slack_ns)
    if packets < math.ceil(DROP_SHARE * len(seen_ns)):
        return None
    if _by_chance(duration_s, len(seen_ns), packets, len(drops) - own, DROP_WITHIN_NS + 2 * slack_ns) > MAX_DROP_CHANCE:
        return None
    return FittingDrops(reason=drops[0].reason, location=drops[0].location, packets=packets, within_ns=DROP_WITHIN_NS + slack_ns)


def _drops_beside(seen_ns: NDArray[np.int64], drops: Sequence[KernelDrop], slack_ns: int) -> tuple[int, int]:
    """How many of the packets have a drop right behind their last sighting, each drop taken once; and how many of `drops` lie there."""
    times = np.sort(np.array([drop.time_ns for drop in drops], dtype=np.int64))
    lows = np.searchsorted(times, seen_ns - slack_ns, side="left")
    highs = np.searchsorted(times, seen_ns + DROP_WITHIN_NS + slack_ns, side="right")
    inside = np.zeros(len(times) + 1, dtype=np.int64)
    np.add.at(inside, lows, 1)
    np.add.at(inside, highs, -1)
    own = int(np.count_nonzero(np.cumsum(inside)[:-1]))
    return min(int(np.count_nonzero(highs > lows)), own), own


def _by_chance(duration_s: float, lost: int, packets: int, others: int, window_ns: int) -> float:
    """How probable it is that `packets` of `lost` windows hold one of drops that come as often as the `others`, which lie in none.

    duration_s: of the captures in which these came.
    """
    elsewhere_ns = max(duration_s * 1e9 - lost * window_ns, window_ns)
    one = 1.0 - math.exp(-(others + 0.5) / elsewhere_ns * window_ns)
    ways = math.lgamma(lost + 1) - math.lgamma(packets + 1) - math.lgamma(lost - packets + 1)
    return math.exp(min(ways + packets * math.log(one), 0.0))
