"""Captures with other addresses and names in place of theirs, in all headers and in DNS; all else that is read of them is as it was."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U8, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.packets import dns_names, open_reader, read_pcaps
from kubectl_vxtrace.packets.checksums import settle
from kubectl_vxtrace.packets.digest import DIGEST_BYTES
from kubectl_vxtrace.packets.encapsulations import carrier_ports
from kubectl_vxtrace.packets.finder import Finder
from kubectl_vxtrace.packets.frames import take
from kubectl_vxtrace.packets.pcap import is_pcap, record_header_bytes
from kubectl_vxtrace.packets.sameness import difference
from kubectl_vxtrace.packets.sites import QUOTED_INNER, Sites
from kubectl_vxtrace.packets.source import PADDING_BYTES, Source
from kubectl_vxtrace.packets.summary import DNS_PORTS

_DNS_HEADER_BYTES, _ID_BYTES, _STREAM_LENGTH_BYTES = 12, 2, 2
_AT_ONCE = 1 << 20


class Pseudonyms(Protocol):
    """What addresses, as numbers, names and bytes become; see the room pseudonyms."""

    def ipv4(self, address: int) -> int:
        """Of 32 bits."""

    def ipv6(self, address: int) -> int:
        """Of 128 bits."""

    def mac(self, address: int) -> int:
        """Of 48 bits."""

    def learn(self, addresses: Iterable[int]) -> None:
        """IPv6 addresses that solicited-node groups are to follow."""

    def labels(self, labels: list[str]) -> list[str]:
        """See dns_names.Pseudonyms."""

    def address(self, packed: bytes) -> bytes:
        """See dns_names.Pseudonyms."""

    def opaque(self, data: bytes) -> bytes:
        """Of bytes that nobody understands, as many: the same for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcapToAnonymise:
    """A capture that tcpdump wrote, without payload (see packets.scrub), and where the one without names is written."""

    tap: Tap
    path: Path
    destination: Path


def anonymise(
    captures: Sequence[PcapToAnonymise], pseudonyms: Pseudonyms, *, vxlan_ports: Collection[int], inside: Collection[Tap]
) -> str | None:
    """Write each capture with pseudonyms to its destination.

    What was written is decoded, and must say the same as before but for addresses; checksums are right where they were.

    Returns:
        None, or why they cannot be had: the files that were written are then of no use.

    Raises:
        OSError: a file cannot be read or written.
    """
    for capture in captures:
        with capture.path.open("rb") as file:
            if not is_pcap(file.read(4)):
                return "a capture is no pcap as tcpdump writes it"
    before = read_pcaps([(capture.tap, capture.path) for capture in captures], vxlan_ports=vxlan_ports, inside=inside)
    if (unreadable := next((table for table in before if isinstance(table, PcapError)), None)) is not None:
        return f"a capture cannot be read: {unreadable.message}"
    tables = [table for table in before if isinstance(table, PacketTable)]
    opened, closed = carrier_ports(vxlan_ports), carrier_ports(None)
    sites = [_sites(capture.path, closed if capture.tap in inside else opened) for capture in captures]
    is_dns = _dns_rows(sites, tables)
    digest_bytes = min((table.common_payload_bytes for table in tables), default=DIGEST_BYTES)
    for capture, found in zip(captures, sites, strict=True):
        pseudonyms.learn(_numbers(_read(capture.path), found.ipv6, 16))
    for capture, found, table, dns in zip(captures, sites, tables, is_dns, strict=True):
        writer = _Writer(_read(capture.path), found, pseudonyms, digest_bytes)
        writer.headers()
        writer.payloads(table, dns)
        writer.checksums()
        writer.write(capture.destination, table.stopped_at)
    after = read_pcaps([(capture.tap, capture.destination) for capture in captures], vxlan_ports=vxlan_ports, inside=inside)
    if (broken := next((table for table in after if isinstance(table, PcapError)), None)) is not None:
        return f"what became of a capture cannot be read: {broken.message}"
    return difference(tables, [table for table in after if isinstance(table, PacketTable)], pseudonyms)


def _read(path: Path) -> U8:
    """A file's bytes, and zeros behind them that headers may be gathered from."""
    return np.concatenate([np.fromfile(path, np.uint8), np.zeros(PADDING_BYTES, np.uint8)])


def _sites(path: Path, ports: U8) -> Sites:
    sites = Sites()
    with Source(path) as source:
        window = source.window()
        header_bytes = record_header_bytes(window.data[:4].tobytes())
        for frames in open_reader(window):
            Finder(frames, frames.offset + header_bytes - frames.at, sites).find(ports, sorted(DNS_PORTS))
    return sites


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _dns_rows(sites: Sequence[Sites], tables: Sequence[PacketTable]) -> list[I64]:
    """Which frames' payload is DNS: by their ports, or because it is the same as such a one, at a hop where its port is another."""
    by_port = [_joined(found.dns).astype(np.bool_) for found in sites]
    digests = np.unique(_joined([table.digest[dns] for table, dns in zip(tables, by_port, strict=True)]))
    digests = digests[digests != 0]
    return [
        np.flatnonzero((dns | np.isin(table.digest, digests)) & (table.conversation >= 0))
        for table, dns in zip(tables, by_port, strict=True)
    ]


def _numbers(data: U8, places: Sequence[I64], width: int) -> list[int]:
    """The distinct numbers of so many bytes at these places."""
    return [int.from_bytes(raw.tobytes()) for raw in np.unique(take(data, _joined(places), np.dtype(f"V{width}")))]


class _Writer:
    """One file's bytes as they were, and as they become."""

    def __init__(self, old: U8, sites: Sites, pseudonyms: Pseudonyms, digest_bytes: int) -> None:
        self._old, self._new = old, old.copy()
        self._sites = sites
        self._pseudonyms = pseudonyms
        self._digest_bytes = digest_bytes

    def headers(self) -> None:
        """Addresses, and what may hold some."""
        for start, end in self._sites.wiped:
            self._zero(start, end)
        self._addresses(self._sites.macs, 6, self._pseudonyms.mac)
        self._addresses(self._sites.ipv4, 4, self._pseudonyms.ipv4)
        self._addresses(self._sites.ipv6, 16, self._pseudonyms.ipv6)

    def _addresses(self, places: Sequence[I64], width: int, change: Callable[[int], int]) -> None:
        self._replace(_joined(places), width, lambda raw: change(int.from_bytes(raw)).to_bytes(width))

    def payloads(self, table: PacketTable, dns: I64) -> None:
        """DNS, and packets inside of what was not opened."""
        at, end, unopened = (_joined(column) for column in (self._sites.payload_at, self._sites.payload_end, self._sites.unopened))
        closed = np.flatnonzero(unopened >= 0)
        for kept in np.unique(unopened[closed]).tolist():
            some = closed[unopened[closed] == kept]
            self._stretches(at[some] + kept, end[some], partial(self._unknown, kept))
        dns = dns[unopened[dns] < 0]
        is_tcp = table.conversations.protocol[table.conversation[dns]] == IpProtocol.TCP
        self._stretches(at[dns[~is_tcp]] + _ID_BYTES, end[dns[~is_tcp]], self._datagram)
        self._stretches(at[dns[is_tcp]], end[dns[is_tcp]], self._stream)

    def checksums(self) -> None:
        """Of all packets, the innermost first."""
        for depth in range(QUOTED_INNER, -1, -1):
            for layer in self._sites.layers.get(depth, ()):
                settle(self._old, self._new, [layer])

    def write(self, destination: Path, stopped_at: int | None) -> None:
        """Write the file; a packet that it ends in becomes a record that cannot be: longer than any."""
        size = len(self._new) - PADDING_BYTES
        if stopped_at is not None:
            self._new[stopped_at:size] = 0xFF
        self._new[:size].tofile(destination)

    def _zero(self, start: I64, end: I64) -> None:
        for begin in range(0, len(start), _AT_ONCE):
            some = slice(begin, begin + _AT_ONCE)
            length = end[some] - start[some]
            within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
            self._new[np.repeat(start[some], length) + within] = 0

    def _replace(self, at: I64, width: int, change: Callable[[bytes], bytes]) -> None:
        """Put for each different stretch of `width` bytes what becomes of it."""
        if not len(at):
            return
        values, number = np.unique(take(self._old, at, np.dtype(f"V{width}")), return_inverse=True)
        made = np.frombuffer(b"".join(change(value.tobytes()) for value in values), np.uint8).reshape(-1, width)
        self._new[at[:, np.newaxis] + np.arange(width)] = made[number.reshape(-1)]

    def _stretches(self, start: I64, end: I64, change: Callable[[bytes], bytes]) -> None:
        length = end - start
        for width in np.unique(length[length > 0]).tolist():
            self._replace(start[length == width], width, change)

    def _unknown(self, before: int, data: bytes) -> bytes:
        """Only what counts for a digest, so that what was alike is alike; `before` bytes of the payload come first."""
        alike = data[: max(self._digest_bytes - before, 0)]
        return self._pseudonyms.opaque(alike) + bytes(len(data) - len(alike))

    def _datagram(self, data: bytes) -> bytes:
        """DNS without its identifier, so that each question is looked at once."""
        found = dns_names.rewritten(bytes(_ID_BYTES) + data, self._pseudonyms)
        if found is not None:
            return found[_ID_BYTES:]
        kept = _DNS_HEADER_BYTES - _ID_BYTES
        return data[:kept] + self._unknown(_DNS_HEADER_BYTES, data[kept:])

    def _stream(self, data: bytes) -> bytes:
        """DNS over TCP. What is none is read as far as a header goes, and holds no name there."""
        found = dns_names.rewritten_stream(data, self._pseudonyms)
        kept = _STREAM_LENGTH_BYTES + _DNS_HEADER_BYTES
        return data[:kept] + self._unknown(kept, data[kept:]) if found is None else found
