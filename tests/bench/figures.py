"""What benchmarks measured, and the table of all of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    ours, peer: what was measured of ours, and of the peer in the same run, in words. value: what is judged, in `unit`, NaN where nothing
    was shown; goal: what it has to be at least, or at most.
    """

    what: str
    ours: str
    peer: str = "-"
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return (self.at_least is None or self.value >= self.at_least) and (self.at_most is None or self.value <= self.at_most)

    @property
    def judgement(self) -> str:
        """Whether the goal is met, in words."""
        return "not shown" if math.isnan(self.value) else "met" if self.met else "NOT met"

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return "-" if math.isnan(self.value) else f"{self.value:,.4g} {self.unit}"

    @property
    def goal(self) -> str:
        """The goal in words."""
        return f"at least {self.at_least:,.10g}" if self.at_least is not None else f"at most {self.at_most:,.10g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a benchmark found. status: 1 if something is broken, or far slower than ever, else 0."""

    status: int
    figures: tuple[Figure, ...] = ()


def table(figures: Sequence[Figure]) -> str:
    """All figures, each with its peer and its goal."""
    headers = ["what", "ours", "peer", "measured", "goal", ""]
    rows = [[one.what, one.ours, one.peer, one.measured, f"{one.goal} {one.unit}", one.judgement] for one in figures]
    return tabulate(rows, headers, tablefmt="plain", disable_numparse=True)
