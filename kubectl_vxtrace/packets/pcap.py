"""The classic capture file (pcap-savefile(5)): microseconds or nanoseconds, either byte order; and its modified kind."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U8, U32, CaptureInterface
from kubectl_vxtrace.packets.chain import IMPOSSIBLE, walk
from kubectl_vxtrace.packets.frames import MAX_WIRE_BYTES, Frames, i64, take
from kubectl_vxtrace.packets.links import check_link_type, link_types
from kubectl_vxtrace.packets.source import Window

MAX_CAPTURED_BYTES = 262144
"""Longest record that libpcap writes or reads (MAXIMUM_SNAPLEN in pcap-int.h); a longer one is garbage."""

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16
_LINK_TYPE_MASK = 0x03FFFFFF


@dataclass(frozen=True, slots=True)
class _Form:
    """How the records of a file are written. A modified file's record headers are longer."""

    order: str
    fraction_ns: int
    header_bytes: int = RECORD_HEADER_BYTES


_FORMS = {
    b"\xd4\xc3\xb2\xa1": _Form("<", 1000),
    b"\xa1\xb2\xc3\xd4": _Form(">", 1000),
    b"\x4d\x3c\xb2\xa1": _Form("<", 1),
    b"\xa1\xb2\x3c\x4d": _Form(">", 1),
    # Kuznetzov's: interface index, protocol, packet type and padding follow (sf-pcap.c of libpcap, struct pcap_sf_patched_pkthdr).
    b"\x34\xcd\xb2\xa1": _Form("<", 1000, 24),
    b"\xa1\xb2\xcd\x34": _Form(">", 1000, 24),
}
_SAME_TIME_S = 30 * 86400


def is_pcap(magic: bytes) -> bool:
    """Whether the first four bytes are those of a classic pcap."""
    return magic in _FORMS


def record_header_bytes(magic: bytes) -> int:
    """From the start of a record to its frame, in a classic pcap that begins with `magic`."""
    return _FORMS[magic].header_bytes


class PcapReader:
    """Reads frames in buffers' worth. `stopped_at`: the offset behind the last whole record if the file ends, or is damaged, inside one."""

    def __init__(self, window: Window) -> None:
        header = window.data[: min(window.size, FILE_HEADER_BYTES)].tobytes()
        if len(header) < FILE_HEADER_BYTES:
            raise PcapError("it ends inside its file header", "record it again; the capture wrote nothing")
        self._form = _FORMS[header[:4]]
        major, _, _, _, _, link_type = struct.unpack(self._form.order + "HHiIII", header[4:])
        if major != 2:
            raise PcapError(f"it is a pcap of version {major}; only version 2 can be read", "convert it with: editcap -F pcap OLD NEW")
        self._link_type = link_type & _LINK_TYPE_MASK
        check_link_type(self._link_type)
        self._window = window
        self.interfaces = [CaptureInterface(link_type=self._link_type)]
        self.stopped_at: int | None = None

    def __iter__(self) -> Iterator[Frames]:
        window, at, form = self._window, FILE_HEADER_BYTES, self._form
        while True:
            records = RecordFormat(form.order, form.fraction_ns, header_bytes=form.header_bytes).near(window.data, window.size, at)
            chain = walk(window.data, window.size, at, records)
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
        fields = take(window.data, offsets, _record(self._form.order))
        return Frames(
            data=window.data,
            at=offsets + self._form.header_bytes,
            captured_bytes=i64(fields["captured"]),
            wire_bytes=np.minimum(i64(fields["wire"]), MAX_WIRE_BYTES),
            time_ns=i64(fields["seconds"]) * 1_000_000_000 + i64(fields["fraction"]) * self._form.fraction_ns,
            offset=offsets + window.base,
            link_type=link_types(self._link_type, len(offsets)),
        )


class RecordFormat:
    """How records follow one another (see chain.Format): seconds, fraction, captured length, length on the wire."""

    def __init__(self, order: str, fraction_ns: int, seconds: int = 0, header_bytes: int = RECORD_HEADER_BYTES) -> None:
        self.header_bytes = header_bytes
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
        behind: I64 = np.where(captured <= MAX_CAPTURED_BYTES, at + (self.header_bytes + captured), IMPOSSIBLE)
        return behind

    def step_one(self, data: memoryview, at: int) -> int:
        """See Format."""
        (captured,) = self._captured.unpack_from(data, at + 8)
        return at + self.header_bytes + int(captured) if captured <= MAX_CAPTURED_BYTES else IMPOSSIBLE

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
