"""Files whose packets are to be found in one another."""

from pathlib import Path

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.packets import read_pcaps
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
