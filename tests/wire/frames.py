"""Frames and capture files, built with struct alone. Shares no code with the plugin: it is what the decoder is measured against."""

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

MAC_A = "02:00:00:00:00:0a"
MAC_B = "02:00:00:00:00:0b"

IPV4, ARP, IPV6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
IPV6_FRAGMENT = 44
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload: bytes, *, ethertype: int = IPV4, source: str = MAC_A, destination: str = MAC_B, vlans: Iterable[int] = ()) -> bytes:
    """An Ethernet II frame; each of `vlans` adds an 802.1Q tag, outermost first."""
    tags = b"".join(struct.pack(">HH", VLAN, vlan) for vlan in vlans)
    return _mac(destination) + _mac(source) + tags + struct.pack(">H", ethertype) + payload


def ipv4(
    payload: bytes,
    *,
    source: str,
    destination: str,
    protocol: int,
    ident: int = 0,
    ttl: int = 64,
    fragment: int = 0x4000,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    """An IPv4 packet. `fragment` is the flags and offset field; `options` must be a multiple of 4 bytes; `total` overrides the length."""
    length = 20 + len(options)
    head = struct.pack(
        ">BBHHHBBH4s4s",
        0x40 | length // 4,
        0,
        length + len(payload) if total is None else total,
        ident,
        fragment,
        ttl,
        protocol,
        0,
        ip_address(source).packed,
        ip_address(destination).packed,
    )
    head += options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(payload: bytes, *, source: str, destination: str, protocol: int, hops: int = 64) -> bytes:
    """An IPv6 packet; extension headers are part of the payload."""
    return (
        struct.pack(">IHBB", 6 << 28, len(payload), protocol, hops) + ip_address(source).packed + ip_address(destination).packed + payload
    )


def ipv6_fragment(payload: bytes, *, protocol: int, ident: int, fragment: int) -> bytes:
    """A Fragment header (RFC 8200, 4.5) and what follows it; `fragment` is laid out as IPv4's field: 0x2000 for more, offset in eights."""
    return struct.pack(">BBHI", protocol, 0, (fragment & 0x1FFF) << 3 | fragment >> 13 & 1, ident) + payload


def udp(payload: bytes, *, source: int, destination: int, length: int | None = None, check: int = 0) -> bytes:
    """A UDP datagram, by default without checksum."""
    return struct.pack(">HHHH", source, destination, 8 + len(payload) if length is None else length, check) + payload


def tcp(
    payload: bytes = b"",
    *,
    source: int,
    destination: int,
    seq: int = 0,
    ack: int = 0,
    flags: int = ACK,
    options: bytes = b"",
    check: int = 0,
    window: int = 64240,
) -> bytes:
    """A TCP segment; `options` must be a multiple of 4 bytes."""
    offset = (20 + len(options)) // 4
    return struct.pack(">HHIIHHHH", source, destination, seq, ack, offset << 12 | flags, window, check, 0) + options + payload


def sack(blocks: Iterable[tuple[int, int]]) -> bytes:
    """The selective acknowledgement option (RFC 2018, 3) behind two no-operations; at most three blocks fit beside timestamps."""
    body = b"".join(struct.pack(">II", start % 2**32, end % 2**32) for start, end in blocks)
    return b"\1\1" + bytes([5, 2 + len(body)]) + body if body else b""


def sctp(payload: bytes, *, source: int, destination: int, tag: int = 0x5C7B, tsn: int = 1) -> bytes:
    """An SCTP packet with one DATA chunk (RFC 9260, 3.1 and 3.3.1), without checksum."""
    chunk = struct.pack(">BBHIHHI", 0, 3, 16 + len(payload), tsn % 2**32, 0, 0, 0) + payload
    return struct.pack(">HHII", source, destination, tag, 0) + chunk + b"\0" * (-len(payload) % 4)


def icmp(kind: int, code: int = 0, rest: bytes = b"\0\0\0\0", payload: bytes = b"") -> bytes:
    """An ICMP message; `rest` are the four bytes behind the checksum."""
    message = struct.pack(">BBH", kind, code, 0) + rest + payload
    return message[:2] + struct.pack(">H", checksum(message)) + message[4:]


def echo(ident: int, seq: int, payload: bytes = b"", *, reply: bool = False) -> bytes:
    """An ICMP echo request or reply."""
    return icmp(0 if reply else 8, rest=struct.pack(">HH", ident, seq), payload=payload)


def vxlan(frame: bytes, *, vni: int, flags: int = 0x08, group: int = 0) -> bytes:
    """A VXLAN header and the inner frame; `flags` 0x88 with a `group` is the Group Policy extension (draft-smith-vxlan-group-policy)."""
    return struct.pack(">BBHI", flags, 0, group, vni << 8) + frame


def encapsulate(
    frame: bytes,
    *,
    source: str,
    destination: str,
    vni: int = 4096,
    port: int = 4789,
    source_port: int = 49152,
    ident: int = 0,
    fragment: int = 0,
    vlans: Iterable[int] = (),
) -> bytes:
    """A whole outer frame around an inner one."""
    datagram = udp(vxlan(frame, vni=vni), source=source_port, destination=port)
    packet = ipv4(datagram, source=source, destination=destination, protocol=UDP, ident=ident, fragment=fragment)
    return ethernet(packet, vlans=vlans)


def arp(*, sender: str, target: str, reply: bool = False, sender_mac: str = MAC_A, target_mac: str = MAC_B) -> bytes:
    """An ARP packet for IPv4 over Ethernet."""
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2 if reply else 1)
    return head + _mac(sender_mac) + ip_address(sender).packed + _mac(target_mac) + ip_address(target).packed


def neighbour(
    target: str, *, answer: bool = False, mac: str | None = MAC_A, source: str = "::", destination: str = "ff02::1", hops: int = 255
) -> bytes:
    """An IPv6 packet with a neighbour solicitation, or an advertisement (RFC 4861, 4.3 and 4.4); `mac`: its link-layer address option."""
    option = b"" if mac is None else bytes([2 if answer else 1, 1]) + _mac(mac)
    message = icmp(136 if answer else 135, payload=ip_address(target).packed + option)
    return ipv6(message, source=source, destination=destination, protocol=ICMPV6, hops=hops)


def dns_question(name: str, *, ident: int = 1, kind: int = 1) -> bytes:
    """A DNS query for `name`; `kind` 1 is A, 28 AAAA."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, kind, 1)


def dns_answer(name: str, address: str | None, *, ident: int = 1, rcode: int = 0) -> bytes:
    """The answer to `dns_question(name)` with one A record, or none; the record's name is a compression pointer."""
    question = dns_question(name, ident=ident)[12:]
    head = struct.pack(">HHHHHH", ident, 0x8180 | rcode, 1, 0 if address is None else 1, 0, 0)
    record = b"" if address is None else struct.pack(">HHHIH", 0xC00C, 1, 1, 30, 4) + ip_address(address).packed
    return head + question + record


def pcap_header(*, nanoseconds: bool = True, order: str = "<", link_type: int = 1, snaplen: int = 262144) -> bytes:
    """The header of a classic capture file."""
    return struct.pack(order + "IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link_type)


def pcap_record(time_ns: int, frame: bytes, *, nanoseconds: bool = True, order: str = "<", snaplen: int = 262144) -> bytes:
    """One record; the frame is cut to `snaplen`."""
    fraction = time_ns % 1_000_000_000
    captured = frame[:snaplen]
    head = struct.pack(order + "IIII", time_ns // 1_000_000_000, fraction if nanoseconds else fraction // 1000, len(captured), len(frame))
    return head + captured


def write_pcap(
    path: Path,
    packets: Iterable[tuple[int, bytes]],
    *,
    nanoseconds: bool = True,
    order: str = "<",
    link_type: int = 1,
    snaplen: int = 262144,
) -> None:
    """Write (time_ns, frame) pairs."""
    with path.open("wb") as file:
        file.write(pcap_header(nanoseconds=nanoseconds, order=order, link_type=link_type, snaplen=snaplen))
        for time_ns, frame in packets:
            file.write(pcap_record(time_ns, frame, nanoseconds=nanoseconds, order=order, snaplen=snaplen))


def pcapng_block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    """A pcapng block; the body is padded to a multiple of 4."""
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def pcapng_section(*, order: str = "<") -> bytes:
    """A section header block."""
    return pcapng_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order=order)


def pcapng_interface(
    *, name: str | None = None, link_type: int = 1, resolution: int | None = None, offset_s: int | None = None, order: str = "<"
) -> bytes:
    """An interface description block; `resolution` is the if_tsresol byte."""
    options = b""
    if name is not None:
        options += struct.pack(order + "HH", 2, len(name)) + name.encode() + b"\0" * (-len(name) % 4)
    if resolution is not None:
        options += struct.pack(order + "HHB3x", 9, 1, resolution)
    if offset_s is not None:
        options += struct.pack(order + "HHq", 14, 8, offset_s)
    if options:
        options += struct.pack(order + "HH", 0, 0)
    return pcapng_block(1, struct.pack(order + "HHI", link_type, 0, 262144) + options, order=order)


def pcapng_packet(ticks: int, frame: bytes, *, interface: int = 0, order: str = "<", snaplen: int = 262144) -> bytes:
    """An enhanced packet block; `ticks` in the interface's resolution."""
    captured = frame[:snaplen]
    head = struct.pack(order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(captured), len(frame))
    return pcapng_block(6, head + captured + b"\0" * (-len(captured) % 4), order=order)
