"""One line for each of a few packets, from our own decode."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.model.protocol import (
    ECHO_TYPES,
    FRAGMENT_OFFSET,
    TCP_ACK,
    TCP_CWR,
    TCP_ECE,
    TCP_FIN,
    TCP_PSH,
    TCP_RST,
    TCP_SYN,
    TCP_URG,
    IpProtocol,
)
from kubectl_vxtrace.packets import dns
from kubectl_vxtrace.packets.cut import read_frames
from kubectl_vxtrace.packets.frames import Frames
from kubectl_vxtrace.packets.headers import decode, port_table
from kubectl_vxtrace.packets.source import PADDING_BYTES

DNS_PORTS = frozenset({53, 1053, 5353, 8053})
"""DNS, and what cluster DNS pods listen on behind port 53; elsewhere a packet is only called DNS if it parses as such."""

_FLAGS = (
    (TCP_SYN, "SYN"),
    (TCP_FIN, "FIN"),
    (TCP_RST, "RST"),
    (TCP_PSH, "PSH"),
    (TCP_ACK, "ACK"),
    (TCP_URG, "URG"),
    (TCP_ECE, "ECE"),
    (TCP_CWR, "CWR"),
)
_NAMES: dict[int, str] = {IpProtocol.ICMP: "ICMP", IpProtocol.TCP: "TCP", IpProtocol.UDP: "UDP", IpProtocol.ICMPV6: "ICMPv6"}
_UNREACHABLE = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network prohibited",
    10: "host prohibited",
    13: "administratively prohibited",
}
_ICMP = {4: "source quench", 5: "redirect", 11: "time exceeded", 12: "parameter problem"}
_UNREACHABLE_6 = {0: "no route", 1: "administratively prohibited", 3: "address unreachable", 4: "port unreachable"}
_ICMPV6 = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
}


def summarise(path: str | Path, table: PacketTable, rows: Sequence[int]) -> tuple[str, ...]:
    """What each of `rows` says, in one line of printable ASCII: `DNS A? kubernetes.default`, `TCP SYN 41234 > 80 seq 1 len 0`.

    Raises:
        PcapError: the file cannot be read, or is not the one that `table` was read from.
    """
    raw = read_frames(path, table, rows)
    return tuple(_line(table, row, payload) for row, payload in zip(rows, _payloads(raw, table, rows), strict=True))


def _payloads(raw: Sequence[bytes], table: PacketTable, rows: Sequence[int]) -> list[bytes]:
    """What was captured of the innermost L4 payloads; these frames are decoded again, as the table does not say where they begin."""
    data = np.frombuffer(b"".join(raw) + bytes(PADDING_BYTES), np.uint8)
    captured = np.array([len(frame) for frame in raw], np.int64)
    at = np.cumsum(captured) - captured
    index = np.array(rows, np.int64)
    frames = Frames(data, at, captured, table.wire_bytes[index].astype(np.int64), table.time_ns[index], table.offset[index])
    decoded = decode(frames, port_table(np.unique(table.tunnels.port).tolist()))
    payloads = []
    for number, frame in enumerate(raw):
        start = int(decoded.payload_at[number] - at[number])
        payloads.append(frame[start : start + int(decoded.payload_bytes[number])] if start >= 0 else b"")
    return payloads


def _line(table: PacketTable, row: int, payload: bytes) -> str:
    kind = Kind(int(table.kind[row]))
    if kind is Kind.ARP:
        return _arp(table, row)
    if kind is not Kind.IP:
        words = {Kind.OTHER: "not IP", Kind.MALFORMED: "malformed", Kind.CUT: "headers not captured"}
        return f"{words[kind]}, {int(table.wire_bytes[row])} bytes"
    conversation = int(table.conversation[row])
    protocol = int(table.conversations.protocol[conversation])
    if (offset := int(table.fragment[row]) & FRAGMENT_OFFSET) > 0:
        return f"fragment of IP id {int(table.ip_id[row])} at {offset * 8} len {int(table.payload_bytes[row])}"
    if protocol == IpProtocol.TCP:
        return _tcp(table, row, payload)
    if protocol == IpProtocol.UDP:
        return _udp(table, row, payload)
    if protocol in (IpProtocol.ICMP, IpProtocol.ICMPV6):
        return _icmp(table, row, protocol)
    if protocol == IpProtocol.SCTP:
        source, destination = _ports(table, row)
        return f"SCTP {source} > {destination} len {int(table.payload_bytes[row])}"
    return f"IP protocol {protocol} len {int(table.payload_bytes[row])}"


def _ports(table: PacketTable, row: int) -> tuple[int, int]:
    conversation = int(table.conversation[row])
    return int(table.conversations.source_port[conversation]), int(table.conversations.destination_port[conversation])


def _tcp(table: PacketTable, row: int, payload: bytes) -> str:
    source, destination = _ports(table, row)
    if DNS_PORTS & {source, destination} and len(payload) > 2:
        said = dns.describe(payload[2:])
        if said is not None:
            return f"DNS {said} (TCP)"
    flags = int(table.flags[row])
    names = ",".join(name for bit, name in _FLAGS if flags & bit) or "none"
    ack = f" ack {int(table.ack[row])}" if flags & TCP_ACK else ""
    return f"TCP {names} {source} > {destination} seq {int(table.seq[row])}{ack} len {int(table.payload_bytes[row])}"


def _udp(table: PacketTable, row: int, payload: bytes) -> str:
    source, destination = _ports(table, row)
    said = dns.describe(payload) if DNS_PORTS & {source, destination} else None
    return f"DNS {said}" if said is not None else f"UDP {source} > {destination} len {int(table.payload_bytes[row])}"


def _icmp(table: PacketTable, row: int, protocol: int) -> str:
    kind, code = divmod(int(table.flags[row]), 256)
    six = protocol == IpProtocol.ICMPV6
    name = "ICMPv6" if six else "ICMP"
    echo_request, echo_reply = ECHO_TYPES[IpProtocol.ICMPV6 if six else IpProtocol.ICMP]
    if kind in (echo_request, echo_reply):
        asked = "request" if kind == echo_request else "reply"
        return f"{name} echo {asked} id {_ports(table, row)[0]} seq {int(table.seq[row])}"
    if not six and kind == 3:
        text = _UNREACHABLE.get(code, f"unreachable code {code}")
    elif six and kind == 1:
        text = _UNREACHABLE_6.get(code, f"unreachable code {code}")
    else:
        text = (_ICMPV6 if six else _ICMP).get(kind, f"type {kind} code {code}")
    return f"{name} {text}{_quoted(table, row)}"


def _quoted(table: PacketTable, row: int) -> str:
    """What an ICMP error is about: the quoted packet, the inner one where it was a VXLAN packet."""
    quotes = table.icmp_quotes
    place = int(np.searchsorted(quotes.row, row))
    if place >= len(quotes) or int(quotes.row[place]) != row:
        return ""
    inner = int(quotes.inner_conversation[place])
    conversation = inner if inner >= 0 else int(quotes.conversation[place])
    names = table.conversations
    protocol = int(names.protocol[conversation])
    ends = []
    for address, port in ((names.source, names.source_port), (names.destination, names.destination_port)):
        has_port = protocol in (IpProtocol.TCP, IpProtocol.UDP)
        ends.append(host_port(address_text(address[conversation]), int(port[conversation]) if has_port else None))
    label = _NAMES.get(protocol, f"IP protocol {protocol}")
    return f" for {label} {ends[0]} > {ends[1]}"


def _arp(table: PacketTable, row: int) -> str:
    conversation = int(table.conversation[row])
    sender = address_text(table.conversations.source[conversation])
    target = address_text(table.conversations.destination[conversation])
    operation = int(table.flags[row])
    if operation == 1:
        return f"ARP who has {target}? tell {sender}"
    if operation == 2:
        return f"ARP {sender} answers {target}"
    return f"ARP operation {operation} {sender} > {target}"
