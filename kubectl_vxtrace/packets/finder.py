"""Finds the addresses in all headers that are read of captures, as decoding does, and what was not understood."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U8, U16, Encapsulation, Kind
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor, columns
from kubectl_vxtrace.packets.encapsulations import carried_by_udp
from kubectl_vxtrace.packets.frames import Frames, i64
from kubectl_vxtrace.packets.links import LinkType, open_links
from kubectl_vxtrace.packets.network import Network, arp, ethernet, ipv4, ipv6
from kubectl_vxtrace.packets.quotes import error_rows
from kubectl_vxtrace.packets.sites import INNER, OUTER, QUOTED, QUOTED_INNER, Layer, Sites
from kubectl_vxtrace.packets.transport import finish, open_tunnels

_L4_BYTES, _TCP_BYTES = 8, 14
"""Of an L4 header that is not sound what says so: ports and lengths, TCP's offset."""

_TAGGED_BYTES = layout.ETHERNET.itemsize + layout.MOST_TAGS * layout.TAG.itemsize
_SLL2_BYTES = 8
"""Of a cooked header before its address: the interface's number is read."""
_ARP_BYTES = 8
"""Of ARP before the first address."""

_ROUTING, _FRAGMENT = 43, 44
_EXTENSIONS = (0, _ROUTING, _FRAGMENT, 60)
_REDIRECT_4 = 5  # RFC 792
_DISCOVERY = {133: (0, 0), 134: (0, 8), 135: (1, 16), 136: (1, 16), 137: (2, 32)}
"""RFC 4861, 4: by type how many addresses follow, and where the options begin."""
_LINK_ADDRESSES, _PREFIX, _MTU = (1, 2), 3, 5
_MOST_OPTIONS = 8
_TCP_OPTIONS = (0, 1, 2, 3, 4, 5, 8)
"""End, NOP, MSS, window scale, SACK (2), timestamps: RFC 9293, RFC 7323, RFC 2018. Others may hold addresses (MPTCP, RFC 8684, 3.4.1)."""
_MOST_TCP_OPTIONS = 40
_SLL_ADDRESS = {LinkType.LINUX_SLL: (4, 2, 6), LinkType.LINUX_SLL2: (11, 1, 12)}
"""Where the address's length stands, in how many bytes, and the address."""
_WORD = np.dtype("u1")


class Finder:
    """Finds the sites of one batch of frames. shift: from an index in the batch's data to an offset in the file, of each frame."""

    def __init__(self, frames: Frames, shift: I64, sites: Sites) -> None:
        self._frames = frames
        self._shift = shift
        self._sites = sites
        self._captured_end = frames.at + frames.captured_bytes
        self._understood = frames.at.copy()
        self._transport = np.full(len(frames), -1, np.int64)
        self._trailer = self._captured_end.copy()

    def find(self, ports: U8, dns_ports: list[int]) -> None:
        """Add the batch's sites. ports: see carrier_ports, as the file is decoded."""
        frames, out = self._frames, columns(len(self._frames))
        if frames.link_type is not None:
            cooked = np.flatnonzero(frames.link_type == LinkType.LINUX_SLL2)
            self._to(cooked, frames.at[cooked], _SLL2_BYTES)
        for cursor, types in open_links(frames, out):
            self._to(np.flatnonzero(out.addressed), frames.at[out.addressed], _TAGGED_BYTES)
            self._to(cursor.rows, cursor.at, 0)
            for network in self._packets(cursor, types, out, OUTER):
                tunnels = finish(frames, network, out, ports, follow=True)
                if tunnels is not None:
                    self._inner(tunnels, out, ports)
        self._links(out)
        self._discovery(out)
        self._errors(out, ports)
        self._tcp_options(out)
        self._payloads(out, dns_ports)
        unknown = np.flatnonzero(out.kind > Kind.ARP)
        self._wipe(unknown, self._understood[unknown], self._captured_end[unknown])
        known = np.flatnonzero(out.kind <= Kind.ARP)
        self._wipe(known, self._trailer[known], self._captured_end[known])

    def _inner(self, tunnels: Network, out: Columns, ports: U8) -> None:
        self._to(tunnels.cursor.rows, tunnels.cursor.at, layout.ENCAPSULATION.itemsize)
        opened = open_tunnels(self._frames, tunnels, out)
        self._ethernet(opened)
        self._to(opened.rows, opened.at, _TAGGED_BYTES)
        inner, types = ethernet(self._frames, opened, out)
        self._to(inner.rows, inner.at, 0)
        for network in self._packets(inner, types, out, INNER):
            finish(self._frames, network, out, ports, follow=False)

    def _to(self, rows: I64, at: I64, length: int | I64) -> None:
        """Frames are understood to `length` behind `at`, as far as they were captured."""
        self._understood[rows] = np.minimum(at + length, self._captured_end[rows])

    def _add(self, sites: list[I64], cursor: Cursor, at: I64 | int, width: int, rows: BOOL | None = None) -> None:
        """Sites at `at` behind the cursor, where they were captured whole."""
        place = cursor.at + at
        whole = place + width <= cursor.captured_end
        if rows is not None:
            whole &= rows
        sites.append(place[whole] + self._frame_shift(cursor)[whole])

    def _frame_shift(self, cursor: Cursor) -> I64:
        shift: I64 = self._shift[cursor.rows]
        return shift

    def _wipe(self, rows: I64, start: I64, end: I64) -> None:
        some = end > start
        self._sites.wiped.append(((start + self._shift[rows])[some], (end + self._shift[rows])[some]))

    def _ethernet(self, cursor: Cursor) -> None:
        for at in (0, 6):
            self._add(self._sites.macs, cursor, at, 6)

    def _links(self, out: Columns) -> None:
        frames = self._frames
        everything = Cursor(np.arange(len(frames)), frames.at, self._captured_end, self._captured_end, np.zeros(len(frames), np.bool_))
        self._ethernet(everything.keep(out.addressed))
        for link, (length_at, length_bytes, at) in _SLL_ADDRESS.items():
            if frames.link_type is not None and (frames.link_type == link).any():
                cooked = everything.keep(frames.link_type == link)
                cooked = cooked.keep(cooked.at + at + 8 <= cooked.captured_end)
                length = i64(frames.take(cooked.at + length_at, np.dtype(f">u{length_bytes}")))
                self._add(self._sites.macs, cooked, at, 6, length == 6)

    def _packets(self, cursor: Cursor, types: U16, out: Columns, depth: int) -> Iterator[Network]:
        """As network.packets, with the sites of the headers."""
        for ethertype, version in ((layout.ETHERTYPE_IPV4, 4), (layout.ETHERTYPE_IPV6, 6)):
            rows = types == ethertype
            if rows.any():
                yield self._header(cursor.keep(rows), out, depth, version)
        is_arp = types == layout.ETHERTYPE_ARP
        if is_arp.any():
            self._arp(cursor.keep(is_arp), out)

    def _header(self, cursor: Cursor, out: Columns, depth: int, version: int) -> Network:
        decode, header_bytes, width = (ipv4, layout.IPV4.itemsize, 4) if version == 4 else (ipv6, layout.IPV6.itemsize, 16)
        sites = self._sites.ipv4 if version == 4 else self._sites.ipv6
        for at in (header_bytes - 2 * width, header_bytes - width):
            self._add(sites, cursor, at, width)
        cut = np.flatnonzero(cursor.at + header_bytes > cursor.captured_end)
        before_addresses = header_bytes - 2 * width
        self._wipe(cursor.rows[cut], cursor.at[cut] + before_addresses, cursor.captured_end[cut])
        starts = np.zeros(len(self._frames), np.int64)
        starts[cursor.rows] = cursor.at
        if depth < QUOTED:
            self._to(cursor.rows, cursor.at, header_bytes)
        network = decode(self._frames, cursor, out)
        rows, start = network.cursor.rows, starts[network.cursor.rows]
        end = np.minimum(network.cursor.wire_end, network.cursor.captured_end)
        if depth < QUOTED:
            self._to(rows, network.cursor.at, np.where(network.protocol == IpProtocol.TCP, _TCP_BYTES, _L4_BYTES))
            self._transport[rows] = network.cursor.at
            if depth == OUTER:
                self._trailer[rows] = end
            else:
                self._wipe(rows, end, self._trailer[rows])
        self._options(network, start, version)
        shift = self._frame_shift(network.cursor)
        self._sites.layers[depth].append(
            Layer(version, start + shift, network.cursor.at + shift, end + shift, network.protocol.copy(), network.later)
        )
        return network

    def _options(self, network: Network, start: I64, version: int) -> None:
        """Options of IPv4 and routing headers of IPv6 name routers."""
        cursor = network.cursor
        if version == 4:
            self._wipe(cursor.rows, start + layout.IPV4.itemsize, np.minimum(cursor.at, cursor.captured_end))
            return
        place, following = start + layout.IPV6.itemsize, self._frames.take(start + 6, _WORD)
        for _ in range(layout.MOST_EXTENSIONS):
            going = np.isin(following, _EXTENSIONS) & (place < cursor.at)
            if not going.any():
                return
            length = np.where(following == _FRAGMENT, 8, (i64(self._frames.take(place + 1, _WORD)) + 1) * 8)
            routing = np.flatnonzero(going & (following == _ROUTING))
            end = np.minimum((place + length)[routing], cursor.captured_end[routing])
            self._wipe(cursor.rows[routing], place[routing] + 8, end)
            following = np.where(going, self._frames.take(place, _WORD), following)
            place = np.where(going, place + length, place)

    def _arp(self, cursor: Cursor, out: Columns) -> None:
        kinds = out.kind.copy()
        self._to(cursor.rows, cursor.at, _ARP_BYTES)
        arp(self._frames, cursor, out)
        known = cursor.keep((out.kind[cursor.rows] == Kind.ARP) & (kinds[cursor.rows] != Kind.ARP))
        for at in (8, 18):
            self._add(self._sites.macs, known, at, 6)
        for at in (14, 24):
            self._add(self._sites.ipv4, known, at, 4)
        self._trailer[known.rows] = known.at + layout.ARP.itemsize

    def _rows_of(self, out: Columns, rows: I64) -> Cursor:
        """Rows at their payload; it ends where it was captured or where the packet ends."""
        at = out.payload_at[rows]
        end = np.minimum(self._captured_end[rows], at + out.payload_bytes[rows])
        return Cursor(rows, at, end, at + out.payload_bytes[rows], np.ones(len(rows), np.bool_))

    def _discovery(self, out: Columns) -> None:
        message = out.flags >> 8
        is_icmp6 = (out.kind == Kind.IP) & (_protocol(out) == IpProtocol.ICMPV6) & (out.fragment & FRAGMENT_OFFSET == 0)
        for kind, (addresses, options_at) in _DISCOVERY.items():
            rows = np.flatnonzero(is_icmp6 & (message == kind))
            if len(rows):
                cursor = self._rows_of(out, rows)
                for number in range(addresses):
                    self._add(self._sites.ipv6, cursor, 16 * number, 16)
                self._discovery_options(cursor.moved(cursor.at + options_at))

    def _discovery_options(self, cursor: Cursor) -> None:
        for _ in range(_MOST_OPTIONS):
            cursor = cursor.keep(cursor.at + 2 <= cursor.captured_end)
            if not len(cursor):
                return
            kind = self._frames.take(cursor.at, _WORD)
            length = i64(self._frames.take(cursor.at + 1, _WORD)) * 8
            is_address = np.isin(kind, _LINK_ADDRESSES) & (length == 8)
            is_prefix = (kind == _PREFIX) & (length == 32)
            self._add(self._sites.macs, cursor, 2, 6, is_address)
            self._add(self._sites.ipv6, cursor, 16, 16, is_prefix)
            other = np.flatnonzero(~is_address & ~is_prefix & (kind != _MTU))
            end = np.where(length == 0, cursor.captured_end, np.minimum(cursor.at + length, cursor.captured_end))
            self._wipe(cursor.rows[other], cursor.at[other] + 2, end[other])
            cursor = cursor.moved(cursor.at + length).keep(length > 0)
        self._wipe(cursor.rows, cursor.at, cursor.captured_end)

    def _errors(self, out: Columns, ports: U8) -> None:
        """What errors quote; and the router that an IPv4 redirect names."""
        redirect = np.flatnonzero((out.kind == Kind.IP) & (_protocol(out) == IpProtocol.ICMP) & (out.flags >> 8 == _REDIRECT_4))
        self._add(self._sites.ipv4, self._rows_of(out, redirect), -4, 4)
        for mask, version in zip(error_rows(out), (4, 6), strict=True):
            rows = np.flatnonzero(mask)
            if not len(rows):
                continue
            scratch = columns(len(self._frames))
            network = self._header(self._rows_of(out, rows), scratch, QUOTED, version)
            cursor = network.cursor
            room = cursor.at + layout.ENCAPSULATION.itemsize <= cursor.captured_end
            network = network.keep(room & (network.protocol == IpProtocol.UDP) & ~network.later)
            carried = carried_by_udp(self._frames, network.cursor, self._frames.take(network.cursor.at, layout.UDP), ports)
            network = network.keep(carried == Encapsulation.VXLAN)
            if len(network):
                opened = open_tunnels(self._frames, network, scratch)
                self._ethernet(opened)
                inner, types = ethernet(self._frames, opened, scratch)
                for _ in self._packets(inner, types, scratch, QUOTED_INNER):
                    pass

    def _tcp_options(self, out: Columns) -> None:
        rows = np.flatnonzero((out.kind == Kind.IP) & (_protocol(out) == IpProtocol.TCP) & (out.fragment & FRAGMENT_OFFSET == 0))
        end = np.minimum(out.payload_at[rows], self._captured_end[rows])
        cursor = Cursor(rows, self._transport[rows] + layout.TCP.itemsize, end, end, np.zeros(len(rows), np.bool_))
        for _ in range(_MOST_TCP_OPTIONS):
            cursor = cursor.keep(cursor.at < cursor.captured_end)
            if not len(cursor):
                return
            kind = self._frames.take(cursor.at, _WORD)
            length = np.where(kind <= 1, 1, np.maximum(i64(self._frames.take(cursor.at + 1, _WORD)), 2))
            other = np.flatnonzero(~np.isin(kind, _TCP_OPTIONS))
            self._wipe(cursor.rows[other], cursor.at[other] + 2, np.minimum(cursor.at + length, cursor.captured_end)[other])
            cursor = cursor.moved(cursor.at + length).keep(kind != 0)

    def _payloads(self, out: Columns, dns_ports: list[int]) -> None:
        """Where the payload of each frame lies, and which are DNS by their ports."""
        is_ip = out.kind == Kind.IP
        source, destination = ((out.conversation[4] >> np.uint64(bits)).astype(np.int64) & 0xFFFF for bits in (24, 8))
        ported = is_ip & np.isin(_protocol(out), (IpProtocol.UDP, IpProtocol.TCP)) & (out.fragment & FRAGMENT_OFFSET == 0)
        dns = ported & (np.isin(source, dns_ports) | np.isin(destination, dns_ports))
        at = np.where(is_ip, np.minimum(out.payload_at, self._captured_end), self._captured_end)
        end = np.where(is_ip, np.minimum(self._captured_end, at + out.payload_bytes), at)
        unopened = np.full(len(out), -1, np.int64)
        unopened[is_ip & (out.encapsulation != Encapsulation.NONE)] = 0
        unopened[np.isin(out.encapsulation, (Encapsulation.WIREGUARD, Encapsulation.ESP))] = -1
        unopened[np.isin(out.encapsulation, (Encapsulation.GENEVE, Encapsulation.VXLAN))] = 8
        self._sites.payload_at.append(at + self._shift)
        self._sites.payload_end.append(end + self._shift)
        self._sites.dns.append(dns)
        self._sites.unopened.append(unopened)


def _protocol(out: Columns) -> NDArray[Any]:
    return out.conversation[4] & np.uint64(0xFF)
