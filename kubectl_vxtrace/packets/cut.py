"""A few frames out of a capture file: their bytes, or a small file of them."""

import struct
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.packets.pcap import ETHERNET, RECORD_HEADER_BYTES, is_pcap
from kubectl_vxtrace.packets.pcapng import PACKET_HEADER_BYTES
from kubectl_vxtrace.packets.source import Source, unreadable
from kubectl_vxtrace.packets.streams import Stream

_NANOSECOND_MAGIC = 0xA1B23C4D
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
            before = RECORD_HEADER_BYTES if is_pcap(bytes(magic)) else PACKET_HEADER_BYTES
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


def cut(path: str | Path, table: PacketTable, rows: Sequence[int], destination: str | Path, *, snaplen_bytes: int | None = None) -> None:
    """Write a pcap with nanoseconds that holds only `rows`, in their order, each cut to `snaplen_bytes` if given.

    Raises:
        PcapError: as read_frames, or the destination cannot be written.
    """
    frames = read_frames(path, table, rows)
    try:
        with Path(destination).open("wb") as file:
            file.write(struct.pack("<IHHiIII", _NANOSECOND_MAGIC, 2, 4, 0, 0, _SNAPLEN_BYTES, ETHERNET))
            for row, frame in zip(rows, frames, strict=True):
                captured = frame[:snaplen_bytes]
                seconds, fraction_ns = divmod(int(table.time_ns[row]), 1_000_000_000)
                wire_bytes = int(table.wire_bytes[row])
                file.write(struct.pack("<IIII", seconds & 0xFFFFFFFF, fraction_ns, len(captured), wire_bytes) + captured)
    except OSError as error:
        raise PcapError(f"the cut packets cannot be written: {error.strerror or 'input/output error'}", "check free space") from error
