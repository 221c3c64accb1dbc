"""Which capture files are parts of one capture: tcpdump rotates (`-C`, `-G`), people split."""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import Kind, PacketTable
from kubectl_vxtrace.topology.naming import NameHint

_MOST_OVERLAP_NS: Final = 10_000_000
"""Frames of several processors' queues are written up to some milliseconds out of order, also around the change of a file."""

_COMPARED: Final = 1000
"""So many packets of a file are compared with others'; any would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A capture file: what its name says, when its first and last frames were recorded (None: it has none), and who talks to whom in it.

    packets: some of its packets, each as what stays of it from tap to tap (IP ID and digest).
    """

    hint: NameHint
    span_ns: tuple[int, int] | None
    talks: Set[bytes]
    packets: Set[int] = frozenset()


def piece_of(hint: NameHint, tables: Sequence[PacketTable]) -> Piece:
    """The piece that a file's tables, one for each interface, make."""
    times = [int(bound) for table in tables if len(table) for bound in (table.time_ns.min(), table.time_ns.max())]
    talks: set[bytes] = set()
    for table in tables:
        of = table.conversations
        talks.update(map(bytes, np.hstack([of.protocol.reshape(-1, 1), of.source, of.destination])))
    packets = frozenset(number for table in tables for number in _packets(table))
    return Piece(hint=hint, span_ns=(min(times), max(times)) if times else None, talks=frozenset(talks), packets=packets)


def _packets(table: PacketTable) -> list[int]:
    """The first packets of a table that have an IP ID and enough of a payload to be told apart from others."""
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.ip_id != 0) & (table.digest != 0))[:_COMPARED]
    return [int(number) for number in table.digest[rows] ^ table.ip_id[rows]]


def captures_of(pieces: Sequence[Piece]) -> list[tuple[int, ...]]:
    """The numbers of the files that are one capture each, its parts in order of time; captures in the order of their first names.

    Parts are called alike but for a number or a time, and follow one another. Where only a number at the end tells them apart, they show
    the same talk as well, for two pods may be called so, but not the same packets, which two nodes see whose clocks differ; and none is
    empty where the number may be a node's.
    """
    series: defaultdict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        series[piece.hint.series].append(number)
    found: list[tuple[int, ...]] = []
    for numbers in series.values():
        ordered = sorted(numbers, key=lambda number: (_begin(pieces, numbers, number), number))
        found += [tuple(ordered)] if _are_one([pieces[number] for number in ordered]) else [(number,) for number in numbers]
    return sorted(found)


def _begin(pieces: Sequence[Piece], numbers: Sequence[int], number: int) -> int:
    """When a file's first frame was recorded; an empty one keeps its place among those that were named before it."""
    spans = [pieces[other].span_ns for other in numbers if other <= number]
    return max((span[0] for span in spans if span is not None), default=0) if spans[-1] is None else spans[-1][0]


def _are_one(parts: Sequence[Piece]) -> bool:
    marked = [part for part in parts if part.hint.rotated or part.hint.numbered]
    # The first file of `tcpdump -C` has no number.
    if len(parts) == 1 or len(marked) < len(parts) - 1 or not _follow(parts):
        return False
    if all(part.hint.rotated for part in marked):
        return True
    told = all(part.hint.certain or part.span_ns is not None for part in parts)
    filled = [part for part in parts if part.span_ns is not None]
    return told and all(before.talks & after.talks and not _saw_the_same(before, after) for before, after in pairwise(filled))


def _saw_the_same(one: Piece, other: Piece) -> bool:
    """Whether half of the packets of one are in the other as well: parts of one capture share none but what was sent again."""
    return len(one.packets & other.packets) * 2 > min(len(one.packets), len(other.packets))


def _follow(parts: Sequence[Piece]) -> bool:
    spans = [part.span_ns for part in parts if part.span_ns is not None]
    return all(before[1] - _MOST_OVERLAP_NS <= after[0] for before, after in pairwise(spans))
