"""Capture files to packets as columns."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import InterfaceTable, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import VXLAN_PORTS
from kubectl_vxtrace.packets.digest import DIGEST_BYTES
from kubectl_vxtrace.packets.headers import MAX_ROWS, TableBuilder
from kubectl_vxtrace.packets.links import unreadable_link_type
from kubectl_vxtrace.packets.pcap import PcapReader, is_pcap
from kubectl_vxtrace.packets.pcapng import SECTION_MAGIC, PcapngReader
from kubectl_vxtrace.packets.source import Source, Window, unreadable
from kubectl_vxtrace.packets.taps import split

_HINT = "give a file that tcpdump or Wireshark wrote (pcap, pcapng, or one of these gzipped)"
_THREADS = 2
"""numpy computes without the interpreter's lock about two thirds of the time; each thread has buffers of its own."""


def read_pcap(
    capture: str | Path | bytes | bytearray,
    *,
    tap: Tap | None = None,
    vxlan_ports: Collection[int] | None = VXLAN_PORTS,
    digest_bytes: int = DIGEST_BYTES,
) -> PacketTable:
    """Decode a pcap or pcapng file, also gzipped.

    Args:
        capture: the file, or its bytes.
        tap: where it was captured; goes into the table as it is.
        vxlan_ports: UDP destination ports that carry VXLAN. None: nothing is opened, not even what looks like VXLAN.
        digest_bytes: how many payload bytes to hash, at most 96. Digests of two files can be compared if these are the same.

    Returns:
        One row for each whole record; `stopped_at` says where the file ends, or turns to garbage, inside a record.

    Raises:
        PcapError: it cannot be read, is no capture file, is of a link type that cannot be read, unpacks to too much, or holds too many
            packets. The message does not name the file.
    """
    with Source(capture) as source:
        try:
            reader = open_reader(source.window())
            builder = TableBuilder(vxlan_ports, digest_bytes=digest_bytes, most_rows=min(MAX_ROWS, source.most_packets))
            for frames in reader:
                builder.add(frames)
        except OSError as error:
            raise unreadable(error) from error
        table = builder.finish(tap, reader.stopped_at, reader.interfaces)
    _check_some_readable(table)
    return table


def open_reader(window: Window) -> PcapReader | PcapngReader:
    """The reader for what the window shows. Raises PcapError where it is no capture file."""
    magic = window.data[: min(window.size, 4)].tobytes()
    if not magic:
        raise PcapError("it is a damaged gzip file" if window.broken else "it is empty", _HINT)
    if is_pcap(magic):
        return PcapReader(window)
    if magic == SECTION_MAGIC:
        return PcapngReader(window)
    raise PcapError("it is not a capture file", _HINT)


def _check_some_readable(table: PacketTable) -> None:
    """Raise PcapError where there are packets and all are of link types that cannot be read."""
    used = np.unique(table.interface).tolist()
    errors = [unreadable_link_type(table.interfaces[number].link_type) for number in used]
    if errors and (error := errors[0]) is not None and all(errors):
        raise error


def read_interfaces(
    path: str | Path, *, vxlan_ports: Collection[int] = VXLAN_PORTS, digest_bytes: int = DIGEST_BYTES
) -> tuple[InterfaceTable, ...]:
    """Decode a capture file of several interfaces into a table for each.

    These are the interfaces that a pcapng file describes, with or without packets, and those whose kernel's index the frames of a
    `tcpdump -i any` name (link type LINUX_SLL2). Any other file has one, without a name. Frames of an interface whose link type cannot
    be read are all of kind OTHER; `unreadable_link_type` says why.

    Args and Raises: as read_pcap.
    """
    return split(read_pcap(path, vxlan_ports=vxlan_ports, digest_bytes=digest_bytes))


def read_pcaps(
    files: Sequence[tuple[Tap | None, Path]], *, vxlan_ports: Collection[int] = VXLAN_PORTS, inside: Collection[Tap] = ()
) -> list[PacketTable | PcapError]:
    """Decode files whose packets are to be found in one another: their digests are of what all of them hold.

    `inside`: taps that packets pass outside the tunnel. VXLAN that passes there is what a pod made itself, and stays closed: so it does at
    the NIC, where only the outermost tunnel is opened.

    Files that were cut shorter than the digests are long, at the NIC mostly, where 50 bytes of headers stand before the inner packet,
    make all of them read once more.

    Returns:
        A table for each file, or why it cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda file: _attempt(file, None if file[0] in inside else vxlan_ports, DIGEST_BYTES), files))
        common_bytes = min((one.common_payload_bytes for one in found if isinstance(one, PacketTable)), default=DIGEST_BYTES)
        if common_bytes == DIGEST_BYTES:
            return found
        found.clear()  # before the others are made: together they might not fit
        return list(pool.map(lambda file: _attempt(file, None if file[0] in inside else vxlan_ports, common_bytes), files))


def read_files(paths: Sequence[Path], *, vxlan_ports: Collection[int] = VXLAN_PORTS) -> list[tuple[InterfaceTable, ...] | PcapError]:
    """As read_pcaps, of files of which nobody knows yet what they are: for each the tables of its interfaces, or why it cannot be read."""
    tables = read_pcaps([(None, path) for path in paths], vxlan_ports=vxlan_ports)
    return [table if isinstance(table, PcapError) else split(table) for table in tables]


def _attempt(file: tuple[Tap | None, Path], vxlan_ports: Collection[int] | None, digest_bytes: int) -> PacketTable | PcapError:
    tap, path = file
    try:
        return read_pcap(path, tap=tap, vxlan_ports=vxlan_ports, digest_bytes=digest_bytes)
    except PcapError as error:
        # A new one: the old one's traceback would keep all that was read so far.
        return PcapError(error.message, error.hint)
