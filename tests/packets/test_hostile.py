"""Any byte sequence gives our error or a sound table that says where it stopped, in bounded memory."""

import gzip
import resource
import struct
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import read_pcap, source
from tests.packets.hostile import Files, judge
from tests.packets.test_fuzz import SEEDS
from tests.wire import frames

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAGICS = [frames.pcap_header()[:4], frames.pcap_header(order=">", nanoseconds=False)[:4], frames.pcapng_section()[:12], b"\x1f\x8b\x08\0"]


@given(st.sampled_from([b"", *MAGICS, frames.pcap_header(), frames.pcapng_section() + frames.pcapng_interface()]), st.binary(max_size=500))
@settings(quick, max_examples=1_000)
def test_bytes(tmp_path: Path, start: bytes, rest: bytes) -> None:
    judge(tmp_path / "a", start + rest)


@pytest.mark.parametrize("seed", range(90))
def test_changed_files(tmp_path: Path, seed: int) -> None:
    files = Files(seed, SEEDS)
    found = Counter(judge(tmp_path / "a", files.draw()) for _ in range(100))
    assert found["error"], "some must be"
    assert found["partial"]
    assert found["whole"]


def read_within(path: Path, most_mb: int) -> str:
    """What is said of a file; more than `most_mb` more of address space than now is a MemoryError."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + most_mb * 1_000_000, before[1]))
    try:
        table = read_pcap(path)
    except PcapError as error:
        return error.message
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return f"{len(table)} packets, stopped at {table.stopped_at}"


def test_lengths_that_nothing_is_behind(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for captured in (262_144, 262_145, 2**31, 2**32 - 1):
        path.write_bytes(frames.pcap_header() + struct.pack("<IIII", 1, 1, captured, captured) + b"few")
        assert read_within(path, 100) == "0 packets, stopped at 24"
    begin = frames.pcapng_section() + frames.pcapng_interface()
    for length in (32, 2**24 - 4, 2**24, 2**31, 2**32 - 4):
        path.write_bytes(begin + struct.pack("<II", 6, length) + b"few")
        assert read_within(path, 100) == f"0 packets, stopped at {len(begin)}"
    path.write_bytes(struct.pack("<IIIHHq", 0x0A0D0D0A, 2**32 - 4, 0x1A2B3C4D, 1, 0, -1) + bytes(100))
    assert read_within(path, 100) == "0 packets, stopped at 0"


def test_an_interface_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(frames.pcapng_section() + frames.pcapng_interface() * 200_000 + frames.pcapng_packet(1, SEEDS[0]))
    assert read_within(path, 100) == "it has more than 65,536 interfaces"


def bomb(size_bytes: int, begin: bytes) -> bytes:
    """A gzip file of `size_bytes` zeros behind `begin`."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(begin)]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]
    return b"".join([*parts, packer.flush()])


def test_empty_records_that_fill_memory(tmp_path: Path) -> None:
    """64 packets in a packed byte."""
    path = tmp_path / "a.gz"
    path.write_bytes(bomb(100 << 20, frames.pcap_header()))
    assert path.stat().st_size < 200_000
    assert "it holds more than 1,0" in read_within(path, 250)


def test_zeros_in_large_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few packets, so that only the bytes are bounded."""
    monkeypatch.setattr("kubectl_vxtrace.packets.streams.MOST_UNPACKED_BYTES", 1 << 20)
    record = struct.pack("<IIII", 1, 1, 200_000, 200_000) + bytes(200_000)
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(frames.pcap_header() + record * 500))
    assert read_within(path, 250).startswith("the compressed file unpacks to more than")


def test_members_of_nothing(tmp_path: Path) -> None:
    """Fifty thousand gzip members, each of which ends at once, take no longer than their bytes."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(frames.pcap_header()) + gzip.compress(b"") * 50_000 + gzip.compress(frames.pcap_record(1, SEEDS[0])))
    assert read_within(path, 250) == "1 packets, stopped at None"


def test_packets_are_bounded_by_the_file_s_size(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1600))
    with source.Source(path) as plain:
        assert plain.most_packets == 100
    path.write_bytes(gzip.compress(bytes(10)))
    with source.Source(path) as packed:
        assert packed.most_packets == 1_000_000 + path.stat().st_size // 4
