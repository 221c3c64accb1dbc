"""Headers of links that are no Ethernet, built with struct alone. Shares no code with the plugin."""

import struct

ETHER, TUNNEL = 1, 65534
"""ARPHRD_ETHER and ARPHRD_NONE (include/uapi/linux/if_arp.h): the hardware types of a NIC and of tun and WireGuard devices."""

NULL, LOOP, RAW, SLL, SLL2, IPV4, IPV6 = 0, 108, 101, 113, 276, 228, 229
"""Link types (https://www.tcpdump.org/linktypes.html)."""

_ADDRESS = bytes.fromhex("02000000000a0000")


def sll(payload: bytes, *, ethertype: int = 0x0800, hardware: int = ETHER, packet: int = 0) -> bytes:
    """A Linux cooked frame, as `tcpdump -i any` wrote before version 4.99."""
    return struct.pack(">HHH8sH", packet, hardware, 6, _ADDRESS, ethertype) + payload


def sll2(payload: bytes, *, interface: int = 1, ethertype: int = 0x0800, hardware: int = ETHER, packet: int = 0) -> bytes:
    """A Linux cooked frame of version 2, which names the kernel's interface."""
    return struct.pack(">HHIHBB8s", ethertype, 0, interface, hardware, packet, 6, _ADDRESS) + payload
