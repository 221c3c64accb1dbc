"""Many capture files as one pcapng, in order of time (draft-ietf-opsawg-pcapng): comments, packet ids, names and counters with the packets.

Wireshark's own tools that join files keep no names and no counters. The blocks of many packets are built at once, by columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import I32, I64, U8, U64, PacketTable
from kubectl_vxtrace.packets.links import missing_bytes
from kubectl_vxtrace.packets.pcap import is_pcap, record_header_bytes
from kubectl_vxtrace.packets.pcapng import PACKET_HEADER_BYTES
from kubectl_vxtrace.packets.pcapng_blocks import (
    COMMENT,
    ENHANCED_PACKET,
    MOST_OPTION_BYTES,
    InterfaceNotes,
    interface_block,
    names_block,
    section_block,
    statistics_block,
)
from kubectl_vxtrace.packets.source import Source, unreadable
from kubectl_vxtrace.packets.timetext import CLOCK_TEXT_BYTES, clock_text

_PACKETS_AT_ONCE = 8192
_COPIED_BYTES = 16
"""Frames and comments are copied in pieces of so many bytes."""

_HEAD = np.dtype([(name, "<u4") for name in ("kind", "length", "interface", "high", "low", "captured", "wire")])
_OPTION = np.dtype([("code", "<u2"), ("length", "<u2")])
_FLAGS = np.dtype([("code", "<u2"), ("length", "<u2"), ("flags", "<u4")])
_ID = np.dtype([("code", "<u2"), ("length", "<u2"), ("low", "<u4"), ("high", "<u4")])
_TAIL = np.dtype([("end", "<u4"), ("length", "<u4")])
_FLAGS_CODE, _ID_CODE = 2, 5
_CAPTURED_AT = np.frombuffer(b"captured at ", np.uint8)
_STAMP_BYTES = len(_CAPTURED_AT) + CLOCK_TEXT_BYTES
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NotedFrames:
    """The frames of one capture, as they are written. All columns have a row for each frame of `table`.

    files: where they are; several where the capture was written in parts. time_ns: by which they are ordered, Unix ns. packet_id: the same
    for all sightings of a packet, 0 for none. comment: a row of the comments. direction: 1 into the node, 2 out of it, 0 not known.
    """

    files: tuple[Path, ...]
    table: PacketTable
    notes: InterfaceNotes
    time_ns: I64
    packet_id: U64
    comment: I32
    direction: U8


def write_merged(
    destination: BinaryIO,
    captures: Sequence[NotedFrames],
    *,
    comments: Sequence[str],
    names: Mapping[str, str],
    about: str,
    program: str,
) -> int:
    """Write the frames of all captures in order of time; when each was captured by its own node's clock stands in its comment.

    Args:
        destination: where to; need not be seekable.
        comments: what is said of packets, one line each.
        names: of addresses.
        about: of the whole file, and `program`, who wrote it.

    Returns:
        How many packets it has.

    Raises:
        PcapError: a capture cannot be read, or is no longer what its table says.
        OSError: the destination cannot be written.
    """
    destination.write(section_block(about, program))
    first_interface = []
    count = 0
    for capture in captures:
        first_interface.append(count)
        for interface in capture.table.interfaces:
            destination.write(interface_block(capture.notes, interface.link_type))
            count += 1
    if names:
        destination.write(names_block(names))
    packets, texts = 0, _Texts(comments)
    with ExitStack() as opened:
        sources = [
            _Capture(frames=capture, files=[_bytes_of(path, opened) for path in capture.files], first_interface=first)
            for capture, first in zip(captures, first_interface, strict=True)
        ]
        for capture_of, row in _by_time(captures):
            destination.write(_packet_blocks(sources, capture_of, row, texts))
            packets += len(row)
    for capture, first in zip(captures, first_interface, strict=True):
        destination.write(statistics_block(first, capture.notes))
    return packets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Capture:
    """A capture that is open. files: the bytes of each, and how long a record's header is in it; the frames begin behind that."""

    frames: NotedFrames
    files: list[tuple[U8, int]]
    first_interface: int

    def places(self, row: I32) -> Iterator[tuple[NDArray[np.bool_], U8, I64]]:
        """For each file: which of the rows lie in it, its bytes, and where their frames begin. PcapError where it is too short."""
        table = self.frames.table
        part = np.searchsorted(np.array(table.parts or (0,)), row, side="right") - 1
        for number, (data, header_bytes) in enumerate(self.files):
            inside = part == number
            at = table.offset[row[inside]] + header_bytes
            if len(at) and int((at + table.captured_bytes[row[inside]]).max()) + _COPIED_BYTES > len(data):
                raise PcapError("it is shorter than when it was first read", "do not change a capture file while it is analysed")
            yield inside, data, at


class _Texts:
    """Comments as one buffer, to be copied from by columns."""

    def __init__(self, texts: Sequence[str]) -> None:
        raw = [text.encode("utf-8", "replace")[:MOST_OPTION_BYTES] for text in texts]
        self.length = np.array([len(each) for each in raw], np.int64)
        self.at = np.cumsum(self.length) - self.length
        self.data = np.frombuffer(b"".join(raw) + bytes(_COPIED_BYTES), np.uint8)


def _by_time(captures: Sequence[NotedFrames]) -> Iterator[tuple[I32, I32]]:
    """Capture and row of each packet, in order of time, some at once."""
    if not captures:
        return
    capture = np.concatenate([np.full(len(each.table), number, np.int32) for number, each in enumerate(captures)])
    row = np.concatenate([np.arange(len(each.table), dtype=np.int32) for each in captures])
    order = np.argsort(np.concatenate([each.time_ns for each in captures]), kind="stable")
    for start in range(0, len(order), _PACKETS_AT_ONCE):
        chosen = order[start : start + _PACKETS_AT_ONCE]
        yield capture[chosen], row[chosen]


class _Batch:
    """Packets that are written together, as columns, and where each one's block begins and what it holds."""

    def __init__(self, count: int) -> None:
        self.interface, self.captured, self.wire, self.shown_ns, self.own_ns, self.comment = np.zeros((6, count), np.int64)
        self.packet_id, self.direction = np.zeros(count, np.uint64), np.zeros(count, np.uint32)

    def fill(self, at: I64, capture: _Capture, row: I32) -> None:
        """Set the columns at some places from rows of a capture."""
        frames, table = capture.frames, capture.frames.table
        interface = table.interface[row]
        longer = np.array([missing_bytes(each.link_type) for each in table.interfaces], np.int64)
        self.interface[at] = capture.first_interface + interface
        self.captured[at] = table.captured_bytes[row]
        self.wire[at] = np.maximum(table.wire_bytes[row] - longer[interface], table.captured_bytes[row])
        self.shown_ns[at], self.own_ns[at] = frames.time_ns[row], table.time_ns[row]
        self.comment[at], self.packet_id[at], self.direction[at] = frames.comment[row], frames.packet_id[row], frames.direction[row]


def _packet_blocks(sources: Sequence[_Capture], capture: I32, row: I32, texts: _Texts) -> bytes:
    """Enhanced Packet Blocks of some packets.

    What has a length of its own is copied some bytes at once, so that it runs over its end: whatever stands behind it is written later.
    """
    batch = _Batch(len(row))
    for number, source in enumerate(sources):
        chosen = np.flatnonzero(capture == number)
        batch.fill(chosen, source, row[chosen])
    commented = np.flatnonzero(batch.comment >= 0)
    comment = batch.comment[commented]
    said = _STAMP_BYTES + texts.length[comment]
    flags_at = _HEAD.itemsize + _padded(batch.captured)
    comment_at = (flags_at + _OPTION.itemsize)[commented]
    flags_at[commented] = comment_at + _padded(said)
    length = flags_at + _FLAGS.itemsize + np.where(batch.packet_id > 0, _ID.itemsize, 0) + _TAIL.itemsize
    start = np.cumsum(length) - length
    out = np.zeros(int(length.sum()) + _COPIED_BYTES, np.uint8)
    for number, source in enumerate(sources):
        chosen = np.flatnonzero(capture == number)
        for inside, data, at in source.places(row[chosen]):
            _copy(data, at, out, (start + _HEAD.itemsize)[chosen[inside]], batch.captured[chosen[inside]])
    _pad(out, start + _HEAD.itemsize, batch.captured)
    comment_at += start[commented]
    _put(out, comment_at, _clock_stamps(batch.own_ns[commented]))
    _copy(texts.data, texts.at[comment], out, comment_at + _STAMP_BYTES, texts.length[comment])
    _pad(out, comment_at, said)
    option = np.zeros(len(commented), _OPTION)
    option["code"], option["length"] = COMMENT, said
    _put(out, comment_at - _OPTION.itemsize, option)
    _write_fields(out, batch, start=start, length=length, flags_at=start + flags_at)
    return out[: int(length.sum())].tobytes()


def _write_fields(out: U8, batch: _Batch, *, start: I64, length: I64, flags_at: I64) -> None:
    """What has the same length in all blocks: the head, the flags, the id, the tail."""
    count = len(start)
    head = np.zeros(count, _HEAD)
    head["kind"], head["length"], head["interface"] = ENHANCED_PACKET, length, batch.interface
    head["high"], head["low"] = batch.shown_ns >> 32, batch.shown_ns & 0xFFFFFFFF
    head["captured"], head["wire"] = batch.captured, batch.wire
    flags = np.zeros(count, _FLAGS)
    flags["code"], flags["length"], flags["flags"] = _FLAGS_CODE, 4, batch.direction
    tail = np.zeros(count, _TAIL)
    tail["length"] = length
    named = batch.packet_id > 0
    packet_id = np.zeros(int(named.sum()), _ID)
    packet_id["code"], packet_id["length"] = _ID_CODE, 8
    packet_id["low"], packet_id["high"] = batch.packet_id[named] & np.uint64(0xFFFFFFFF), batch.packet_id[named] >> np.uint64(32)
    _put(out, start, head)
    _put(out, flags_at, flags)
    _put(out, (flags_at + _FLAGS.itemsize)[named], packet_id)
    _put(out, start + length - _TAIL.itemsize, tail)


def _clock_stamps(time_ns: I64) -> U8:
    """How each comment begins: when the packet was captured, by its own node's clock."""
    stamps = np.empty((len(time_ns), _STAMP_BYTES), np.uint8)
    stamps[:, : len(_CAPTURED_AT)] = _CAPTURED_AT
    stamps[:, len(_CAPTURED_AT) :] = clock_text(time_ns)
    return stamps


def _places(data: U8, size: int) -> NDArray[np.void]:
    """Every `size` bytes of a buffer, one beginning at each byte."""
    return np.ndarray((max(len(data) - size + 1, 0),), f"V{size}", data, 0, (1,))


def _put(out: U8, at: I64, records: NDArray[Any]) -> None:
    """Write one record at each place."""
    if len(at):
        raw = np.ascontiguousarray(records).view(np.uint8).reshape(len(at), -1)
        _places(out, raw.shape[1])[at] = raw.view(f"V{raw.shape[1]}").reshape(-1)


def _copy(data: U8, at: I64, out: U8, to: I64, length: I64) -> None:
    """Copy stretches of bytes, each up to _COPIED_BYTES - 1 beyond its end."""
    pieces = -(-length // _COPIED_BYTES)
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = number * _COPIED_BYTES
    _places(out, _COPIED_BYTES)[np.repeat(to, pieces) + step] = _places(data, _COPIED_BYTES)[np.repeat(at, pieces) + step]


def _pad(out: U8, at: I64, length: I64) -> None:
    """Zero the bytes between the end of each stretch and the next four bytes' border."""
    for missing in range(1, 4):
        short = np.flatnonzero(-length % 4 >= missing)
        out[(at + length)[short] + missing - 1] = 0


def _padded(length: I64) -> I64:
    """Lengths up to the next four bytes' border."""
    longer: I64 = -(-length // 4) * 4
    return longer


def _bytes_of(path: Path, opened: ExitStack) -> tuple[U8, int]:
    """A capture file's bytes, unpacked, with some to spare behind them; and the length of what stands before each frame."""
    with Source(path) as source:
        stream = source.stream()
        unpacked = opened.enter_context(TemporaryFile())  # noqa: SIM115  # the caller's stack closes it
        piece = memoryview(bytearray(_PIECE_BYTES))
        try:
            while got := stream.fill(piece):
                unpacked.write(piece[:got])
            unpacked.write(bytes(_COPIED_BYTES))
            unpacked.flush()
        except OSError as error:
            raise unreadable(error) from error
    data = np.memmap(unpacked, np.uint8, mode="r")
    magic = data[:4].tobytes()
    return data, record_header_bytes(magic) if is_pcap(magic) else PACKET_HEADER_BYTES
