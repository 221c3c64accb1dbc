"""Duplicates that the network made of a packet (RFC 5560): no packets of their own, and no loss as long as one of them arrives.

A packet that begins behind a witness which saw fewer of it was doubled on the way there (a bridge loop, a mirrored port, a flooded
frame); behind a hop that may have missed it only if it has an IP ID, which no sender uses again so soon. So were two packets with one IP
ID that begin together. A duplicate's journey is folded into that of its packet: where that one is not seen any more, its duplicate may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judgement import DUPLICATE_AT_ONE_HOP_NS, DUPLICATE_NS
from kubectl_vxtrace.journeys.match.pairing import Pairs, pair
from kubectl_vxtrace.journeys.records import PathFrames
from kubectl_vxtrace.model.packets import I32, I64


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonClock:
    """What to take from the times of each hop, so that they are on one clock; right within `slack_ns`."""

    shift_ns: Sequence[int]
    slack_ns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """Journeys without those of duplicates. packet: shape (n, hops). undecided: what was seen may be another packet's duplicate."""

    packet: I32
    undecided: NDArray[np.bool_]


def fold_duplicates(packet: I32, frames: PathFrames, witness: Sequence[bool], clock: CommonClock) -> Folded:
    """Folds the journeys of duplicates into those of their packets.

    Args:
        packet: the journeys, shape (n, hops).
        frames: the packets at each hop and the frames that hold them. Duplicates on a TCP path may have another IP ID than their packet,
            for offloads renumber segments.
        witness: whether each hop would have seen what passed it.
        clock: how times of the hops compare.
    """
    count = len(packet)
    undecided = np.zeros(count, dtype=np.bool_)
    seen = packet >= 0
    first = np.argmax(seen, axis=1) if packet.shape[1] else np.zeros(count, np.int64)
    behind_witness = np.concatenate([[False], np.logical_or.accumulate(np.array(witness, dtype=np.bool_))])[first]
    if not behind_witness.any() and not (first > 0).any() and not _repeated(frames):
        return Folded(packet=packet, undecided=undecided)
    packet = packet.copy()
    is_folded = np.zeros(count, dtype=np.bool_)
    ip_id, is_own = _ip_ids(packet, first, frames)
    has_id = (ip_id > 0) & is_own
    for with_ip_id in (True, False) if frames.tcp else (True,):
        keys, times_ns = _firsts(packet, first, frames, clock, with_ip_id=with_ip_id)
        if with_ip_id:
            doubles, originals = _begun_together(keys, times_ns, first, ip_id)
            _move_sightings(packet, doubles, originals)
            is_folded[doubles] = True
        # A retransmission has another IP ID than what it repeats.
        late = np.flatnonzero((behind_witness | (has_id & (first > 0) & with_ip_id)) & ~is_folded)
        duplicates, is_several = _begun_later(keys, times_ns, first, np.flatnonzero(~is_folded), late, clock.slack_ns)
        is_folded[duplicates] = True
        duplicates = np.flatnonzero(is_folded)
        packets = np.flatnonzero(~is_folded & np.isin(keys, keys[duplicates]))
        replaced = _fold(packet, keys, duplicates, packets, first)
        undecided[replaced] |= is_several[keys[replaced]]
    return Folded(packet=packet[~is_folded], undecided=undecided[~is_folded])


def _repeated(frames: PathFrames) -> bool:
    """Whether some hop has a packet twice."""
    return any(len(packets) > 0 and int(np.bincount(packets.key).max()) > 1 for packets in frames.packets)


def _ip_ids(packet: I32, first: NDArray[np.intp], frames: PathFrames) -> tuple[I32, NDArray[np.bool_]]:
    """The IP ID of the frame that each journey begins in, minus that of its encapsulation where it has none, 0 where that has none
    either; and whether it is its own: what super-packets hold shares theirs."""
    ip_id, is_own = np.zeros(len(packet), dtype=np.int32), np.zeros(len(packet), dtype=np.bool_)
    shares_frame = np.zeros(1 + max(int(packets.key.max(initial=-1)) for packets in frames.packets), dtype=np.bool_)
    for at_hop, packets in zip(frames.hops, frames.packets, strict=True):
        held = np.bincount(packets.frame, minlength=len(at_hop))
        shares_frame[packets.key[held[packets.frame] > 1]] = True
    for hop, (at_hop, packets) in enumerate(zip(frames.hops, frames.packets, strict=True)):
        begun = np.flatnonzero(first == hop)
        chosen = packet[begun, hop]
        rows = at_hop.row[packets.frame[chosen]]
        inner, outer = at_hop.table.ip_id[rows].astype(np.int32), at_hop.table.outer_id[rows].astype(np.int32)
        ip_id[begun] = np.where(inner > 0, inner, -outer)
        is_own[begun] = ~shares_frame[packets.key[chosen]]
    return ip_id, is_own


def _begun_together(keys: I32, times_ns: I64, first: NDArray[np.intp], ip_id: I32) -> Pairs:
    """Journeys that begin where and when an equal one before them does, in a frame with the same ID; and the first of those."""
    with_id = np.flatnonzero(ip_id)
    order = with_id[np.lexsort((times_ns[with_id], ip_id[with_id], first[with_id], keys[with_id]))]
    same = np.zeros(len(order), dtype=np.bool_)
    same[1:] = times_ns[order[1:]] - times_ns[order[:-1]] <= DUPLICATE_AT_ONE_HOP_NS
    for column in (keys, first, ip_id):
        same[1:] &= column[order[1:]] == column[order[:-1]]
    start = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    return order[same], order[start[same]]


def _move_sightings(packet: I32, doubles: NDArray[np.intp], originals: NDArray[np.intp]) -> None:
    """Where an original is seen no more and its double is, that is the original."""
    for hop in range(packet.shape[1]):
        moved = (packet[doubles, hop] >= 0) & (packet[originals, hop] < 0)
        packet[originals[moved], hop] = packet[doubles[moved], hop]
        packet[doubles[moved], hop] = -1


def _firsts(packet: I32, first: NDArray[np.intp], frames: PathFrames, clock: CommonClock, *, with_ip_id: bool) -> tuple[I32, I64]:
    """Each journey's key, and the time of its first sighting on the common clock."""
    keys, times_ns = np.zeros(len(packet), dtype=np.int32), np.zeros(len(packet), dtype=np.int64)
    for hop, packets in enumerate(frames.packets):
        begun = np.flatnonzero(first == hop)
        chosen = packet[begun, hop]
        keys[begun] = packets.keys(with_ip_id=with_ip_id)[chosen]
        times_ns[begun] = packets.time_ns[chosen] - clock.shift_ns[hop]
    return keys, times_ns


def _begun_later(
    keys: I32, times_ns: I64, first: NDArray[np.intp], packets: NDArray[np.intp], late: NDArray[np.intp], slack_ns: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Which of the late journeys are duplicates of a packet that began at an earlier hop; and whether a key has several such packets."""
    size = int(keys.max(initial=-1)) + 1
    earliest = np.full(size, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(earliest, keys, first)
    originals = packets[first[packets] == earliest[keys[packets]]]
    is_several = np.bincount(keys[originals], minlength=size) > 1
    late = late[first[late] > earliest[keys[late]]]
    order = originals[np.lexsort((times_ns[originals], keys[originals]))]
    # of the packets with a duplicate's key, the last one that was seen before it
    merged = np.concatenate([order, late])
    at_ns = np.concatenate([times_ns[order], times_ns[late] + slack_ns])
    is_late = np.concatenate([np.zeros(len(order), np.int8), np.ones(len(late), np.int8)])
    by_time = np.lexsort((is_late, at_ns, keys[merged]))
    before = np.cumsum(1 - is_late[by_time]) - 1
    of_late = is_late[by_time] == 1
    duplicate, original = merged[by_time[of_late]], order[np.maximum(before[of_late], 0)]
    near = (keys[duplicate] == keys[original]) & (times_ns[duplicate] - times_ns[original] <= DUPLICATE_NS + slack_ns)
    return duplicate[near & (before[of_late] >= 0)], is_several


def _fold(packet: I32, keys: I32, duplicates: NDArray[np.intp], packets: NDArray[np.intp], first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where a packet is seen no more, a duplicate of it may be: as many of each key as there are. Returns the packets that got one."""
    replaced = []
    for hop in range(packet.shape[1]):
        lacking = packets[(packet[packets, hop] < 0) & (first[packets] < hop)]
        spare = duplicates[packet[duplicates, hop] >= 0]
        if not len(lacking) or not len(spare):
            continue
        left, right = pair(keys[lacking], keys[spare], None)
        packet[lacking[left], hop] = packet[spare[right], hop]
        replaced.append(lacking[left])
    return np.concatenate(replaced) if replaced else packets[:0]
