"""Ethernet with its tags, IPv4, IPv6 and ARP."""

from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.model.address import IPV4_MAPPED_PREFIX
from kubectl_vxtrace.model.packets import I64, U8, U16, U64, Kind
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, MORE_FRAGMENTS
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor
from kubectl_vxtrace.packets.frames import Frames, i64, u64

MAPPED_IPV4 = np.uint64(int.from_bytes(IPV4_MAPPED_PREFIX[8:] + bytes(4)))
"""Lower half of `::ffff:0.0.0.0`."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Packets of one IP version. The cursor stands on the L4 header; its `wire_end` is the packet's end by the IP length."""

    cursor: Cursor
    protocol: U8
    source_high: U64
    source: U64
    destination_high: U64
    destination: U64
    ip_id: U16
    ttl: U8
    fragment: U16

    def __len__(self) -> int:
        return len(self.cursor)

    def keep(self, mask: BOOL) -> "Network":
        """Only the rows of `mask`."""
        if mask.all():
            return self
        index = np.flatnonzero(mask)
        return Network(
            self.cursor.pick(index),
            self.protocol[index],
            self.source_high[index],
            self.source[index],
            self.destination_high[index],
            self.destination[index],
            self.ip_id[index],
            self.ttl[index],
            self.fragment[index],
        )

    def at(self, cursor: Cursor) -> "Network":
        """Only the rows of `cursor`, which is part of this one's."""
        if len(cursor) == len(self.cursor):
            return self
        return self.keep(np.isin(self.cursor.rows, cursor.rows, assume_unique=True))

    @property
    def later(self) -> BOOL:
        """Fragments but the first: no L4 header."""
        offset: BOOL = (self.fragment & FRAGMENT_OFFSET) != 0
        return offset

    @property
    def payload_bytes(self) -> I64:
        """Length behind the IP header and its options."""
        return self.cursor.wire_end - self.cursor.at


def ethernet(frames: Frames, cursor: Cursor, out: Columns) -> tuple[Cursor, U16]:
    """Step over Ethernet and its tags. The rows that go on, and their ethertype."""
    cursor = out.need(cursor, layout.ETHERNET.itemsize)
    types = frames.take(cursor.at + 12, np.dtype(">u2")).astype(np.uint16)
    cursor = cursor.moved(cursor.at + layout.ETHERNET.itemsize)
    for _ in range(layout.MOST_TAGS):
        tagged = is_tag(types)
        if not tagged.any():
            break
        whole = out.need(cursor.keep(tagged), layout.TAG.itemsize)
        going = ~tagged | np.isin(cursor.rows, whole.rows)
        cursor, types, tagged = cursor.keep(going), types[going], tagged[going]
        types[tagged] = frames.take(cursor.at[tagged] + 2, np.dtype(">u2"))
        cursor = cursor.moved(cursor.at + np.where(tagged, layout.TAG.itemsize, 0))
    return cursor, types


def is_tag(types: U16) -> BOOL:
    """Which ethertypes are followed by an 802.1Q tag."""
    found = np.zeros(len(types), np.bool_)
    for tag in layout.ETHERTYPE_TAGS:
        found |= types == tag
    return found


def packets(frames: Frames, cursor: Cursor, types: U16, out: Columns) -> list[Network]:
    """The IP packets behind Ethernet, one Network for each version; ARP is finished here."""
    found = []
    is4 = types == layout.ETHERTYPE_IPV4
    if is4.any():
        found.append(ipv4(frames, cursor.keep(is4), out))
    if is4.all():
        return found
    is6 = types == layout.ETHERTYPE_IPV6
    if is6.any():
        found.append(ipv6(frames, cursor.keep(is6), out))
    is_arp = types == layout.ETHERTYPE_ARP
    if is_arp.any():
        arp(frames, cursor.keep(is_arp), out)
    return found


def ipv4(frames: Frames, cursor: Cursor, out: Columns) -> Network:
    """Step over IPv4 and its options. A total length of 0 means as long as the frame (TCP super-packets above 64 KiB: BIG TCP)."""
    cursor = out.need(cursor, layout.IPV4.itemsize)
    header = frames.take(cursor.at, layout.IPV4)
    version_length = header["version_length"]
    header_bytes = i64(version_length & 0x0F) * 4
    total = i64(header["total"])
    total = np.where(total == 0, np.maximum(cursor.wire_end - cursor.at, header_bytes), total)
    sound = ((version_length >> 4) == 4) & (header_bytes >= layout.IPV4.itemsize) & (total >= header_bytes)
    sound &= (cursor.at + total <= cursor.wire_end) | cursor.loose
    kept = out.need(cursor, header_bytes, sound)
    if len(kept) != len(cursor):
        mask = np.isin(cursor.rows, kept.rows, assume_unique=True)
        header, header_bytes, total = header[mask], header_bytes[mask], total[mask]
    fragment = header["fragment"].astype(np.uint16)
    first_of_many = (fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) == MORE_FRAGMENTS
    zeros = np.zeros(len(kept), np.uint64)
    return Network(
        Cursor(kept.rows, kept.at + header_bytes, kept.captured_end, kept.at + total, kept.loose | first_of_many),
        header["protocol"],
        zeros,
        u64(header["source"]) | MAPPED_IPV4,
        zeros,
        u64(header["destination"]) | MAPPED_IPV4,
        header["id"].astype(np.uint16),
        header["ttl"],
        fragment,
    )


def ipv6(frames: Frames, cursor: Cursor, out: Columns) -> Network:
    """Step over IPv6 and its extension headers. A payload length of 0 means as long as the frame (jumbograms, RFC 2675).

    ip_id is the lower half of a Fragment header's identification; `fragment` has offset and "more" where IPv4 has them.
    """
    cursor = out.need(cursor, layout.IPV6.itemsize)
    header = frames.take(cursor.at, layout.IPV6)
    payload = i64(header["payload"])
    end = np.where(payload == 0, cursor.wire_end, cursor.at + layout.IPV6.itemsize + payload)
    sound = (header["version_class_flow"] >> 28) == 6
    sound &= (end <= cursor.wire_end) | cursor.loose
    kept = out.need(cursor, layout.IPV6.itemsize, sound)
    if len(kept) != len(cursor):
        mask = np.isin(cursor.rows, kept.rows, assume_unique=True)
        header, end = header[mask], end[mask]
    network = Network(
        Cursor(kept.rows, kept.at + layout.IPV6.itemsize, kept.captured_end, end, kept.loose),
        header["next"].copy(),
        u64(header["source_high"]),
        u64(header["source"]),
        u64(header["destination_high"]),
        u64(header["destination"]),
        np.zeros(len(kept), np.uint16),
        header["hops"].copy(),
        np.zeros(len(kept), np.uint16),
    )
    for _ in range(layout.MOST_EXTENSIONS):
        extended = np.isin(network.protocol, (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION)) & ~network.later
        if not extended.any():
            break
        network = _extension(frames, network, extended, out)
    return network


def _extension(frames: Frames, network: Network, extended: BOOL, out: Columns) -> Network:
    """Step over one extension header where there is one."""
    whole = out.need(network.cursor.keep(extended), layout.IPV6_EXTENSION.itemsize)
    network = network.keep(~extended | np.isin(network.cursor.rows, whole.rows))
    extended = np.isin(network.cursor.rows, whole.rows, assume_unique=True)
    cursor = network.cursor
    header = frames.take(cursor.at[extended], layout.IPV6_EXTENSION)
    is_fragment = network.protocol[extended] == _FRAGMENT
    length = np.where(is_fragment, 8, (i64(header["length"]) + 1) * 8)
    protocol, fragment, ip_id = network.protocol.copy(), network.fragment.copy(), network.ip_id.copy()
    offset_more = header["offset_more"].astype(np.uint16)
    as_ipv4 = (offset_more >> 3) | ((offset_more & 1) * np.uint16(MORE_FRAGMENTS))
    protocol[extended] = header["next"]
    fragment[extended] = np.where(is_fragment, as_ipv4, fragment[extended])
    ip_id[extended] = np.where(is_fragment, header["id"] & 0xFFFF, ip_id[extended])
    at = cursor.at.copy()
    at[extended] += length
    loose = cursor.loose | ((fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) == MORE_FRAGMENTS)
    network = Network(
        Cursor(cursor.rows, at, cursor.captured_end, cursor.wire_end, loose),
        protocol,
        network.source_high,
        network.source,
        network.destination_high,
        network.destination,
        ip_id,
        network.ttl,
        fragment,
    )
    return network.at(out.need(network.cursor, 0))


def arp(frames: Frames, cursor: Cursor, out: Columns) -> None:
    """Write ARP for IPv4 over Ethernet; other ARP stays OTHER."""
    cursor = out.need(cursor, layout.ARP.itemsize)
    header = frames.take(cursor.at, layout.ARP)
    known = (header["hardware"] == 1) & (header["protocol"] == layout.ETHERTYPE_IPV4)
    known &= (header["hardware_length"] == 6) & (header["protocol_length"] == 4)
    cursor, header = cursor.keep(known), header[known]
    out.put(out.kind, cursor, Kind.ARP)
    out.put(out.flags, cursor, header["operation"])
    out.put(out.conversation[1], cursor, u64(header["sender"]) | MAPPED_IPV4)
    out.put(out.conversation[3], cursor, u64(header["target"]) | MAPPED_IPV4)
