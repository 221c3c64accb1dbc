"""The pcapng capture file (draft-ietf-opsawg-pcapng): several sections and interfaces."""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I64, U8, U32, CaptureInterface
from kubectl_vxtrace.packets.chain import IMPOSSIBLE, walk
from kubectl_vxtrace.packets.frames import MAX_WIRE_BYTES, Frames, i64, take, u64
from kubectl_vxtrace.packets.interfaces import Described, Interfaces
from kubectl_vxtrace.packets.source import Window

SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
MAX_SECTIONS = 10_000
"""Files joined end to end have one for each; every section costs a walk of its own."""

_FIRST_REACH_BYTES = 1 << 16
"""How far behind a section's header is walked at first: the next section may begin there, and all behind it would be walked again."""

PACKET_HEADER_BYTES = 28
"""From the start of an Enhanced Packet Block to its frame; the obsolete Packet Block has the same length."""

_SECTION, _INTERFACE, _PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_LEAST = {_SECTION: 28, _INTERFACE: 20, _PACKET: 32, _ENHANCED_PACKET: 32}
_BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_MAX_BLOCK_BYTES = 16 * 1024 * 1024 - 1
"""A longer block is garbage; Wireshark's limit (MAX_BLOCK_SIZE in wiretap/pcapng.c)."""


class PcapngReader:
    """Reads frames in buffers' worth. `stopped_at`: the offset behind the last whole block if the file ends, or is damaged, inside one."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._order = "<"
        self._described = Described()
        self._interfaces = Interfaces("<", self._described)
        self._sections = 0
        self.stopped_at: int | None = None
        if window.size < 16:
            raise PcapError("it ends inside its file header", "record it again; the capture wrote nothing")
        if self._section_order(0) is None:
            raise PcapError(
                "its first block is damaged, or not of pcapng version 1", "record it again, or convert it with: editcap OLD NEW"
            )

    @property
    def interfaces(self) -> list[CaptureInterface]:
        """Those that were described so far; packets name them by their place."""
        return self._described.interfaces

    def __iter__(self) -> Iterator[Frames]:
        window, at, reach = self._window, 0, _FIRST_REACH_BYTES
        while True:
            if self._is_section(at):
                behind = self._open_section(at)
                if behind > window.size:
                    if behind == IMPOSSIBLE or window.ended or at == 0:
                        break
                    window.advance(at)
                    at = 0
                    continue
                at, reach = behind, _FIRST_REACH_BYTES
            limit = min(at + reach, window.size)
            chain = walk(window.data, limit, at, BlockFormat(self._order, limit))
            yield from self._blocks(chain.offsets)
            at, reach = chain.end, reach * 16
            if self._is_section(at) or (limit < window.size and not chain.stuck):
                continue
            if chain.stuck or window.ended:
                break
            window.advance(at)
            at = 0
        if at != window.size or window.broken:
            self.stopped_at = window.base + at

    def _is_section(self, at: int) -> bool:
        window = self._window
        return at + 16 <= window.size and window.data[at : at + 4].tobytes() == SECTION_MAGIC

    def _section_order(self, at: int) -> str | None:
        """The byte order of the section at `at`; None where it is damaged or of another version than 1."""
        order = _BYTE_ORDERS.get(self._window.data[at + 8 : at + 12].tobytes())
        if order is None or struct.unpack_from(order + "H", self._window.data.data, at + 12)[0] != 1:
            return None
        return order

    def _open_section(self, at: int) -> int:
        """Take a section's byte order; its interfaces are counted from 0 again. The offset behind its header, or IMPOSSIBLE."""
        order = self._section_order(at)
        if order is None:
            return IMPOSSIBLE
        behind = BlockFormat(order, self._window.size, sections=True).step_one(self._window.data.data, at)
        if behind <= self._window.size:
            self._order, self._interfaces = order, Interfaces(order, self._described)
            self._sections += 1
            if self._sections > MAX_SECTIONS:
                raise PcapError(f"it has more than {MAX_SECTIONS:,} sections", "write it as one section: mergecap -w NEW OLD")
        return behind

    def _blocks(self, offsets: I64) -> Iterator[Frames]:
        """The frames of a run of blocks. All interfaces of the run are read first; a section never redefines one."""
        window = self._window
        kinds: U32 = take(window.data, offsets, np.dtype(self._order + "u4")).astype(np.uint32)
        if (kinds == _SIMPLE_PACKET).any():
            raise PcapError("it holds packets without time stamps (simple packet blocks)", "record it with tcpdump or dumpcap")
        for at in offsets[kinds == _INTERFACE].tolist():
            (length,) = struct.unpack_from(self._order + "I", window.data.data, at + 4)
            self._interfaces.add(window.data[at + 8 : at + length - 4].tobytes())
        is_packet = (kinds == _ENHANCED_PACKET) | (kinds == _PACKET)
        if is_packet.any():
            yield self._frames(offsets[is_packet], kinds[is_packet] == _PACKET)

    def _frames(self, offsets: I64, obsolete: NDArray[np.bool_]) -> Frames:
        window = self._window
        names = ("kind", "length", "interface", "high", "low", "captured", "wire")
        fields = take(window.data, offsets, np.dtype([(name, self._order + "u4") for name in names]))
        number = i64(fields["interface"])
        if obsolete.any():
            number = np.where(obsolete, i64(take(window.data, offsets + 8, np.dtype(self._order + "u2"))), number)
        self._interfaces.check(number)
        # A captured length that points behind its block ends with the block.
        room = i64(fields["length"]) - PACKET_HEADER_BYTES - 4
        return Frames(
            data=window.data,
            at=offsets + PACKET_HEADER_BYTES,
            captured_bytes=np.minimum(i64(fields["captured"]), room),
            wire_bytes=np.minimum(i64(fields["wire"]), MAX_WIRE_BYTES),
            time_ns=self._interfaces.times_ns((u64(fields["high"]) << np.uint64(32)) | u64(fields["low"]), number),
            offset=offsets + window.base,
            link_type=self._interfaces.link_types(number),
            interface=self._interfaces.numbers(number),
        )


def _is_length(kind: NDArray[np.uint32], length: I64) -> NDArray[np.bool_]:
    """Whether a block of this kind can have this total length."""
    least: I64 | int = _LEAST[_ENHANCED_PACKET]
    if (kind != _ENHANCED_PACKET).any():  # seldom: most blocks are packets
        least = np.full(len(kind), 12)
        for each, bytes_ in _LEAST.items():
            least[kind == each] = bytes_
    sound: NDArray[np.bool_] = (length >= least) & (length <= _MAX_BLOCK_BYTES) & (length & 3 == 0)
    return sound


class BlockFormat:
    """How blocks follow one another (see chain.Format): type, total length, ..., total length again. A new section is a stop."""

    header_bytes = 12

    def __init__(self, order: str, size: int, *, sections: bool = False) -> None:
        self._size = size
        self._number = np.dtype(order + "u4")
        self._head = np.dtype([("kind", self._number), ("length", self._number)])
        self._two = struct.Struct(order + "II")
        self._one = struct.Struct(order + "I")
        self._sections = sections

    @property
    def word(self) -> str:
        """See Format."""
        return self._number.str

    def step(self, data: U8, at: I64) -> I64:
        """See Format. Where the block ends behind the data, its second length is not looked at: it is incomplete, not impossible."""
        head = take(data, at, self._head)
        kind, length = head["kind"], i64(head["length"])
        behind = at + length
        behind[(kind == _SECTION) | ~_is_length(kind, length)] = IMPOSSIBLE
        inside = np.flatnonzero(behind <= self._size)
        again = take(data, behind[inside] - 4, self._number)
        behind[inside[again != head["length"][inside]]] = IMPOSSIBLE
        return behind

    def step_one(self, data: memoryview, at: int) -> int:
        """See Format."""
        kind, length = self._two.unpack_from(data, at)
        if kind == _SECTION and not self._sections:
            return IMPOSSIBLE
        if not _LEAST.get(kind, 12) <= length <= _MAX_BLOCK_BYTES or length % 4:
            return IMPOSSIBLE
        behind = at + int(length)
        if behind <= self._size and self._one.unpack_from(data, behind - 4)[0] != length:
            return IMPOSSIBLE
        return behind

    def look(self, words: U32) -> NDArray[np.bool_]:
        """See Format: packets, of which there are many."""
        packet: NDArray[np.bool_] = words == _ENHANCED_PACKET
        return packet

    def plausible(self, data: U8, at: I64) -> NDArray[np.bool_]:
        """See Format."""
        likely: NDArray[np.bool_] = self.look(take(data, at, self._number))
        likely &= self.step(data, at) <= self._size
        return likely
