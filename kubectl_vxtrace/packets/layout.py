"""Header layouts as numpy record types, big-endian as on the wire."""

import numpy as np

from kubectl_vxtrace.model import protocol

ETHERNET = np.dtype([("destination_high", ">u2"), ("destination", ">u4"), ("source_high", ">u2"), ("source", ">u4"), ("type", ">u2")])
"""IEEE 802.3, DIX framing."""

TAG = np.dtype([("control", ">u2"), ("type", ">u2")])
"""IEEE 802.1Q: behind the tag's own type."""

IPV4 = np.dtype(
    [
        ("version_length", "u1"),
        ("service", "u1"),
        ("total", ">u2"),
        ("id", ">u2"),
        ("fragment", ">u2"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("source", ">u4"),
        ("destination", ">u4"),
    ]
)
"""RFC 791, 3.1."""

IPV6 = np.dtype(
    [
        ("version_class_flow", ">u4"),
        ("payload", ">u2"),
        ("next", "u1"),
        ("hops", "u1"),
        ("source_high", ">u8"),
        ("source", ">u8"),
        ("destination_high", ">u8"),
        ("destination", ">u8"),
    ]
)
"""RFC 8200, 3."""

IPV6_EXTENSION = np.dtype([("next", "u1"), ("length", "u1"), ("offset_more", ">u2"), ("id", ">u4")])
"""RFC 8200, 4: `length` in 8-byte units less one; the last two fields are the Fragment header's (4.5)."""

UDP = np.dtype([("source", ">u2"), ("destination", ">u2"), ("length", ">u2"), ("checksum", ">u2")])
"""RFC 768."""

TCP = np.dtype(
    [
        ("source", ">u2"),
        ("destination", ">u2"),
        ("sequence", ">u4"),
        ("acknowledgment", ">u4"),
        ("offset_flags", ">u2"),
        ("window", ">u2"),
        ("checksum", ">u2"),
        ("urgent", ">u2"),
    ]
)
"""RFC 9293, 3.1."""

SCTP = np.dtype([("source", ">u2"), ("destination", ">u2"), ("tag", ">u4"), ("checksum", ">u4")])
"""RFC 9260, 3.1."""

ICMP = np.dtype([("type_code", ">u2"), ("checksum", ">u2"), ("id", ">u2"), ("sequence", ">u2")])
"""RFC 792 (echo), RFC 4443, 4.1."""

VXLAN = np.dtype(">u8")
"""RFC 7348, 5: flags (8 bits), reserved (24), VNI (24), reserved (8), as one number."""

ENCAPSULATION = np.dtype([*UDP.descr, ("vxlan", VXLAN)])
"""UDP and VXLAN together."""

PORTS = np.dtype([("source", ">u2"), ("destination", ">u2")])
"""What TCP, UDP and SCTP headers have in common."""

ARP = np.dtype(
    [
        ("hardware", ">u2"),
        ("protocol", ">u2"),
        ("hardware_length", "u1"),
        ("protocol_length", "u1"),
        ("operation", ">u2"),
        ("sender_mac", "V6"),
        ("sender", ">u4"),
        ("target_mac", "V6"),
        ("target", ">u4"),
    ]
)
"""RFC 826 for Ethernet and IPv4."""

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = protocol.ETHERTYPE_IPV4, protocol.ETHERTYPE_ARP, protocol.ETHERTYPE_IPV6
ETHERTYPE_TAGS = (0x8100, 0x88A8, 0x9100)
"""802.1Q, 802.1ad, and the type that QinQ switches used before 802.1ad."""

MOST_TAGS = 4
"""Stacked tags that are followed; two is what QinQ uses."""

MOST_EXTENSIONS = 8
"""IPv6 extension headers that are followed; RFC 8200, 4.1 names six."""

VXLAN_VALID_VNI = 0x08000000_00000000
"""RFC 7348, 5: the I flag; a packet without it is none."""

VXLAN_RESERVED = 0xF7FFFFFF_000000FF
"""RFC 7348, 5: all of the header but the I flag and the VNI. Extensions use some of these bits (draft-smith-vxlan-group-policy)."""
