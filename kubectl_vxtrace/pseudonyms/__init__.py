"""Pseudonyms: what takes the place of addresses and names in an anonymised bundle. All of it is a function of one key, which nobody keeps.

`addresses` keeps prefixes, `names` keeps lengths and what names have in common, `text` finds both in texts, `records` in records.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import shake_256
from typing import Any

from kubectl_vxtrace.pseudonyms.text import Text


class Pseudonyms:
    """One key's pseudonyms: of texts, and of what stands in packets (see packets.anonymize)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.text = Text(key)

    def ipv4(self, address: int) -> int:
        """The 32 bits for an IPv4 address."""
        return self.text.addresses.ipv4(address)

    def ipv6(self, address: int) -> int:
        """The 128 bits for an IPv6 address."""
        return self.text.addresses.ipv6(address)

    def mac(self, address: int) -> int:
        """The 48 bits for a MAC address."""
        return self.text.addresses.mac(address)

    def learn(self, addresses: Iterable[int]) -> None:
        """Let solicited-node groups follow these IPv6 addresses."""
        self.text.addresses.learn(addresses)

    def labels(self, labels: list[str]) -> list[str]:
        """Of a DNS name's labels; a character is a byte (ISO 8859-1)."""
        return self.text.names.labels(labels)

    def address(self, packed: bytes) -> bytes:
        """Of an address of 4 or 16 bytes in network order."""
        change = self.ipv4 if len(packed) == 4 else self.ipv6
        return change(int.from_bytes(packed)).to_bytes(len(packed))

    def opaque(self, data: bytes) -> bytes:
        """Of bytes that nobody understands, as many: the same for the same, telling nothing of them."""
        return shake_256(self._key + b"opaque" + data).digest(len(data))

    def met(self) -> Iterator[bytes]:
        """The addresses that had pseudonyms given to so far, in network order: 4, 16 or 6 bytes."""
        for width, address in self.text.addresses.met:
            yield address.to_bytes(width // 8)

    def ambiguous(self) -> bool:
        """Whether something that was met has a pseudonym that something else is called by."""
        given: tuple[Mapping[Any, Any], ...] = (self.text.addresses.met, self.text.known, self.text.replaced)
        return any(not pseudonyms.keys().isdisjoint(pseudonyms.values()) for pseudonyms in given)
