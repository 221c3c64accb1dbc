"""Where the records of a capture file begin, without a Python step for each record.

A record's place is known only from the one before. Many segments of the data are therefore walked at once, each from a place that looks
like a record; a segment counts only if the walk from before arrives exactly there. Where it does not, single steps go on until
they meet a walked record again: the step from a place depends on nothing but the bytes there, so two walks that meet stay together.
The result is that of the plain walk for every input.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U8, U32

IMPOSSIBLE = 1 << 62
"""What a step answers where no record can be."""

SEGMENT_BYTES = 16 << 10
_FEWEST_LANES = 8
_CANDIDATES = 16
_CONFIRM = 4
_LOOKS = (256, 1024)
"""How far to look for a record's beginning before looking as far as the longest record reaches."""


class Format(Protocol):
    """How one kind of file chains its records. Offsets are indexes into the data."""

    header_bytes: int

    def step(self, data: U8, at: I64) -> I64:
        """The offsets behind the records at `at`, or IMPOSSIBLE; `header_bytes` can be read at each."""
        ...

    def step_one(self, data: memoryview, at: int) -> int:
        """The same for one record."""
        ...

    def look(self, words: U32) -> NDArray[np.bool_]:
        """Whether the first four bytes (in the file's byte order) may begin a record."""
        ...

    def plausible(self, data: U8, at: I64) -> NDArray[np.bool_]:
        """Whether a record may begin at `at`; a guess that is verified later."""
        ...

    @property
    def word(self) -> str:
        """The dtype of four bytes in the file's byte order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Whole records in order. `end` is the offset behind the last one; `stuck` says that no record can be there."""

    offsets: I64
    end: int
    stuck: bool


def words(data: U8, dtype: str) -> NDArray[np.void]:
    """A view that has at index i the bytes from i on, as `dtype`. Valid where so many bytes follow."""
    size = np.dtype(dtype).itemsize
    view: NDArray[np.void] = np.ndarray((max(len(data) - size + 1, 0),), dtype, data, 0, (1,))
    return view


def walk(data: U8, size: int, start: int, form: Format, segment_bytes: int = SEGMENT_BYTES) -> Chain:
    """All whole records of `data[:size]` from `start`; `data` is longer than `size` by at least the header."""
    starts = _starts(data, size, start, form, segment_bytes)
    lanes = _walk_lanes(data, size, starts, form)
    if np.array_equal(lanes.end[:-1], starts[1:]):
        parts, at = [np.sort(lanes.offsets)], int(lanes.end[-1])
    else:
        parts, at = _mend(data, size, form, lanes)
    tail, at, _ = _step_on(data.data, size, at, size, [], form)
    stuck = at + form.header_bytes <= size and form.step_one(data.data, at) == IMPOSSIBLE
    return Chain(np.concatenate([*parts, np.array(tail, np.int64)]), at, stuck)


@dataclass(frozen=True, slots=True, eq=False)
class _Lanes:
    """What the lock-step found: the record offsets with the lane of each, and where each lane ended."""

    starts: I64
    end: I64
    offsets: I64
    lane: I64


def _walk_lanes(data: U8, size: int, starts: I64, form: Format) -> _Lanes:
    """Walk from all starts at once, each until the next start, until it cannot go on, or until too few lanes are left to be worth it."""
    last = size - form.header_bytes + 1
    stops = np.minimum(np.append(starts[1:], last), last)
    end = starts.copy()
    lanes = np.flatnonzero(starts < stops)
    at, stop = starts[lanes], stops[lanes]
    found: list[I64] = [np.empty(0, np.int64)]
    owner: list[I64] = [np.empty(0, np.int64)]
    # A few stragglers may take as many steps again as all took together; beyond that single steps are cheaper.
    together = alone = 0
    while len(lanes) >= _FEWEST_LANES or (len(lanes) and alone < together):
        if len(lanes) >= _FEWEST_LANES:
            together += 1
        else:
            alone += 1
        behind = form.step(data, at)
        whole = behind <= size
        if not whole.all():
            end[lanes[~whole]] = at[~whole]
            lanes, at, stop, behind = lanes[whole], at[whole], stop[whole], behind[whole]
        found.append(at)
        owner.append(lanes)
        going = behind < stop
        if going.all():
            at = behind
        else:
            end[lanes[~going]] = behind[~going]
            lanes, at, stop = lanes[going], behind[going], stop[going]
    end[lanes] = at
    return _Lanes(starts, end, np.concatenate(found), np.concatenate(owner))


def _mend(data: U8, size: int, form: Format, lanes: _Lanes) -> tuple[list[I64], int]:
    """Join lanes that do not join by themselves: single steps until they meet the lane's walk, then along it."""
    order = np.argsort(lanes.lane, kind="stable")
    offsets = lanes.offsets[order]
    bounds = np.searchsorted(lanes.lane[order], np.arange(len(lanes.starts) + 1))
    nexts = [*lanes.starts[1:].tolist(), size]
    at = int(lanes.starts[0])
    parts: list[I64] = []
    for (first, last), bound, end in zip(pairwise(bounds.tolist()), nexts, lanes.end.tolist(), strict=True):
        if at >= bound:
            continue
        chain = offsets[first:last]
        single, at, met = _step_on(data.data, size, at, bound, chain.tolist(), form)
        parts.append(np.array(single, np.int64))
        if met >= 0:
            parts.append(chain[met:])
            single, at, _ = _step_on(data.data, size, end, bound, [], form)
            parts.append(np.array(single, np.int64))
        if at < bound:
            break
    return parts, at


def _step_on(data: memoryview, size: int, at: int, bound: int, chain: list[int], form: Format) -> tuple[list[int], int, int]:
    """Single steps from `at` to `bound`, until one is on `chain` (its place there; -1 if none) or impossible: the steps, where they end."""
    steps: list[int] = []
    place = 0
    while at < bound and at + form.header_bytes <= size:
        while place < len(chain) and chain[place] < at:
            place += 1
        if place < len(chain) and chain[place] == at:
            return steps, at, place
        behind = form.step_one(data, at)
        if behind > size:
            break
        steps.append(at)
        at = behind
    return steps, at, -1


def _starts(data: U8, size: int, start: int, form: Format, segment_bytes: int) -> I64:
    """`start` and, about every `segment_bytes`, a place that looks like a record."""
    first = np.array([start], np.int64)
    count = (size - start) // segment_bytes - 1
    if count < _FEWEST_LANES:
        return first
    span = _span(data, size, start, form, segment_bytes)
    left = start + segment_bytes * np.arange(1, count + 1)
    found = [first]
    # Most segments have a record near their beginning; only the others are worth a look at all of the span.
    for least, most in pairwise((0, *(part for part in _LOOKS if part < span), span)):
        at, lane = _likely(data, size, left + least, most - least, form)
        found.append(at)
        left = np.delete(left, lane)
    return np.sort(np.concatenate(found))


def _likely(data: U8, size: int, begin: I64, span: int, form: Format) -> tuple[I64, I64]:
    """The first place that looks like a record within `span` of each of `begin`, and which of `begin` have one."""
    if not len(begin):
        return begin, begin
    heads: U32 = np.lib.stride_tricks.sliding_window_view(words(data, form.word), span)[begin].view(form.word)
    lane, shift = np.nonzero(form.look(heads))
    rank = np.arange(len(lane)) - np.searchsorted(lane, lane)
    lane, shift = lane[rank < _CANDIDATES], shift[rank < _CANDIDATES]
    at = begin[lane] + shift
    likely = _confirm(data, size, at, form)
    lane, at = lane[likely], at[likely]
    lane, chosen = np.unique(lane, return_index=True)
    return at[chosen], lane


def _span(data: U8, size: int, start: int, form: Format, segment_bytes: int) -> int:
    """How far to look for a record: four times the longest of the first few, within reason."""
    view, at, longest = data.data, start, 0
    for _ in range(32):
        behind = form.step_one(view, at) if at + form.header_bytes <= size else IMPOSSIBLE
        if behind > size:
            break
        longest, at = max(longest, behind - at), behind
    return min(max(4 * longest, 256), 4096, segment_bytes)


def _confirm(data: U8, size: int, at: I64, form: Format) -> NDArray[np.bool_]:
    """Whether a few plausible records follow one another from `at`."""
    good = np.ones(len(at), np.bool_)
    for _ in range(_CONFIRM):
        good &= at + form.header_bytes <= size
        place = np.where(good, at, 0)
        good &= form.plausible(data, place)
        at = np.where(good, form.step(data, place), place)
    return good
