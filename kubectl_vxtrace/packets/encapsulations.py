"""Which packets carry others: VXLAN, which is opened, on the ports that are told and by its content on any; and what is only named.

What is taken for VXLAN by its content has the I flag and no reserved bit (RFC 7348, 5) but for those of a group policy, a unicast source
address, and IPv4 with the right checksum, IPv6 or ARP which fills the datagram: some 80 bits, with a group policy 60, that anything else
(DNS, QUIC, STUN, GTP) would have to have by chance.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U8, U16, U64, Encapsulation
from kubectl_vxtrace.model.protocol import TAG_BYTES
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Cursor
from kubectl_vxtrace.packets.frames import Frames, i64, u64
from kubectl_vxtrace.packets.network import is_tag

GENEVE_PORT = 6081
"""IANA's (RFC 8926, 3.3)."""

NAT_TRAVERSAL_PORT = 4500
"""ESP in UDP (RFC 3948)."""

_PROTOCOLS = {4: Encapsulation.IP_IN_IP, 41: Encapsulation.IP_IN_IP, 47: Encapsulation.GRE, 50: Encapsulation.ESP}
_BY_PROTOCOL = np.zeros(256, np.uint8)
_BY_PROTOCOL[list(_PROTOCOLS)] = list(_PROTOCOLS.values())

_HEADER_BYTES = 8
"""Of UDP, and of VXLAN and Geneve behind it."""

_ENCAPSULATION_BYTES = layout.ENCAPSULATION.itemsize
_LIKELY = np.uint64(0x00FFFFFF_00000000)
"""Bytes that are zero in VXLAN without extensions (flags, reserved) and in WireGuard (type, reserved): all else is looked at no further."""

_GROUP_POLICY_BITS, _GROUP_POLICY = np.uint64(0xFFB70000_000000FF), np.uint64(0x88000000_00000000)
"""The flags I and G alone, and of the reserved bits those for "do not learn", "policy applied" and the group's 16 bits
(draft-smith-vxlan-group-policy, 2.1; Linux include/net/vxlan.h, struct vxlanhdr_gbp)."""

_ARP_ETHERNET = 1  # RFC 826: the hardware space
_ARP_LENGTHS = 0x0604  # of Ethernet and IPv4 addresses
_LEAST_FRAME_BYTES = 46
"""What an Ethernet frame carries at least (IEEE 802.3); shorter packets are padded."""

_MOST_LENGTH = 65535
_MULTICAST = np.uint64(1 << 40)
_GENEVE_FIXED = np.uint64(0xC03F0000_000000FF)
"""RFC 8926, 3.4: version and reserved bits, which are 0."""

_GENEVE_TYPES = (0x6558, layout.ETHERTYPE_IPV4, layout.ETHERTYPE_IPV6)
"""Ethernet, and IP without it."""

_WIREGUARD_BYTES = {1: 148, 2: 92, 3: 64}
"""Lengths of the handshake's messages, by type (WireGuard's paper, 5.4). Data (type 4): a header of 16, blocks of 16, a tag of 16."""

_WIREGUARD_DATA = 4
_WIREGUARD_LEAST_DATA_BYTES = 32
_COUNTER = np.uint64((1 << 40) - 1)
"""Far more packets than one key is used for (2 minutes)."""


CLOSED = 0xFF
"""In place of an Encapsulation: nothing that UDP carries is looked into."""


def carrier_ports(vxlan_ports: Collection[int] | None) -> U8:
    """`table[port]`: the Encapsulation that is expected on a UDP port; CLOSED everywhere if `vxlan_ports` is None."""
    if vxlan_ports is None:
        return np.full(65536, CLOSED, np.uint8)
    table = np.zeros(65536, np.uint8)
    table[[GENEVE_PORT, NAT_TRAVERSAL_PORT]] = Encapsulation.GENEVE, Encapsulation.ESP
    table[[port for port in vxlan_ports if 0 <= port <= 65535]] = Encapsulation.VXLAN
    return table


def carried_by_ip(protocol: U8) -> U8:
    """The Encapsulation of packets of these IP protocols."""
    return _BY_PROTOCOL[protocol]


def carried_by_udp(frames: Frames, cursor: Cursor, header: NDArray[Any], ports: U8) -> U8:
    """The Encapsulation of UDP packets; the cursor stands on their headers, which are `header`."""
    expected = ports.take(header["destination"].astype(np.uint16))
    if len(expected) and expected[0] == CLOSED:
        return np.zeros(len(cursor), np.uint8)
    word = u64(frames.take(cursor.at + _HEADER_BYTES, layout.VXLAN))
    # Where it was not captured the bytes belong to something else, but they lie in the buffer and do not count.
    captured: BOOL = cursor.at + _ENCAPSULATION_BYTES <= cursor.captured_end
    told = expected == Encapsulation.VXLAN
    if told.all():
        return _told(frames, cursor, word, told, captured).astype(np.uint8)  # VXLAN is 1, NONE 0
    found = np.zeros(len(cursor), np.uint8)
    if expected.any():
        found[_told(frames, cursor, word, told, captured)] = Encapsulation.VXLAN
        _name(found, expected, word, captured)
    likely = np.flatnonzero(((word & _LIKELY) == 0) | ((word & _GROUP_POLICY_BITS) == _GROUP_POLICY))
    likely = likely[captured[likely] & ~told[likely]]
    if len(likely):
        found[likely] = _by_content(frames, cursor.pick(likely), header[likely], word[likely])
    return found


def _told(frames: Frames, cursor: Cursor, word: U64, told: BOOL, captured: BOOL) -> BOOL:
    """Which UDP packets to VXLAN's ports are VXLAN; the cursor stands on the UDP header, behind which is `word`, where captured.

    The I flag must be set. Anybody may have a VXLAN port as a source port (NAT picks one), and then half of what is sent back there
    has that bit by chance: where another bit of the header is set that RFC 7348, 5, reserves, an Ethernet frame with an IP or ARP
    header that fits into the packet must follow. What of all that was not captured is taken to be so.
    """
    found: BOOL = told & (cursor.at + _ENCAPSULATION_BYTES <= cursor.wire_end)
    found &= ((word & np.uint64(layout.VXLAN_VALID_VNI)) != 0) | ~captured
    odd = np.flatnonzero(found & captured & ((word & np.uint64(layout.VXLAN_RESERVED)) != 0))
    if len(odd):
        inner = cursor.pick(odd)
        found[odd] = _holds_a_frame(frames, inner.moved(inner.at + _ENCAPSULATION_BYTES))
    return found


def _holds_a_frame(frames: Frames, cursor: Cursor) -> BOOL:
    """Whether an Ethernet frame with a whole IP or ARP header can begin at the cursor."""
    behind = cursor.at + layout.ETHERNET.itemsize + layout.IPV4.itemsize  # ARP and IPv6 have longer headers still
    sized = (behind <= cursor.wire_end) | cursor.loose
    uncaptured: BOOL = (behind > cursor.captured_end) & sized
    going = np.flatnonzero((behind <= cursor.captured_end) & sized)
    inner = cursor.pick(going)
    types, first, second = _begin(frames, inner)
    left = inner.wire_end - inner.at - layout.ETHERNET.itemsize
    # A total length of 0: as long as the frame (see network.ipv4).
    fits = ((second >= layout.IPV4.itemsize) | (second == 0)) & ((second <= left) | inner.loose)
    good = (types == layout.ETHERTYPE_IPV4) & (first >> 12 == 4) & ((first >> 8) & 0x0F >= 5) & fits
    good |= (types == layout.ETHERTYPE_IPV6) & (first >> 12 == 6) & ((left >= layout.IPV6.itemsize) | inner.loose)
    good |= (types == layout.ETHERTYPE_ARP) & (first == _ARP_ETHERNET) & (second == layout.ETHERTYPE_IPV4)
    found = uncaptured
    found[going] = good | is_tag(types)
    return found


def _begin(frames: Frames, cursor: Cursor) -> tuple[U16, I64, I64]:
    """The ethertypes of Ethernet frames, and the first two 16-bit numbers behind."""
    start = cursor.at + layout.ETHERNET.itemsize
    types = frames.take(start - 2, np.dtype(">u2")).astype(np.uint16)
    first, second = (i64(frames.take(start + offset, np.dtype(">u2"))) for offset in (0, 2))
    return types, first, second


def _by_content(frames: Frames, cursor: Cursor, header: NDArray[Any], word: U64) -> U8:
    """VXLAN or WireGuard, on whatever port; the cursor stands on UDP headers, behind which `word` was captured."""
    length = i64(header["length"])
    end = np.where(length == 0, cursor.wire_end, cursor.at + length)  # 0: a jumbogram's (RFC 2675, 4)
    found = np.zeros(len(cursor), np.uint8)
    is_plain = (word & np.uint64(layout.VXLAN_RESERVED | layout.VXLAN_VALID_VNI)) == layout.VXLAN_VALID_VNI
    vxlan = np.flatnonzero(is_plain | ((word & _GROUP_POLICY_BITS) == _GROUP_POLICY))
    if len(vxlan):
        inner = cursor.pick(vxlan)
        sure = _holds_a_sure_frame(frames, inner.moved(inner.at + _ENCAPSULATION_BYTES), end[vxlan])
        found[vxlan[sure]] = Encapsulation.VXLAN
    found[_is_wireguard(frames, cursor, end, word)] = Encapsulation.WIREGUARD
    return found


def _holds_a_sure_frame(frames: Frames, cursor: Cursor, end: I64) -> BOOL:
    """Whether from the cursor to `end` there is nothing but one Ethernet frame, with a tag or none, of IP or ARP, its headers captured."""
    found: BOOL = (u64(frames.take(cursor.at + 4, np.dtype(">u8"))) & _MULTICAST) == 0
    is_tagged = is_tag(_begin(frames, cursor)[0])
    inner = cursor.moved(cursor.at + np.where(is_tagged, TAG_BYTES, 0))
    start = inner.at + layout.ETHERNET.itemsize
    found &= start + layout.IPV4.itemsize <= cursor.captured_end
    types, first, second = _begin(frames, inner)
    left = end - start
    four = (first >> 12 == 4) & _fills(second, left) & _has_right_checksum(frames, start, (first >> 8) & 0x0F, cursor.captured_end)
    lengths = i64(frames.take(start + 4, np.dtype(">u2")))
    six = (first >> 12 == 6) & _fills(np.where(lengths == 0, 0, lengths + layout.IPV6.itemsize), left)
    arp = (first == _ARP_ETHERNET) & (second == layout.ETHERTYPE_IPV4) & (lengths == _ARP_LENGTHS) & _fills(layout.ARP.itemsize, left)
    found &= np.select(
        [types == layout.ETHERTYPE_IPV4, types == layout.ETHERTYPE_IPV6, types == layout.ETHERTYPE_ARP], [four, six, arp], False
    )
    return found


def _fills(length: I64 | int, left: I64) -> BOOL:
    """Whether a packet of this length is all that a frame holds, but for padding; 0 stands for more than 16 bits can say."""
    padded = (left <= _LEAST_FRAME_BYTES) & (length <= left) & (length != 0)
    found: BOOL = (left == length) | padded | ((left > _MOST_LENGTH) & (length == 0))
    return found


def _has_right_checksum(frames: Frames, at: I64, words: I64, captured_end: I64) -> BOOL:
    """Whether IPv4 headers of so many 32-bit words were captured whole and have the right checksum (RFC 791, 3.1)."""
    header: U16 = frames.take(at, np.dtype("V60")).view(">u2").reshape(-1, 30)
    numbers = np.where(np.arange(30) < 2 * words[:, np.newaxis], header, 0)
    total = numbers.sum(axis=1, dtype=np.int64)
    total = (total & 0xFFFF) + (total >> 16)
    found: BOOL = (words >= 5) & (at + 4 * words <= captured_end) & ((total & 0xFFFF) + (total >> 16) == 0xFFFF)
    return found


def _name(found: U8, expected: U8, word: U64, captured: BOOL) -> None:
    """Write Geneve and ESP where these are expected, and what was captured begins as they do."""
    named = np.flatnonzero(captured & (expected > Encapsulation.VXLAN))
    fits = np.where(expected[named] == Encapsulation.GENEVE, _is_geneve(word[named]), (word[named] >> np.uint64(32)) != 0)
    found[named[fits]] = expected[named[fits]]


def _is_geneve(word: U64) -> BOOL:
    found: BOOL = ((word & _GENEVE_FIXED) == 0) & np.isin((word >> np.uint64(32)) & np.uint64(0xFFFF), _GENEVE_TYPES)
    return found


def _is_wireguard(frames: Frames, cursor: Cursor, end: I64, word: U64) -> BOOL:
    """By type and length; data also by its counter, which is little-endian and small (WireGuard's paper, 5.4)."""
    kind = i64(word >> np.uint64(56))
    length = end - cursor.at - _HEADER_BYTES
    found = np.zeros(len(cursor), np.bool_)
    for message, bytes_ in _WIREGUARD_BYTES.items():
        found |= (kind == message) & (length == bytes_)
    counter_at = cursor.at + 2 * _HEADER_BYTES
    counter = u64(frames.take(counter_at, np.dtype("<u8")))
    data = (kind == _WIREGUARD_DATA) & (length % 16 == 0) & (length >= _WIREGUARD_LEAST_DATA_BYTES)
    data &= (counter_at + 8 <= cursor.captured_end) & (counter <= _COUNTER)
    found |= data
    return found
