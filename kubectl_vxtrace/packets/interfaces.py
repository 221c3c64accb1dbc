"""The interfaces of a pcapng file: name, link type and time resolution."""

import struct
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I32, I64, U16, U64, CaptureInterface
from kubectl_vxtrace.model.text import clean_bytes
from kubectl_vxtrace.packets.links import LinkType

_END, _NAME, _TIME_RESOLUTION, _TIME_OFFSET = 0, 2, 9, 14
_MICROSECONDS = 1_000_000
_NANOSECONDS = 1_000_000_000
_BASE_TWO = 0x80
_MOST_EXACT = 10**10
"""Up to this many ticks a second, a fraction of a second times 10^9 fits 64 bits."""

MAX_INTERFACES = 65_536
"""Of one file; as many as the obsolete Packet Block can name."""

_MOST_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class _Options:
    """if_name; if_tsresol as ticks a second; if_tsoffset."""

    name: str | None
    ticks_per_s: int
    offset_s: int


class Described:
    """All interfaces that a file describes, numbered from 0 in the order of their descriptions.

    Sections that were written one after the other, by a capture that went on in another file, describe the same interfaces again: what has
    the name, link type and place of one in an earlier section is the same. Within one section all are different.
    """

    def __init__(self) -> None:
        self.interfaces: list[CaptureInterface] = []
        self._numbers: dict[tuple[CaptureInterface, int], int] = {}

    def number(self, interface: CaptureInterface, before: int) -> int:
        """The number of an interface; `before`: how many equal ones its section has described already. PcapError beyond MAX_INTERFACES."""
        found = self._numbers.setdefault((interface, before), len(self.interfaces))
        if found == len(self.interfaces):
            self.interfaces.append(interface)
        if found >= MAX_INTERFACES:
            raise PcapError(
                f"it has more than {MAX_INTERFACES:,} interfaces", "record it again, or convert it with: editcap -F pcap OLD NEW"
            )
        return found


class Interfaces:
    """The interface descriptions of a section in their order; packets name them by number."""

    def __init__(self, order: str, described: Described) -> None:
        self._order = order
        self._described = described
        self._seen: Counter[CaptureInterface] = Counter()
        self._numbers: list[int] = []
        self._link_types: list[int] = []
        self._ticks_per_s: list[int] = []
        self._offsets_s: list[int] = []

    def add(self, body: bytes) -> None:
        """Read the body of an Interface Description Block: link type, reserved, snaplen, options. PcapError beyond MAX_INTERFACES."""
        (link_type,) = struct.unpack_from(self._order + "H", body)
        options = self._options(body[8:])
        interface = CaptureInterface(name=options.name, link_type=link_type)
        self._numbers.append(self._described.number(interface, self._seen[interface]))
        self._seen[interface] += 1
        self._link_types.append(link_type)
        self._ticks_per_s.append(options.ticks_per_s)
        self._offsets_s.append(options.offset_s)

    def check(self, number: I64) -> None:
        """Raise PcapError where packets name interfaces that were not described."""
        if int(number.max(initial=0)) >= len(self._numbers):
            raise PcapError("a packet names an interface that the file does not describe", "record it again")

    def times_ns(self, ticks: U64, number: I64) -> I64:
        """Unix ns of packets."""
        per_s = np.array(self._ticks_per_s, np.uint64)[number]
        offset_s = np.array(self._offsets_s, np.int64)[number]
        seconds, rest = ticks // per_s, ticks % per_s
        return (seconds.astype(np.int64) + offset_s) * _NANOSECONDS + _fraction_ns(rest, per_s)

    def link_types(self, number: I64) -> U16 | None:
        """See Frames."""
        if all(each == LinkType.ETHERNET for each in self._link_types):
            return None
        found: U16 = np.array(self._link_types, np.uint16)[number]
        return found

    def numbers(self, number: I64) -> I32 | None:
        """The packets' interfaces, as Described numbers them; see Frames."""
        if len(self._described.interfaces) == 1:
            return None
        found: I32 = np.array(self._numbers, np.int32)[number]
        return found

    def _options(self, options: bytes) -> _Options:
        """What of an interface's options is needed; see the draft, 4.2."""
        name, ticks_per_s, offset_s, at = None, _MICROSECONDS, 0, 0
        while at + 4 <= len(options):
            code, length = struct.unpack_from(self._order + "HH", options, at)
            value = options[at + 4 : at + 4 + length]
            if code == _END or len(value) < length:
                break
            if code == _NAME:
                name = clean_bytes(value.rstrip(b"\0"), _MOST_NAME_CHARACTERS) or None
            elif code == _TIME_RESOLUTION and length == 1:
                ticks_per_s = _resolution(value[0])
            elif code == _TIME_OFFSET and length == 8:
                (offset_s,) = struct.unpack(self._order + "q", value)
            at += 4 + length + -length % 4
        return _Options(name, ticks_per_s, offset_s)


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
