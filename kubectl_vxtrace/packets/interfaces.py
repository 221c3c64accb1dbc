"""The interfaces of a pcapng section: link type and time resolution."""

import struct

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U64
from kubectl_vxtrace.packets.pcap import ETHERNET, check_link_type

_END, _TIME_RESOLUTION, _TIME_OFFSET = 0, 9, 14
_MICROSECONDS = 1_000_000
_NANOSECONDS = 1_000_000_000
_BASE_TWO = 0x80
_MOST_EXACT = 10**10
"""Up to this many ticks a second, a fraction of a second times 10^9 fits 64 bits."""

MAX_INTERFACES = 65_536
"""Of one section; as many as the obsolete Packet Block can name."""


class Interfaces:
    """Interface descriptions in their order; packets name them by number."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._link_types: list[int] = []
        self._ticks_per_s: list[int] = []
        self._offsets_s: list[int] = []

    def add(self, body: bytes) -> None:
        """Read the body of an Interface Description Block: link type, reserved, snaplen, options. PcapError beyond MAX_INTERFACES."""
        if len(self._link_types) == MAX_INTERFACES:
            raise PcapError(
                f"it has more than {MAX_INTERFACES:,} interfaces", "record it again, or convert it with: editcap -F pcap OLD NEW"
            )
        (link_type,) = struct.unpack_from(self._order + "H", body)
        ticks_per_s, offset_s = self._options(body[8:])
        self._link_types.append(link_type)
        self._ticks_per_s.append(ticks_per_s)
        self._offsets_s.append(offset_s)

    def times_ns(self, ticks: U64, number: I64) -> I64:
        """Unix ns of packets. Raises PcapError where an interface is unknown or not Ethernet."""
        if int(number.max(initial=0)) >= len(self._link_types):
            raise PcapError("a packet names an interface that the file does not describe", "record it again")
        others = np.array(self._link_types)[number]
        if (others != ETHERNET).any():
            check_link_type(int(others[others != ETHERNET][0]))
        per_s = np.array(self._ticks_per_s, np.uint64)[number]
        offset_s = np.array(self._offsets_s, np.int64)[number]
        seconds, rest = ticks // per_s, ticks % per_s
        return (seconds.astype(np.int64) + offset_s) * _NANOSECONDS + _fraction_ns(rest, per_s)

    def _options(self, options: bytes) -> tuple[int, int]:
        """if_tsresol as ticks a second, and if_tsoffset; see the draft, 4.2."""
        ticks_per_s, offset_s, at = _MICROSECONDS, 0, 0
        while at + 4 <= len(options):
            code, length = struct.unpack_from(self._order + "HH", options, at)
            value = options[at + 4 : at + 4 + length]
            if code == _END or len(value) < length:
                break
            if code == _TIME_RESOLUTION and length == 1:
                ticks_per_s = _resolution(value[0])
            elif code == _TIME_OFFSET and length == 8:
                (offset_s,) = struct.unpack(self._order + "q", value)
            at += 4 + length + -length % 4
        return ticks_per_s, offset_s


def _resolution(code: int) -> int:
    """Ticks a second: a negative power of 10, or of 2 with the highest bit set."""
    ticks: int = 2 ** (code & ~_BASE_TWO) if code & _BASE_TWO else 10**code
    if ticks >= 2**64:
        raise PcapError(f"its time resolution ({code}) is finer than can be read", "convert it with: editcap -F nsecpcap OLD NEW")
    return ticks


def _fraction_ns(rest: U64, per_s: U64) -> I64:
    exact = per_s <= _MOST_EXACT
    ns: NDArray[np.int64] = (rest * np.uint64(_NANOSECONDS) // per_s).astype(np.int64)
    if exact.all():
        return ns
    return np.where(exact, ns, (rest / per_s * _NANOSECONDS).astype(np.int64))
