"""Copies that the network made of a packet: no packets of their own, and no loss as long as one of them arrives.

A unit that begins behind a witness which saw fewer of it was doubled on the way there (a bridge loop, a mirrored port, a flooded
frame); behind a hop that may have missed it only if it has an IP ID, which no sender uses again so soon. So were two units with one IP
ID that begin together. A copy's journey is folded into that of its packet: where that one is not seen any more, its copy may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.match import pair
from kubectl_vxtrace.journeys.units import Frames, Units
from kubectl_vxtrace.model.packets import I32, I64

COPY_NS = 1_000_000_000
"""A copy follows its packet within this; what comes later is a packet of its own (IP IDs come again after 65,536 packets)."""


TWIN_NS = 500_000
"""Two units with an IP ID that begin at one hop within this are one packet that was doubled before. A retransmission comes later."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """Journeys without those of copies. unit: shape (n, hops). unsure: it may be another packet's copy that was seen in its place."""

    unit: I32
    unsure: NDArray[np.bool_]


def folded(
    unit: I32,
    hops: Sequence[Units],
    frames: Sequence[Frames],
    witness: Sequence[bool],
    shift_ns: Sequence[int],
    slack_ns: int,
    by_base: bool,
) -> Folded:
    """Folds the journeys of copies into those of their packets.

    Args:
        unit: the journeys, shape (n, hops).
        hops: the units at each hop.
        frames: the frames that hold them.
        witness: whether each hop would have seen what passed it.
        shift_ns: what to take from the times of each hop, so that they are on one clock; right within `slack_ns`.
        by_base: whether copies may have another IP ID than their packet (TCP: offloads renumber segments).
    """
    count = len(unit)
    unsure = np.zeros(count, dtype=np.bool_)
    seen = unit >= 0
    first = np.argmax(seen, axis=1) if unit.shape[1] else np.zeros(count, np.int64)
    behind = np.concatenate([[False], np.logical_or.accumulate(np.array(witness, dtype=np.bool_))])[first]
    if not behind.any() and not (first > 0).any() and not _repeated(hops):
        return Folded(unit=unit, unsure=unsure)
    unit = unit.copy()
    gone = np.zeros(count, dtype=np.bool_)
    named = _named(unit, first, hops, frames)
    for name in ("key", "base") if by_base else ("key",):
        keys, times_ns = _firsts(unit, first, hops, shift_ns, name)
        if name == "key":
            gone[_twins(keys, times_ns, first, np.flatnonzero(named))] = True
        # A retransmission has another IP ID than what it repeats.
        late = np.flatnonzero((behind | (named & (first > 0) & (name == "key"))) & ~gone)
        copies, several = _copies(keys, times_ns, first, np.flatnonzero(~gone), late, slack_ns)
        gone[copies] = True
        copies = np.flatnonzero(gone)
        _fold(unit, keys, copies, np.flatnonzero(~gone & np.isin(keys, keys[copies])), first, several, unsure)
    return Folded(unit=unit[~gone], unsure=unsure[~gone])


def _repeated(hops: Sequence[Units]) -> bool:
    """Whether some hop has a unit twice."""
    return any(len(units) > 0 and int(np.bincount(units.key).max()) > 1 for units in hops)


def _named(unit: I32, first: NDArray[np.intp], hops: Sequence[Units], frames: Sequence[Frames]) -> NDArray[np.bool_]:
    """Journeys with an IP ID that is their own: what super-packets hold shares theirs."""
    named = np.zeros(len(unit), dtype=np.bool_)
    shared = np.zeros(1 + max(int(units.key.max(initial=-1)) for units in hops), dtype=np.bool_)
    for hop, units in enumerate(hops):
        held = np.bincount(units.frame, minlength=len(frames[hop]))
        shared[units.key[held[units.frame] > 1]] = True
    for hop in range(len(hops)):
        mine = np.flatnonzero(first == hop)
        at = unit[mine, hop]
        named[mine] = (frames[hop].table.ip_id[frames[hop].row[hops[hop].frame[at]]] != 0) & ~shared[hops[hop].key[at]]
    return named


def _twins(keys: I32, times_ns: I64, first: NDArray[np.intp], named: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of the journeys that begin where and when an equal one before them does."""
    order = named[np.lexsort((times_ns[named], first[named], keys[named]))]
    same = (keys[order[1:]] == keys[order[:-1]]) & (first[order[1:]] == first[order[:-1]])
    return np.asarray(order[1:][same & (times_ns[order[1:]] - times_ns[order[:-1]] <= TWIN_NS)], dtype=np.intp)


def _firsts(unit: I32, first: NDArray[np.intp], hops: Sequence[Units], shift_ns: Sequence[int], name: str) -> tuple[I32, I64]:
    """Each journey's key, and the time of its first sighting on the common clock."""
    keys, times_ns = np.zeros(len(unit), dtype=np.int32), np.zeros(len(unit), dtype=np.int64)
    for hop, units in enumerate(hops):
        mine = np.flatnonzero(first == hop)
        chosen = unit[mine, hop]
        keys[mine] = getattr(units, name)[chosen]
        times_ns[mine] = units.time_ns[chosen] - shift_ns[hop]
    return keys, times_ns


def _copies(
    keys: I32, times_ns: I64, first: NDArray[np.intp], packets: NDArray[np.intp], late: NDArray[np.intp], slack_ns: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Which of the late journeys are copies of a packet that began at an earlier hop; and whether a key has several such packets."""
    size = int(keys.max(initial=-1)) + 1
    begun = np.full(size, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(begun, keys, first)
    originals = packets[first[packets] == begun[keys[packets]]]
    several = np.bincount(keys[originals], minlength=size) > 1
    late = late[first[late] > begun[keys[late]]]
    order = originals[np.lexsort((times_ns[originals], keys[originals]))]
    # of the packets with a copy's key, the last one that was seen before it
    merged = np.concatenate([order, late])
    at = np.concatenate([times_ns[order], times_ns[late] + slack_ns])
    is_copy = np.concatenate([np.zeros(len(order), np.int8), np.ones(len(late), np.int8)])
    place = np.lexsort((is_copy, at, keys[merged]))
    before = np.cumsum(1 - is_copy[place]) - 1
    mine = is_copy[place] == 1
    copy, original = merged[place[mine]], order[np.maximum(before[mine], 0)]
    near = (keys[copy] == keys[original]) & (times_ns[copy] - times_ns[original] <= COPY_NS + slack_ns)
    return copy[near & (before[mine] >= 0)], several


def _fold(
    unit: I32,
    keys: I32,
    copies: NDArray[np.intp],
    packets: NDArray[np.intp],
    first: NDArray[np.intp],
    several: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
) -> None:
    """Where a packet is seen no more, a copy of it may be: as many of each key as there are."""
    for hop in range(unit.shape[1]):
        lacking = packets[(unit[packets, hop] < 0) & (first[packets] < hop)]
        spare = copies[unit[copies, hop] >= 0]
        if not len(lacking) or not len(spare):
            continue
        left, right = pair(keys[lacking], keys[spare], None)
        unit[lacking[left], hop] = unit[spare[right], hop]
        unsure[lacking[left]] |= several[keys[lacking[left]]]
