"""Link types (https://www.tcpdump.org/linktypes.html): which can be read, and stepping over their headers."""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import U16, U64
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor, first
from kubectl_vxtrace.packets.frames import Frames, u64
from kubectl_vxtrace.packets.network import ethernet, tags


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
    """Both addresses are kept as they lie in memory, and taken apart when only the distinct ones are left."""
    whole = cursor.keep(cursor.at + layout.ETHERNET.itemsize <= cursor.captured_end)
    out.put(out.addressed, whole, 1)
    for column, offset in zip(out.ethernet, (0, 4), strict=True):
        out.put(column, whole, frames.take(whole.at + offset, np.dtype(np.uint64)))
    return ethernet(frames, cursor, out)


def ethernet_addresses(key: tuple[U64, ...]) -> tuple[U64, U64]:
    """Source and destination address, from what `open_links` wrote of frames."""
    begin, middle = (column.view(">u8").astype(np.uint64) for column in key)
    return middle & np.uint64((1 << 48) - 1), begin >> np.uint64(16)


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
