"""Captures that were not made at the same time as the others."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import U64, PacketTable
from kubectl_vxtrace.topology.channels import find_channels
from kubectl_vxtrace.topology.translations import fingerprints

_LIVELY_FRAMES: Final = 10
"""A file with fewer does not say when its capture ran: it was quiet there."""

_QUIET_APART_NS: Final = 60_000_000_000
"""So far from all others even a quiet capture was made at another time: who starts several by hand does so within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Captures that ran together, by number, and from the first of their frames to the last."""

    members: tuple[int, ...]
    first_ns: int
    last_ns: int


def together(tables: Sequence[PacketTable]) -> tuple[Timed, ...]:
    """The groups of captures whose times overlap, or that hold the same packets, as where a clock is wrong; the one with the most first.

    Empty captures are in none; quiet ones belong to the nearest group unless they are far from it.
    """
    spans = {at: (int(table.time_ns.min()), int(table.time_ns.max())) for at, table in enumerate(tables) if len(table)}
    lively = [at for at in spans if len(tables[at]) >= _LIVELY_FRAMES] or list(spans)
    groups = _overlapping([(spans[at], at) for at in lively])
    if len(groups) > 1:
        groups = _with_same_packets(tables, groups)
    for at in spans:
        if at not in lively:
            _add_quiet(groups, spans, at)
    ranked = sorted(groups, key=lambda group: (-len(group), -sum(len(tables[at]) for at in group)))
    return tuple(_timed(group, spans) for group in ranked)


def _timed(group: Sequence[int], spans: dict[int, tuple[int, int]]) -> Timed:
    return Timed(members=tuple(sorted(group)), first_ns=min(spans[at][0] for at in group), last_ns=max(spans[at][1] for at in group))


def _overlapping(spans: Sequence[tuple[tuple[int, int], int]]) -> list[list[int]]:
    groups: list[list[int]] = []
    end_ns = 0
    for (first_ns, last_ns), at in sorted(spans):
        if not groups or first_ns > end_ns:
            groups.append([])
            end_ns = last_ns
        groups[-1].append(at)
        end_ns = max(end_ns, last_ns)
    return groups


def _with_same_packets(tables: Sequence[PacketTable], groups: list[list[int]]) -> list[list[int]]:
    """Groups joined that hold the same packets."""
    numbers = [at for group in groups for at in group]
    chosen = [tables[at] for at in numbers]
    channels = find_channels(chosen)
    seen: dict[int, U64] = {}
    for place, at in enumerate(numbers):
        rows = np.flatnonzero(channels.row_channel[place] >= 0).astype(np.int32)
        seen[at] = np.unique(fingerprints(chosen, channels, place, rows))
    root = list(range(len(groups)))
    for one in range(len(groups)):
        for other in range(one):
            if root[one] != root[other] and any(
                len(np.intersect1d(seen[left], seen[right], assume_unique=True)) for left in groups[one] for right in groups[other]
            ):
                root = [root[other] if each == root[one] else each for each in root]
    joined: defaultdict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        joined[root[number]] += group
    return list(joined.values())


def _add_quiet(groups: list[list[int]], spans: dict[int, tuple[int, int]], at: int) -> None:
    first_ns, last_ns = spans[at]

    def apart_ns(group: Sequence[int]) -> int:
        return min(max(spans[other][0] - last_ns, first_ns - spans[other][1], 0) for other in group)

    nearest = min(groups, key=apart_ns)
    if apart_ns(nearest) <= _QUIET_APART_NS:
        nearest.append(at)
    else:
        groups.append([at])
