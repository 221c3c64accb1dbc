import gzip
from pathlib import Path

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.cut import excerpt, read_frames
from tests.wire import frames

TIME_NS = 1_766_000_000_123_456_789
PACKETS = [
    frames.ethernet(
        frames.ipv4(frames.udp(bytes([n]) * n, source=n, destination=9), source="10.0.0.1", destination="10.0.0.2", protocol=17)
    )
    for n in range(40)
]


def sample(folder: Path, kind: str) -> Path:
    path = folder / "a"
    if kind == "pcapng":
        blocks = [frames.pcapng_packet(TIME_NS + n, packet) for n, packet in enumerate(PACKETS)]
        path.write_bytes(frames.pcapng_section() + frames.pcapng_interface(resolution=9) + b"".join(blocks))
        return path
    frames.write_pcap(path, [(TIME_NS + n, packet) for n, packet in enumerate(PACKETS)], order=">" if kind == "big" else "<", snaplen=70)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("kind", ["little", "big", "gzip", "pcapng"])
def test_the_cut_file_holds_the_same_frames(tmp_path: Path, kind: str) -> None:
    path = sample(tmp_path, kind)
    table = read_pcap(path)
    rows = [39, 3, 0, 17]
    (tmp_path / "b.pcap").write_bytes(excerpt(path, table, rows))
    small = read_pcap(tmp_path / "b.pcap")
    assert small.whole
    for name in ("time_ns", "wire_bytes", "captured_bytes", "digest", "payload_bytes"):
        assert getattr(small, name).tolist() == getattr(table, name)[rows].tolist()
    assert read_frames(tmp_path / "b.pcap", small, range(4)) == read_frames(path, table, rows)


@pytest.mark.parametrize("link_type", [0, 101, 113, 276])
def test_lengths_on_links_without_ethernet(tmp_path: Path, link_type: int) -> None:
    path = tmp_path / "a"
    before = bytes({0: 4, 101: 0, 113: 16, 276: 20}[link_type])
    frames.write_pcap(path, [(TIME_NS, before + packet[14:]) for packet in PACKETS], link_type=link_type, snaplen=60)
    table = read_pcap(path)
    (tmp_path / "b").write_bytes(excerpt(path, table, [39, 3]))
    small = read_pcap(tmp_path / "b")
    for name in ("wire_bytes", "captured_bytes", "kind", "payload_bytes"):
        assert getattr(small, name).tolist() == getattr(table, name)[[39, 3]].tolist()
    assert read_frames(tmp_path / "b", small, [0, 1]) == read_frames(path, table, [39, 3])


def test_frames_are_their_bytes(tmp_path: Path) -> None:
    path = sample(tmp_path, "pcapng")
    assert read_frames(path, read_pcap(path), [5, 5, 2]) == (PACKETS[5], PACKETS[5], PACKETS[2])


def test_snaplen(tmp_path: Path) -> None:
    path = sample(tmp_path, "little")
    (tmp_path / "b.pcap").write_bytes(excerpt(path, read_pcap(path), [20, 1], snaplen_bytes=50))
    small = read_pcap(tmp_path / "b.pcap")
    assert (small.captured_bytes.tolist(), small.wire_bytes.tolist()) == ([50, 43], [62, 43])


def test_nothing_to_cut(tmp_path: Path) -> None:
    path = sample(tmp_path, "little")
    (tmp_path / "b.pcap").write_bytes(excerpt(path, read_pcap(path), []))
    assert len(read_pcap(tmp_path / "b.pcap")) == 0


def test_a_file_that_shrank(tmp_path: Path) -> None:
    path = sample(tmp_path, "little")
    table = read_pcap(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(PcapError, match="shorter than when"):
        excerpt(path, table, [39])


def test_every_packet_of_a_cut_gzip_file_can_be_read_alone(tmp_path: Path) -> None:
    """What the unpacker still holds when its input ends is as good as what it gave before."""
    path = tmp_path / "a.gz"
    packed = gzip.compress(frames.pcap_header() + frames.pcap_record(1, bytes(60)) * 40)
    for length in range(30, len(packed)):
        path.write_bytes(packed[:length])
        table = read_pcap(path)
        for row in range(len(table)):
            assert read_frames(path, table, [row]) == (bytes(60),)
