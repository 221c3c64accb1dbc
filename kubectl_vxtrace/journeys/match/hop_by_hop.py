"""The same packet at one hop after the other: sorting and joining, never a loop over packets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judgement import EARLY_ARRIVAL_NS, EARLY_MERGED_ARRIVAL_NS, SAME_CLOCK_SLACK_NS
from kubectl_vxtrace.journeys.match.pairing import pair
from kubectl_vxtrace.journeys.records import WirePackets
from kubectl_vxtrace.model.packets import I32, I64


@dataclass(slots=True)
class _Open:
    """Journeys so far: for each its keys, the last hop that saw it and when, and its packet at every hop (-1: unseen)."""

    key: I32
    base_key: I32
    last: I32
    time_ns: I64
    packet: I32

    def keys(self, *, with_ip_id: bool) -> I32:
        """`key`, or `base_key`."""
        return self.key if with_ip_id else self.base_key


LeastOffset = Callable[[int, int, I64], I64 | None]
"""Of two hops, the earlier one first, and times at the later one."""


def join_hops(hops: Sequence[WirePackets], least_ns: LeastOffset, steady: Sequence[bool], *, without_ip_id: bool) -> I32:
    """The journeys of one path: shape (n, hops), each entry the index of the packet at that hop, -1 where it was not seen.

    Args:
        hops: the packets at each hop, in the path's order.
        least_ns: the least that a clock reading at the later hop minus one at the earlier can be for the same packet (the lower bound of
            the offset of the one's clock from the other's), None where nothing bounds it.
        steady: for each hop whether its clock was not stepped. One that was says, on its own node, in which order copies passed, but what
            arrived before its departure and is nothing else's may have been under way at the step.
        without_ip_id: whether packets may also be joined without their IP ID (TCP: offloads renumber segments).

    k copies of a key at one hop and m at the next are joined in time order, no copy to an arrival before its departure, as many as
    possible. A packet that a hop missed is joined to the hop before it.
    """
    none = np.zeros(0, dtype=np.int32)
    journeys = _Open(key=none, base_key=none, last=none, time_ns=np.zeros(0, np.int64), packet=np.zeros((0, len(hops)), np.int32))
    for hop, packets in enumerate(hops):
        _extend(journeys, hop, packets, least_ns, steady[hop], without_ip_id)
    return journeys.packet


def _extend(journeys: _Open, hop: int, packets: WirePackets, least_ns: LeastOffset, steady: bool, without_ip_id: bool) -> None:
    """Joins the packets of one hop to the journeys so far; those of earlier hops last; what is left begins journeys of its own."""
    free = np.ones(len(packets), dtype=np.bool_)
    is_merged = np.bincount(packets.frame)[packets.frame] > 1 if len(packets) else free
    for only_causal, with_ip_id in product((True,) if steady else (True, False), (True, False) if without_ip_id else (True,)):
        for earlier in range(hop - 1, -1, -1):
            arrivals = np.flatnonzero(free)
            departures = np.flatnonzero(journeys.last == earlier)
            if not len(arrivals) or not len(departures):
                continue
            departed = journeys.keys(with_ip_id=with_ip_id)[departures]
            arrived = packets.keys(with_ip_id=with_ip_id)[arrivals]
            arrived_ns = packets.time_ns[arrivals]
            least = least_ns(earlier, hop, arrived_ns)
            times_ns = None if least is None else (journeys.time_ns[departures], arrived_ns - least + SAME_CLOCK_SLACK_NS)
            early_ns = np.where(is_merged[arrivals], EARLY_MERGED_ARRIVAL_NS, EARLY_ARRIVAL_NS) if only_causal else None
            left, right = pair(departed, arrived, times_ns, early_ns)
            _advance(journeys, hop, departures[left], arrivals[right], packets)
            free[arrivals[right]] = False
    _begin(journeys, hop, np.flatnonzero(free), packets)


def _advance(journeys: _Open, hop: int, which: NDArray[np.intp], arrived: NDArray[np.intp], packets: WirePackets) -> None:
    journeys.packet[which, hop] = arrived
    journeys.last[which] = hop
    journeys.time_ns[which] = packets.time_ns[arrived]


def _begin(journeys: _Open, hop: int, new: NDArray[np.intp], packets: WirePackets) -> None:
    if not len(new):
        return
    rows = np.full((journeys.packet.shape[1], len(new)), -1, dtype=np.int32).T  # whole hops together in memory
    rows[:, hop] = new
    journeys.packet = np.concatenate([journeys.packet, rows])
    journeys.key = np.concatenate([journeys.key, packets.key[new]])
    journeys.base_key = np.concatenate([journeys.base_key, packets.base_key[new]])
    journeys.last = np.concatenate([journeys.last, np.full(len(new), hop, dtype=np.int32)])
    journeys.time_ns = np.concatenate([journeys.time_ns, packets.time_ns[new]])
