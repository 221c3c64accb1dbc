"""UDP, TCP, SCTP, ICMP and what has no ports; and the step into VXLAN."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U8, Encapsulation, Kind
from kubectl_vxtrace.model.protocol import ECHO_TYPES, TCP_FIN, TCP_RST, TCP_SYN, IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor
from kubectl_vxtrace.packets.encapsulations import carried_by_ip, carried_by_udp
from kubectl_vxtrace.packets.frames import Frames, i64, u64
from kubectl_vxtrace.packets.network import Network

_TCP_FLAGS = 0x01FF
_UDP_HEADER_BYTES = layout.UDP.itemsize
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


def finish(frames: Frames, network: Network, out: Columns, ports: U8, *, follow: bool) -> Network | None:
    """Write the L4 part of all packets, but not of VXLAN packets: those are returned, on their UDP header.

    `ports`: see carrier_ports. Without `follow` VXLAN packets are written, too: a tunnel inside a tunnel is not opened.
    """
    later = network.later
    protocol = network.protocol
    ported = (protocol == IpProtocol.UDP) | (protocol == IpProtocol.TCP) | (protocol == IpProtocol.SCTP)
    known = ~later & (ported | is_icmp(network))
    if not known.all():
        opaque = network.keep(~known)
        write(Segment(opaque, 0, 0, opaque.cursor.at), out)
        out.put(out.encapsulation, opaque.cursor, carried_by_ip(opaque.protocol))
        network = network.keep(known)
    tunnels = None
    udp_rows = network.protocol == IpProtocol.UDP
    if udp_rows.any():
        tunnels = _udp(frames, network.keep(udp_rows), out, ports, follow)
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


def _udp(frames: Frames, network: Network, out: Columns, ports: U8, follow: bool) -> Network | None:
    network = network.at(out.need(network.cursor, _UDP_HEADER_BYTES))
    cursor = network.cursor
    header = frames.take(cursor.at, layout.UDP)
    length = i64(header["length"])
    # A length of 0 is that of a jumbogram (RFC 2675, 4).
    sound = ((length >= _UDP_HEADER_BYTES) & ((cursor.at + length <= cursor.wire_end) | cursor.loose)) | (length == 0)
    if not sound.all():
        network = network.at(out.need(cursor, 0, sound))
        cursor, header = network.cursor, header[sound]
    carried = carried_by_udp(frames, cursor, header, ports)
    tunnels = None
    if follow and (is_vxlan := carried == Encapsulation.VXLAN).any():
        tunnels = network.keep(is_vxlan)
        network, header, carried = network.keep(~is_vxlan), header[~is_vxlan], carried[~is_vxlan]
    if carried.any():
        out.put(out.encapsulation, network.cursor, carried)
    if len(network):
        write(Segment(network, header["source"], header["destination"], network.cursor.at + _UDP_HEADER_BYTES), out)
    return tunnels


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
    # A window of a SYN is what has to be opened yet, that of a RST or FIN means nothing.
    out.put(out.shut, cursor, (header["window"] == 0) & (offset_flags & (TCP_SYN | TCP_RST | TCP_FIN) == 0))


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
