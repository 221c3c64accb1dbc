"""Distinct rows of several columns, numbered in the order of their first appearance."""

import numpy as np
from numpy.typing import NDArray

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
_LEAST_SLOTS = 1 << 16

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
        left, hashed = left[~same], _again(hashed[~same])
    else:
        owner[left] = _sorted_owner(key, left)
    first = owner == np.arange(rows)
    number = np.cumsum(first, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(first), number[owner].astype(np.int32)


def _hash(key: Key, rows: int) -> U64:
    """A hash of each row's key. A column of zeros, as the upper halves of IPv4 addresses are, adds nothing and costs little."""
    hashed = np.zeros(rows, np.uint64)
    for column, odd in zip(key, _ODD, strict=False):
        if column.any():
            hashed += (column ^ (column >> _HALF)) * np.uint64(odd)
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
    """Numbers keys that come in portions; the final numbers are known when all have come.

    A key that came before is found in a table of `_slots` by its hash, in one of two places. The table forgets: a key that is not found
    there is entered again under another provisional number, and `finish` makes the two one.
    """

    def __init__(self, width: int) -> None:
        self._columns = [np.empty(_LEAST_SLOTS // 4, np.uint64) for _ in range(width)]
        self._filled = [False] * width  # the upper halves of IPv4 addresses are all 0, and need no look
        self._count = 0
        self._slots = np.zeros(_LEAST_SLOTS, np.int32)

    def add(self, key: Key) -> I32:
        """Provisional numbers of a portion's keys."""
        hashed = _hash(key, len(key[0]))
        if not self._count:
            return self._enter(key, hashed)
        # An empty slot names key 0, which is then the right answer or another key.
        found: I32 = self._slots[self._slot(hashed)]
        left = np.flatnonzero(self._differs(key, found))
        if not len(left):
            return found
        key, hashed = tuple(column[left] for column in key), hashed[left]
        second = self._slots[self._slot(_again(hashed))]
        new = self._differs(key, second)
        if new.any():
            second[new] = self._enter(tuple(column[new] for column in key), hashed[new])
        found[left] = second
        return found

    def finish(self) -> tuple[Key, I32]:
        """All distinct keys, and the final number for each provisional one (with -1 behind the last, so that -1 stays -1)."""
        whole = tuple(column[: self._count] for column in self._columns)
        first, number = distinct(whole)
        return tuple(column[first] for column in whole), np.append(number, np.int32(-1))

    def _slot(self, hashed: U64) -> I64:
        slot: I64 = (hashed >> np.uint64(65 - len(self._slots).bit_length())).astype(np.int64)
        return slot

    def _differs(self, key: Key, found: I32) -> NDArray[np.bool_]:
        """Where the entered key of number `found` is not this one."""
        differs = np.zeros(len(found), np.bool_)
        place = found.astype(np.intp)  # once, not again for each column
        for column, filled, values in zip(self._columns, self._filled, key, strict=True):
            if filled:
                differs |= column.take(place) != values
            elif values.any():
                differs |= values != 0
        return differs

    def _enter(self, key: Key, hashed: U64) -> I32:
        """Provisional numbers of keys that were not found."""
        first, number = distinct(key)
        begin, self._count = self._count, self._count + len(first)
        while 4 * self._count > len(self._slots):
            self._grow(begin)
        for place, (column, values) in enumerate(zip(self._columns, key, strict=True)):
            column[begin : self._count] = entered = values[first]
            self._filled[place] |= bool(entered.any())
        self._place(hashed[first], np.arange(begin, self._count, dtype=np.int32))
        return number + np.int32(begin)

    def _place(self, hashed: U64, numbers: I32) -> None:
        """Put keys into their first slots, or into the second where the first is taken."""
        slot = self._slot(hashed)
        taken = self._slots[slot] != 0
        slot[taken] = self._slot(_again(hashed[taken]))
        self._slots[slot] = numbers

    def _grow(self, used: int) -> None:
        """Four times the room for keys and slots; the `used` keys that there are get new slots."""
        self._slots = np.zeros(4 * len(self._slots), np.int32)
        for place, column in enumerate(self._columns):
            self._columns[place] = np.empty(4 * len(column), np.uint64)
            self._columns[place][:used] = column[:used]
        self._place(_hash(tuple(column[:used] for column in self._columns), used), np.arange(used, dtype=np.int32))


def _again(hashed: U64) -> U64:
    second: U64 = hashed * _SPREAD + np.uint64(1)
    return second
