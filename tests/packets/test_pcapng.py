import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import read_pcap, source
from tests.packets.test_pcap import assert_same, packet, write
from tests.wire import frames

TIME_NS = 1_766_000_000_123_456_789


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "ticks", "expected_ns"),
    [
        (None, TIME_NS // 1000, TIME_NS // 1000 * 1000),
        (3, TIME_NS // 10**6, TIME_NS // 10**6 * 10**6),
        (9, TIME_NS, TIME_NS),
        (0x80 | 10, (1_766_000_000 << 10) + 512, 1_766_000_000_500_000_000),
        (0x80 | 32, (1_766_000_000 << 32) + (1 << 31), 1_766_000_000_500_000_000),
        (0x80 | 33, (1_766_000_000 << 33) + (1 << 32), 1_766_000_000_500_000_000),
        (10, TIME_NS * 10 + 7, TIME_NS),
    ],
)
def test_time_resolution(tmp_path: Path, order: str, resolution: int | None, ticks: int, expected_ns: int) -> None:
    data = frames.pcapng_section(order=order) + frames.pcapng_interface(resolution=resolution, order=order)
    table = read_pcap(write(tmp_path / "a", data + frames.pcapng_packet(ticks, packet(), order=order)))
    assert table.time_ns.tolist() == [expected_ns]
    assert table.whole


def test_time_offset(tmp_path: Path) -> None:
    data = frames.pcapng_section() + frames.pcapng_interface(resolution=9, offset_s=1_766_000_000) + frames.pcapng_packet(5, packet())
    assert read_pcap(write(tmp_path / "a", data)).time_ns.tolist() == [1_766_000_000_000_000_005]


def test_sections_of_both_byte_orders_and_several_interfaces(tmp_path: Path) -> None:
    data = frames.pcapng_section(order="<") + frames.pcapng_interface(order="<") + frames.pcapng_interface(resolution=9, order="<")
    data += frames.pcapng_packet(7_000, packet(1), interface=0, order="<") + frames.pcapng_packet(7, packet(2), interface=1, order="<")
    data += frames.pcapng_section(order=">") + frames.pcapng_interface(resolution=9, order=">")
    data += frames.pcapng_packet(9, packet(3), order=">")
    table = read_pcap(write(tmp_path / "a", data))
    assert table.time_ns.tolist() == [7_000_000, 7, 9]
    assert table.payload_bytes.tolist() == [1, 2, 3]
    assert table.whole


def test_offsets_are_those_of_the_blocks(tmp_path: Path) -> None:
    head = frames.pcapng_section() + frames.pcapng_interface()
    block = frames.pcapng_packet(1, packet(1))
    table = read_pcap(write(tmp_path / "a", head + block + frames.pcapng_block(5, b"statistics..") + block))
    assert table.offset.tolist() == [len(head), len(head) + len(block) + 24]
    assert table.captured_bytes.tolist() == [43, 43]


def test_other_link_types_only_matter_where_packets_are(tmp_path: Path) -> None:
    head = frames.pcapng_section() + frames.pcapng_interface() + frames.pcapng_interface(link_type=105)
    assert len(read_pcap(write(tmp_path / "a", head + frames.pcapng_packet(1, packet())))) == 1
    with pytest.raises(PcapError, match="link type is 105"):
        read_pcap(write(tmp_path / "b", head + frames.pcapng_packet(1, packet(), interface=1)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (frames.pcapng_section()[:15], "ends inside"),
        (frames.pcapng_section()[:8] + b"????" + frames.pcapng_section()[12:], "damaged"),
        (frames.pcapng_section() + frames.pcapng_packet(1, b"x" * 60), "does not describe"),
        (frames.pcapng_section() + frames.pcapng_interface() + frames.pcapng_block(3, b"xxxx" + bytes(60)), "without time stamps"),
        (frames.pcapng_section() + frames.pcapng_interface(resolution=20), "finer than"),
        (frames.pcapng_section() * 10_001, "more than 10,000 sections"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(PcapError, match=said) as raised:
        read_pcap(write(tmp_path / "a", data))
    assert raised.value.hint


@pytest.mark.parametrize("missing", [1, 4, 40, 70])
def test_a_file_cut_in_its_last_block(tmp_path: Path, missing: int) -> None:
    data = frames.pcapng_section() + frames.pcapng_interface() + frames.pcapng_packet(1, packet()) * 3
    table = read_pcap(write(tmp_path / "a", data[:-missing]))
    assert len(table) == 2
    assert not table.whole


def test_a_captured_length_behind_its_block(tmp_path: Path) -> None:
    body = struct.pack("<IIIII", 0, 0, 0, 5000, 5000) + packet()
    data = frames.pcapng_section() + frames.pcapng_interface() + frames.pcapng_block(6, body) + frames.pcapng_packet(1, packet())
    table = read_pcap(write(tmp_path / "a", data))
    assert table.captured_bytes.tolist() == [44, 42]


def test_a_small_buffer_gives_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source_ = random.Random(3)
    data = b""
    for _ in range(3):
        order = source_.choice("<>")
        data += frames.pcapng_section(order=order) + frames.pcapng_interface(order=order)
        data += b"".join(frames.pcapng_packet(n, packet(source_.randrange(1400)), order=order) for n in range(600))
    path = write(tmp_path / "a", data)
    at_once = read_pcap(path)
    monkeypatch.setattr(source, "BUFFER_BYTES", 20_000)
    in_parts = read_pcap(path)
    assert len(at_once) == 1800
    assert_same(at_once, in_parts)


@pytest.mark.skipif(shutil.which("editcap") is None, reason="needs Wireshark's editcap")
def test_wiresharks_own_pcapng_is_the_same_table(tmp_path: Path) -> None:
    path, other = tmp_path / "a.pcap", tmp_path / "a.pcapng"
    frames.write_pcap(path, [(TIME_NS + n, packet(n)) for n in range(50)])
    subprocess.run(["editcap", "-F", "pcapng", str(path), str(other)], check=True, capture_output=True)
    one, two = read_pcap(path), read_pcap(other)
    assert one.time_ns.tolist() == two.time_ns.tolist()
    assert one.digest.tolist() == two.digest.tolist()
    assert len(two) == 50
