"""The classic capture file (pcap-savefile(5)): microseconds or nanoseconds, either byte order, Ethernet."""

import struct
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U8, U32
from kubectl_vxtrace.packets.chain import IMPOSSIBLE, walk
from kubectl_vxtrace.packets.frames import Frames, i64, take
from kubectl_vxtrace.packets.source import Window

MAX_CAPTURED_BYTES = 262144
"""Longest record that libpcap writes or reads (MAXIMUM_SNAPLEN in pcap-int.h); a longer one is garbage."""

MAX_WIRE_BYTES = 2**31 - 1
"""Longer lengths on the wire are read as this."""

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16

ETHERNET = 1
_LINK_TYPE_MASK = 0x03FFFFFF
_NOT_ETHERNET = {
    0: "loopback (NULL)",
    101: "raw IP",
    105: "802.11",
    113: 'Linux "cooked" (tcpdump -i any)',
    228: "raw IPv4",
    276: 'Linux "cooked" v2 (tcpdump -i any)',
}
_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SAME_TIME_S = 30 * 86400


def is_pcap(magic: bytes) -> bool:
    """Whether the first four bytes are those of a classic pcap."""
    return magic in _MAGICS


def check_link_type(number: int) -> None:
    """Raise PcapError unless frames are Ethernet."""
    if number != ETHERNET:
        name = _NOT_ETHERNET.get(number, "another kind of link")
        raise PcapError(
            f"its link type is {number}, {name}; only Ethernet (1) can be read", "capture on one interface: tcpdump -i INTERFACE"
        )


class PcapReader:
    """Reads frames in buffers' worth. `stopped_at`: the offset behind the last whole record if the file ends, or is damaged, inside one."""

    def __init__(self, window: Window) -> None:
        header = window.data[: min(window.size, FILE_HEADER_BYTES)].tobytes()
        if len(header) < FILE_HEADER_BYTES:
            raise PcapError("it ends inside its file header", "record it again; the capture wrote nothing")
        self._order, self._fraction_ns = _MAGICS[header[:4]]
        major, _, _, _, _, link_type = struct.unpack(self._order + "HHiIII", header[4:])
        if major != 2:
            raise PcapError(f"it is a pcap of version {major}; only version 2 can be read", "convert it with: editcap -F pcap OLD NEW")
        check_link_type(link_type & _LINK_TYPE_MASK)
        self._window = window
        self.stopped_at: int | None = None

    def __iter__(self) -> Iterator[Frames]:
        window, at = self._window, FILE_HEADER_BYTES
        while True:
            form = RecordFormat(self._order, self._fraction_ns).near(window.data, window.size, at)
            chain = walk(window.data, window.size, at, form)
            if len(chain.offsets):
                yield self._frames(chain.offsets)
            if chain.stuck or window.ended:
                break
            window.advance(chain.end)
            at = 0
        if chain.end != window.size or window.broken:
            self.stopped_at = window.base + chain.end

    def _frames(self, offsets: I64) -> Frames:
        window = self._window
        fields = take(window.data, offsets, _record(self._order))
        return Frames(
            data=window.data,
            at=offsets + RECORD_HEADER_BYTES,
            captured_bytes=i64(fields["captured"]),
            wire_bytes=np.minimum(i64(fields["wire"]), MAX_WIRE_BYTES),
            time_ns=i64(fields["seconds"]) * 1_000_000_000 + i64(fields["fraction"]) * self._fraction_ns,
            offset=offsets + window.base,
        )


class RecordFormat:
    """How records follow one another (see chain.Format): seconds, fraction, captured length, length on the wire."""

    header_bytes = RECORD_HEADER_BYTES

    def __init__(self, order: str, fraction_ns: int, seconds: int = 0) -> None:
        self._number = np.dtype(order + "u4")
        self._record = _record(order)
        self._captured = struct.Struct(order + "I")
        self._fractions = 1_000_000_000 // fraction_ns
        self._first = np.uint32(max(seconds - _SAME_TIME_S, 0))

    @property
    def word(self) -> str:
        """See Format."""
        return self._number.str

    def near(self, data: U8, size: int, at: int) -> Self:
        """Expect records about the time of the one at `at`."""
        if at + self.header_bytes <= size:
            seconds = int(data[at : at + 4].view(self._number)[0])
            self._first = np.uint32(max(seconds - _SAME_TIME_S, 0))
        return self

    def step(self, data: U8, at: I64) -> I64:
        """See Format."""
        captured = i64(take(data, at + 8, self._number))
        behind: I64 = np.where(captured <= MAX_CAPTURED_BYTES, at + (RECORD_HEADER_BYTES + captured), IMPOSSIBLE)
        return behind

    def step_one(self, data: memoryview, at: int) -> int:
        """See Format."""
        (captured,) = self._captured.unpack_from(data, at + 8)
        return at + RECORD_HEADER_BYTES + int(captured) if captured <= MAX_CAPTURED_BYTES else IMPOSSIBLE

    def look(self, words: U32) -> NDArray[np.bool_]:
        """See Format: seconds within a month of the first record's."""
        near: NDArray[np.bool_] = (words - self._first) <= 2 * _SAME_TIME_S
        return near

    def plausible(self, data: U8, at: I64) -> NDArray[np.bool_]:
        """See Format."""
        fields = take(data, at, self._record)
        captured, wire = fields["captured"], fields["wire"]
        likely: NDArray[np.bool_] = self.look(fields["seconds"]) & (fields["fraction"] < self._fractions)
        likely &= (captured <= wire) & (captured <= MAX_CAPTURED_BYTES) & (wire <= 16 * MAX_CAPTURED_BYTES)
        return likely


def _record(order: str) -> np.dtype[np.void]:
    return np.dtype([(name, order + "u4") for name in ("seconds", "fraction", "captured", "wire")])
