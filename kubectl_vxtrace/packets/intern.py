"""Distinct rows of several columns, numbered in the order of their first appearance."""

import numpy as np

from kubectl_vxtrace.model.packets import I32, I64, U64

_ROUNDS = 6
_ODD = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x27D4EB2F165667C5,
    0xD6E8FEB86659FD93,
    0xFF51AFD7ED558CCD,
    0xC4CEB9FE1A85EC53,
)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)

Key = tuple[U64, ...]


def distinct(key: Key) -> tuple[I64, I32]:
    """The first row of each distinct key, ascending, and for each row the number of its key.

    Rows are thrown into a table by hash; all whose key is that of the row found there are done, the rest are thrown again.
    Keys are compared whole, so equal hashes cost time, never truth; what is left after a few rounds is sorted.
    """
    rows = len(key[0])
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    # A column that is the same everywhere tells nothing apart: the upper halves of IPv4 addresses are all 0.
    key = tuple(column for column in key if (column != column[0]).any())
    hashed = _hash(key, rows)
    owner = np.empty(rows, np.int32)
    left = np.arange(rows, dtype=np.int32)
    bits = max(int(2 * rows).bit_length(), 4)
    table = np.empty(1 << bits, np.int32)
    for _ in range(_ROUNDS):
        slot = (hashed >> np.uint64(64 - bits)).astype(np.int64)
        # Of several values written to one place the last one stays; backwards that is the first row.
        table[slot[::-1]] = left[::-1]
        found = table[slot]
        same = np.ones(len(left), np.bool_)
        for column in key:
            same &= column[found] == (column if len(left) == rows else column[left])
        if same.all():
            owner[left] = found
            break
        owner[left[same]] = found[same]
        left, hashed = left[~same], hashed[~same] * _SPREAD + np.uint64(1)
    else:
        owner[left] = _sorted_owner(key, left)
    first = owner == np.arange(rows)
    number = np.cumsum(first, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(first), number[owner].astype(np.int32)


def _hash(key: Key, rows: int) -> U64:
    hashed = np.zeros(rows, np.uint64)
    for column, odd in zip(key, _ODD, strict=False):
        hashed = (hashed ^ column) * np.uint64(odd)
        hashed ^= hashed >> _HALF
    return hashed * _SPREAD


def _sorted_owner(key: Key, left: I32) -> I32:
    """The first row with the same key, for each row of `left`, by sorting."""
    keys: list[U64] = [left.astype(np.uint64), *(column[left] for column in key)]
    order = np.lexsort(keys)
    ordered = left[order]
    new = np.ones(len(left), np.bool_)
    new[1:] = False
    for column in key:
        values = column[ordered]
        new[1:] |= values[1:] != values[:-1]
    owner = np.empty_like(left)
    owner[order] = ordered[np.flatnonzero(new)][np.cumsum(new) - 1]
    return owner


class Interner:
    """Numbers keys that come in portions; the final numbers are known when all have come."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._keys: list[Key] = []
        self._count = 0

    def add(self, key: Key) -> I32:
        """Provisional numbers of a portion's keys."""
        first, number = distinct(key)
        provisional = number + np.int32(self._count)
        self._keys.append(tuple(column[first] for column in key))
        self._count += len(first)
        return provisional

    def finish(self) -> tuple[Key, I32]:
        """All distinct keys, and the final number for each provisional one (with -1 behind the last, so that -1 stays -1)."""
        empty = np.empty(0, np.uint64)
        whole = tuple(np.concatenate([empty, *(key[column] for key in self._keys)]) for column in range(self._width))
        first, number = distinct(whole)
        return tuple(column[first] for column in whole), np.append(number, np.int32(-1))
