"""Numbers of the protocols that are looked at, each with its source, written once for the whole package."""

from datetime import UTC, datetime
from enum import IntEnum

VXLAN_PORTS = (4789, 8472)
"""IANA's port (RFC 7348, 8), which Calico uses, and the Linux kernel's own default (drivers/net/vxlan/vxlan_core.c), which flannel uses."""


class IpProtocol(IntEnum):
    """IANA protocol numbers that are decoded further."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_ECE, TCP_CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
"""Flags of a TCP header (RFC 9293, 3.1); plain numbers, since an enum's members would widen numpy's columns to 64 bits."""

ECHO_TYPES = {IpProtocol.ICMP: (8, 0), IpProtocol.ICMPV6: (128, 129)}
"""ICMP types of an echo request and its reply (RFC 792; RFC 4443, 4)."""

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
"""What an Ethernet frame holds (IANA, IEEE 802 numbers)."""

ETHERNET_BYTES, TAG_BYTES = 14, 4
"""An Ethernet header without a preamble or checksum, and an 802.1Q tag in it (IEEE 802.3, 802.1Q)."""
IPV4_BYTES, IPV6_BYTES, UDP_BYTES, VXLAN_BYTES, ECHO_BYTES = 20, 40, 8, 8, 8
"""Headers without options (RFC 791, 3.1; RFC 8200, 3; RFC 768; RFC 7348, 5; RFC 792 and RFC 4443, 4.1)."""


def overhead_bytes(outer: str) -> int:
    """What VXLAN adds to a packet between nodes with such addresses, of which the inner Ethernet header counts for the device's MTU: 50
    over IPv4, 70 over IPv6 (RFC 7348, 5)."""
    return (IPV6_BYTES if ":" in outer else IPV4_BYTES) + UDP_BYTES + VXLAN_BYTES + ETHERNET_BYTES


def echo_headers_bytes(address: str) -> int:
    """What the packet of an echo to such an address holds before the echo's payload: 28 over IPv4, 48 over IPv6."""
    return (IPV6_BYTES if ":" in address else IPV4_BYTES) + ECHO_BYTES


FRAGMENT_OFFSET = 0x1FFF
"""The offset in an IPv4 header's flags and offset field, in units of 8 bytes (RFC 791, 3.1)."""
MORE_FRAGMENTS = 0x2000
"""The flag MF in the same field."""


ADDRESS_RESOLUTION = ARP, NEIGHBOUR_DISCOVERY = "ARP", "NDP"
"""How a flow is called that asks for link-layer addresses (RFC 826, RFC 4861)."""


def rfc3339(time_ns: int) -> str:
    """A time in Unix nanoseconds as RFC 3339 UTC with nine digits of a second."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
