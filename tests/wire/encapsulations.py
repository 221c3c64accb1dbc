"""What carries packets besides VXLAN, built with struct alone. Shares no code with the plugin."""

import struct

IP_IN_IP, IPV6_IN_IP, GRE, ESP = 4, 41, 47, 50
GENEVE_PORT, WIREGUARD_PORT, CILIUM_WIREGUARD_PORT, NAT_TRAVERSAL_PORT = 6081, 51820, 51871, 4500


def geneve(frame: bytes, *, vni: int = 7, kind: int = 0x6558, options: bytes = b"") -> bytes:
    """A Geneve header (RFC 8926) and what it carries."""
    return struct.pack(">BBHI", len(options) // 4, 0, kind, vni << 8) + options + frame


def gre(packet: bytes, *, kind: int = 0x0800) -> bytes:
    """A GRE header (RFC 2784) without options, and what it carries."""
    return struct.pack(">HH", 0, kind) + packet


def esp(payload: bytes, *, spi: int = 0xC0FFEE01, sequence: int = 1) -> bytes:
    """An ESP packet (RFC 4303); the payload stands for what is encrypted."""
    return struct.pack(">II", spi, sequence) + payload


def wireguard(kind: int, body: bytes = b"", *, counter: int = 1) -> bytes:
    """A WireGuard message (its paper, 5.4): the handshake's have a fixed length; data carry `body` padded to 16 bytes, and a tag."""
    rest = bytes(range(1, 256))
    if kind == 4:
        return struct.pack("<BxxxIQ", 4, 0xA1B2C3D4, counter) + body + bytes(-len(body) % 16) + rest[:16]
    return struct.pack("<Bxxx", kind) + rest[: {1: 144, 2: 88, 3: 60}[kind]]
