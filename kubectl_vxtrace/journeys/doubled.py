"""Interfaces that a capture saw twice (a bond and its member merged into one file): every frame has a twin right behind it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows, pack
from kubectl_vxtrace.model.packets import Kind, PacketTable
from kubectl_vxtrace.model.path import Path, Tap

TWIN_NS = 1_000_000
"""Twins pass within this. No host uses an IP ID again so soon."""
PROBE_ROWS = 20_000
"""Rows at the beginning of a file that are looked at first."""
MOST = 0.9
"""The share of frames with a twin from which on all are taken for doubled; the kernel may have dropped some."""
FEW = 0.5
"""Less than this at another tap: the twins were not sent."""
LEAST_FRAMES = 4
"""Fewer say nothing: two equal datagrams of which one is lost are no doubled interface."""
FEW_FRAMES = 16
"""Of fewer all must have a twin with their IP ID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubled:
    """Taps that were seen twice. keep: per tap which of its rows to keep. unsure: taps where it cannot be told from true twins."""

    keep: Mapping[Tap, NDArray[np.bool_]]
    unsure: frozenset[Tap]


def doubled(tables: Mapping[Tap, PacketTable], paths: Sequence[Path]) -> Doubled:
    """The taps that were seen twice; taps that a path visits twice see packets twice and are not among them.

    Frames with an IP ID, inner or outer, decide. Where none has one (IPv6, DF with ID 0) a sender may have sent everything twice, so
    that only doubt is left, if some other tap saw it once.
    """
    visits = [tap for path in paths for tap, count in Counter(hop.tap for hop in path.hops).items() if count > 1]
    shares = {tap: _share(table, slice(0, PROBE_ROWS)) for tap, table in tables.items() if tap not in visits}
    keep, unsure = {}, set()
    for tap, share in shares.items():
        table = tables[tap]
        few = len(table) < FEW_FRAMES
        if len(table) < LEAST_FRAMES or (few and share.named < 1):
            continue
        if share.named >= MOST and (len(table) <= PROBE_ROWS or _share(table, slice(None)).named >= MOST):
            rows = np.ones(len(table), dtype=np.bool_)
            rows[_second_ones(table, slice(None), with_outer=True)] = False
            keep[tap] = rows
        elif share.named < 0 and share.all >= MOST and any(0 <= other.all < FEW for other in shares.values()):
            unsure.add(tap)
    return Doubled(keep=keep, unsure=frozenset(unsure))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """Which part of the frames has a twin: of those with IP IDs, and of all whatever their outer ID; -1 where there are none."""

    named: float
    all: float


def _share(table: PacketTable, rows: slice) -> _Share:
    ip = table.kind[rows] == Kind.IP
    named = ip & ((table.ip_id[rows] != 0) | (table.outer_id[rows] != 0))
    twins = [np.count_nonzero(which[_second_ones(table, rows, with_outer=which is named)]) for which in (named, ip)]
    totals = [np.count_nonzero(which) for which in (named, ip)]
    shares = [2 * int(twin) / int(total) if total else -1.0 for twin, total in zip(twins, totals, strict=True)]
    return _Share(named=shares[0], all=shares[1])


def _second_ones(table: PacketTable, rows: slice, *, with_outer: bool) -> NDArray[np.intp]:
    """The second one of each pair of twins."""
    zeros = np.zeros(len(table.ip_id[rows]), dtype=np.uint16)
    number = number_rows(
        [
            pack(table.ip_id[rows], table.outer_id[rows] if with_outer else zeros, table.seq[rows]),
            pack(table.fragment[rows], table.flags[rows], table.ack[rows]),
            pack(table.ttl[rows].astype(np.uint16), zeros, table.payload_bytes[rows]),
            pack(table.kind[rows].astype(np.uint16), zeros, table.wire_bytes[rows]),
            table.conversation[rows],
            table.tunnel[rows],
            table.digest[rows],
        ]
    )
    time_ns = table.time_ns[rows]
    order = np.lexsort((time_ns, number))
    close = np.zeros(len(order), dtype=np.bool_)
    close[1:] = (number[order[1:]] == number[order[:-1]]) & (time_ns[order[1:]] - time_ns[order[:-1]] <= TWIN_NS)
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(close, 0, place))
    second: NDArray[np.intp] = order[(place - start) % 2 == 1]
    return second
