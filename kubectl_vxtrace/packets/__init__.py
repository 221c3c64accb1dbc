"""Capture files to packets as columns."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import VXLAN_PORTS
from kubectl_vxtrace.packets.digest import DIGEST_BYTES
from kubectl_vxtrace.packets.headers import MAX_ROWS, TableBuilder
from kubectl_vxtrace.packets.reader import open_reader
from kubectl_vxtrace.packets.source import Source, unreadable

_THREADS = 2
"""numpy computes without the interpreter's lock about two thirds of the time; each thread has buffers of its own."""


def read_pcap(
    path: str | Path, *, tap: Tap | None = None, vxlan_ports: Collection[int] = VXLAN_PORTS, digest_bytes: int = DIGEST_BYTES
) -> PacketTable:
    """Decode a pcap or pcapng file, also gzipped.

    Args:
        path: the file.
        tap: where it was captured; goes into the table as it is.
        vxlan_ports: UDP destination ports that carry VXLAN.
        digest_bytes: how many payload bytes to hash, at most 96. Digests of two files can be compared if these are the same.

    Returns:
        One row for each whole record; `stopped_at` says where the file ends, or turns to garbage, inside a record.

    Raises:
        PcapError: it cannot be read, is no capture file, is not of Ethernet, unpacks to too much, or holds too many packets. The message
            does not name the file.
    """
    with Source(path) as source:
        try:
            reader = open_reader(source.window())
            builder = TableBuilder(vxlan_ports, digest_bytes=digest_bytes, most_rows=min(MAX_ROWS, source.most_packets))
            for frames in reader:
                builder.add(frames)
        except OSError as error:
            raise unreadable(error) from error
        return builder.finish(tap, reader.stopped_at)


def read_pcaps(files: Sequence[tuple[Tap, Path]], *, vxlan_ports: Collection[int] = VXLAN_PORTS) -> list[PacketTable | PcapError]:
    """Decode files whose packets are to be found in one another: their digests are of what all of them hold.

    Files that were cut shorter than the digests are long, at the NIC mostly, where 50 bytes of headers stand before the inner packet,
    make all of them read once more.

    Returns:
        A table for each file, or why it cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda file: _attempt(file, vxlan_ports, DIGEST_BYTES), files))
        common_bytes = min((one.common_payload_bytes for one in found if isinstance(one, PacketTable)), default=DIGEST_BYTES)
        if common_bytes == DIGEST_BYTES:
            return found
        found.clear()  # before the others are made: together they might not fit
        return list(pool.map(lambda file: _attempt(file, vxlan_ports, common_bytes), files))


def _attempt(file: tuple[Tap, Path], vxlan_ports: Collection[int], digest_bytes: int) -> PacketTable | PcapError:
    tap, path = file
    try:
        return read_pcap(path, tap=tap, vxlan_ports=vxlan_ports, digest_bytes=digest_bytes)
    except PcapError as error:
        # A new one: the old one's traceback would keep all that was read so far.
        return PcapError(error.message, error.hint)
