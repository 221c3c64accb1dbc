"""Answers TCP SYNs to a port with a reset in the server's name, inside VXLAN, as a firewall between the nodes that looks into tunnels.

Usage: resetter.py INTERFACE VXLAN_PORT TCP_PORT (root). It hears what comes in by INTERFACE and answers by the same way.
"""

import signal
import socket
import struct
import sys

ETH_P_ALL = 0x0003  # linux/if_ether.h
ETHERNET, IPV4, UDP, VXLAN, TCP = 14, 20, 8, 8, 20  # bytes of headers without options
INNER = ETHERNET + IPV4 + UDP + VXLAN
SYN, RST, ACK = 0x02, 0x04, 0x10
OWN_TTL = 255  # of a box of its own; the server's packets left it with 64


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """A packet with a header of its own (RFC 791)."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, IPV4 + len(payload), 0, 0, OWN_TTL, protocol, 0) + source + destination
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def answer(frame: bytes, vxlan_port: int, tcp_port: int) -> bytes | None:
    """The frame that resets the connection of `frame`; None where that is no such SYN."""
    inner = frame[INNER:]
    if len(inner) < ETHERNET + IPV4 + TCP or frame[12:15] != b"\x08\x00\x45" or frame[23] != socket.IPPROTO_UDP:
        return None
    if frame[36:38] != struct.pack(">H", vxlan_port) or inner[12:15] != b"\x08\x00\x45" or inner[23] != socket.IPPROTO_TCP:
        return None
    source, destination, segment = inner[26:30], inner[30:34], inner[ETHERNET + IPV4 :]
    client, server, sequence = struct.unpack(">HHI", segment[:8])
    if server != tcp_port or segment[13] & (SYN | ACK) != SYN:
        return None
    head = struct.pack(">HHIIBBHHH", server, client, 0, (sequence + 1) & 0xFFFFFFFF, TCP // 4 << 4, RST | ACK, 0, 0, 0)
    pseudo = destination + source + struct.pack(">HH", socket.IPPROTO_TCP, len(head))
    head = head[:16] + struct.pack(">H", checksum(pseudo + head)) + head[18:]
    packet = inner[6:12] + inner[:6] + inner[12:14] + ipv4(destination, source, socket.IPPROTO_TCP, head)
    # The outer source port stays: it is a hash of the flow. Over IPv4 an outer checksum of 0 is none (RFC 7348, 5).
    datagram = struct.pack(">HHHH", *struct.unpack(">HH", frame[34:38]), UDP + VXLAN + len(packet), 0) + frame[42:INNER] + packet
    return frame[6:12] + frame[:6] + frame[12:14] + ipv4(frame[30:34], frame[26:30], socket.IPPROTO_UDP, datagram)


def main() -> int:
    """Listen, answer, until a signal comes."""
    interface, vxlan_port, tcp_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((interface, 0))
        print("listening", flush=True)
        while True:
            frame, (_, _, kind, *_) = wire.recvfrom(65535)
            reset = None if kind == socket.PACKET_OUTGOING else answer(frame, vxlan_port, tcp_port)
            if reset is not None:
                wire.send(reset)


if __name__ == "__main__":
    sys.exit(main())
