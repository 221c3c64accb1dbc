"""Where a clock can be that is bounded at some times only and drifts between them: bounds over time.

A bound that holds at one time holds at any other less what a clock can drift meanwhile: with f the delay of a packet that left at s,
offset(t) <= f + DRIFT * |t - s|, and likewise from below. The drift bounds are what all bounds leave. Where they leave nothing the
clock was stepped; each part between steps has drift bounds of its own. (Paxson, "On calibrating measurements of packet transit times",
SIGMETRICS 1998, finds steps as we do, from what forward and reverse delays leave.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judgement import CLOCK_STEP_NS, MOST_CLOCK_STEPS
from kubectl_vxtrace.model.packets import I64

F64 = NDArray[np.float64]

DRIFT_PPM = 500
"""The fastest that the kernel slews a clock (adjtimex(2)): what may lie between two clocks over some time without a step."""
BIN_NS = 10_000_000
"""Bounds are kept one for so much time, the tightest: a clock drifts 5 us meanwhile."""
MOST_BINS = 4096
"""Of longer captures in so many parts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffsetBounds:
    """Bounds of one clock minus another, in ns, each with the time it holds at, on the other clock; in any order."""

    low_at_ns: I64
    low_ns: I64
    high_at_ns: I64
    high_ns: I64

    def with_(self, other: "OffsetBounds") -> "OffsetBounds":
        """Both."""
        return OffsetBounds(**{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in OffsetBounds.__slots__})


_NONE = np.zeros(0, dtype=np.int64)
NOTHING = OffsetBounds(low_at_ns=_NONE, low_ns=_NONE, high_at_ns=_NONE, high_ns=_NONE)


def above(at_ns: I64, high_ns: I64) -> OffsetBounds:
    """Bounds from above only."""
    return OffsetBounds(low_at_ns=_NONE, low_ns=_NONE, high_at_ns=at_ns, high_ns=high_ns)


def below(at_ns: I64, low_ns: I64) -> OffsetBounds:
    """Bounds from below only."""
    return OffsetBounds(low_at_ns=at_ns, low_ns=low_ns, high_at_ns=_NONE, high_ns=_NONE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftBounds:
    """Of a time without a step. At the times `at_ns` (ascending, from `zero_ns` on) the clock is between `low_ns` and `high_ns`, which are
    infinite where nothing bounds it."""

    zero_ns: int
    at_ns: F64
    low_ns: F64
    high_ns: F64

    def over(self, times_ns: I64) -> tuple[F64, F64]:
        """Bounds at these times."""
        at = (times_ns - self.zero_ns).astype(np.float64)
        after = np.searchsorted(self.at_ns, at).clip(0, len(self.at_ns) - 1)
        before = np.maximum(after - 1, 0)
        gaps = [np.abs(at - self.at_ns[side]) * (DRIFT_PPM / 1e6) for side in (before, after)]
        low = np.maximum(self.low_ns[before] - gaps[0], self.low_ns[after] - gaps[1])
        high = np.minimum(self.high_ns[before] + gaps[0], self.high_ns[after] + gaps[1])
        return np.minimum(low, high), np.maximum(low, high)

    def extremes(self) -> tuple[float, float]:
        """The least and the most that the clock can be at any time from the first to the last of `at_ns`."""
        drift = np.diff(self.at_ns) * (DRIFT_PPM / 1e6)
        dips = (self.low_ns[1:] + self.low_ns[:-1] - drift) / 2
        peaks = (self.high_ns[1:] + self.high_ns[:-1] + drift) / 2
        return float(np.append(dips, self.low_ns).min()), float(np.append(peaks, self.high_ns).max())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClockHistory:
    """All drift bounds of a clock, in order of time: one if it was not stepped.

    A step shows when a bound excludes what was known before, so that bounds in between may be on either side of it: `late` has each step
    where it shows going forward in time, the latest that it can have been, `early` where it shows going back.
    """

    late: tuple[DriftBounds, ...]
    early: tuple[DriftBounds, ...]

    @property
    def stepped(self) -> bool:
        """Whether no one drift bounds hold all."""
        return len(self.late) > 1

    def extremes(self) -> tuple[float, float]:
        """The least and the most that the clock can be at any time; of one that was stepped, as far as anything bounds it."""
        if not self.stepped:
            return self.late[0].extremes()
        ends = np.concatenate([side for part in self.late for side in (part.low_ns, part.high_ns)])
        ends = ends[np.isfinite(ends)]
        return float(ends.min()), float(ends.max())

    def at(self, time_ns: int) -> tuple[float, float]:
        """Bounds at one time, on whichever side of a step it may have been."""
        lows, highs = zip(*(_at(history, time_ns) for history in (self.late, self.early)), strict=True)
        return min(lows), max(highs)


def clock_history(bounds: OffsetBounds, begin_ns: int, end_ns: int) -> ClockHistory:
    """The drift bounds of a clock from the first bound, or `begin_ns`, to the last, or `end_ns`.

    More than `MOST_CLOCK_STEPS` steps are not told apart: what is beyond them is taken for one.
    """
    times, low, high, zero_ns = _knots(bounds, begin_ns, end_ns)
    forward = _cuts(times, low, high)
    if not forward:
        only = _between_cuts(times, low, high, [], zero_ns)
        return ClockHistory(late=only, early=only)
    back = sorted(len(times) - cut for cut in _cuts(-times[::-1], low[::-1], high[::-1]))
    return ClockHistory(late=_between_cuts(times, low, high, forward, zero_ns), early=_between_cuts(times, low, high, back, zero_ns))


def _at(history: tuple[DriftBounds, ...], time_ns: int) -> tuple[float, float]:
    begun = [bounds for bounds in history if bounds.zero_ns + bounds.at_ns[0] <= time_ns] or history[:1]
    low, high = begun[-1].over(np.array([time_ns], dtype=np.int64))
    return float(low[0]), float(high[0])


def _between_cuts(times: F64, low: F64, high: F64, cuts: list[int], zero_ns: int) -> tuple[DriftBounds, ...]:
    return tuple(
        DriftBounds(zero_ns=zero_ns, at_ns=times[part], low_ns=_floor(times[part], low[part]), high_ns=_roof(times[part], high[part]))
        for part in map(slice, [0, *cuts], [*cuts, len(times)])
    )


def _cuts(times: F64, low: F64, high: F64) -> list[int]:
    """Where a bound excludes what those since the cut before leave."""
    cuts: list[int] = []
    start = 0
    while len(cuts) < MOST_CLOCK_STEPS and (cut := _contradiction(times[start:], low[start:], high[start:])) is not None:
        start += cut
        cuts.append(start)
    return cuts


def _knots(bounds: OffsetBounds, begin_ns: int, end_ns: int) -> tuple[F64, F64, F64, int]:
    """The tightest bounds of each short while, in order of time, and both ends; times from the earliest on."""
    everything = np.concatenate([bounds.low_at_ns, bounds.high_at_ns, np.array([begin_ns, end_ns], dtype=np.int64)])
    zero_ns, last_ns = int(everything.min()), int(everything.max())
    width_ns = max(BIN_NS, (last_ns - zero_ns) // MOST_BINS + 1)
    low_at, low = _tightest(-bounds.low_ns, bounds.low_at_ns - zero_ns, width_ns)
    high_at, high = _tightest(bounds.high_ns, bounds.high_at_ns - zero_ns, width_ns)
    ends = np.array([begin_ns - zero_ns, end_ns - zero_ns], dtype=np.int64)
    times = np.concatenate([low_at, high_at, ends])
    open_low, open_high = np.full(len(times), -np.inf), np.full(len(times), np.inf)
    open_low[: len(low)] = -low
    open_high[len(low) : len(low) + len(high)] = high
    order = np.argsort(times, kind="stable")
    return times[order].astype(np.float64), open_low[order], open_high[order], zero_ns


def _tightest(values: I64, times: I64, width_ns: int) -> tuple[I64, I64]:
    """The least value of each bin of time, and when it was."""
    if not len(values):
        return _NONE, _NONE
    index = times // width_ns
    least = np.full(int(index.max()) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(least, index, values)
    when = np.zeros(len(least), dtype=np.int64)
    best = values == least[index]
    when[index[best]] = times[best]
    used = np.unique(index)
    return when[used], least[used]


def _contradiction(times: F64, low: F64, high: F64) -> int | None:
    """The first place whose bounds those before it exclude, None where there is none."""
    drift = times * (DRIFT_PPM / 1e6)
    floor = np.maximum.accumulate(low + drift) - drift
    roof = np.minimum.accumulate(high - drift) + drift
    against = np.flatnonzero((floor - high > CLOCK_STEP_NS) | (low - roof > CLOCK_STEP_NS))
    return int(against[0]) if len(against) else None


def _roof(times: F64, high: F64) -> F64:
    drift = times * (DRIFT_PPM / 1e6)
    before = np.minimum.accumulate(high - drift) + drift
    after = np.minimum.accumulate((high + drift)[::-1])[::-1] - drift
    return np.minimum(before, after)


def _floor(times: F64, low: F64) -> F64:
    return -_roof(times, -low)
