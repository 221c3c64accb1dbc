"""Outer headers of VXLAN frames, counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.model.packets import I32, PacketTable, address_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Encapsulation:
    """An outer header without its UDP source port, with how many frames carried it."""

    source: str
    destination: str
    port: int
    vni: int
    frames: int


def udp_counter(headers: Sequence[Encapsulation], name: str) -> str:
    """The kernel's UDP counter `name` (`NoPorts`) for packets with these outer headers: /proc/net/snmp6 has its own for IPv6."""
    return f"Udp6{name}" if headers and ":" in headers[0].destination else f"Udp.{name}"


def outer_headers(table: PacketTable, rows: I32) -> tuple[Encapsulation, ...]:
    """The outer headers of the frames in `rows`, the most frequent first; bare frames have none.

    Outer source ports differ from flow to flow (RFC 7348, 5) and are not told apart.
    """
    numbers, frames = np.unique(table.tunnel[rows], return_counts=True)
    numbers, frames = numbers[numbers >= 0], frames[numbers >= 0]
    if not len(numbers):
        return ()
    tunnels = table.tunnels
    identifiers = np.stack([tunnels.port[numbers].astype(np.uint32), tunnels.vni[numbers]], axis=1).view(np.uint8)
    raw = np.concatenate([tunnels.source[numbers], tunnels.destination[numbers], identifiers], axis=1)
    _, first, group = np.unique(raw, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(group.reshape(-1), weights=frames).astype(np.int64)
    headers = [
        Encapsulation(
            source=address_text(tunnels.source[number]),
            destination=address_text(tunnels.destination[number]),
            port=int(tunnels.port[number]),
            vni=int(tunnels.vni[number]),
            frames=int(count),
        )
        for number, count in zip(numbers[first], counts, strict=True)
    ]
    return tuple(sorted(headers, key=lambda header: -header.frames))


def rows_between(table: PacketTable, headers: Iterable[Encapsulation]) -> I32:
    """Rows of all VXLAN frames with the outer addresses of `headers`, of whichever flow."""
    pairs = {(header.source, header.destination) for header in headers}
    ends = zip(table.tunnels.source, table.tunnels.destination, strict=True)
    numbers = [number for number, (source, destination) in enumerate(ends) if (address_text(source), address_text(destination)) in pairs]
    rows: I32 = np.flatnonzero(np.isin(table.tunnel, numbers)).astype(np.int32)
    return rows
