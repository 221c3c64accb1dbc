import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import read_pcap, source, streams
from kubectl_vxtrace.packets.cut import read_frames
from tests.wire import frames

TIMES_NS = (1_766_000_000_123_456_000, 1_766_000_000_123_456_789, 1_766_000_001_000_000_000)


def packet(number: int = 0) -> bytes:
    datagram = frames.udp(b"x" * number, source=1000, destination=2000)
    return frames.ethernet(frames.ipv4(datagram, source="10.0.0.1", destination="10.0.0.2", protocol=frames.UDP))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_times_lengths_and_offsets(tmp_path: Path, order: str, nanoseconds: bool) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(time_ns, packet(n)) for n, time_ns in enumerate(TIMES_NS)], order=order, nanoseconds=nanoseconds, snaplen=43)
    table = read_pcap(path, tap=Tap(node="n", interface="eth0"))
    unit = 1 if nanoseconds else 1000
    assert table.time_ns.tolist() == [time_ns // unit * unit for time_ns in TIMES_NS]
    assert table.wire_bytes.tolist() == [42, 43, 44]
    assert table.captured_bytes.tolist() == [42, 43, 43]
    assert table.offset.tolist() == [24, 24 + 58, 24 + 58 + 59]
    assert table.frame.tolist() == [1, 2, 3]
    assert table.whole
    assert table.tap == Tap(node="n", interface="eth0")


def test_a_file_without_packets_is_an_empty_table(tmp_path: Path) -> None:
    table = read_pcap(write(tmp_path / "a.pcap", frames.pcap_header()))
    assert len(table) == 0
    assert table.whole
    assert len(table.conversations) == len(table.tunnels) == len(table.icmp_quotes) == 0


@pytest.mark.parametrize("missing", [1, 41, 42, 50, 57])
def test_a_file_cut_in_its_last_record_keeps_the_whole_ones(tmp_path: Path, missing: int) -> None:
    data = frames.pcap_header() + frames.pcap_record(1, packet()) * 3
    table = read_pcap(write(tmp_path / "a.pcap", data[:-missing]))
    assert len(table) == 2
    assert table.stopped_at == 24 + 2 * 58
    assert not table.whole


def test_garbage_in_the_middle_ends_the_table(tmp_path: Path) -> None:
    record = frames.pcap_record(1, packet())
    garbage = struct.pack("<IIII", 1, 1, 262145, 262145)
    table = read_pcap(write(tmp_path / "a.pcap", frames.pcap_header() + record * 3 + garbage + record * 50))
    assert len(table) == 3
    assert table.stopped_at == 24 + 3 * 58
    assert not table.whole


def test_gzip_and_its_members(tmp_path: Path) -> None:
    data = frames.pcap_header() + frames.pcap_record(1, packet()) * 5
    path = write(tmp_path / "a.pcap.gz", gzip.compress(data[:100]) + gzip.compress(data[100:]))
    table = read_pcap(path)
    assert len(table) == 5
    assert table.whole


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_gzip_keeps_what_could_be_unpacked(tmp_path: Path, damage: str) -> None:
    data = frames.pcap_header() + b"".join(frames.pcap_record(n, packet(n % 700)) for n in range(3000))
    packed = bytearray(gzip.compress(data, 1))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2] ^= 0xFF
        packed[-8:-4] = b"\0\0\0\0"
    table = read_pcap(write(tmp_path / "a.pcap.gz", bytes(packed)))
    assert 0 < len(table) <= 3000
    assert not table.whole


def test_gzip_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(streams, "MOST_UNPACKED_RATIO", 1)
    path = write(tmp_path / "a.pcap.gz", gzip.compress(frames.pcap_header() + bytes(5 << 20), 1))
    with pytest.raises(PcapError, match="unpacks to more than 1 MiB") as raised:
        read_pcap(path)
    assert "gunzip" in raised.value.hint


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_buffer_gives_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    records = [frames.pcap_record(n, packet(n % 1400)) for n in range(2000)]
    data = frames.pcap_header() + b"".join(records)
    path = write(tmp_path / "a", gzip.compress(data, 1) if packed else data)
    at_once = read_pcap(path)
    monkeypatch.setattr(source, "BUFFER_BYTES", 270_000)
    in_parts = read_pcap(path)
    assert_same(at_once, in_parts)
    assert len(in_parts) == 2000


def assert_same(one: PacketTable, other: PacketTable) -> None:
    for name in PacketTable.__slots__:
        if name not in ("tap", "conversations", "tunnels", "ethernets", "icmp_quotes", "neighbours", "notices"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"GIF89a" * 10, "not a capture file"),
        (b"\xd4", "not a capture file"),
        (frames.pcap_header()[:23], "ends inside its file header"),
        (frames.pcap_header(link_type=105), "105, 802.11; what can be read is Ethernet, raw IP"),
        (frames.pcap_header(link_type=147), "147, another kind of link"),
        (frames.pcap_header()[:4] + b"\x09\0" + frames.pcap_header()[6:], "version 9"),
        (b"\x1f\x8b" + b"junk" * 10, "damaged gzip"),
    ],
)
def test_what_is_no_capture(tmp_path: Path, data: bytes, said: str) -> None:
    path = write(tmp_path / "some-file", data)
    with pytest.raises(PcapError, match=said) as raised:
        read_pcap(path)
    assert raised.value.hint
    assert "some-file" not in raised.value.message
    assert "\n" not in raised.value.message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PcapError, match="No such file"):
        read_pcap(tmp_path / "missing.pcap")
    with pytest.raises(PcapError, match="not a regular file"):
        read_pcap(tmp_path)


def test_too_many_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_vxtrace.packets.MAX_ROWS", 99)
    path = write(tmp_path / "a.pcap.gz", gzip.compress(frames.pcap_header() + bytes(1600)))
    with pytest.raises(PcapError, match="more than 99 packets") as raised:
        read_pcap(path)
    assert "editcap" in raised.value.hint


def test_arrays_are_read_only(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, packet())])
    table = read_pcap(path)
    with pytest.raises(ValueError, match="read-only"):
        table.kind[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        table.conversations.source[0, 0] = 9


def test_frames_of_a_gigantic_wire_length(tmp_path: Path) -> None:
    record = struct.pack("<IIII", 2**32 - 1, 2**32 - 1, 42, 2**32 - 1) + packet()
    table = read_pcap(write(tmp_path / "a.pcap", frames.pcap_header() + record))
    assert table.wire_bytes.tolist() == [2**31 - 1]
    assert table.time_ns.tolist() == [(2**32 - 1) * 1_000_000_000 + 2**32 - 1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_modified_pcap(tmp_path: Path, order: str) -> None:
    records = [frames.pcap_record(number * 1000, packet(number), nanoseconds=False, order=order) for number in range(500)]
    modified = b"".join(record[:16] + bytes(8) + record[16:] for record in records)
    header = bytearray(frames.pcap_header(nanoseconds=False, order=order))
    header[:4] = b"\xa1\xb2\xcd\x34" if order == ">" else b"\x34\xcd\xb2\xa1"
    path = write(tmp_path / "a.pcap", bytes(header) + modified)
    table = read_pcap(path)
    assert table.whole
    assert table.payload_bytes.tolist() == list(range(500))
    assert table.time_ns.tolist() == list(range(0, 500_000, 1000))
    assert read_frames(path, table, [7]) == (packet(7),)
    cut = read_pcap(write(tmp_path / "b.pcap", path.read_bytes()[:-7]))
    assert len(cut) == 499
    assert np.array_equal(cut.digest, table.digest[:-1])
