"""Links of all types that can be read: the same packets behind other headers, and the outermost Ethernet addresses."""

from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.model.packets import Kind, PacketTable
from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.summary import summarise
from tests.packets.reading import talk
from tests.packets.test_interfaces import FAR, NEAR, packet
from tests.wire import frames, links

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
    assert table.wire_bytes.tolist()[0] in (14 + len(packet(3)), 4 + 14 + len(packet(3))), "as of Ethernet, with its tag"
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


@pytest.mark.parametrize("link_type", [0, 101, 113, 276])
def test_vxlan_over_a_tunnel_device_is_as_over_a_nic(tmp_path: Path, link_type: int) -> None:
    """As on tailscale0 or wg0: no outer Ethernet header, an inner one. Whoever compares two taps sees no difference, in length either."""
    before = {0: b"\x02\0\0\0", 101: b"", 113: links.sll(b""), 276: links.sll2(b"")}[link_type]
    wrapped = [
        frames.encapsulate(frames.ethernet(packet(size)), source="100.64.0.1", destination="100.64.0.2", port=8472) for size in (3, 900)
    ]
    nic, tunnel = tmp_path / "nic", tmp_path / "tunnel"
    frames.write_pcap(nic, list(enumerate(wrapped)))
    frames.write_pcap(tunnel, [(number, before + frame[14:]) for number, frame in enumerate(wrapped)], link_type=link_type)
    there, here = read_pcap(nic), read_pcap(tunnel)
    assert talk(here) == (17, NEAR, 1003, FAR, 2000)
    for name in PacketTable.__slots__:
        if isinstance(column := getattr(here, name), np.ndarray) and name not in ("offset", "captured_bytes", "ethernet"):
            assert column.tolist() == getattr(there, name).tolist(), name


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


def test_a_raw_frame_of_which_nothing_was_captured(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(1, packet(3)), (2, packet(3))], link_type=101, snaplen=0)
    assert read_pcap(path).kind.tolist() == [Kind.CUT, Kind.CUT]
