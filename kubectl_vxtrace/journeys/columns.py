"""Rows of several columns as single numbers, exactly: no hash, so that hostile packets cannot be made to look equal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U64


def pack(high: NDArray[Any], middle: NDArray[Any], low: NDArray[Any]) -> U64:
    """16, 16 and 32 bits in one number."""
    packed = (high.astype(np.uint64) << np.uint64(48)) | (middle.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return np.asarray(packed, dtype=np.uint64)


def number_rows(columns: Sequence[NDArray[Any]]) -> I64:
    """A number for each row of equally long columns, the same exactly for equal rows, from 0 without gaps. O(n log n)."""
    numbers = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, inverse = np.unique(column, return_inverse=True)
        joined = numbers * max(len(values), 1) + inverse
        numbers = np.unique(joined, return_inverse=True)[1].astype(np.int64)
    return numbers


def look_up(keys: NDArray[Any], wanted: NDArray[Any]) -> I64:
    """The place of the first equal key for each wanted one, -1 for none."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    place = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return np.where(ordered[place] == wanted, order[place], -1).astype(np.int64)


def distinct(values: I64) -> I64:
    """The different values, ascending: by sorting, which for these is faster than the hash table of numpy.unique."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def within(counts: I64) -> I64:
    """0..count-1 for each count, one after the other."""
    total = int(counts.sum())
    return np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
