"""Capture files that nobody would want to read: valid ones with bytes changed, cut, spliced and repeated, and plain noise."""

import gzip
import random
import struct
from pathlib import Path

import numpy as np

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import Encapsulation, PacketTable
from kubectl_vxtrace.packets import read_interfaces, read_pcap
from kubectl_vxtrace.packets.summary import summarise
from tests.packets import naive
from tests.wire import frames

_NUMBERS = (0, 1, 2, 3, 6, 8, 12, 16, 20, 28, 32, 255, 256, 65535, 65536, 262144, 262145, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_PCAP_MAGICS = (
    *(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1"),
    *(b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34"),
)
_MODIFIED = _PCAP_MAGICS[4:]
_MAGICS = (*_PCAP_MAGICS, b"\x0a\x0d\x0d\x0a", b"\x1f\x8b\x08")
_LINKS = (0, 101, 108, 113, 228, 229, 276, 105)
_MOST_BYTES = 20_000


class Files:
    """Hostile files, drawn from `seed` and made of `packets`: valid frames."""

    def __init__(self, seed: int, packets: list[bytes]) -> None:
        self._random = random.Random(seed)
        self._packets = packets

    def draw(self) -> bytes:
        """The content of one file, at most about 20 KB."""
        pick = self._random.random()
        if pick < 0.1:
            data = self._random.choice((b"", *_MAGICS)) + self._random.randbytes(self._random.randrange(300))
        else:
            data = self._mutated(self._valid())
        if self._random.random() < 0.15:
            data = gzip.compress(data, 1)
            if self._random.random() < 0.7:
                data = self._mutated(data)
        return data

    def _valid(self) -> bytes:
        order = self._random.choice("<>")
        packets = [self._random.choice(self._packets) for _ in range(self._random.choice((0, 1, 2, 5, 12, 30)))]
        snaplen = self._random.choice((30, 60, 96, 262144))
        if self._random.random() < 0.5:
            return self._pcap(packets, order, snaplen)
        return b"".join(self._section(packets, order, snaplen) for _ in range(self._random.choice((1, 1, 1, 2, 3))))

    def _pcap(self, packets: list[bytes], order: str, snaplen: int) -> bytes:
        link_type = self._link_type()
        fine, modified = self._random.random() < 0.5, self._random.random() < 0.2
        header = frames.pcap_header(nanoseconds=fine, order=order, link_type=link_type)
        records = [
            frames.pcap_record(10**18 + number, self._on_link(one, link_type), nanoseconds=fine, order=order, snaplen=snaplen)
            for number, one in enumerate(packets)
        ]
        if modified:
            header = _MODIFIED[order == ">"] + header[4:]
            records = [record[:16] + self._random.randbytes(8) + record[16:] for record in records]
        return header + b"".join(records)

    def _link_type(self) -> int:
        return self._random.choice(_LINKS) if self._random.random() < 0.3 else 1

    def _on_link(self, frame: bytes, link_type: int) -> bytes:
        """The packet of an Ethernet frame behind the header of another link, which need not be right."""
        if link_type == 1:
            return frame
        before = {0: 4, 108: 4, 113: 16, 276: 20}.get(link_type, 0)
        return bytes(self._random.choice((0, 2, 8, 0x86, 0xDD, 30)) for _ in range(before)) + frame[14:]

    def _section(self, packets: list[bytes], order: str, snaplen: int) -> bytes:
        blocks = [frames.pcapng_section(order=order)]
        resolutions = [self._random.choice((None, 0, 3, 6, 9, 12, 0x80, 0x8A, 0xBF)) for _ in range(self._random.choice((1, 1, 2, 4)))]
        links = [self._link_type() for _ in resolutions]
        names = [self._random.choice((None, None, "eth0", "\x7f\u00e9", "")) for _ in resolutions]
        blocks += [
            frames.pcapng_interface(resolution=code, order=order, link_type=link, name=name)
            for code, link, name in zip(resolutions, links, names, strict=True)
        ]
        for number, one in enumerate(packets):
            interface = self._random.randrange(len(resolutions))
            frame = self._on_link(one, links[interface])
            blocks.append(frames.pcapng_packet(2**50 + number, frame, interface=interface, order=order, snaplen=snaplen))
            if self._random.random() < 0.2:
                blocks.append(frames.pcapng_block(self._random.choice((2, 3, 4, 5, 10, 0xBAD)), self._random.randbytes(24), order=order))
        return b"".join(blocks)

    def _mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3, 8))):
            if not changed:
                break
            at = self._random.randrange(len(changed))
            behind = min(len(changed), at + self._random.choice((1, 2, 4, 16, 60, 300)))
            way = self._random.randrange(8)
            if way == 0:
                changed[at] ^= 1 << self._random.randrange(8)
            elif way == 1:
                changed[at] = self._random.randrange(256)
            elif way in (2, 3):
                number = self._random.choice((*_NUMBERS, len(changed), len(changed) - at))
                at -= at % self._random.choice((1, 4))
                changed[at : at + 4] = struct.pack(self._random.choice("<>") + "I", number)
            elif way == 4:
                del changed[at : self._random.choice((behind, len(changed)))]
            elif way == 5:
                changed[at:at] = changed[at:behind] * self._random.choice((1, 2, 20))
            elif way == 6:
                other = self._valid()
                changed[at:behind] = other[self._random.randrange(len(other)) :]
            else:
                changed[at:behind] = self._random.randbytes(behind - at)
        return bytes(changed[:_MOST_BYTES])


def judge(path: Path, data: bytes) -> str:
    """Read `data` from `path`; `error`, `partial` or `whole`. AssertionError where neither our error nor a sound table comes of it."""
    path.write_bytes(data)
    found = table_or_error(path)
    if isinstance(found, PacketTable):
        _check_table(found)
        _check_meaning(found, path, data)
        _check_interfaces(found, path)
        return "whole" if found.whole else "partial"
    assert found.message
    assert found.hint
    assert "\n" not in found.message
    return "error"


def table_or_error(path: Path) -> PacketTable | PcapError:
    """What comes of reading a file; the error without what it interrupted."""
    try:
        return read_pcap(path)
    except PcapError as error:
        return PcapError(error.message, error.hint)


def _check_meaning(table: PacketTable, path: Path, data: bytes) -> None:
    lines = summarise(path, table, range(0, len(table), 7))
    assert all(line.isprintable() and line.isascii() for line in lines)
    if data[:4] in _PCAP_MAGICS:
        offsets, end, _ = naive.pcap_offsets(data, 24, "<" if data[:1] in b"\xd4\x4d\x34" else ">", 24 if data[:4] in _MODIFIED else 16)
        assert table.offset.tolist() == offsets
        assert table.stopped_at == (None if end == len(data) else end)


def _check_interfaces(whole: PacketTable, path: Path) -> None:
    """Each frame stands in the table of its interface, and nothing else does."""
    tables = [each.table for each in read_interfaces(path)]
    assert sorted(frame for table in tables for frame in table.frame.tolist()) == whole.frame.tolist()
    for number, table in enumerate(tables):
        _check_table(table)
        assert table.frame.tolist() == whole.frame[whole.interface == number].tolist()
        assert table.interfaces == (whole.interfaces[number],)
        assert summarise(path, table, range(0, len(table), 11)) == summarise(path, whole, (table.frame[::11] - 1).tolist())


def _check_table(table: PacketTable) -> None:
    rows = len(table)
    for name in PacketTable.__slots__:
        column = getattr(table, name)
        if isinstance(column, np.ndarray):
            assert len(column) == rows, name
    assert (np.diff(table.offset) > 0).all()
    assert (table.captured_bytes >= 0).all()
    assert (table.payload_bytes >= 0).all()
    assert (table.conversation < len(table.conversations)).all()
    assert (table.conversation >= -1).all()
    assert (table.tunnel < len(table.tunnels)).all()
    assert (table.tunnel >= -1).all()
    assert (table.ethernet < len(table.ethernets)).all()
    assert (table.ethernet >= -1).all()
    assert (table.interface < len(table.interfaces)).all()
    assert (table.interface >= 0).all()
    assert (table.encapsulation <= max(Encapsulation)).all()
    assert (table.neighbours.row < rows).all()
    assert (np.diff(table.neighbours.row) > 0).all()
    assert (table.notices.row < rows).all()
    assert (np.diff(table.notices.row) >= 0).all()
    assert (table.icmp_quotes.row < rows).all()
    assert (table.icmp_quotes.conversation >= 0).all()
    if rows and table.stopped_at is not None:
        assert table.stopped_at > int(table.offset[-1])
