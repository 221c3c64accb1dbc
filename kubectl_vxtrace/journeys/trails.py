"""All journeys of one path, counted or not, with what tells their outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.clocks import Clocks, Samples
from kubectl_vxtrace.journeys.copies import folded
from kubectl_vxtrace.journeys.corridor import above, below
from kubectl_vxtrace.journeys.datagrams import datagram_units, largest_of
from kubectl_vxtrace.journeys.match import follow_units
from kubectl_vxtrace.journeys.segments import sizes_of, tcp_units
from kubectl_vxtrace.journeys.units import Frames, Units, numbered
from kubectl_vxtrace.model.packets import I32, I64, U16
from kubectl_vxtrace.model.path import Path

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
UNRELATED_NS = 10_000_000_000
"""How far clocks that nothing relates may be apart where only that copies follow their packet soon is asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """A path, its frames at each hop and the units in them. `largest_bytes`: TCP payload that one packet can hold.

    `comparable`: whether absence at a hop means absence; see tcp_units.
    """

    path: Path
    frames: tuple[Frames, ...]
    units: tuple[Units, ...]
    tcp: bool
    largest_bytes: int
    comparable: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trails:
    """The journeys of one path, n rows in order of their first sighting's hop and time.

    frame: shape (n, hops), index into the hop's Frames, -1 where unseen. first: the hop (from 0) of the first sighting; time_ns: when, in
    that node's clock. payload_bytes: shape (n, hops), of the frame that held it there, -1 where unseen. flags, ip_id: of the first
    sighting. identity: equal for copies that the sender sent again. weight: packets on the wire that it stands for. unsure: what was
    seen of it may be the copy of an equal packet.
    """

    way: Way
    frame: I32
    first: I32
    time_ns: I64
    client_port: I32
    payload_bytes: I32
    flags: U16
    ip_id: U16
    identity: I64
    weight: I32
    unsure: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Shape (n, hops)."""
        return self.frame >= 0

    def take(self, which: NDArray[np.intp]) -> "Trails":
        """Some of the journeys."""
        # whole hops stay together in memory: they are looked at one by one
        columns = {name: getattr(self, name).T[..., which].T for name in Trails.__slots__ if name != "way"}
        return Trails(way=self.way, **columns)


def way_of(path: Path, frames: Sequence[Frames], protocol: str, mtu_bytes: int | None, ipv6: bool) -> Way:
    """The units of a path at each of its hops."""
    hops = list(frames)
    tcp = protocol == "TCP"
    sizes = sizes_of(hops, mtu_bytes, ipv6)
    if not hops:
        return Way(path=path, frames=(), units=(), tcp=tcp, largest_bytes=sizes.largest_bytes, comparable=True)
    if tcp:
        drafts, comparable = tcp_units(hops, sizes, ipv6)
    else:
        drafts, comparable = datagram_units(hops, largest_of(sizes.largest_bytes), ipv6), True
    units = numbered(drafts, hops)
    return Way(path=path, frames=tuple(hops), units=tuple(units), tcp=tcp, largest_bytes=sizes.largest_bytes, comparable=comparable)


def offset_samples(way: Way, node: str, reference: str) -> Samples:
    """What packets that cross between a node and the reference on this path say of `node`'s clock minus `reference`'s.

    Only units that are unique at both hops and were not merged there.
    """
    hops = way.path.hops
    for at in range(len(hops) - 1):
        ends = hops[at].tap.node, hops[at + 1].tap.node
        if ends not in ((node, reference), (reference, node)):
            continue
        before, after = _nearest(way, at, -1), _nearest(way, at + 1, 1)
        if before is None or after is None:
            continue
        left, arrived = _crossings(way, before, after)
        if len(left):
            return Samples(bounds=above(left, arrived - left) if ends[1] == node else below(arrived, left - arrived), count=len(left))
    return Samples()


def _nearest(way: Way, at: int, step: int) -> int | None:
    """The hop with frames that is nearest to `at` on its node, going by `step`."""
    hops = way.path.hops
    node = hops[at].tap.node
    while 0 <= at < len(hops) and hops[at].tap.node == node:
        if len(way.frames[at]):
            return at
        at += step
    return None


def _crossings(way: Way, before: int, after: int) -> tuple[I64, I64]:
    """When each unit that is alone at both hops, and not part of a larger frame, was seen at the one and at the other."""
    sides = []
    size = max(int(way.units[hop].key.max(initial=-1)) for hop in (before, after)) + 1
    for hop in (before, after):
        units = way.units[hop]
        held = np.bincount(units.frame, minlength=len(way.frames[hop]))
        single = (held == 1) & (way.frames[hop].payload_bytes <= way.largest_bytes)
        times_ns, alone = np.zeros(size, dtype=np.int64), np.bincount(units.key, minlength=size) == 1
        times_ns[units.key] = units.time_ns
        alone[units.key[~single[units.frame]]] = False
        sides.append((alone, times_ns))
    both = np.flatnonzero(sides[0][0] & sides[1][0])
    return sides[0][1][both], sides[1][1][both]


def trails_of(way: Way, clocks: Clocks, witness: Sequence[bool]) -> Trails:
    """Follows every unit of a path over its hops. Pieces of TCP data that are no packet of their own are left out, and so are copies
    that the network made; `witness` says which hops would have seen what passed them."""
    nodes = [hop.tap.node for hop in way.path.hops]
    least = [[clocks.least_ns(late, early) for late in nodes] for early in nodes]
    shift_ns, slack_ns = _common_clock(way, clocks)
    alone = folded(follow_units(way.units, least, way.tcp), way.units, way.frames, witness, shift_ns, slack_ns, way.tcp)
    unit = alone.unit
    count, length = unit.shape
    frame, payload = np.empty((length, count), np.int32), np.empty((length, count), np.int32)
    smallest, weight = np.full(count, np.iinfo(np.int32).max, dtype=np.int32), np.zeros(count, dtype=np.int32)
    for hop, units in enumerate(way.units):
        at = unit[:, hop]
        # -1, unseen, is the place behind the last one
        frame[hop] = np.append(units.frame, np.int32(-1))[at]
        payload[hop] = np.append(way.frames[hop].payload_bytes, np.int32(-1))[frame[hop]]
        finer = np.flatnonzero((at >= 0) & (payload[hop] < smallest))
        smallest[finer], weight[finer] = payload[hop][finer], units.weight[at[finer]]
    keep = np.flatnonzero(weight)
    return _described(way, frame[:, keep].T, payload[:, keep].T, unit[keep], weight[keep], alone.unsure[keep])


def _common_clock(way: Way, clocks: Clocks) -> tuple[list[int], int]:
    """What to take from each hop's times to have them on the first hop's clock, and how far off that may be."""
    nodes = [hop.tap.node for hop in way.path.hops]
    offsets = [clocks.offset(node, nodes[0]) for node in nodes]
    widths = [one.high - one.low for one in offsets if one.high is not None and one.low is not None]
    return [clocks.middle_ns(node, nodes[0]) for node in nodes], max(widths, default=0) if len(widths) == len(offsets) else UNRELATED_NS


def _described(way: Way, frame: I32, payload: I32, unit: I32, weight: I32, unsure: NDArray[np.bool_]) -> Trails:
    count, length = frame.shape
    first = np.zeros(count, dtype=np.int32)
    for hop in reversed(range(length)):
        first[frame[:, hop] >= 0] = hop
    columns: dict[str, NDArray[np.int64]] = {
        name: np.zeros(count, np.int64) for name in ("time_ns", "client_port", "flags", "ip_id", "identity")
    }
    for hop, frames in enumerate(way.frames):
        mine = np.flatnonzero(first == hop)
        at = frame[mine, hop]
        rows = frames.row[at]
        columns["client_port"][mine] = frames.client_port[at]
        columns["identity"][mine] = way.units[hop].base[unit[mine, hop]]
        for name in ("time_ns", "flags", "ip_id"):
            columns[name][mine] = getattr(frames.table, name)[rows]
    return Trails(
        way=way,
        frame=frame,
        first=first,
        time_ns=columns["time_ns"],
        client_port=columns["client_port"].astype(np.int32),
        payload_bytes=payload,
        flags=columns["flags"].astype(np.uint16),
        ip_id=columns["ip_id"].astype(np.uint16),
        identity=columns["identity"],
        weight=weight,
        unsure=unsure,
    )


def merging_hops(trails: Trails) -> NDArray[np.bool_]:
    """Shape (n, hops): whether a hop holds segments of the journey's connection that came merged, from smaller frames before."""
    count, length = trails.frame.shape
    merged = np.zeros((65536, length), dtype=np.bool_)
    smallest = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
    for hop in range(length):
        seen = trails.frame[:, hop] >= 0
        grown = seen & (trails.payload_bytes[:, hop] > smallest)
        merged[trails.client_port[grown], hop] = True
        smallest = np.where(seen, np.minimum(smallest, trails.payload_bytes[:, hop]), smallest)
    return merged[trails.client_port]
