"""Interfaces that a capture saw twice (a bond and its member merged into one file): every frame has a twin right behind it."""

from collections import Counter
from collections.abc import Mapping, Sequence

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


def doubled_rows(tables: Mapping[Tap, PacketTable], paths: Sequence[Path]) -> dict[Tap, NDArray[np.bool_]]:
    """For each tap that was seen twice, which rows are to be kept; other taps are not among them, nor are taps that a path visits twice.

    Frames with an IP ID, inner or outer, decide: where none has one (IPv6, DF with ID 0) a sender may truly have sent everything twice.
    """
    visits = [tap for path in paths for tap, count in Counter(hop.tap for hop in path.hops).items() if count > 1]
    found = {}
    for tap, table in tables.items():
        if tap not in visits and _doubled(table, slice(0, PROBE_ROWS)) and (len(table) <= PROBE_ROWS or _doubled(table, slice(None))):
            keep = np.ones(len(table), dtype=np.bool_)
            keep[_second_ones(table, slice(None))] = False
            found[tap] = keep
    return found


def _doubled(table: PacketTable, rows: slice) -> bool:
    """Whether nearly all frames with IP IDs have a twin."""
    named = (table.kind[rows] == Kind.IP) & ((table.ip_id[rows] != 0) | (table.outer_id[rows] != 0))
    total = int(np.count_nonzero(named))
    return total > 0 and 2 * int(np.count_nonzero(named[_second_ones(table, rows)])) >= MOST * total


def _second_ones(table: PacketTable, rows: slice) -> NDArray[np.intp]:
    """The second one of each pair of twins."""
    zeros = np.zeros(len(table.ip_id[rows]), dtype=np.uint16)
    number = number_rows(
        [
            pack(table.ip_id[rows], table.outer_id[rows], table.seq[rows]),
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
