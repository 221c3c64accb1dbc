"""Equal keys of two sides joined one to one, in time order and never an arrival to a later departure."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


def pair(left: I32, right: I32, times_ns: tuple[I64, I64] | None, early_ns: I64 | None = None) -> Pairs:
    """Joins equal keys one to one: indices into `left` (departures) and `right` (arrivals), equally long.

    Keys are numbers from 0 without large gaps.

    Where both sides have as many of a key they are joined in time order, unless that puts an arrival far before its departure. Else as
    many as can be, in order, none to an arrival before its departure: with fewer arrivals each to the last departure that is possible,
    with more each departure to the first arrival.
    `early_ns`: for each arrival what counts as far; None if nothing does. Without times (clocks that nothing relates) the last ones count
    as those that arrived.
    """
    singles, rest = _singles(left, right)
    if times_ns is not None and early_ns is not None:
        apart = times_ns[1][singles[1]] - times_ns[0][singles[0]] < -early_ns[singles[1]]
        if apart.any():
            singles = singles[0][~apart], singles[1][~apart]
    if not len(rest[0]) or not len(rest[1]):
        return singles
    rest_ns = None if times_ns is None else (times_ns[0][rest[0]], times_ns[1][rest[1]])
    pairs = _pair_sorted(left[rest[0]], right[rest[1]], rest_ns, None if early_ns is None else early_ns[rest[1]])
    return np.concatenate([singles[0], rest[0][pairs[0]]]), np.concatenate([singles[1], rest[1][pairs[1]]])


def _singles(left: I32, right: I32) -> tuple[Pairs, Pairs]:
    """Pairs of keys that both sides have once; and the indices of the rows of other keys that both sides have."""
    size = max(int(left.max(initial=-1)), int(right.max(initial=-1))) + 1
    counts = np.bincount(left, minlength=size), np.bincount(right, minlength=size)
    single = (counts[0] == 1) & (counts[1] == 1)
    index = np.zeros(size, dtype=np.int32)
    index[left] = np.arange(len(left), dtype=np.int32)
    arrived = np.flatnonzero(single[right])
    several = (counts[0] > 0) & (counts[1] > 0) & ~single
    rest = (np.flatnonzero(several[left]), np.flatnonzero(several[right])) if several.any() else (arrived[:0], arrived[:0])
    return (index[right[arrived]].astype(np.intp), arrived), rest


def _pair_sorted(left: I32, right: I32, times_ns: tuple[I64, I64] | None, early_ns: I64 | None) -> Pairs:
    """`pair` for any keys."""
    order = tuple(
        np.lexsort((np.zeros(len(keys)) if times_ns is None else times_ns[side], keys)) for side, keys in enumerate((left, right))
    )
    left_keys, right_keys = left[order[0]], right[order[1]]
    keys, departures, arrivals = _counts(left_keys, right_keys)
    equal = departures == arrivals
    far_ns = None if early_ns is None else early_ns[order[1]]
    too_early = np.isin(keys, _too_early(left_keys, right_keys, keys[equal], _times(times_ns, order), far_ns))
    results = [_ordinal(left_keys, right_keys, keys[equal & ~too_early])]
    for mask, swap in (((arrivals < departures) | too_early, False), (arrivals > departures, True)):
        if mask.any():
            results.append(_causal(left_keys, right_keys, keys[mask], _times(times_ns, order), swap))
    lefts, rights = (np.concatenate(sides) for sides in zip(*results, strict=True))
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
    index = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.flatnonzero(keys[index] == values)


def _ordinal(left: I32, right: I32, keys: I32) -> Pairs:
    return _members(left, keys), _members(right, keys)


def _too_early(left: I32, right: I32, keys: I32, times_ns: Times, early_ns: I64 | None) -> I32:
    """Those of the keys, which both sides have as often, where time order puts an arrival far before its departure."""
    if times_ns is None or early_ns is None:
        return keys[:0]
    departed, arrived = _ordinal(left, right, keys)
    return left[departed[times_ns[1][arrived] - times_ns[0][departed] < -early_ns[arrived]]]


def _causal(left: I32, right: I32, keys: I32, times_ns: Times, swap: bool) -> Pairs:
    """Joins in order under "no arrival before its departure", for keys with fewer arrivals than departures, or more (`swap`).

    More arrivals are the same problem with time turned round: what departs is then the arrival, at minus its time.
    """
    departed, arrived = _members(left, keys), _members(right, keys)
    times = None if times_ns is None else (times_ns[0][departed], times_ns[1][arrived])
    if not swap:
        chosen, mask = _latest(left[departed], right[arrived], times)
        return departed[chosen[mask]], arrived[mask]
    backwards = None if times is None else (-times[1][::-1], -times[0][::-1])
    chosen, mask = _latest(-right[arrived][::-1], -left[departed][::-1], backwards)
    flipped_arrived, flipped_departed = arrived[::-1], departed[::-1]
    return flipped_departed[mask], flipped_arrived[chosen[mask]]


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
