"""Interfaces that a capture saw twice (a bond and its member merged into one file): every frame has a double right behind it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows
from kubectl_vxtrace.journeys.judgement import (
    DOUBLE_NS,
    DOUBLED_LEAST_FRAMES,
    DOUBLED_SHARE,
    DOUBLED_SURE_FRAMES,
    SINGLE_SHARE,
)
from kubectl_vxtrace.journeys.same_packet import DOUBLE_KEY, REPEATED_KEY, key_columns
from kubectl_vxtrace.model.packets import Kind, PacketTable
from kubectl_vxtrace.model.path import Path, Tap

PROBE_ROWS = 20_000
"""Rows at the beginning of a file that are looked at first, to save the time for the rest of an ordinary one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubledTaps:
    """Taps that were seen twice. keep: per tap which of its rows to keep. undecided: taps where it cannot be told whether each packet was
    sent twice."""

    keep: Mapping[Tap, NDArray[np.bool_]]
    undecided: frozenset[Tap]


def doubled_taps(tables: Mapping[Tap, PacketTable], paths: Sequence[Path]) -> DoubledTaps:
    """The taps that were seen twice; taps that a path visits twice see packets twice and are not among them.

    Frames with an IP ID, inner or outer, decide. Where none has one (IPv6, DF with ID 0) a sender may have sent everything twice, so
    that only doubt is left, if some other tap saw it once.
    """
    visited_twice = [tap for path in paths for tap, count in Counter(hop.tap for hop in path.hops).items() if count > 1]
    shares = {tap: _share(table, slice(0, PROBE_ROWS)) for tap, table in tables.items() if tap not in visited_twice}
    keep, undecided = {}, set()
    for tap, share in shares.items():
        table = tables[tap]
        few = len(table) < DOUBLED_SURE_FRAMES
        if len(table) < DOUBLED_LEAST_FRAMES or (few and share.with_id < 1):
            continue
        if share.with_id >= DOUBLED_SHARE and (len(table) <= PROBE_ROWS or _share(table, slice(None)).with_id >= DOUBLED_SHARE):
            rows = np.ones(len(table), dtype=np.bool_)
            rows[_doubles(table, slice(None), with_outer_id=True)] = False
            keep[tap] = rows
        elif share.with_id < 0 and share.all >= DOUBLED_SHARE and any(0 <= other.all < SINGLE_SHARE for other in shares.values()):
            undecided.add(tap)
    return DoubledTaps(keep=keep, undecided=frozenset(undecided))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """Which part of the frames is one of two: of those with IP IDs, and of all whatever their outer ID; -1 where there are none."""

    with_id: float
    all: float


def _share(table: PacketTable, rows: slice) -> _Share:
    ip = table.kind[rows] == Kind.IP
    with_id = ip & ((table.ip_id[rows] != 0) | (table.outer_id[rows] != 0))
    doubles = [np.count_nonzero(which[_doubles(table, rows, with_outer_id=which is with_id)]) for which in (with_id, ip)]
    totals = [np.count_nonzero(which) for which in (with_id, ip)]
    shares = [2 * int(double) / int(total) if total else -1.0 for double, total in zip(doubles, totals, strict=True)]
    return _Share(with_id=shares[0], all=shares[1])


def _doubles(table: PacketTable, rows: slice, *, with_outer_id: bool) -> NDArray[np.intp]:
    """The second one of each two frames that are the same."""
    number = number_rows(key_columns(DOUBLE_KEY if with_outer_id else REPEATED_KEY, table, rows))
    time_ns = table.time_ns[rows]
    order = np.lexsort((time_ns, number))
    close = np.zeros(len(order), dtype=np.bool_)
    close[1:] = (number[order[1:]] == number[order[:-1]]) & (time_ns[order[1:]] - time_ns[order[:-1]] <= DOUBLE_NS)
    index = np.arange(len(order))
    start = np.maximum.accumulate(np.where(close, 0, index))
    second: NDArray[np.intp] = order[(index - start) % 2 == 1]
    return second
