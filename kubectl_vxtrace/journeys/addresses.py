"""Addresses as small numbers, so that columns of them can be compared and packed."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np

from kubectl_vxtrace.model.packets import I32, U8, U64

UNKNOWN = 0xFFFF


def raw_address(text: str) -> bytes | None:
    """The 16 bytes of an address, IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2); None if `text` is none."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed


class AddressBook:
    """The addresses that matter to a trace, numbered from 0 in order; anything else is UNKNOWN.

    At most 65,535 are kept (numbers must fit 16 bits to be packed); further ones are UNKNOWN.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        raws = dict.fromkeys(raw for text in texts if (raw := raw_address(text)) is not None)
        self._numbers = {raw: number for number, raw in enumerate(list(raws)[:UNKNOWN])}
        halves = np.frombuffer(b"".join(self._numbers), dtype=np.uint64).reshape(-1, 2)
        self._high, high = np.unique(halves[:, 0], return_inverse=True)
        self._low, low = np.unique(halves[:, 1], return_inverse=True)
        codes = high * max(len(self._low), 1) + low
        order = np.argsort(codes)
        self._codes = codes[order]
        self._ids = order.astype(np.int32)

    def number(self, text: str | None) -> int:
        """The number of an address, or UNKNOWN."""
        raw = raw_address(text) if text else None
        return UNKNOWN if raw is None else self._numbers.get(raw, UNKNOWN)

    def numbers(self, addresses: U8) -> I32:
        """The numbers of n addresses of 16 bytes, shape (n, 16)."""
        if not len(self._codes) or not len(addresses):
            return np.full(len(addresses), UNKNOWN, dtype=np.int32)
        halves = np.ascontiguousarray(addresses).view(np.uint64).reshape(-1, 2)
        high, high_known = _position(self._high, halves[:, 0])
        low, low_known = _position(self._low, halves[:, 1])
        codes = high * len(self._low) + low
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = high_known & low_known & (self._codes[place] == codes)
        return np.where(known, self._ids[place], UNKNOWN).astype(np.int32)


def _position(values: U64, wanted: U64) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    place = np.minimum(np.searchsorted(values, wanted), len(values) - 1).astype(np.int64)
    return place, values[place] == wanted
