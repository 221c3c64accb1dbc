"""Link types (https://www.tcpdump.org/linktypes.html): which can be read, and stepping over their headers."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U16, U64
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor, first
from kubectl_vxtrace.packets.frames import MAX_WIRE_BYTES, Frames, u64
from kubectl_vxtrace.packets.network import tags


class LinkType(IntEnum):
    """The link types that can be read. RAW's numbers 12 and 14 are those of its DLT, which some programs write into files."""

    NULL = 0
    ETHERNET = 1
    RAW_BY_DLT = 12
    RAW_OF_OPENBSD = 14
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


_HEADER_BYTES: dict[int, int] = {
    LinkType.NULL: layout.FAMILY.itemsize,
    LinkType.LOOP: layout.FAMILY.itemsize,
    LinkType.LINUX_SLL: layout.SLL.itemsize,
    LinkType.LINUX_SLL2: layout.SLL2.itemsize,
    LinkType.RAW: 0,
    LinkType.RAW_BY_DLT: 0,
    LinkType.RAW_OF_OPENBSD: 0,
    LinkType.IPV4: 0,
    LinkType.IPV6: 0,
}
_READABLE = frozenset(map(int, LinkType))
_UNREADABLE = {
    9: "PPP",
    105: "802.11",
    127: "802.11 with radiotap",
    189: "USB",
    220: "USB",
    195: "802.15.4",
    239: "netfilter log",
    253: "netlink",
}
_BY_VERSION = (LinkType.RAW, LinkType.RAW_BY_DLT, LinkType.RAW_OF_OPENBSD)
_LOOPBACK = (LinkType.NULL, LinkType.LOOP)
_LAST_OF_ADDRESSES = np.frombuffer(b"\xff" * 4 + bytes(4), np.uint64)[0]
"""Of bytes 8 to 15 of a frame those that belong to its addresses."""

_FAMILIES = {
    2: layout.ETHERTYPE_IPV4,
    10: layout.ETHERTYPE_IPV6,
    24: layout.ETHERTYPE_IPV6,
    28: layout.ETHERTYPE_IPV6,
    30: layout.ETHERTYPE_IPV6,
}
"""Address families before packets of link type NULL: IPv4 everywhere; IPv6 on Linux, NetBSD and OpenBSD, FreeBSD, macOS."""


def unreadable_link_type(number: int) -> PcapError | None:
    """Why frames of a link type cannot be read, and what to do; None where they can be."""
    if number in _READABLE:
        return None
    name = _UNREADABLE.get(number, "another kind of link")
    return PcapError(
        f"its link type is {number}, {name}; what can be read is Ethernet, raw IP, loopback and Linux cooked captures",
        "record it on a network interface of the node or pod: tcpdump -i INTERFACE",
    )


def check_link_type(number: int) -> None:
    """Raise PcapError where frames of this link type cannot be read."""
    error = unreadable_link_type(number)
    if error is not None:
        raise error


def link_types(number: int, frames: int) -> U16 | None:
    """The column of Frames where all frames have one link type."""
    return None if number == LinkType.ETHERNET else np.broadcast_to(np.uint16(number), frames)


def missing_bytes(link_type: int) -> int:
    """By how much an Ethernet header is longer than that of a link type; 0 for one that cannot be read."""
    return layout.ETHERNET.itemsize - _HEADER_BYTES.get(link_type, layout.ETHERNET.itemsize)


def ethernet_bytes(frames: Frames) -> I64:
    """The lengths on the wire, as if each frame had an Ethernet header in place of its own."""
    if frames.link_type is None:
        return frames.wire_bytes
    longer = np.zeros(len(frames), np.int64)
    for number in np.unique(frames.link_type).tolist():
        longer[frames.link_type == number] = missing_bytes(number)
    lengths: I64 = np.minimum(frames.wire_bytes + longer, MAX_WIRE_BYTES)
    return lengths


def open_links(frames: Frames, out: Columns) -> Iterator[tuple[Cursor, U16]]:
    """Step over the link header of all frames: for each kind of header its rows, and the ethertype of what follows.

    Also writes Ethernet's addresses. Rows of a link type that cannot be read stay OTHER.
    """
    cursor = first(frames)
    if frames.link_type is None:
        yield _ethernet(frames, cursor, out)
        return
    for number in np.unique(frames.link_type).tolist():
        rows = cursor.keep(frames.link_type == number)
        if number == LinkType.ETHERNET:
            yield _ethernet(frames, rows, out)
        elif number in (LinkType.LINUX_SLL, LinkType.LINUX_SLL2):
            yield _cooked(frames, rows, out, LinkType(number))
        elif number in _LOOPBACK:
            yield _loopback(frames, rows, out)
        elif number in _READABLE:
            yield rows, _raw_types(frames, rows, number)


def _ethernet(frames: Frames, cursor: Cursor, out: Columns) -> tuple[Cursor, U16]:
    """Step over Ethernet and its tags. Its addresses are kept as they lie in memory, and taken apart when only distinct ones are left."""
    cursor = out.need(cursor, layout.ETHERNET.itemsize)
    # Gathered once, as the first look at a frame is what takes long: it is not in the processor's cache yet.
    begin = frames.take(cursor.at, np.dtype("V16"))
    words = begin.view(np.uint64).reshape(-1, 2)
    out.put(out.addressed, cursor, 1)
    out.put(out.ethernet[0], cursor, words[:, 0])
    out.put(out.ethernet[1], cursor, words[:, 1] & _LAST_OF_ADDRESSES)
    types = begin.view(">u2").reshape(-1, 8)[:, 6].astype(np.uint16)
    return tags(frames, cursor.moved(cursor.at + layout.ETHERNET.itemsize), types, out)


def ethernet_addresses(key: tuple[U64, ...]) -> tuple[U64, U64]:
    """Source and destination address, from what `open_links` wrote of frames."""
    begin, end = (column.view(">u8").astype(np.uint64) for column in key)
    return ((begin & np.uint64(0xFFFF)) << np.uint64(32)) | (end >> np.uint64(32)), begin >> np.uint64(16)


def _cooked(frames: Frames, cursor: Cursor, out: Columns, link: LinkType) -> tuple[Cursor, U16]:
    """Linux cooked captures. Where the kernel took a VLAN tag off, libpcap puts it back behind the first 14 bytes of SLL's header."""
    header = layout.SLL2 if link is LinkType.LINUX_SLL2 else layout.SLL
    cursor = out.need(cursor, header.itemsize)
    types = frames.take(cursor.at, header)["type"].astype(np.uint16)
    return tags(frames, cursor.moved(cursor.at + header.itemsize), types, out)


def _loopback(frames: Frames, cursor: Cursor, out: Columns) -> tuple[Cursor, U16]:
    """An address family in the byte order of the machine that recorded it (NULL), or of the network (LOOP)."""
    cursor = out.need(cursor, layout.FAMILY.itemsize)
    family = frames.take(cursor.at, layout.FAMILY)
    types = np.zeros(len(cursor), np.uint16)
    for number, ethertype in _FAMILIES.items():
        types[(family == number) | (family == number << 24)] = ethertype
    return cursor.moved(cursor.at + layout.FAMILY.itemsize), types


def _raw_types(frames: Frames, cursor: Cursor, number: int) -> U16:
    """No header at all: the version of IP is the packet's own, or the link type's. Where nothing was captured either finds that."""
    if number not in _BY_VERSION:
        return np.full(len(cursor), layout.ETHERTYPE_IPV4 if number == LinkType.IPV4 else layout.ETHERTYPE_IPV6, np.uint16)
    version = frames.take(cursor.at, np.dtype("u1")) >> 4
    version = np.where(cursor.at < cursor.captured_end, version, 4)
    types: U16 = np.select([version == 4, version == 6], [layout.ETHERTYPE_IPV4, layout.ETHERTYPE_IPV6], 0).astype(np.uint16)
    return types


def kernel_interfaces(frames: Frames) -> U64 | None:
    """The kernel's interface index that stands in each frame's header, plus 1; 0 where none does. None where none does in any frame."""
    if frames.link_type is None:
        return None
    rows: BOOL = frames.link_type == LinkType.LINUX_SLL2
    rows &= frames.captured_bytes >= layout.SLL2.itemsize
    if not rows.any():
        return None
    index = np.zeros(len(frames), np.uint64)
    index[rows] = u64(frames.take(frames.at[rows], layout.SLL2)["interface"]) + np.uint64(1)
    return index
