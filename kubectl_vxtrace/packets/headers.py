"""Frames to PacketTable: every header of many frames at once, by numpy columns."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import (
    I32,
    U8,
    CaptureInterface,
    IcmpQuotes,
    Kind,
    Notices,
    PacketTable,
)
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import small
from kubectl_vxtrace.packets.cursor import BOOL, CONVERSATION_COLUMNS, ETHERNET_COLUMNS, TUNNEL_COLUMNS, Columns, columns
from kubectl_vxtrace.packets.digest import DIGEST_BYTES, common_payload_bytes, digests
from kubectl_vxtrace.packets.encapsulations import carrier_ports
from kubectl_vxtrace.packets.frames import ROWS, Frames
from kubectl_vxtrace.packets.intern import Interner, Key
from kubectl_vxtrace.packets.links import ethernet_bytes, open_links
from kubectl_vxtrace.packets.neighbours import Messages, read_neighbours
from kubectl_vxtrace.packets.network import ethernet, packets
from kubectl_vxtrace.packets.notices import read_notices
from kubectl_vxtrace.packets.quotes import Quotes, read_quotes
from kubectl_vxtrace.packets.rows import GrowingColumns
from kubectl_vxtrace.packets.small import fixed
from kubectl_vxtrace.packets.taps import Taps
from kubectl_vxtrace.packets.transport import finish, open_tunnels


def decode(frames: Frames, ports: U8) -> Columns:
    """The headers of one batch; `ports`: see carrier_ports. Never raises for what is in them.

    Nothing outside a frame's captured bytes matters.
    """
    out = columns(len(frames))
    for cursor, types in open_links(frames, out):
        for network in packets(frames, cursor, types, out):
            tunnels = finish(frames, network, out, ports, follow=True)
            if tunnels is None:
                continue
            inner, inner_types = ethernet(frames, open_tunnels(frames, tunnels, out), out)
            for packet in packets(frames, inner, inner_types, out):
                finish(frames, packet, out, ports, follow=False)
    return out


MAX_ROWS = 100_000_000
"""Packets of one file; 71 bytes of memory each, and 4 more where the file has several interfaces."""


class TableBuilder:
    """Collects decoded batches into one table. Raises PcapError beyond `most_rows`."""

    def __init__(self, vxlan_ports: Collection[int] | None, *, digest_bytes: int = DIGEST_BYTES, most_rows: int = MAX_ROWS) -> None:
        self._ports = carrier_ports(vxlan_ports)
        self._digest_bytes = digest_bytes
        self._common_payload_bytes = DIGEST_BYTES
        self._most_rows = most_rows
        self._columns = GrowingColumns(_COLUMNS)
        self._quotes: list[tuple[I32, ...]] = []
        self._neighbours: list[Messages] = []
        self._notices: list[Notices] = []
        self._conversations = Interner(CONVERSATION_COLUMNS)
        self._tunnels = Interner(TUNNEL_COLUMNS)
        self._ethernets = Interner(ETHERNET_COLUMNS)
        self._taps = Taps()

    def add(self, frames: Frames) -> None:
        """Decode frames, a cache's worth at a time, and keep their columns."""
        if self._columns.rows + len(frames) > self._most_rows:
            raise PcapError(f"it holds more than {self._most_rows:,} packets", "cut it into parts: editcap -c 10000000 OLD NEW")
        self._columns.reserve(len(frames))
        for start in range(0, len(frames), ROWS):
            self._add_part(frames.part(start, start + ROWS))

    def _add_part(self, frames: Frames) -> None:
        decoded = decode(frames, self._ports)
        quotes = read_quotes(frames, decoded, self._ports)
        if quotes is not None:
            self._add_quotes(quotes)
        messages = read_neighbours(frames, decoded)
        if messages is not None:
            self._neighbours.append(replace(messages, row=messages.row + self._columns.rows))
        notices = read_notices(frames, decoded)
        if notices is not None:
            self._notices.append(replace(notices, row=notices.row + np.int32(self._columns.rows)))
        self._common_payload_bytes = min(self._common_payload_bytes, common_payload_bytes(frames, decoded))
        found: dict[str, NDArray[Any]] = {
            "offset": frames.offset,
            "time_ns": frames.time_ns,
            "wire_bytes": ethernet_bytes(frames),
            "captured_bytes": frames.captured_bytes,
            "conversation": _number(self._conversations, decoded.conversation, decoded.kind <= Kind.ARP),
            "tunnel": _number(self._tunnels, decoded.tunnel, decoded.tunneled),
            "ethernet": _number(self._ethernets, decoded.ethernet, decoded.addressed),
            "digest": digests(frames, decoded, self._digest_bytes),
        }
        for name in ("kind", "payload_bytes", "ip_id", "outer_id", "ttl", "fragment", "encapsulation", "seq", "ack", "flags"):
            found[name] = getattr(decoded, name)
        self._columns.add(found, len(frames))
        self._taps.add(frames)

    def _add_quotes(self, quotes: Quotes) -> None:
        everything = np.ones(len(quotes.row), np.bool_)
        self._quotes.append(
            (
                (quotes.row + self._columns.rows).astype(np.int32),
                _number(self._conversations, quotes.conversation, everything),
                quotes.ip_id.astype(np.int32),
                _number(self._conversations, quotes.inner_conversation, quotes.has_inner),
                quotes.inner_ip_id.astype(np.int32),
            )
        )

    def finish(self, tap: Tap | None, stopped_at: int | None, described: Sequence[CaptureInterface] = (CaptureInterface(),)) -> PacketTable:
        """The table; its arrays are read-only. `described`: the reader's interfaces."""
        conversations, conversation_number = self._conversations.finish()
        tunnels, tunnel_number = self._tunnels.finish()
        ethernets, ethernet_number = self._ethernets.finish()
        interface, interfaces = self._taps.finish(described)
        rows, joined = self._columns.rows, self._columns.finish()
        _renumber(joined["conversation"], conversation_number)
        _renumber(joined["tunnel"], tunnel_number)
        _renumber(joined["ethernet"], ethernet_number)
        joined["frame"] = np.arange(1, rows + 1, dtype=np.int32)
        for column in joined.values():
            column.flags.writeable = False
        return PacketTable(
            tap=tap,
            **joined,
            interface=fixed(interface),
            interfaces=interfaces,
            conversations=small.conversations(conversations),
            tunnels=small.tunnels(tunnels),
            ethernets=small.ethernets(ethernets),
            icmp_quotes=self._finish_quotes(conversation_number),
            neighbours=small.neighbours(self._neighbours),
            notices=small.notices(self._notices),
            stopped_at=stopped_at,
            common_payload_bytes=self._common_payload_bytes,
            parts=(),
        )

    def _finish_quotes(self, number: I32) -> IcmpQuotes:
        row, conversation, ip_id, inner_conversation, inner_ip_id = (
            np.concatenate([np.empty(0, np.int32), *(part[column] for part in self._quotes)]) for column in range(5)
        )
        return IcmpQuotes(
            row=fixed(row),
            conversation=fixed(number[conversation]),
            ip_id=fixed(ip_id.astype(np.uint16)),
            inner_conversation=fixed(number[inner_conversation]),
            inner_ip_id=fixed(inner_ip_id.astype(np.uint16)),
        )


_RENUMBERED = 1 << 20

_COLUMNS: dict[str, type[np.generic]] = {
    "offset": np.int64,
    "time_ns": np.int64,
    "wire_bytes": np.int32,
    "captured_bytes": np.int32,
    "kind": np.uint8,
    "payload_bytes": np.int32,
    "conversation": np.int32,
    "tunnel": np.int32,
    "ethernet": np.int32,
    "ip_id": np.uint16,
    "outer_id": np.uint16,
    "ttl": np.uint8,
    "fragment": np.uint16,
    "encapsulation": np.uint8,
    "seq": np.uint32,
    "ack": np.uint32,
    "flags": np.uint16,
    "digest": np.uint64,
}


def _number(interner: Interner, key: Key, rows: BOOL) -> I32:
    """Provisional numbers of the keys in `rows`, -1 elsewhere."""
    if rows.all():
        return interner.add(key)
    numbers = np.full(len(rows), -1, np.int32)
    if rows.any():
        numbers[rows] = interner.add(tuple(column[rows] for column in key))
    return numbers


def _renumber(column: I32, number: I32) -> None:
    """Final numbers for provisional ones, in place, a part at a time."""
    for start in range(0, len(column), _RENUMBERED):
        part = column[start : start + _RENUMBERED]
        part[:] = number[part]
