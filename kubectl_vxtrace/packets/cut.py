"""A few frames out of a capture file: their bytes, or a small file of them."""

import struct
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.packets.links import missing_bytes
from kubectl_vxtrace.packets.pcap import is_pcap, record_header_bytes
from kubectl_vxtrace.packets.pcapng import PACKET_HEADER_BYTES
from kubectl_vxtrace.packets.source import Source, unreadable
from kubectl_vxtrace.packets.streams import Stream

_SECTION, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_NANOSECONDS = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol, end of options
_SNAPLEN_BYTES = 262144


def read_frames(path: str | Path, table: PacketTable, rows: Sequence[int]) -> tuple[bytes, ...]:
    """The captured bytes of `rows`, in their order.

    Raises:
        PcapError: the file cannot be read, or is not the one that `table` was read from.
    """
    with Source(path) as source:
        try:
            stream = source.stream()
            magic = bytearray(4)
            stream.fill(memoryview(magic))
            before = record_header_bytes(bytes(magic)) if is_pcap(bytes(magic)) else PACKET_HEADER_BYTES
            found = _read_in_order(stream, len(magic), table, sorted(set(rows)), before)
        except OSError as error:
            raise unreadable(error) from error
    return tuple(found[row] for row in rows)


def _read_in_order(stream: Stream, at: int, table: PacketTable, rows: Sequence[int], before: int) -> dict[int, bytes]:
    """Walk the stream once; a gzip file cannot be read in any other order."""
    found = {}
    for row in rows:
        start = int(table.offset[row]) + before
        stream.skip(start - at)
        frame = bytearray(int(table.captured_bytes[row]))
        if stream.fill(memoryview(frame)) < len(frame):
            raise PcapError("it is shorter than when it was first read", "do not change a capture file while it is analysed")
        found[row] = bytes(frame)
        at = start + len(frame)
    return found


def excerpt(path: str | Path, table: PacketTable, rows: Sequence[int], *, snaplen_bytes: int | None = None) -> bytes:
    """A pcapng with nanoseconds that holds only `rows`, in their order, each cut to `snaplen_bytes` if given.

    It has an interface for each of the table's, as those may be of several link types.

    Raises:
        PcapError: as read_frames.
    """
    frames = read_frames(path, table, rows)
    blocks = [_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    blocks += [_block(_INTERFACE, struct.pack("<HHI", each.link_type, 0, _SNAPLEN_BYTES) + _NANOSECONDS) for each in table.interfaces]
    for row, frame in zip(rows, frames, strict=True):
        captured = frame[:snaplen_bytes]
        high, low = divmod(int(table.time_ns[row]) & 0xFFFFFFFF_FFFFFFFF, 1 << 32)
        interface = int(table.interface[row])
        wire_bytes = int(table.wire_bytes[row]) - missing_bytes(table.interfaces[interface].link_type)
        head = struct.pack("<IIIII", interface, high, low, len(captured), wire_bytes)
        blocks.append(_block(_ENHANCED_PACKET, head + captured))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
