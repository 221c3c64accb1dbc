"""What crossed the network between two nodes, by its outer headers: what left one NIC, and what of that reached the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.journeys import VANISHED, Case, TracedPath
from kubectl_vxtrace.model.packets import I32, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Hop, Role
from kubectl_vxtrace.model.report import HopCount

Rows = NDArray[np.bool_]
_Header = tuple[str, str, int | None, int | None]
"""Outer source and destination, UDP port and VNI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """Some of the packets of a crossing: how many; `ports`: their outer UDP source ports with how many packets each, the most first; when
    the first and the last left (Unix ns by the sender's clock; None for no packets); smallest and largest frame in bytes."""

    count: int
    ports: tuple[tuple[int, int], ...] = ()
    first_ns: int | None = None
    last_ns: int | None = None
    frame_bytes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One direction of one flow from one node's NIC to another's.

    `source`, `destination`: outer addresses, those of the packets themselves where they were sent bare; `port`, `vni`: None for those.
    `inner`: the packets' own addresses. `lost` are those that were seen at the sender's NIC and not at the receiver's, `unsure` those of
    which one of the two saw nothing, so that they may have been lost elsewhere, too. `blind`: why a NIC was no witness.
    """

    flow: int
    direction: Direction
    sender: Hop
    receiver: Hop
    source: str
    destination: str
    port: int | None
    vni: int | None
    inner: tuple[tuple[str, str], ...]
    left: Packets
    arrived: Packets
    lost: Packets
    unsure: int
    blind: tuple[str, ...]


def crossings(case: Case) -> tuple[Crossing, ...]:
    """The crossings of all flows, in their order; a path that stays on its node, or of which nothing was seen at the NIC, has none."""
    return tuple(crossing for traced in case.paths for crossing in _of_path(case, traced))


def _of_path(case: Case, traced: TracedPath) -> Iterator[Crossing]:
    hops = traced.path.hops
    for at, (sender, receiver) in enumerate(pairwise(hops)):
        between = sender.role is Role.UNDERLAY and receiver.role is Role.UNDERLAY and sender.tap.node != receiver.tap.node
        if between and sender.tap in case.tables:
            yield from _of_leg(case.tables[sender.tap], traced, at)


def _of_leg(table: PacketTable, traced: TracedPath, at: int) -> Iterator[Crossing]:
    """One for each outer header at the sender's NIC: its rows are told apart by addresses, port and VNI."""
    journeys, (sender, receiver) = traced.journeys, traced.path.hops[at : at + 2]
    row = journeys.row[:, at]
    left, arrived = row >= 0, journeys.row[:, at + 1] >= 0
    gone = np.isin(journeys.outcome, VANISHED)
    lost = gone & (journeys.lost_from == sender.hop) & (journeys.lost_to == receiver.hop)
    spans = (journeys.lost_from > 0) & (journeys.lost_from <= sender.hop) & ((journeys.lost_to == 0) | (journeys.lost_to >= receiver.hop))
    unsure = int(journeys.weight_packets[gone & spans & ~lost].sum())
    blind = tuple(
        f"{count.node}/{count.interface or '?'}: {count.reason or 'it was no witness'}"
        for hop in (sender, receiver)
        if (count := traced.hop_count(hop.hop)) is not None and not count.witness
    )
    for (source, destination, port, vni), of_header in _by_header(table, row, left):
        yield Crossing(
            flow=traced.flow.id,
            direction=traced.path.direction,
            sender=sender,
            receiver=receiver,
            source=source,
            destination=destination,
            port=port,
            vni=vni,
            inner=_inner(table, row[of_header]),
            left=_packets(table, traced, row, of_header),
            arrived=_packets(table, traced, row, of_header & arrived),
            lost=_packets(table, traced, row, of_header & lost),
            unsure=unsure,
            blind=blind,
        )


def _by_header(table: PacketTable, row: I32, left: Rows) -> list[tuple[_Header, Rows]]:
    """Each outer header, the most frequent first, with which journeys have it."""
    if not left.any():
        return []
    tunnel = np.where(left, table.tunnel[np.maximum(row, 0)], -1)
    conversation = np.where(left, table.conversation[np.maximum(row, 0)], -1)
    found: dict[_Header, list[int]] = {}
    for number in np.unique(tunnel[left & (tunnel >= 0)]):
        outer = table.tunnels
        ends = address_text(outer.source[number]), address_text(outer.destination[number])
        found.setdefault((*ends, int(outer.port[number]), int(outer.vni[number])), []).append(int(number))
    groups: list[tuple[_Header, Rows]] = [(key, np.isin(tunnel, numbers)) for key, numbers in found.items()]
    for number in np.unique(conversation[left & (tunnel < 0) & (conversation >= 0)]):
        ends = address_text(table.conversations.source[number]), address_text(table.conversations.destination[number])
        groups.append(((*ends, None, None), left & (tunnel < 0) & (conversation == number)))
    return sorted(groups, key=lambda group: -int(group[1].sum()))


def _packets(table: PacketTable, traced: TracedPath, row: I32, which: Rows) -> Packets:
    rows, weight = row[which], traced.journeys.weight_packets[which]
    if not len(rows):
        return Packets(count=0)
    times, sizes, tunnel = table.time_ns[rows], table.wire_bytes[rows], table.tunnel[rows]
    outer = tunnel >= 0
    numbers, of_row = np.unique(table.tunnels.source_port[tunnel[outer]], return_inverse=True)
    counts = np.bincount(of_row.reshape(-1), weights=weight[outer], minlength=len(numbers)).astype(np.int64)
    return Packets(
        count=int(weight.sum()),
        ports=tuple(sorted(zip(map(int, numbers), map(int, counts), strict=True), key=lambda port: (-port[1], port[0]))),
        first_ns=int(times.min()),
        last_ns=int(times.max()),
        frame_bytes=(int(sizes.min()), int(sizes.max())),
    )


def _inner(table: PacketTable, rows: I32) -> tuple[tuple[str, str], ...]:
    numbers = np.unique(table.conversation[rows])
    ends = (table.conversations.source, table.conversations.destination)
    return tuple(dict.fromkeys(tuple(address_text(end[number]) for end in ends) for number in numbers[numbers >= 0]))  # type: ignore[misc]


def nic(hop: Hop, count: HopCount | None = None) -> str:
    """A NIC as people name it."""
    interface = hop.tap.interface or (count.interface if count is not None else "") or ""
    return f"{hop.tap.node} {interface}".strip()
