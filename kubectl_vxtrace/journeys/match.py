"""The same unit at one hop after the other: sorting and joining, never a loop over packets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.units import Units
from kubectl_vxtrace.model.packets import I32, I64

SAME_CLOCK_SLACK_NS = 1_000
"""Taps of one node may stamp in us and in ns; what is cut off may make a packet seem earlier at the later one."""
STRAY_NS = 20_000
"""Where each copy has a counterpart, only an arrival that is earlier than its departure by more than the clocks of a machine's processors
can differ (a few microseconds) is another packet's: one whose departure came before the capture began, say. A fast retransmission follows
after a round trip, which takes longer."""
MERGED_NS = 10_000_000
"""The same of what receive offload merged: the frame bears the time of one of its segments; between 20 and 200 us were measured between
that and when the others passed the tap before. The kernel flushes within a poll, or gro_flush_timeout (net/core/gro.c)."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(slots=True)
class _Open:
    """Journeys so far: for each its key, base, the last hop that saw it and when, and its unit at every hop (-1: unseen)."""

    key: I32
    base: I32
    last: I32
    time_ns: I64
    unit: I32


Least = Callable[[int, int, I64], I64 | None]
"""Of two hops, the earlier one first, and times at the later one."""


def follow_units(hops: Sequence[Units], least_ns: Least, steady: Sequence[bool], by_base: bool) -> I32:
    """The journeys of one path: shape (n, hops), each entry the index of the unit at that hop, -1 where it was not seen.

    Args:
        hops: the units at each hop, in the path's order.
        least_ns: the least that a clock reading at the later hop minus one at the earlier can be for the same packet (the lower bound of
            the offset of the one's clock from the other's), None where nothing bounds it.
        steady: for each hop whether its clock was not stepped. One that was says, on its own node, in which order copies passed, but what
            arrived before its departure and is nobody else's may have been under way at the step.
        by_base: whether units may also be joined without their IP ID (TCP: offloads renumber segments).

    k copies of a key at one hop and m at the next are joined in time order, no copy to an arrival before its departure, as many as
    possible. A unit that a hop missed is joined to the hop before it.
    """
    count = len(hops)
    none = np.zeros(0, dtype=np.int32)
    state = _Open(key=none, base=none, last=none, time_ns=np.zeros(0, np.int64), unit=np.zeros((0, count), np.int32))
    for hop, units in enumerate(hops):
        _extend(state, hop, units, least_ns, steady[hop], by_base)
    return state.unit


def _extend(state: _Open, hop: int, units: Units, least_ns: Least, steady: bool, by_base: bool) -> None:
    """Joins the units of one hop to the journeys so far; those of earlier hops last; what is left begins journeys of its own."""
    free = np.ones(len(units), dtype=np.bool_)
    names = ("key", "base") if by_base else ("key",)
    merged = np.bincount(units.frame)[units.frame] > 1 if len(units) else free
    for strays, name in product((True,) if steady else (True, False), names):
        for earlier in range(hop - 1, -1, -1):
            arrivals = np.flatnonzero(free)
            departures = np.flatnonzero(state.last == earlier)
            if not len(arrivals) or not len(departures):
                continue
            keys = getattr(state, name)[departures], getattr(units, name)[arrivals]
            arrived_ns = units.time_ns[arrivals]
            least = least_ns(earlier, hop, arrived_ns)
            times = None if least is None else (state.time_ns[departures], arrived_ns - least + SAME_CLOCK_SLACK_NS)
            stray_ns = np.where(merged[arrivals], MERGED_NS, STRAY_NS) if strays else None
            left, right = pair(*keys, times, stray_ns)
            _advance(state, hop, departures[left], arrivals[right], units)
            free[arrivals[right]] = False
    new = np.flatnonzero(free)
    if not len(new):
        return
    rows = np.full((state.unit.shape[1], len(new)), -1, dtype=np.int32).T  # whole hops together in memory
    rows[:, hop] = new
    state.unit = np.concatenate([state.unit, rows])
    state.key = np.concatenate([state.key, units.key[new]])
    state.base = np.concatenate([state.base, units.base[new]])
    state.last = np.concatenate([state.last, np.full(len(new), hop, dtype=np.int32)])
    state.time_ns = np.concatenate([state.time_ns, units.time_ns[new]])


def _advance(state: _Open, hop: int, journeys: NDArray[np.intp], arrived: NDArray[np.intp], units: Units) -> None:
    state.unit[journeys, hop] = arrived
    state.last[journeys] = hop
    state.time_ns[journeys] = units.time_ns[arrived]


def pair(left: I32, right: I32, times_ns: tuple[I64, I64] | None, stray_ns: I64 | None = None) -> Pairs:
    """Joins equal keys one to one: indices into `left` (departures) and `right` (arrivals), equally long.

    Keys are numbers from 0 without large gaps.

    Where both sides have as many of a key they are joined in time order, unless that puts an arrival far before its departure. Else as
    many as can be, in order, none to an arrival before its departure: with fewer arrivals each to the last departure that is possible,
    with more each departure to the first arrival.
    `stray_ns`: for each arrival what counts as far; None if nothing does. Without times (clocks that nothing relates) the last ones count
    as those that arrived.
    """
    ones, others = _singles(left, right)
    if times_ns is not None and stray_ns is not None:
        apart = times_ns[1][ones[1]] - times_ns[0][ones[0]] < -stray_ns[ones[1]]
        if apart.any():
            ones = ones[0][~apart], ones[1][~apart]
    if not len(others[0]) or not len(others[1]):
        return ones
    times = None if times_ns is None else (times_ns[0][others[0]], times_ns[1][others[1]])
    few = _pair_sorted(left[others[0]], right[others[1]], times, None if stray_ns is None else stray_ns[others[1]])
    return np.concatenate([ones[0], others[0][few[0]]]), np.concatenate([ones[1], others[1][few[1]]])


def _singles(left: I32, right: I32) -> tuple[Pairs, Pairs]:
    """Pairs of keys that both sides have once; and the indices of the rows of other keys that both sides have."""
    size = max(int(left.max(initial=-1)), int(right.max(initial=-1))) + 1
    counts = np.bincount(left, minlength=size), np.bincount(right, minlength=size)
    single = (counts[0] == 1) & (counts[1] == 1)
    place = np.zeros(size, dtype=np.int32)
    place[left] = np.arange(len(left), dtype=np.int32)
    arrived = np.flatnonzero(single[right])
    several = (counts[0] > 0) & (counts[1] > 0) & ~single
    rest = (np.flatnonzero(several[left]), np.flatnonzero(several[right])) if several.any() else (arrived[:0], arrived[:0])
    return (place[right[arrived]].astype(np.intp), arrived), rest


def _pair_sorted(left: I32, right: I32, times_ns: tuple[I64, I64] | None, stray_ns: I64 | None) -> Pairs:
    """`pair` for any keys."""
    order = tuple(
        np.lexsort((np.zeros(len(keys)) if times_ns is None else times_ns[side], keys)) for side, keys in enumerate((left, right))
    )
    left_keys, right_keys = left[order[0]], right[order[1]]
    keys, departures, arrivals = _counts(left_keys, right_keys)
    equal = departures == arrivals
    far_ns = None if stray_ns is None else stray_ns[order[1]]
    astray = np.isin(keys, _astray(left_keys, right_keys, keys[equal], _times(times_ns, order), far_ns))
    results = [_ordinal(left_keys, right_keys, keys[equal & ~astray])]
    for mask, swap in (((arrivals < departures) | astray, False), (arrivals > departures, True)):
        if mask.any():
            results.append(_causal(left_keys, right_keys, keys[mask], _times(times_ns, order), swap))
    lefts, rights = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return order[0][lefts], order[1][rights]


Times = tuple[I64, I64] | None


def _times(times_ns: Times, order: tuple[NDArray[np.intp], ...]) -> Times:
    return None if times_ns is None else (times_ns[0][order[0]], times_ns[1][order[1]])


def _counts(left: I32, right: I32) -> tuple[I32, I64, I64]:
    """Keys that both sides have, and how many of each; both sorted."""
    left_values, left_counts = _runs(left)
    right_values, right_counts = _runs(right)
    keys, at_left, at_right = np.intersect1d(left_values, right_values, assume_unique=True, return_indices=True)
    return keys, left_counts[at_left], right_counts[at_right]


def _runs(ordered: I32) -> tuple[I32, I64]:
    """The different ones of sorted values, and how many of each."""
    begin = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    return ordered[begin], np.diff(np.append(begin, len(ordered)))


def _members(values: I32, keys: I32) -> NDArray[np.intp]:
    """Indices of the sorted values that are among the sorted keys."""
    if not len(keys):
        return np.zeros(0, dtype=np.intp)
    place = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.flatnonzero(keys[place] == values)


def _ordinal(left: I32, right: I32, keys: I32) -> Pairs:
    return _members(left, keys), _members(right, keys)


def _astray(left: I32, right: I32, keys: I32, times_ns: Times, stray_ns: I64 | None) -> I32:
    """Those of the keys, which both sides have as often, where time order puts an arrival far before its departure."""
    if times_ns is None or stray_ns is None:
        return keys[:0]
    ours, theirs = _ordinal(left, right, keys)
    return left[ours[times_ns[1][theirs] - times_ns[0][ours] < -stray_ns[theirs]]]


def _causal(left: I32, right: I32, keys: I32, times_ns: Times, swap: bool) -> Pairs:
    """Joins in order under "no arrival before its departure", for keys with fewer arrivals than departures, or more (`swap`).

    More arrivals are the same problem with time turned round: what departs is then the arrival, at minus its time.
    """
    ours, theirs = _members(left, keys), _members(right, keys)
    times = None if times_ns is None else (times_ns[0][ours], times_ns[1][theirs])
    if not swap:
        chosen, mask = _latest(left[ours], right[theirs], times)
        return ours[chosen[mask]], theirs[mask]
    turned = (slice(None, None, -1),) * 2
    backwards = None if times is None else (-times[1][::-1], -times[0][::-1])
    chosen, mask = _latest(-right[theirs][turned[0]], -left[ours][turned[1]], backwards)
    flipped_theirs, flipped_ours = theirs[::-1], ours[::-1]
    return flipped_ours[mask], flipped_theirs[chosen[mask]]


def _latest(left: I32, right: I32, times_ns: Times) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For each arrival (sorted by key, time) the last possible departure (sorted likewise), in order; and which have one.

    With hi[j] the last departure that is possible for arrival j, the answer from the last arrival backwards is
    b[j] = min(b[j + 1] - 1, hi[j]), so b[j] - j is the running minimum of hi - j, restarted for each key.
    """
    start = np.searchsorted(left, right, side="left")
    if times_ns is None:
        high = np.searchsorted(left, right, side="right") - 1
    else:
        merged_keys, merged_times = np.concatenate([left, right]), np.concatenate(times_ns)
        arrives = np.concatenate([np.zeros(len(left), np.int8), np.ones(len(right), np.int8)])
        order = np.lexsort((arrives, merged_times, merged_keys))
        departed = np.cumsum(1 - arrives[order], dtype=np.int64) - 1
        high = departed[arrives[order] == 1]
    group = np.concatenate([[0], np.cumsum(np.diff(right) != 0)]) if len(right) else np.zeros(0, np.int64)
    index = np.arange(len(right))
    step = np.int64(len(left) + len(right) + 2)
    running = np.minimum.accumulate((high - index + group * 2 * step)[::-1])[::-1]
    chosen = running - group * 2 * step + index
    return np.where(chosen >= start, chosen, 0).astype(np.intp), chosen >= start
