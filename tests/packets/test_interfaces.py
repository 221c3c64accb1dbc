"""Files of several interfaces, and of link types other than Ethernet: one table for each interface."""

from pathlib import Path

import numpy as np
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


def test_sll2_after_many_frames_of_another_interface(tmp_path: Path) -> None:
    blocks = [frames.pcapng_section(), frames.pcapng_interface(name="eth0")]
    blocks += [frames.pcapng_packet(number, frames.ethernet(packet(number % 9))) for number in range(20_000)]
    blocks += [frames.pcapng_interface(name="any", link_type=276)]
    blocks += [frames.pcapng_packet(number, links.sll2(packet(1), interface=4), interface=1) for number in range(3)]
    tables = read_interfaces(write(tmp_path / "a", b"".join(blocks)))
    assert [(each.name, each.index, len(each.table)) for each in tables] == [("eth0", None, 20_000), (None, 4, 3)]
    assert tables[1].table.frame.tolist() == [20_001, 20_002, 20_003]


LINKS = {
    "raw": (101, packet(3)),
    "raw by DLT": (12, packet(3)),
    "raw of OpenBSD": (14, packet(3)),
    "IPv4": (228, packet(3)),
    "loopback": (0, b"\x02\0\0\0" + packet(3)),
    "loopback of a big machine": (0, b"\0\0\0\x02" + packet(3)),
    "OpenBSD's loopback": (108, b"\0\0\0\x02" + packet(3)),
    "SLL": (113, links.sll(packet(3))),
    "SLL with a tag": (113, links.sll(b"\0\x07\x08\0" + packet(3), ethertype=0x8100)),
    "SLL2": (276, links.sll2(packet(3), interface=1)),
    "SLL2 with a tag": (276, links.sll2(b"\0\x07\x08\0" + packet(3), ethertype=0x8100)),
}


@pytest.mark.parametrize("name", LINKS)
def test_the_same_packet_on_any_link(tmp_path: Path, name: str) -> None:
    link_type, frame = LINKS[name]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, frame), (2, frame[:-1])], link_type=link_type)
    table = read_pcap(path)
    assert table.kind.tolist() == [Kind.IP, Kind.MALFORMED]
    assert talk(table) == (17, NEAR, 1003, FAR, 2000)
    assert (int(table.payload_bytes[0]), int(table.ip_id[0])) == (3, 3)
    assert table.ethernet.tolist() == [-1, -1]
    assert "UDP 1003 > 2000 len 3" in summarise(path, table, [0])[0]


SIX = frames.ipv6(frames.udp(b"six", source=5, destination=6), source="fd00::1", destination="fd00::2", protocol=17)


@pytest.mark.parametrize(
    ("link_type", "before"),
    [(101, b""), (229, b""), *((0, bytes([family, 0, 0, 0])) for family in (10, 24, 28, 30)), (108, b"\0\0\0\x18")],
)
def test_ipv6_without_ethernet(tmp_path: Path, link_type: int, before: bytes) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, before + SIX)], link_type=link_type)
    assert talk(read_pcap(path)) == (17, "fd00::1", 5, "fd00::2", 6)


@pytest.mark.parametrize(
    ("link_type", "frame"), [(101, b""), (101, b"\x55" * 40), (0, b"\0\0"), (0, b"\x07\0\0\0" + bytes(40)), (276, b"\x08\0" * 5)]
)
def test_what_is_no_ip_packet(tmp_path: Path, link_type: int, frame: bytes) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, frame)], link_type=link_type)
    assert set(read_pcap(path).kind.tolist()) <= {Kind.OTHER, Kind.MALFORMED, Kind.CUT}


def test_vxlan_over_a_tunnel_device(tmp_path: Path) -> None:
    """As on tailscale0 or wg0: no outer Ethernet header, an inner one."""
    wrapped = frames.encapsulate(frames.ethernet(packet(3)), source="100.64.0.1", destination="100.64.0.2", port=8472)[14:]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, wrapped)], link_type=101)
    table = read_pcap(path)
    assert table.tunnel.tolist() == [0]
    assert talk(table) == (17, NEAR, 1003, FAR, 2000)


def test_outer_ethernet_addresses(tmp_path: Path) -> None:
    bare = frames.ethernet(packet(1), source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
    inner = frames.ethernet(packet(2), source="0a:00:00:00:00:01", destination="0a:00:00:00:00:02")
    wrapped = frames.encapsulate(inner, source="10.0.0.1", destination="10.0.0.2")
    wrapped = bytes.fromhex("06ff0000000306ff00000004") + wrapped[12:]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, bare), (2, wrapped), (3, bare), (4, bare[:13])])
    table = read_pcap(path)
    assert table.ethernet.tolist() == [0, 1, 0, -1]
    assert [f"{mac:012x}" for mac in table.ethernets.source.tolist()] == ["020000000001", "06ff00000004"]
    assert [f"{mac:012x}" for mac in table.ethernets.destination.tolist()] == ["020000000002", "06ff00000003"]


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


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_modified_pcap(tmp_path: Path, order: str) -> None:
    records = [frames.pcap_record(number * 1000, frames.ethernet(packet(number)), nanoseconds=False, order=order) for number in range(500)]
    modified = b"".join(record[:16] + bytes(8) + record[16:] for record in records)
    header = bytearray(frames.pcap_header(nanoseconds=False, order=order))
    header[:4] = b"\xa1\xb2\xcd\x34" if order == ">" else b"\x34\xcd\xb2\xa1"
    path = write(tmp_path / "a.pcap", bytes(header) + modified)
    table = read_pcap(path)
    assert table.whole
    assert table.payload_bytes.tolist() == list(range(500))
    assert table.time_ns.tolist() == list(range(0, 500_000, 1000))
    assert read_frames(path, table, [7]) == (frames.ethernet(packet(7)),)
    cut = read_pcap(write(tmp_path / "b.pcap", path.read_bytes()[:-7]))
    assert len(cut) == 499
    assert np.array_equal(cut.digest, table.digest[:-1])
