"""Capture files with everything that is decoded, in every form that a file may have. Shares no code with the plugin."""

import random
import struct
from dataclasses import dataclass
from pathlib import Path

from tests.wire import frames

VXLAN_PORTS = (4789, 8472, 21_000)
NO_VXLAN_PORT = 21_001
_START_NS = 1_766_000_000_000_000_000
_ADDRESSES = {4: ("10.244.1.5", "10.244.2.6", "10.128.0.72", "10.128.0.95"), 6: ("fd00::15", "fd00::26", "fd00:a::72", "fd00:a::95")}
_PORTS = (40_001, 40_002, 40_003, 50_001)
"""Ports that no dissector of tshark's claims."""

PAYLOADS = (0, 1, 30, 95, 96, 97, 200)
_ICMP_ERRORS = {4: ((3, 1), (3, 4), (11, 0), (5, 1), (12, 0)), 6: ((1, 3), (2, 0), (3, 0), (4, 1))}


@dataclass(frozen=True, slots=True)
class Form:
    """How one file is written. `resolutions` are those of the interfaces of a pcapng file, which has none where it is a pcap."""

    name: str
    order: str = "<"
    nanoseconds: bool = True
    snaplen: int = 262_144
    resolutions: tuple[int | None, ...] = ()


FORMS = (
    Form("little-ns.pcap"),
    Form("little-us.pcap", nanoseconds=False),
    Form("big-ns.pcap", order=">"),
    Form("big-us.pcap", order=">", nanoseconds=False),
    Form("one.pcapng", resolutions=(9,)),
    Form("big.pcapng", order=">", resolutions=(6, 9)),
    Form("several.pcapng", resolutions=(None, 9, 3, 0x9E)),
    Form("cut-54.pcap", snaplen=54),
    Form("cut-96.pcap", snaplen=96),
    Form("cut-130.pcap", snaplen=130),
    Form("cut-180.pcapng", snaplen=180, resolutions=(9, 6)),
)


def write(folder: Path, seed: int = 7, count: int = 250) -> list[Path]:
    """`count` packets in each of FORMS."""
    source, paths = random.Random(seed), []
    for form in FORMS:
        packets = [(_START_NS + number * 1_234_567_891, frame(source)) for number in range(count)]
        path = folder / form.name
        if form.resolutions:
            path.write_bytes(_pcapng(form, packets, source))
        else:
            frames.write_pcap(path, packets, nanoseconds=form.nanoseconds, order=form.order, snaplen=form.snaplen)
        paths.append(path)
    return paths


def _pcapng(form: Form, packets: list[tuple[int, bytes]], source: random.Random) -> bytes:
    blocks = [frames.pcapng_section(order=form.order)]
    blocks += [frames.pcapng_interface(resolution=code, order=form.order) for code in form.resolutions]
    for time_ns, one in packets:
        number = source.randrange(len(form.resolutions))
        ticks = time_ns * _per_second(form.resolutions[number]) // 1_000_000_000
        blocks.append(frames.pcapng_packet(ticks, one, interface=number, order=form.order, snaplen=form.snaplen))
    return b"".join(blocks)


def _per_second(code: int | None) -> int:
    if code is None:
        return 1_000_000
    per_second: int = 2 ** (code & 0x7F) if code & 0x80 else 10**code
    return per_second


def frame(source: random.Random) -> bytes:
    """An Ethernet frame: bare, or in VXLAN, or in what looks like it on another port."""
    pick = source.random()
    if pick < 0.03:
        return frames.ethernet(source.randbytes(60), ethertype=0x88B5)
    if pick < 0.4:
        return _bare(source)
    return _wrapped(source, _bare(source))


def _wrapped(source: random.Random, inner: bytes) -> bytes:
    family = source.choice((4, 4, 6))
    port = NO_VXLAN_PORT if source.random() < 0.08 else source.choice(VXLAN_PORTS)
    flags, group = source.choice(((0x08, 0), (0x08, 0), (0x88, source.randrange(1, 65_536)), (0x88, 0)))
    if port == NO_VXLAN_PORT:
        flags |= 0x40  # else it would be VXLAN by its content, on whatever port
    carried = frames.vxlan(inner, vni=source.getrandbits(24), flags=flags, group=group)
    datagram = frames.udp(carried, source=source.randrange(50_002, 60_000), destination=port)
    vlans = source.choice(((), (), (7,), (7, 8)))
    fragment = source.choice((None, None, None, None, 0x2000, 0x2000 | 20, 20))
    return frames.ethernet(_network(source, datagram, frames.UDP, family, fragment, outer=True), ethertype=_type(family), vlans=vlans)


def _bare(source: random.Random) -> bytes:
    vlans = source.choice(((), (), (), (5,), (5, 6)))
    if source.random() < 0.06:
        arp = frames.arp(sender="10.244.1.5", target="10.244.2.6", reply=source.random() < 0.5)
        return frames.ethernet(arp, ethertype=frames.ARP, vlans=vlans)
    family = source.choice((4, 4, 6))
    message, protocol = _message(source, family)
    fragment = source.choice((None, None, None, None, None, None, 0x2000, 0x2000 | 12, 12))
    return frames.ethernet(_network(source, message, protocol, family, fragment), ethertype=_type(family), vlans=vlans)


def _type(family: int) -> int:
    return frames.IPV4 if family == 4 else frames.IPV6


def _message(source: random.Random, family: int, *, quoting: bool = True) -> tuple[bytes, int]:
    """An L4 message and its protocol."""
    payload = bytes(source.choice(b"abcdefgh") for _ in range(source.choice(PAYLOADS)))
    near, far = source.choice(_PORTS), source.choice(_PORTS)
    protocol = source.choice(("udp", "udp", "tcp", "tcp", "echo", "sctp", "other", *(("error", "error") if quoting else ())))
    icmp = frames.ICMP if family == 4 else frames.ICMPV6
    if protocol == "udp":
        return frames.udp(payload, source=near, destination=far), frames.UDP
    if protocol == "tcp":
        options = source.choice((b"", b"\x01" * 4, b"\x01\x01\x08\x0a" + bytes(8)))
        numbers = {"seq": source.getrandbits(32), "ack": source.getrandbits(32), "flags": source.randrange(512)}
        return frames.tcp(payload, source=near, destination=far, options=options, **numbers), frames.TCP
    if protocol == "sctp":
        return frames.sctp(payload, source=near, destination=far, tsn=source.getrandbits(32)), frames.SCTP
    if protocol == "echo":
        kind = source.choice((8, 0) if family == 4 else (128, 129))
        return frames.icmp(kind, rest=struct.pack(">HH", source.getrandbits(16), source.getrandbits(16)), payload=payload), icmp
    if protocol == "other":
        return payload, 253  # for experiments (RFC 3692)
    kind, code = source.choice(_ICMP_ERRORS[family])
    quoted = _quoted(source, family)
    # RFC 792 has the IP header and 8 bytes more quoted, RFC 1812 (4.3.2.3) and RFC 4443 (2.4) as much as fits.
    header_bytes = 4 * (quoted[0] & 0x0F) if family == 4 else 40
    return frames.icmp(kind, code, payload=quoted[: source.choice((len(quoted), len(quoted), header_bytes + 8, 160))]), icmp


def _quoted(source: random.Random, family: int) -> bytes:
    """The IP packet that an ICMP error is about: half of them are VXLAN packets."""
    if source.random() < 0.5:
        return _network(source, *_message(source, family, quoting=False), family, None)
    inner_family = source.choice((4, 6))
    message, protocol = _message(source, inner_family, quoting=False)
    inner = frames.ethernet(_network(source, message, protocol, inner_family, None), ethertype=_type(inner_family))
    datagram = frames.udp(frames.vxlan(inner, vni=9), source=51_000, destination=4789)
    return _network(source, datagram, frames.UDP, family, None, outer=True)


def _network(source: random.Random, message: bytes, protocol: int, family: int, fragment: int | None, *, outer: bool = False) -> bytes:
    """The message in an IP packet, or the part of it that `fragment` says."""
    ends = _ADDRESSES[family][2:] if outer else _ADDRESSES[family][:2]
    near, far = ends if source.random() < 0.5 else ends[::-1]
    ident, ttl = source.getrandbits(16), source.randrange(1, 256)
    part = message
    if fragment is not None:
        start = (fragment & 0x1FFF) * 8
        part = message[start : start + 104] if fragment & 0x2000 else message[start:]
        part = part[: len(part) // 8 * 8] if fragment & 0x2000 else part
    if family == 4:
        options = b"\x01" * source.choice((0, 0, 0, 4, 12))
        flags = source.choice((0x4000, 0)) if fragment is None else fragment
        return frames.ipv4(part, source=near, destination=far, protocol=protocol, ident=ident, ttl=ttl, fragment=flags, options=options)
    if fragment is not None:
        part, protocol = (
            frames.ipv6_fragment(part, protocol=protocol, ident=source.getrandbits(32), fragment=fragment),
            frames.IPV6_FRAGMENT,
        )
    for kind in source.choice(((), (), (0,), (60,), (60, 0))):
        part, protocol = struct.pack(">BBBB4x", protocol, 0, 1, 4) + part, kind
    return frames.ipv6(part, source=near, destination=far, protocol=protocol, hops=ttl)
