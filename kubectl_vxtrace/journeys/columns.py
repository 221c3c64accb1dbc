"""Rows of several columns as single numbers, exactly: hashes only sort, so that hostile packets cannot be made to look equal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, I64, U64

_HALF = np.uint64(32)
_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, as in Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4)."""


def pack(high: NDArray[Any], middle: NDArray[Any], low: NDArray[Any]) -> U64:
    """16, 16 and 32 bits in one number."""
    packed = (high.astype(np.uint64) << np.uint64(48)) | (middle.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return np.asarray(packed, dtype=np.uint64)


def number_rows(columns: Sequence[NDArray[Any]]) -> I32:
    """A number for each row of equally long columns, the same exactly for equal rows; all are less than twice the count of rows.

    Rows are sorted by a hash, the row's index in its lower bits: numpy sorts plain numbers several times faster than it finds their
    order. Neighbours are then compared; rows whose hashes clash are numbered by sorting them, so that no sender can make two look equal.
    """
    rows = len(columns[0])
    columns = [column for column in columns if (column != column[:1]).any()]  # what is the same in all rows tells none apart
    if not columns:
        return np.zeros(rows, dtype=np.int32)
    bits = np.uint64((1 << rows.bit_length()) - 1)
    hashed = _hash(columns)
    hashed &= ~bits
    hashed |= np.arange(rows, dtype=np.uint64)
    hashed.sort()
    order = (hashed & bits).view(np.int64)
    hashed &= ~bits
    new = hashed[1:] != hashed[:-1]
    clash = np.zeros(len(new), dtype=np.bool_)
    for column in columns:
        ordered = column[order]
        clash |= ordered[1:] != ordered[:-1]
    clash &= ~new
    group = np.concatenate([np.zeros(min(rows, 1), np.int32), np.cumsum(new, dtype=np.int32)])
    if clash.any():
        mixed = np.zeros(int(group[-1]) + 1, dtype=np.bool_)
        mixed[group[1:][clash]] = True
        apart = np.flatnonzero(mixed[group])
        group[apart] = group[-1] + 1 + _number_by_sorting([column[order[apart]] for column in columns])
    numbers = np.empty(rows, dtype=np.int32)
    numbers[order] = group
    return numbers


def _hash(columns: Sequence[NDArray[Any]]) -> U64:
    """64 bits for each row, the high ones the best mixed. Negative numbers wrap round."""
    hashed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        hashed ^= column.astype(np.uint64, copy=False)
        hashed *= _ODD
        hashed ^= hashed >> _HALF
    hashed *= _ODD
    return hashed


def _number_by_sorting(columns: Sequence[NDArray[Any]]) -> I32:
    order = np.lexsort(columns)
    new = np.zeros(len(order), dtype=np.bool_)
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    numbers = np.empty(len(order), dtype=np.int32)
    numbers[order] = np.cumsum(new, dtype=np.int32)
    return numbers


def look_up(keys: NDArray[Any], wanted: NDArray[Any]) -> I64:
    """The place of the first equal key for each wanted one, -1 for none."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    index = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return np.where(ordered[index] == wanted, order[index], -1).astype(np.int64)


def nearest(keys: NDArray[Any], times_ns: I64, wanted: NDArray[Any], at_ns: I64) -> I64:
    """The place of the equal key that is nearest in time to each wanted one, -1 where there is none."""
    chosen = np.full(len(wanted), -1, dtype=np.int64)
    if not len(keys) or not len(wanted):
        return chosen
    count, never = len(keys), np.iinfo(np.int64).max
    order = np.lexsort((np.concatenate([times_ns, at_ns]), np.concatenate([keys, wanted])))
    index, is_key = np.arange(len(order)), order < count
    before = np.maximum.accumulate(np.where(is_key, index, -1))
    after = np.minimum.accumulate(np.where(is_key, index, len(order))[::-1])[::-1]
    asked = order[~is_key] - count
    least_ns = np.full(len(wanted), never, dtype=np.int64)
    for side in (before[~is_key], after[~is_key]):
        key = np.where((side >= 0) & (side < len(order)), order[np.clip(side, 0, len(order) - 1)], 0)
        fits = (side >= 0) & (side < len(order)) & (keys[key] == wanted[asked])
        away_ns = np.where(fits, np.abs(times_ns[key] - at_ns[asked]), never)
        nearer = away_ns < least_ns[asked]
        chosen[asked[nearer]], least_ns[asked[nearer]] = key[nearer], away_ns[nearer]
    return chosen


def distinct(values: I64) -> I64:
    """The different values, ascending: by sorting, which for these is faster than the hash table of numpy.unique."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def within(counts: I64) -> I64:
    """0..count-1 for each count, one after the other."""
    total = int(counts.sum())
    return np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
