"""Files of several interfaces: one table for each."""

from pathlib import Path

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.packets import CaptureInterface, Kind
from kubectl_vxtrace.packets import read_interfaces, read_pcap
from kubectl_vxtrace.packets.cut import read_frames
from kubectl_vxtrace.packets.summary import summarise
from tests.packets.reading import talk
from tests.wire import frames, links

NEAR, FAR = "10.244.1.5", "10.244.2.6"


def packet(number: int) -> bytes:
    datagram = frames.udp(b"x" * number, source=1000 + number, destination=2000)
    return frames.ipv4(datagram, source=NEAR, destination=FAR, protocol=frames.UDP, ident=number)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_an_ordinary_file_is_one_table(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(number, frames.ethernet(packet(number))) for number in range(3)])
    (only,) = read_interfaces(path)
    assert (only.name, only.index, len(only.table)) == (None, None, 3)
    assert only.table.interfaces == (CaptureInterface(name=None, index=None, link_type=1),)
    assert only.table.interface.tolist() == [0, 0, 0]


def test_a_pcapng_of_several_interfaces(tmp_path: Path) -> None:
    blocks = [frames.pcapng_section(), *(frames.pcapng_interface(name=name) for name in ("eth0", "vxlan.calico", "idle", "eth0"))]
    blocks += [frames.pcapng_packet(number, frames.ethernet(packet(number)), interface=(0, 1, 0, 3)[number]) for number in range(4)]
    path = write(tmp_path / "a.pcapng", b"".join(blocks))
    tables = read_interfaces(path)
    assert [(each.name, each.index, each.table.frame.tolist()) for each in tables] == [
        ("eth0", None, [1, 3]),
        ("vxlan.calico", None, [2]),
        ("idle", None, []),
        ("eth0", None, [4]),
    ]
    whole = read_pcap(path)
    assert whole.interface.tolist() == [0, 1, 0, 3]
    for each in tables:
        rows = range(len(each.table))
        assert [talk(each.table, row) for row in rows] == [talk(whole, int(frame) - 1) for frame in each.table.frame]
        assert len(each.table.conversations) == len(each.table)
        assert read_frames(path, each.table, rows) == read_frames(path, whole, [int(frame) - 1 for frame in each.table.frame])
        assert all("UDP" in line for line in summarise(path, each.table, rows))


def test_interfaces_of_a_later_section_are_the_same_ones(tmp_path: Path) -> None:
    """A capture that went on in a second file, joined to the first."""
    head = frames.pcapng_section() + frames.pcapng_interface(name="eth0") + frames.pcapng_interface(name="flannel.1")
    packets = [frames.pcapng_packet(number, frames.ethernet(packet(number)), interface=number % 2) for number in range(4)]
    tables = read_interfaces(write(tmp_path / "a", head + packets[0] + packets[1] + head + packets[2] + packets[3]))
    assert [(each.name, each.table.frame.tolist()) for each in tables] == [("eth0", [1, 3]), ("flannel.1", [2, 4])]


def test_quotes_and_tunnels_are_those_of_the_interface(tmp_path: Path) -> None:
    wrapped = frames.encapsulate(frames.ethernet(packet(1)), source="10.0.0.1", destination="10.0.0.2")
    quoting = frames.ethernet(frames.ipv4(frames.icmp(3, 3, payload=packet(2)), source=FAR, destination=NEAR, protocol=frames.ICMP))
    blocks = [frames.pcapng_section(), frames.pcapng_interface(name="a"), frames.pcapng_interface(name="b")]
    blocks += [
        frames.pcapng_packet(1, frame, interface=number) for number, frame in ((0, quoting), (0, wrapped), (1, wrapped), (1, quoting))
    ]
    for each, (tunnelled, quoted) in zip(read_interfaces(write(tmp_path / "a", b"".join(blocks))), ((1, 0), (0, 1)), strict=True):
        table = each.table
        assert table.icmp_quotes.row.tolist() == [quoted]
        assert table.conversations.source_port[table.icmp_quotes.conversation].tolist() == [1002]
        assert (table.tunnel >= 0).tolist() == [row == tunnelled for row in range(2)]
        assert len(table.tunnels) == 1
        with pytest.raises(ValueError, match="read-only"):
            table.conversation[0] = 0


def test_any_with_sll2_names_the_kernel_s_interface(tmp_path: Path) -> None:
    packets = [(number, links.sll2(packet(number), interface=interface)) for number, interface in enumerate((7, 2, 7, 2**31 + 1))]
    path = tmp_path / "any.pcap"
    frames.write_pcap(path, packets, link_type=276)
    tables = read_interfaces(path)
    assert [(each.name, each.index, each.table.frame.tolist()) for each in tables] == [
        (None, 2, [2]),
        (None, 7, [1, 3]),
        (None, 2**31 + 1, [4]),
    ]
    assert (read_pcap(path).ethernet == -1).all()


def test_sll2_headers_that_were_not_captured_name_no_interface(tmp_path: Path) -> None:
    """More of them than are decoded together, behind some that do."""
    records = [frames.pcap_record(number, links.sll2(packet(1), interface=7)) for number in range(10)]
    records += [frames.pcap_record(number, links.sll2(packet(1), interface=7), snaplen=19) for number in range(40_000)]
    tables = read_interfaces(write(tmp_path / "a", frames.pcap_header(link_type=276) + b"".join(records)))
    assert [(each.name, each.index, len(each.table)) for each in tables] == [(None, None, 40_000), (None, 7, 10)]
    assert tables[1].table.frame.tolist() == list(range(1, 11))


def test_sll2_after_many_frames_of_another_interface(tmp_path: Path) -> None:
    blocks = [frames.pcapng_section(), frames.pcapng_interface(name="eth0")]
    blocks += [frames.pcapng_packet(number, frames.ethernet(packet(number % 9))) for number in range(20_000)]
    blocks += [frames.pcapng_interface(name="any", link_type=276)]
    blocks += [frames.pcapng_packet(number, links.sll2(packet(1), interface=4), interface=1) for number in range(3)]
    tables = read_interfaces(write(tmp_path / "a", b"".join(blocks)))
    assert [(each.name, each.index, len(each.table)) for each in tables] == [("eth0", None, 20_000), (None, 4, 3)]
    assert tables[1].table.frame.tolist() == [20_001, 20_002, 20_003]


def test_a_file_of_mixed_link_types_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    head = frames.pcapng_section() + frames.pcapng_interface(name="eth0") + frames.pcapng_interface(name="wlan0mon", link_type=105)
    head += frames.pcapng_interface(name="wg0", link_type=101)
    packets = [frames.ethernet(packet(1)), b"\x88\x42" + packet(2), packet(3), frames.ethernet(packet(4))]
    path = write(tmp_path / "a", head + b"".join(frames.pcapng_packet(1, one, interface=(0, 1, 2, 0)[n]) for n, one in enumerate(packets)))
    table = read_pcap(path)
    assert table.kind.tolist() == [Kind.IP, Kind.OTHER, Kind.IP, Kind.IP]
    assert table.payload_bytes.tolist() == [1, 0, 3, 4]
    assert [each.table.interfaces[0].link_type for each in read_interfaces(path)] == [1, 105, 101]
    only = write(tmp_path / "b", head + frames.pcapng_packet(1, packets[1], interface=1))
    with pytest.raises(PcapError, match="link type is 105"):
        read_interfaces(only)
