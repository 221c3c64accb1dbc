"""UDP, TCP, SCTP, ICMP and what has no ports; and the step into VXLAN."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U16, Kind
from kubectl_vxtrace.model.protocol import ECHO_TYPES, IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor
from kubectl_vxtrace.packets.frames import Frames, i64, u64
from kubectl_vxtrace.packets.network import Network, is_tag

_TCP_FLAGS = 0x01FF
_UDP_HEADER_BYTES = layout.UDP.itemsize
_ARP_ETHERNET = 1  # RFC 826: the hardware space
_VXLAN_BYTES = layout.ENCAPSULATION.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """L4 of some rows: ports (or the echo identifier twice), and where the payload begins."""

    network: Network
    source_port: NDArray[Any] | int
    destination_port: NDArray[Any] | int
    payload_at: I64


def write(segment: Segment, out: Columns) -> None:
    """Write what all IP packets have."""
    network = segment.network
    cursor = network.cursor
    out.put(out.kind, cursor, Kind.IP)
    out.put(out.ip_id, cursor, network.ip_id)
    out.put(out.ttl, cursor, network.ttl)
    out.put(out.fragment, cursor, network.fragment)
    out.put(out.payload_at, cursor, segment.payload_at)
    out.put(out.payload_bytes, cursor, np.maximum(cursor.wire_end - segment.payload_at, 0))
    for column, values in zip(out.conversation, conversation_key(segment), strict=True):
        out.put(column, cursor, values)


def conversation_key(segment: Segment) -> tuple[NDArray[Any], ...]:
    """The five columns of a conversation; see Columns."""
    network = segment.network
    ports = (_wide(segment.source_port) << 24) | (_wide(segment.destination_port) << 8)
    return network.source_high, network.source, network.destination_high, network.destination, ports | u64(network.protocol)


def _wide(port: NDArray[Any] | int) -> Any:
    return np.uint64(port) if isinstance(port, int) else u64(port)


def finish(frames: Frames, network: Network, out: Columns, vxlan: BOOL | None) -> Network | None:
    """Write the L4 part of all packets, but not of VXLAN packets: those are returned, on their UDP header.

    `vxlan[port]` says which UDP ports carry VXLAN; None where a tunnel inside a tunnel is not opened.
    """
    later = network.later
    protocol = network.protocol
    ported = (protocol == IpProtocol.UDP) | (protocol == IpProtocol.TCP) | (protocol == IpProtocol.SCTP)
    known = ~later & (ported | is_icmp(network))
    if not known.all():
        opaque = network.keep(~known)
        write(Segment(opaque, 0, 0, opaque.cursor.at), out)
        network = network.keep(known)
    tunnels = None
    udp_rows = network.protocol == IpProtocol.UDP
    if udp_rows.any():
        tunnels = _udp(frames, network.keep(udp_rows), out, vxlan)
    tcp_rows = network.protocol == IpProtocol.TCP
    if tcp_rows.any():
        _tcp(frames, network.keep(tcp_rows), out)
    sctp_rows = network.protocol == IpProtocol.SCTP
    if sctp_rows.any():
        _sctp(frames, network.keep(sctp_rows), out)
    icmp_rows = is_icmp(network)
    if icmp_rows.any():
        _icmp(frames, network.keep(icmp_rows), out)
    return tunnels


def is_icmp(network: Network) -> BOOL:
    """ICMP of either IP version."""
    found: BOOL = (network.protocol == IpProtocol.ICMP) | (network.protocol == IpProtocol.ICMPV6)
    return found


def _udp(frames: Frames, network: Network, out: Columns, vxlan: BOOL | None) -> Network | None:
    network = network.at(out.need(network.cursor, _UDP_HEADER_BYTES))
    cursor = network.cursor
    header = frames.take(cursor.at, layout.UDP)
    length = i64(header["length"])
    # A length of 0 is that of a jumbogram (RFC 2675, 4).
    sound = ((length >= _UDP_HEADER_BYTES) & ((cursor.at + length <= cursor.wire_end) | cursor.loose)) | (length == 0)
    if not sound.all():
        network = network.at(out.need(cursor, 0, sound))
        cursor, header = network.cursor, header[sound]
    tunnels = None
    if vxlan is not None:
        is_vxlan = _vxlan_rows(frames, cursor, header["destination"].astype(np.uint16), vxlan)
        if is_vxlan.any():
            tunnels = network.keep(is_vxlan)
            network, header = network.keep(~is_vxlan), header[~is_vxlan]
    if len(network):
        write(Segment(network, header["source"], header["destination"], network.cursor.at + _UDP_HEADER_BYTES), out)
    return tunnels


def _vxlan_rows(frames: Frames, cursor: Cursor, port: U16, vxlan: BOOL) -> BOOL:
    """Which UDP packets are VXLAN: the port, room for the header, and what `is_vxlan` asks for; or the header was not captured."""
    found: BOOL = vxlan[port]
    if not found.any():
        return found
    found &= cursor.at + _VXLAN_BYTES <= cursor.wire_end
    captured = cursor.at + _VXLAN_BYTES <= cursor.captured_end
    # Where it was not captured the bytes belong to something else, but they lie in the buffer and do not count.
    asked = np.flatnonzero(found & captured)
    found[asked] = is_vxlan(frames, cursor.pick(asked))
    return found


def is_vxlan(frames: Frames, cursor: Cursor) -> BOOL:
    """Which UDP packets whose VXLAN header was captured are VXLAN; the cursor stands on the UDP header.

    The I flag must be set. Anybody may have a VXLAN port as a source port (NAT picks one), and then half of what is sent back there
    has that bit by chance: where another bit of the header is set that RFC 7348, 5, reserves, an Ethernet frame with an IP or ARP
    header that fits into the packet must follow. What of that was not captured is taken to be so.
    """
    header = u64(frames.take(cursor.at + _UDP_HEADER_BYTES, layout.VXLAN))
    found: BOOL = (header & np.uint64(layout.VXLAN_VALID_VNI)) != 0
    odd = np.flatnonzero(found & ((header & np.uint64(layout.VXLAN_RESERVED)) != 0))
    if len(odd):
        inner = cursor.pick(odd)
        found[odd] = _holds_a_frame(frames, inner.moved(inner.at + _VXLAN_BYTES))
    return found


def _holds_a_frame(frames: Frames, cursor: Cursor) -> BOOL:
    """Whether an Ethernet frame with a whole IP or ARP header can begin at the cursor."""
    behind = cursor.at + layout.ETHERNET.itemsize + layout.IPV4.itemsize  # ARP and IPv6 have longer headers still
    sized = (behind <= cursor.wire_end) | cursor.loose
    uncaptured: BOOL = (behind > cursor.captured_end) & sized
    going = np.flatnonzero((behind <= cursor.captured_end) & sized)
    inner = cursor.pick(going)
    types = frames.take(inner.at + layout.ETHERNET.itemsize - 2, np.dtype(">u2")).astype(np.uint16)
    start = inner.at + layout.ETHERNET.itemsize
    first, second = (i64(frames.take(start + offset, np.dtype(">u2"))) for offset in (0, 2))
    left = inner.wire_end - start
    # A total length of 0: as long as the frame (see network.ipv4).
    fits = ((second >= layout.IPV4.itemsize) | (second == 0)) & ((second <= left) | inner.loose)
    good = (types == layout.ETHERTYPE_IPV4) & (first >> 12 == 4) & ((first >> 8) & 0x0F >= 5) & fits
    good |= (types == layout.ETHERTYPE_IPV6) & (first >> 12 == 6) & ((left >= layout.IPV6.itemsize) | inner.loose)
    good |= (types == layout.ETHERTYPE_ARP) & (first == _ARP_ETHERNET) & (second == layout.ETHERTYPE_IPV4)
    found = uncaptured
    found[going] = good | is_tag(types)
    return found


def open_tunnels(frames: Frames, network: Network, out: Columns) -> Cursor:
    """Write the encapsulation of VXLAN packets and step into them; the cursor stands on the inner Ethernet header."""
    network = network.at(out.need(network.cursor, _VXLAN_BYTES))
    cursor = network.cursor
    out.put(out.outer_id, cursor, network.ip_id)
    inner = out.need(cursor.moved(cursor.at + _VXLAN_BYTES), layout.ETHERNET.itemsize)
    network = network.at(inner)
    cursor = network.cursor
    header = frames.take(cursor.at, layout.ENCAPSULATION)
    vni = (u64(header["vxlan"]) >> 8) & np.uint64(0xFFFFFF)
    macs = frames.take(inner.at, layout.ETHERNET)
    encapsulation = (u64(header["source"]) << 40) | (u64(header["destination"]) << 24) | vni
    source = (u64(macs["source_high"]) << 32) | u64(macs["source"])
    destination = (u64(macs["destination_high"]) << 32) | u64(macs["destination"])
    key = (network.source_high, network.source, network.destination_high, network.destination, encapsulation, source, destination)
    for column, values in zip(out.tunnel, key, strict=True):
        out.put(column, cursor, values)
    out.put(out.tunneled, cursor, 1)
    return inner


def _tcp(frames: Frames, network: Network, out: Columns) -> None:
    network = network.at(out.need(network.cursor, layout.TCP.itemsize))
    cursor = network.cursor
    header = frames.take(cursor.at, layout.TCP)
    offset_flags = header["offset_flags"].astype(np.uint16)
    header_bytes = i64(offset_flags >> 12) * 4
    # Options need not be captured: nothing of them is read.
    sound = (header_bytes >= layout.TCP.itemsize) & ((cursor.at + header_bytes <= cursor.wire_end) | cursor.loose)
    if not sound.all():
        network = network.at(out.need(cursor, 0, sound))
        cursor, header, offset_flags, header_bytes = network.cursor, header[sound], offset_flags[sound], header_bytes[sound]
    write(Segment(network, header["source"], header["destination"], cursor.at + header_bytes), out)
    out.put(out.seq, cursor, header["sequence"])
    out.put(out.ack, cursor, header["acknowledgment"])
    out.put(out.flags, cursor, offset_flags & _TCP_FLAGS)


def _sctp(frames: Frames, network: Network, out: Columns) -> None:
    """SCTP's ports; what follows the common header, its chunks, is the payload. Chunks number themselves, so nothing more is read."""
    network = network.at(out.need(network.cursor, layout.SCTP.itemsize))
    header = frames.take(network.cursor.at, layout.SCTP)
    write(Segment(network, header["source"], header["destination"], network.cursor.at + layout.SCTP.itemsize), out)


def _icmp(frames: Frames, network: Network, out: Columns) -> None:
    network = network.at(out.need(network.cursor, layout.ICMP.itemsize))
    cursor = network.cursor
    header = frames.take(cursor.at, layout.ICMP)
    echo = is_echo(network, header["type_code"] >> 8)
    identifier = np.where(echo, header["id"], 0)
    write(Segment(network, identifier, identifier, cursor.at + layout.ICMP.itemsize), out)
    out.put(out.seq, cursor, np.where(echo, header["sequence"], 0))
    out.put(out.flags, cursor, header["type_code"])


def is_echo(network: Network, kind: NDArray[Any]) -> BOOL:
    """Which ICMP messages of these types are echo requests or replies."""
    found = np.zeros(len(network), np.bool_)
    for protocol, types in ECHO_TYPES.items():
        found |= (network.protocol == protocol) & ((kind == types[0]) | (kind == types[1]))
    return found
