"""ICMP errors and the packet that they quote (RFC 792, RFC 1812 4.3.2.3, RFC 4443 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I64, U16, U64, Kind
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, IpProtocol
from kubectl_vxtrace.packets import layout
from kubectl_vxtrace.packets.cursor import BOOL, Columns, Cursor, columns
from kubectl_vxtrace.packets.frames import Frames
from kubectl_vxtrace.packets.network import Network, ethernet, ipv4, ipv6, packets
from kubectl_vxtrace.packets.transport import Segment, conversation_key, is_echo, is_icmp, is_vxlan, open_tunnels

_ERRORS_4 = (3, 4, 5, 11, 12)
_ERRORS_6 = (1, 2, 3, 4)
_MOST_PORTS_BYTES = layout.ICMP.itemsize
_IPV4_MAPPED = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class Quotes:
    """Quoted packets of one batch: k rows. `row` is the error's row in the batch; `has_inner` where the quoted packet is VXLAN."""

    row: I64
    conversation: tuple[U64, ...]
    ip_id: U16
    has_inner: BOOL
    inner_conversation: tuple[U64, ...]
    inner_ip_id: U16


def read_quotes(frames: Frames, decoded: Columns, vxlan: BOOL) -> Quotes | None:
    """What the ICMP errors among the decoded frames quote; None where there is no error. Quotes too short to have ports are left out."""
    is4, is6 = error_rows(decoded)
    if not (is4.any() or is6.any()):
        return None
    rows = np.flatnonzero(is4 | is6)
    at = decoded.payload_at[rows]
    cursor = Cursor(
        np.arange(len(rows)),
        at,
        frames.at[rows] + frames.captured_bytes[rows],
        at + decoded.payload_bytes[rows],
        np.ones(len(rows), np.bool_),
    )
    quoted, inner = columns(len(rows)), columns(len(rows))
    for mask, decode in ((is4[rows], ipv4), (is6[rows], ipv6)):
        if not mask.any():
            continue
        network = _ports(frames, decode(frames, cursor.keep(mask), columns(len(rows))), quoted)
        _inner(frames, network, inner, vxlan)
    known = quoted.kind == Kind.IP
    return Quotes(
        row=rows[known],
        conversation=tuple(column[known] for column in quoted.conversation),
        ip_id=quoted.ip_id[known],
        has_inner=inner.kind[known] == Kind.IP,
        inner_conversation=tuple(column[known] for column in inner.conversation),
        inner_ip_id=inner.ip_id[known],
    )


def error_rows(decoded: Columns) -> tuple[BOOL, BOOL]:
    """Which rows are ICMP errors (redirects included), and which are ICMPv6 errors."""
    protocol = decoded.conversation[4] & np.uint64(0xFF)
    kind = decoded.flags >> 8
    message = (decoded.kind == Kind.IP) & ((decoded.fragment & FRAGMENT_OFFSET) == 0)
    is4 = message & (protocol == IpProtocol.ICMP)
    is6 = message & (protocol == IpProtocol.ICMPV6)
    return _among(is4, kind, _ERRORS_4), _among(is6, kind, _ERRORS_6)


def _among(rows: BOOL, kind: NDArray[Any], kinds: tuple[int, ...]) -> BOOL:
    return rows & np.isin(kind, kinds) if rows.any() else rows


def _ports(frames: Frames, network: Network, quoted: Columns) -> Network:
    """Write the quoted packets' conversations; an error need quote no more than 8 bytes behind the IP header."""
    later = network.later
    _write(network.keep(later), 0, 0, quoted)
    network = network.keep(~later)
    short = network.cursor.at + _MOST_PORTS_BYTES > network.cursor.captured_end
    network = network.keep(~(short & (_has_ports(network) | is_icmp(network))))
    cursor = network.cursor
    ports = frames.take(cursor.at, layout.PORTS)
    icmp = frames.take(cursor.at, layout.ICMP)
    has_ports = _has_ports(network)
    echo = is_echo(network, icmp["type_code"] >> 8)
    other = np.where(echo, icmp["id"], 0)
    _write(network, np.where(has_ports, ports["source"], other), np.where(has_ports, ports["destination"], other), quoted)
    return network


def _has_ports(network: Network) -> BOOL:
    protocol = network.protocol
    found: BOOL = (protocol == IpProtocol.UDP) | (protocol == IpProtocol.TCP) | (protocol == IpProtocol.SCTP)
    return found


def _write(network: Network, source_port: NDArray[Any] | int, destination_port: NDArray[Any] | int, quoted: Columns) -> None:
    cursor = network.cursor
    key = conversation_key(Segment(network, source_port, destination_port, cursor.at))
    for column, values in zip(quoted.conversation, key, strict=True):
        column[cursor.rows] = values
    quoted.kind[cursor.rows] = Kind.IP
    quoted.ip_id[cursor.rows] = network.ip_id


def _inner(frames: Frames, network: Network, inner: Columns, vxlan: BOOL) -> None:
    """Write the inner conversations of quoted VXLAN packets, as far as they were quoted."""
    cursor = network.cursor
    room = cursor.at + layout.ENCAPSULATION.itemsize <= cursor.captured_end
    network = network.keep(room & (network.protocol == IpProtocol.UDP))
    port = frames.take(network.cursor.at + 2, np.dtype(">u2")).astype(np.uint16)
    network = network.keep(vxlan[port])
    network = network.keep(is_vxlan(frames, network.cursor))
    if not len(network):
        return
    scratch = columns(len(inner))
    opened, types = ethernet(frames, open_tunnels(frames, network, scratch), scratch)
    for packet in packets(frames, opened, types, scratch):
        _ports(frames, packet, inner)
