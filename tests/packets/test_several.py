"""Files whose packets are to be found in one another."""

from pathlib import Path

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import read_files, read_pcaps
from tests.packets.test_headers import in_vxlan, udp_packet
from tests.wire import frames

POD, NIC = Tap(node="a", interface="eth0"), Tap(node="a", interface="ens4")
PAYLOADS = [b"x" * 90 + b"one", b"x" * 30 + b"two" + b"x" * 60, b"short"]


def write(folder: Path, *, pod_snaplen: int, nic_snaplen: int) -> list[tuple[Tap, Path]]:
    inner = [frames.ethernet(udp_packet(payload)) for payload in PAYLOADS]
    frames.write_pcap(folder / "pod", list(enumerate(inner)), snaplen=pod_snaplen)
    frames.write_pcap(folder / "nic", [(number, in_vxlan(frame)) for number, frame in enumerate(inner)], snaplen=nic_snaplen)
    return [(POD, folder / "pod"), (NIC, folder / "nic")]


def digests(files: list[tuple[Tap, Path]]) -> list[list[int]]:
    tables = [table for table in read_pcaps(files) if isinstance(table, PacketTable)]
    assert [table.tap for table in tables] == [POD, NIC]
    return [table.digest.tolist() for table in tables]


@pytest.mark.parametrize(("pod_snaplen", "nic_snaplen"), [(512, 512), (130, 130), (512, 130), (80, 512)])
def test_the_same_packets_have_the_same_digest_however_short_each_file_was_cut(tmp_path: Path, pod_snaplen: int, nic_snaplen: int) -> None:
    pod, nic = digests(write(tmp_path, pod_snaplen=pod_snaplen, nic_snaplen=nic_snaplen))
    assert pod == nic
    assert 0 not in pod
    assert len(set(pod)) == 3, "what both files hold tells all of them apart"


def test_what_was_cut_off_somewhere_tells_nothing_apart(tmp_path: Path) -> None:
    pod, nic = digests(write(tmp_path, pod_snaplen=512, nic_snaplen=92 + 25))
    assert pod == nic
    assert pod[0] == pod[1] != pod[2]


def test_a_file_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    files = write(tmp_path, pod_snaplen=512, nic_snaplen=130)
    files[0][1].write_bytes(b"junk")
    broken, table = read_pcaps(files)
    assert isinstance(broken, PcapError)
    assert (broken.__traceback__, broken.__context__) == (None, None), "a traceback keeps what was read before the error in memory"
    assert isinstance(table, PacketTable)
    assert len(table) == 3


def test_files_that_nobody_knows_yet(tmp_path: Path) -> None:
    """One of two interfaces, one of one, one that is none: a table for each interface, with digests of what all files hold."""
    inner = [frames.ethernet(udp_packet(payload)) for payload in PAYLOADS]
    blocks = [frames.pcapng_section(), frames.pcapng_interface(name="eth0"), frames.pcapng_interface(name="ens4")]
    blocks += [frames.pcapng_packet(1, frame, interface=0) for frame in inner]
    blocks += [frames.pcapng_packet(1, in_vxlan(frame), interface=1, snaplen=130) for frame in inner]
    both, one, junk = tmp_path / "both", tmp_path / "one", tmp_path / "junk"
    both.write_bytes(b"".join(blocks))
    frames.write_pcap(one, list(enumerate(inner)))
    junk.write_bytes(b"junk")
    several, single, broken = read_files([both, one, junk])
    assert isinstance(broken, PcapError)
    assert not isinstance(several, PcapError)
    assert not isinstance(single, PcapError)
    assert [each.name for each in (*several, *single)] == ["eth0", "ens4", None]
    digest = single[0].table.digest.tolist()
    assert [each.table.digest.tolist() for each in several] == [digest, digest]
    assert 0 not in digest
