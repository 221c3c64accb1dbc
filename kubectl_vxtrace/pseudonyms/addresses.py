"""Addresses for addresses: a permutation that keeps what addresses have in common, and hides what they are.

Two addresses that share their first n bits share them afterwards, and no more, as in Crypto-PAn (Xu, Fan, Ammar, Moon: Prefix-Preserving
IP Address Anonymization, ICNP 2002); its pseudo-random function is BLAKE2b with a key (RFC 7693) here, which Python has, in place of AES.

What an address means stays: loopback, link-local, multicast, broadcast and unspecified ones are as they were, a private one stays in
its private range, a public one stays public. For that the bits that lead to such a range are never flipped.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

KEY_BYTES = 32

_KEPT_RANGES: tuple[Network, ...] = (
    # RFC 1918, RFC 6598 (carriers' NAT, also used for pods)
    *(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    # RFC 4193, RFC 4291 2.5.4 (global unicast)
    *(IPv6Network(text) for text in ("fc00::/8", "fd00::/8", "2000::/3")),
)
"""Ranges that addresses stay in."""

_AS_THEY_ARE: tuple[Network, ...] = (
    # RFC 1122 3.2.1.3, RFC 3927, RFC 5771; 240.0.0.0/4 holds the broadcast address and netmasks
    *(IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    # RFC 4291 2.5.2, 2.5.3, 2.7; fe80::/10 and what holds an IPv4 address are looked at by themselves
    *(IPv6Network(text) for text in ("::/120", "ff00::/8", "fe80::/10", "::ffff:0:0/96", "64:ff9b::/96")),
)
"""Ranges whose addresses mean the same everywhere."""

_LINK_LOCAL, _MULTICAST = 0xFE80 << 112, 0xFF << 120
_SOLICITED_NODE = 0xFF02_0000_0000_0000_0000_0001_FF00_0000
"""RFC 4291, 2.7.1: the last 24 bits are those of the address that is asked for."""
_HOLDING_IPV4 = (0xFFFF << 32, 0x64_FF9B << 96)
"""`::ffff:a.b.c.d` (RFC 4291, 2.5.5.2) and `64:ff9b::a.b.c.d` (RFC 6052, 2.1)."""

_LOW_24, _LOW_32, _LOW_64 = (1 << 24) - 1, (1 << 32) - 1, (1 << 64) - 1
_EUI64, _EUI64_MASK = 0xFFFE << 24, 0xFFFF << 24
_LOCAL_BIT = 1 << 57
"""RFC 4291, appendix A: an interface identifier made of a MAC has ff:fe in its middle, and the MAC's bit for "local" turned over."""
_SMALL = 0x100
"""Interface identifiers below are given by hand (`fe80::1`), and tell nothing."""

_MAC_GROUP = 1 << 40
_MAC_KEPT_BITS = 0x0300_0000_0000
"""IEEE 802: the bits for "group" and "local" of the first octet."""
_CALICO_MAC = 0xEEEE_EEEE_EEEE
"""What Calico gives the host's end of each pod."""
_MAC_SOLICITED_NODE = 0x3333_FF00_0000
"""RFC 2464, 7: of the group of a solicited-node address."""


class Addresses:
    """One key's permutation of IPv4, IPv6 and MAC addresses, all as numbers."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._flips: dict[tuple[int, int, int], int] = {}
        self._met: dict[tuple[int, int], tuple[int, int]] = {}
        self._solicited: dict[int, int] = {}
        self._ways = {
            (network.max_prefixlen, depth, int(network.network_address) >> (network.max_prefixlen - depth))
            for network in (*_KEPT_RANGES, *_AS_THEY_ARE)
            for depth in range(network.prefixlen)
        }
        self._octets_with_ways = {(width, depth // 8, way >> depth % 8) for width, depth, way in self._ways}
        self._fixed = [(each.max_prefixlen, _behind(each), int(each.network_address) >> _behind(each)) for each in _AS_THEY_ARE]

    @property
    def met(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The addresses that got another one so far, and that: the width in bits (MACs: 48) and the number of each."""
        return {old: new for old, new in self._met.items() if old != new}

    def ipv4(self, address: int) -> int:
        """The 32 bits for an IPv4 address."""
        return self._kept(address, 32, self._ipv4)

    def ipv6(self, address: int) -> int:
        """The 128 bits for an IPv6 address."""
        return self._kept(address, 128, self._ipv6)

    def mac(self, address: int) -> int:
        """The 48 bits for a MAC address. Groups, what is no address, and what Calico gives to all pods stay as they are."""
        return self._kept(address, 48, self._mac)

    def _kept(self, address: int, width: int, make: Callable[[int], int]) -> int:
        found = self._met.get((width, address))
        if found is None:
            self._met[width, address] = found = (width, make(address))
        return found[1]

    def _ipv4(self, address: int) -> int:
        return self._permuted(address, 32)

    def _ipv6(self, address: int) -> int:
        if address >> 32 << 32 in _HOLDING_IPV4:
            return (address >> 32 << 32) | self.ipv4(address & _LOW_32)
        if address >> 118 == _LINK_LOCAL >> 118:
            return (address >> 64 << 64) | self._interface(address & _LOW_64)
        if address & ~_LOW_24 == _SOLICITED_NODE:
            return _SOLICITED_NODE | self._solicited_bits(address & _LOW_24)
        return self._permuted(address, 128)

    def network(self, address: int, length: int, width: int) -> int:
        """The address for one that stands before a prefix length: bits behind the prefix that were zero are zero. width: 32 or 128."""
        behind = (1 << (width - length)) - 1
        permuted = self.ipv4(address) if width == 32 else self.ipv6(address)
        return permuted if address & behind else permuted & ~behind

    def _mac(self, address: int) -> int:
        if address & ~_LOW_24 == _MAC_SOLICITED_NODE:
            return _MAC_SOLICITED_NODE | self._solicited_bits(address & _LOW_24)
        if address in (0, _CALICO_MAC) or address & _MAC_GROUP:
            return address
        return (self._number(b"mac", address, 6) & ~_MAC_KEPT_BITS) | (address & _MAC_KEPT_BITS)

    def learn(self, addresses: Iterable[int]) -> None:
        """Let solicited-node groups follow these IPv6 addresses, whose last 24 bits they bear."""
        for address in sorted(addresses):
            self._solicited.setdefault(address & _LOW_24, self.ipv6(address) & _LOW_24)

    def _interface(self, identifier: int) -> int:
        """The interface identifier of a link-local address; one that was made of a MAC is made of that MAC's."""
        if identifier < _SMALL:
            return identifier
        if identifier & _EUI64_MASK == _EUI64:
            mac = ((identifier ^ _LOCAL_BIT) >> 40 << 24) | (identifier & _LOW_24)
            found = self.mac(mac)
            return ((found >> 24 << 40) | _EUI64 | (found & _LOW_24)) ^ _LOCAL_BIT
        return self._number(b"interface", identifier, 8)

    def _solicited_bits(self, bits: int) -> int:
        found = self._solicited.get(bits)
        return self._number(b"solicited", bits, 3) if found is None else found

    def _number(self, what: bytes, value: int, size: int) -> int:
        return int.from_bytes(blake2b(what + value.to_bytes(16), digest_size=size, key=self._key).digest())

    def _permuted(self, address: int, width: int) -> int:
        """Every bit is flipped, or not, as a function of those before it says. One digest holds the 255 answers for an octet's."""
        if any(width == other and address >> behind == begin for other, behind, begin in self._fixed):
            return address
        flipped = 0
        for octet in range(width // 8):
            before = address >> (width - 8 * octet)
            plain = address >> (width - 8 * octet - 8) & 0xFF
            flips = self._octet_flips(width, octet, before)
            for bit in range(8):
                # The node of the octet's tree, whose root is 1: the bits before this one behind a 1.
                if flips >> (1 << bit | plain >> (8 - bit)) & 1:
                    flipped |= 1 << (width - 8 * octet - bit - 1)
        return address ^ flipped

    def _octet_flips(self, width: int, octet: int, before: int) -> int:
        """256 bits for the octet behind the bits `before`; bit n is for the node n of its tree, whose root is 1."""
        place = (width, octet, before)
        found = self._flips.get(place)
        if found is None:
            text = bytes((width, octet)) + before.to_bytes(16)
            found = int.from_bytes(blake2b(text, digest_size=32, key=self._key, person=b"address").digest())
            if place in self._octets_with_ways:
                found &= ~sum(1 << node for node in range(1, 256) if self._is_way(width, octet, before, node))
            self._flips[place] = found
        return found

    def _is_way(self, width: int, octet: int, before: int, node: int) -> bool:
        """Whether the bit that is decided at this node leads to a range."""
        bits = node.bit_length() - 1
        return (width, 8 * octet + bits, before << bits | node ^ 1 << bits) in self._ways


def _behind(network: Network) -> int:
    return network.max_prefixlen - network.prefixlen
