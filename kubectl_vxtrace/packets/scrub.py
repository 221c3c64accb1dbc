"""Payload out of captures: what applications send is overwritten; headers and DNS stay, and with them all that the analysis reads.

Where a payload was, its first bytes become a mark, the same for the same payload in all files, the rest zeros. So a packet is still
told from others, and known at its next hop, by its payload's digest. Nothing of a payload can be computed from its mark, which
is a number in the order of first appearance.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U8, U64, Encapsulation, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.packets import layout, open_reader, read_pcap
from kubectl_vxtrace.packets.cursor import BOOL, Columns
from kubectl_vxtrace.packets.digest import DIGEST_BYTES
from kubectl_vxtrace.packets.encapsulations import carrier_ports
from kubectl_vxtrace.packets.frames import Frames, i64
from kubectl_vxtrace.packets.headers import decode
from kubectl_vxtrace.packets.network import is_tag
from kubectl_vxtrace.packets.numbering import Numbering
from kubectl_vxtrace.packets.pcap import is_pcap, record_header_bytes
from kubectl_vxtrace.packets.quotes import error_rows
from kubectl_vxtrace.packets.sameness import equal
from kubectl_vxtrace.packets.source import Source
from kubectl_vxtrace.packets.summary import DNS_PORTS

_STATUS_LINE = np.frombuffer(b"HTTP/1.", np.uint8)
_STATUS_LINE_BYTES = len("HTTP/1.1 500")
_MARK_BYTES = 8
_MARK = 0xA5 << 56
"""The first byte of a whole mark: with it no payload looks like the header of WireGuard or VXLAN."""

_UNOPENED_BYTES = 64
"""Of what carries other packets and was not opened so much stays: its headers, and those behind it."""

_NO_PACKET_BYTES = 64
"""Of frames that carry neither IP nor ARP."""

_BROKEN_BYTES = 160
"""Of frames whose headers contradict each other, or were not captured whole: as long as all headers are, inside VXLAN over IPv6 too."""

_QUOTED_L4_BYTES = 8
"""RFC 792: what an error quotes at least behind the IP header, and all that is read of it."""

_FRAGMENT = 44
_EXTENSIONS, _MOST_EXTENSIONS = (0, 43, _FRAGMENT, 60), 4
_DISCOVERY_TYPES = (133, 137)
_ENCRYPTED = (Encapsulation.WIREGUARD, Encapsulation.ESP)
_AT_ONCE = 4096
_COLUMNS = tuple(name for name in PacketTable.__slots__ if name not in ("tap", "digest", "parts"))


_CUT_BYTES = 8
"""What stands for a record that a file ends inside: shorter than any record's header, so that the file still does."""

_NONE: U64 = np.zeros(0, np.uint64)


class Scrubber:
    """Takes payload out of the captures of one trace: each alone and in memory, in any order, by any number of threads, one at a time.

    Two things are known only when all files have come: how much of a payload all of them hold, which is what the analysis compares, and
    which payloads are those of DNS. Where a file says anew that it is less, or that what was overwritten in another one is DNS, those
    before are stale: what they were made of has to come again. That is seldom: it takes packets that were cut within the first 96 bytes of
    their payload, or a DNS server behind another port.
    """

    def __init__(self, *, vxlan_ports: Collection[int], inside: Collection[Tap]) -> None:
        self._lock = threading.Lock()
        self._ports = set(vxlan_ports)
        self._inside = inside
        self._done: set[Tap] = set()
        self._stale: set[Tap] = set()
        self._begin(DIGEST_BYTES)

    def scrub(self, tap: Tap, content: bytearray) -> bytearray:
        """The capture of `tap`, a classic pcap, without payload: `content` itself, overwritten, or a new one where it ends inside a record.

        All columns that are read of it but the digests are as before, and equal digests of all files that are not stale are still equal,
        and different ones different.

        Raises:
            PcapError: why that cannot be; `content` may still hold payload.
        """
        with self._lock:
            self._done.discard(tap)
            self._stale.discard(tap)
            made = self._scrubbed(tap, content) if content else content
            self._done.add(tap)
            return made

    def read_as(self, vxlan_ports: Collection[int]) -> None:
        """The analysis will take these ports for VXLAN's; files that were scrubbed for other ones are stale."""
        with self._lock:
            if self._ports != set(vxlan_ports):
                self._ports = set(vxlan_ports)
                self._begin(self._digest_bytes)

    @property
    def stale(self) -> frozenset[Tap]:
        """Whose captures have to be scrubbed again, of what they were before."""
        with self._lock:
            return frozenset(self._stale)

    def _begin(self, digest_bytes: int) -> None:
        """Forget all payloads: they are compared by so many bytes from now on, and by the ports that are known now."""
        self._digest_bytes = digest_bytes
        self._dns = _NONE
        self._marks: dict[int, Numbering] = {}
        self._outdate()

    def _outdate(self) -> None:
        """All that was made so far is to be made again."""
        self._stale |= self._done
        self._done.clear()
        self._before, self._after = Numbering(), Numbering()

    def _scrubbed(self, tap: Tap, content: bytearray) -> bytearray:
        if not is_pcap(bytes(content[:4])):
            raise PcapError("it is no pcap as tcpdump writes it")
        table = self._read(tap, content)
        if table.common_payload_bytes < self._digest_bytes:
            self._begin(table.common_payload_bytes)
            table = self._read(tap, content)
        if table.stopped_at is not None:
            content = content[: table.stopped_at] + bytes(min(len(content) - table.stopped_at, _CUT_BYTES))
        opened = carrier_ports(self._ports)
        payload = _payloads(content, carrier_ports(None) if tap in self._inside else opened, opened, self._digest_bytes)
        self._keep_dns(payload, table)
        _overwrite(content, payload, self._mark(payload, table))
        self._check(table, self._read(tap, content))
        return content

    def _read(self, tap: Tap, content: bytearray) -> PacketTable:
        return read_pcap(content, tap=tap, vxlan_ports=None if tap in self._inside else self._ports, digest_bytes=self._digest_bytes)

    def _keep_dns(self, payload: "_Payloads", table: PacketTable) -> None:
        """Leave payloads alone that are those of DNS at another hop, where its port is another."""
        kept = np.setdiff1d(table.digest[payload.whole], np.append(self._dns, np.uint64(0)))
        if any(marks.knows(kept).any() for marks in self._marks.values()):
            self._outdate()
        self._dns = np.union1d(self._dns, kept)
        payload.length[np.isin(table.digest, self._dns)] = 0

    def _mark(self, payload: "_Payloads", table: PacketTable) -> U64:
        """A number for each payload that has a digest and is overwritten, the same in all files; 0 where there is none."""
        mark = np.zeros(len(table), np.uint64)
        wanted = (table.digest != 0) & (payload.length > 0) & (payload.room > 0)
        # Of whole marks there are enough for all; short ones only tell payloads of the same length apart.
        group = np.where(payload.room == _MARK_BYTES, 0, payload.alike * (_MARK_BYTES + 1) + payload.room)
        for each in np.unique(group[wanted]).tolist():
            rows = np.flatnonzero(wanted & (group == each))
            mark[rows] = self._marks.setdefault(each, Numbering()).numbers(table.digest[rows])
        return mark

    def _check(self, before: PacketTable, after: PacketTable) -> None:
        """Raise PcapError where the analysis would read anything otherwise."""
        for name in _COLUMNS:
            if not equal(getattr(before, name), getattr(after, name)):
                raise PcapError(f"{name} would have been read otherwise")
        old, new = self._before.copy(), self._after.copy()
        same = np.array_equal(before.digest == 0, after.digest == 0)
        # Digests are told apart as before exactly if both are numbered alike.
        if not same or not np.array_equal(old.numbers(before.digest), new.numbers(after.digest)):
            raise PcapError("payloads could not have been told apart as before")
        self._before, self._after = old, new


@dataclass(slots=True, eq=False)
class _Payloads:
    """Of each frame of a file what is overwritten: from `start` in the file `length` bytes, 0 for nothing. `room`: bytes for a mark.

    alike: how many of the payload's first bytes count for its digest. whole: the payload stays as it is.
    """

    start: I64
    length: I64
    room: I64
    alike: I64
    whole: BOOL


def _payloads(content: bytearray, ports: U8, quoted_ports: U8, digest_bytes: int) -> _Payloads:
    """What is overwritten in one file. `ports`: of VXLAN as the file is decoded; `quoted_ports`: as errors quote it at any tap."""
    parts: list[tuple[NDArray[Any], ...]] = []
    with Source(content) as source:
        window = source.window()
        header_bytes = record_header_bytes(window.data[:4].tobytes())
        for frames in open_reader(window):
            decoded = decode(frames, ports)
            end = frames.at + frames.captured_bytes
            kept, whole = _kept_until(frames, decoded, quoted_ports)
            kept = np.minimum(kept, end)
            alike = np.minimum(decoded.payload_bytes, digest_bytes).astype(np.int64)
            room = np.clip(decoded.payload_at + alike - kept, 0, _MARK_BYTES)
            parts.append((frames.offset + header_bytes + (kept - frames.at), end - kept, room, alike, whole))
    columns = [np.concatenate([part[column] for part in parts]) if parts else np.zeros(0, np.int64) for column in range(5)]
    return _Payloads(columns[0], columns[1], columns[2], columns[3], columns[4].astype(np.bool_))


def _kept_until(frames: Frames, decoded: Columns, quoted_ports: U8) -> tuple[I64, BOOL]:
    """Where in the batch's data each frame's payload begins that is taken out; and which payloads stay whole: DNS, and what has none."""
    protocol = (decoded.conversation[4] & np.uint64(0xFF)).astype(np.int64)
    source, destination = ((decoded.conversation[4] >> np.uint64(bits)).astype(np.int64) & 0xFFFF for bits in (24, 8))
    is_ip = decoded.kind == Kind.IP
    kept = np.where(is_ip, decoded.payload_at, frames.at + np.where(decoded.kind == Kind.OTHER, _NO_PACKET_BYTES, _BROKEN_BYTES))
    dns = sorted(DNS_PORTS)
    whole = is_ip & np.isin(protocol, (IpProtocol.UDP, IpProtocol.TCP)) & (np.isin(source, dns) | np.isin(destination, dns))
    message = decoded.flags >> 8
    whole |= is_ip & (protocol == IpProtocol.ICMPV6) & (message >= _DISCOVERY_TYPES[0]) & (message <= _DISCOVERY_TYPES[1])
    whole |= np.isin(decoded.encapsulation, _ENCRYPTED)
    whole &= decoded.fragment & FRAGMENT_OFFSET == 0
    kept += np.where(is_ip & ~np.isin(decoded.encapsulation, (Encapsulation.NONE, *_ENCRYPTED)), _UNOPENED_BYTES, 0)
    kept += np.where(_status_lines(frames, decoded, is_ip & (protocol == IpProtocol.TCP)), _STATUS_LINE_BYTES, 0)
    errors = np.flatnonzero(np.logical_or(*error_rows(decoded)))
    kept[errors] += _quoted_bytes(frames, decoded.payload_at[errors], quoted_ports)
    everything = whole | (decoded.kind == Kind.ARP)
    kept[everything] = (frames.at + frames.captured_bytes)[everything]
    return kept, whole


def _status_lines(frames: Frames, decoded: Columns, rows: BOOL) -> BOOL:
    """Which of `rows` begin with an HTTP status line, of which the status stays."""
    found = rows & (decoded.payload_bytes >= _STATUS_LINE_BYTES)
    begins = frames.take(decoded.payload_at[found], np.dtype(f"{len(_STATUS_LINE)}u1"))
    found[found] = (begins == _STATUS_LINE).all(axis=1)
    return found


def _quoted_bytes(frames: Frames, at: I64, ports: U8) -> I64:
    """How much of a quoted packet is read: its headers, and those inside where it is VXLAN. The buffer goes on behind each frame."""
    header = _ip_header_bytes(frames, at)
    udp = frames.take(at + header, layout.UDP)
    inner = at + header + layout.ENCAPSULATION.itemsize + layout.ETHERNET.itemsize
    inner = np.minimum(inner, len(frames.data) - layout.IPV6.itemsize)
    for _ in range(layout.MOST_TAGS):
        tagged = is_tag(frames.take(inner - 2, np.dtype(">u2"))) & (inner + layout.TAG.itemsize <= len(frames.data) - layout.IPV6.itemsize)
        inner = inner + np.where(tagged, layout.TAG.itemsize, 0)
    deeper = inner - at + _ip_header_bytes(frames, inner) + _QUOTED_L4_BYTES
    # VXLAN is known by its content on any port; what only looks like it keeps some bytes more.
    types = frames.take(inner - 2, np.dtype(">u2"))
    is_vxlan = (ports[i64(udp["destination"])] == Encapsulation.VXLAN) | np.isin(types, (layout.ETHERTYPE_IPV4, layout.ETHERTYPE_IPV6))
    quoted: I64 = np.where(is_vxlan, deeper, header + _QUOTED_L4_BYTES)
    return quoted


def _ip_header_bytes(frames: Frames, at: I64) -> I64:
    """Of IP headers that may be cut, with IPv6's extension headers (RFC 8200, 4)."""
    byte, last = np.dtype("u1"), len(frames.data) - 2
    first, following = i64(frames.take(at, byte)), frames.take(at + 6, byte)
    is_six = first >> 4 == 6
    length: I64 = np.where(is_six, layout.IPV6.itemsize, (first & 0x0F) * 4)
    for _ in range(_MOST_EXTENSIONS):
        extended = np.flatnonzero(is_six & np.isin(following, _EXTENSIONS))
        place = np.minimum((at + length)[extended], last)
        eights = np.where(following[extended] == _FRAGMENT, 0, frames.take(place + 1, byte))
        following[extended] = frames.take(place, byte)
        length[extended] += 8 + 8 * i64(eights)
    return length


def _overwrite(content: bytearray, payload: _Payloads, mark: U64) -> None:
    """Zeros and marks in place of payloads."""
    data = np.frombuffer(content, np.uint8)
    rows = np.flatnonzero(payload.length > 0)
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        length = payload.length[some]
        within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        data[np.repeat(payload.start[some], length) + within] = 0
    room = np.minimum(payload.room, payload.length)
    whole = np.where(room == _MARK_BYTES, np.uint64(_MARK) | mark, mark)
    for place in range(_MARK_BYTES):
        some = rows[room[rows] > place]
        # Big-endian: the last byte is the number's lowest.
        shift = ((room[some] - 1 - place) * 8).astype(np.uint64)
        data[payload.start[some] + place] = (whole[some] >> shift).astype(np.uint8)
