"""Who asks for an address and who answers: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861)."""

from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.model.packets import I64, U64, Kind
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns
from kubectl_vxtrace.packets.frames import Frames, u64
from kubectl_vxtrace.packets.network import MAPPED_IPV4

_SOLICITATION, _ADVERTISEMENT, _TYPES = 135, 136, 2
"""ICMPv6 types (RFC 4861, 4.3 and 4.4), and how many they are."""

_ARP_REPLY = 2
_ND_HOPS = 255
"""A message with a lower hop limit was forwarded, and is none (RFC 4861, 7.1)."""

_ADDRESS_OPTION_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """Messages of one batch: k rows. See model.packets.Neighbours; the address as two halves."""

    row: I64
    address_high: U64
    address: U64
    answer: BOOL
    mac: U64


def read_neighbours(frames: Frames, decoded: Columns) -> Messages | None:
    """The ARP and neighbour discovery messages among the decoded frames, in order of rows; None where there is none."""
    arp = np.flatnonzero(decoded.kind == Kind.ARP)
    discovery = _discovery_rows(frames, decoded)
    if not len(arp) and not len(discovery):
        return None
    parts = [_arp(frames, decoded, arp), _discovery(frames, decoded, discovery)]
    row = np.concatenate([part.row for part in parts])
    order = np.argsort(row)
    return Messages(
        row[order],
        np.concatenate([part.address_high for part in parts])[order],
        np.concatenate([part.address for part in parts])[order],
        np.concatenate([part.answer for part in parts])[order],
        np.concatenate([part.mac for part in parts])[order],
    )


def _arp(frames: Frames, decoded: Columns, rows: I64) -> Messages:
    """A request for the sender's own address asks nobody: it is an announcement (RFC 5227, 2.3), and tells as a reply does."""
    header = frames.take(decoded.payload_at[rows], layout.ARP)
    answer = (header["operation"] == _ARP_REPLY) | (header["sender"] == header["target"])
    about = np.where(answer, header["sender"], header["target"])
    mac: U64 = (u64(header["sender_mac_high"]) << np.uint64(32)) | u64(header["sender_mac"])
    return Messages(rows, np.zeros(len(rows), np.uint64), u64(about) | MAPPED_IPV4, answer, mac)


def _discovery_rows(frames: Frames, decoded: Columns) -> I64:
    """Neighbour solicitations and advertisements whose target was captured."""
    # One comparison of the type in the upper byte: in 16 bits, what is lower than the first type wraps to a large number.
    likely = np.flatnonzero(decoded.flags - np.uint16(_SOLICITATION << 8) < _TYPES << 8)
    if not len(likely):
        return likely
    protocol = decoded.conversation[4][likely] & np.uint64(0xFF)
    good = (decoded.kind[likely] == Kind.IP) & (protocol == IpProtocol.ICMPV6) & (decoded.ttl[likely] == _ND_HOPS)
    target_end = layout.ND_TARGET.itemsize
    good &= decoded.payload_bytes[likely] >= target_end
    good &= decoded.payload_at[likely] + target_end <= frames.at[likely] + frames.captured_bytes[likely]
    found: I64 = likely[good]
    return found


def _discovery(frames: Frames, decoded: Columns, rows: I64) -> Messages:
    """The link-layer address is an option (RFC 4861, 4.6.1), the first one where it is there at all: the asker's, or the target's."""
    at = decoded.payload_at[rows]
    target = frames.take(at, layout.ND_TARGET)
    answer = decoded.flags[rows] >> 8 == _ADVERTISEMENT
    option_at = at + layout.ND_TARGET.itemsize
    option = u64(frames.take(option_at, np.dtype(">u8")))
    whole = decoded.payload_bytes[rows] >= layout.ND_TARGET.itemsize + _ADDRESS_OPTION_BYTES
    whole &= option_at + _ADDRESS_OPTION_BYTES <= frames.at[rows] + frames.captured_bytes[rows]
    expected = np.where(answer, 0x0201, 0x0101).astype(np.uint64)  # type, length in units of 8 bytes
    mac = np.where(whole & (option >> np.uint64(48) == expected), option & np.uint64((1 << 48) - 1), np.uint64(0))
    return Messages(rows, u64(target["high"]), u64(target["low"]), answer, mac)
