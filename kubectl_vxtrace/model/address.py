"""IP addresses as text and as bytes, written once for the whole package."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

ADDRESS_BYTES = 16
_MAC = re.compile("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
IPV4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), so that both families share one layout."""


def packed_address(text: str) -> bytes | None:
    """The 16 bytes under which a PacketTable holds an address; None if `text` is none."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    return IPV4_MAPPED_PREFIX + address.packed if isinstance(address, IPv4Address) else address.packed


def address_after(text: str) -> str | None:
    """The next address; None if `text` is none, or the last one."""
    try:
        return str(ip_address(text) + 1)
    except ValueError:  # AddressValueError, beyond the last one, is one
        return None


def host_port(address: str, port: int | None) -> str:
    """`address:port`, with brackets around IPv6 (RFC 3986, 3.2.2); the bare address where there is no port."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def mac_text(number: int) -> str:
    """The 48 bits of a MAC address as iproute2 writes them."""
    return ":".join(f"{octet:02x}" for octet in number.to_bytes(6, "big"))


def mac_number(text: str) -> int | None:
    """A MAC address, six octets in hexadecimal between colons, as 48 bits; None if `text` is none (an InfiniBand device has twenty)."""
    return int(text.replace(":", ""), 16) if _MAC.fullmatch(text) else None


def unique(texts: Iterable[str | None]) -> tuple[str, ...]:
    """The different texts in order of their first occurrence, without None and empty ones."""
    return tuple(dict.fromkeys(text for text in texts if text))
