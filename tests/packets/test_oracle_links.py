"""What tshark says of other links than Ethernet, of VXLAN on a port that we were not told, and of what only has a name."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kubectl_vxtrace.model.packets import Encapsulation, Kind, PacketTable, address_text
from kubectl_vxtrace.packets import read_pcap
from tests.packets import oracle
from tests.packets.test_encapsulations import INNER, NAMED
from tests.packets.test_headers import A6, B6, NODE_A, NODE_B, in_vxlan
from tests.packets.test_neighbours import arp, discovery
from tests.packets.test_oracle import check, mac, packet
from tests.wire import frames, links

pytestmark = oracle.needs_tshark

START_NS = 1_766_000_000_000_000_000
_HARDWARE_ADDRESSES = 12


def ethertype(frame: bytes) -> int:
    return int.from_bytes(frame[_HARDWARE_ADDRESSES : _HARDWARE_ADDRESSES + 2], "big")


def is_ip(frame: bytes) -> bool:
    return ethertype(frame) in (frames.IPV4, frames.IPV6)


def drawn(source: random.Random) -> bytes:
    """Anything that is decoded, in VXLAN as often as not."""
    frame = packet(source)
    if source.random() < 0.5:
        return frame
    port, ident = source.choice((4789, 8472)), source.randrange(65536)
    return frames.encapsulate(
        frame, source=NODE_A, destination=NODE_B, port=port, vni=source.getrandbits(24), source_port=40_000, ident=ident
    )


def bare(frame: bytes) -> bytes:
    return frame[14:]


def loopback(order: str, six: int) -> Callable[[bytes], bytes]:
    def behind(frame: bytes) -> bytes:
        family = six if ethertype(frame) == frames.IPV6 else 2
        return family.to_bytes(4, "little" if order == "<" else "big") + bare(frame)

    return behind


# Link type, byte order of the file, how a frame becomes one of that link, and whether that link can carry it.
LINKS: dict[str, tuple[int, str, Callable[[bytes], bytes], Callable[[bytes], bool]]] = {
    "raw": (links.RAW, "<", bare, is_ip),
    "raw by DLT": (12, "<", bare, is_ip),
    "raw of OpenBSD": (14, ">", bare, is_ip),
    "IPv4": (links.IPV4, "<", bare, lambda frame: ethertype(frame) == frames.IPV4),
    "IPv6": (links.IPV6, "<", bare, lambda frame: ethertype(frame) == frames.IPV6),
    "NULL": (links.NULL, "<", loopback("<", 30), is_ip),
    "NULL of a big machine": (links.NULL, ">", loopback(">", 28), is_ip),
    "LOOP": (links.LOOP, "<", loopback(">", 24), is_ip),
    "SLL": (links.SLL, "<", lambda frame: links.sll(bare(frame), ethertype=ethertype(frame)), lambda frame: True),
    "SLL2": (links.SLL2, ">", lambda frame: links.sll2(bare(frame), ethertype=ethertype(frame), interface=len(frame)), lambda frame: True),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link(tmp_path: Path, name: str) -> None:
    link_type, order, behind, carries = LINKS[name]
    source = random.Random(5)
    chosen = [frame for frame in (drawn(source) for _ in range(900)) if carries(frame)]
    packets = [(START_NS + number * 1_000_003, behind(frame)) for number, frame in enumerate(chosen)]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, packets, order=order, link_type=link_type, snaplen=512)
    table = read_pcap(path)
    check(table, path)
    assert len(table) > 40
    assert (table.ethernet == -1).all()


def test_a_modified_pcap(tmp_path: Path) -> None:
    source = random.Random(9)
    records = [frames.pcap_record(START_NS + number * 1000, drawn(source), nanoseconds=False) for number in range(200)]
    header = b"\x34\xcd\xb2\xa1" + frames.pcap_header(nanoseconds=False)[4:]
    path = tmp_path / "a.pcap"
    path.write_bytes(header + b"".join(record[:16] + struct.pack("<IHBB", 2, 8, 0, 0) + record[16:] for record in records))
    check(read_pcap(path), path)


def test_kernel_interfaces_of_sll2(tmp_path: Path) -> None:
    source = random.Random(6)
    packets = [(START_NS + number, links.sll2(bare(INNER["IPv4"]), interface=source.choice((2, 3, 99)))) for number in range(300)]
    path = tmp_path / "any.pcap"
    frames.write_pcap(path, packets, link_type=links.SLL2)
    table = read_pcap(path)
    said = [int(one["sll.ifindex"][0]) for one in oracle.read(path, ["sll.ifindex"])]
    assert [table.interfaces[number].index for number in table.interface.tolist()] == said
    assert set(said) == {2, 3, 99}


def test_interfaces_of_a_pcapng(tmp_path: Path) -> None:
    source = random.Random(7)
    kinds: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
        "eth0": (1, bytes),
        "tailscale0": (links.RAW, bare),
        "any": (links.SLL, lambda frame: links.sll(bare(frame))),
    }
    names = list(kinds)
    blocks = [frames.pcapng_section(), *(frames.pcapng_interface(name=name, link_type=kinds[name][0]) for name in names)]
    for number in range(300):
        chosen = source.randrange(3)
        blocks.append(frames.pcapng_packet(START_NS // 1000 + number, kinds[names[chosen]][1](INNER["IPv4"]), interface=chosen))
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"".join(blocks))
    table = read_pcap(path)
    check(table, path)
    said = [one["frame.interface_name"][0] for one in oracle.read(path, ["frame.interface_name"])]
    assert [table.interfaces[number].name for number in table.interface.tolist()] == said
    assert set(said) == set(names)


def test_vxlan_on_ports_that_only_tshark_is_told(tmp_path: Path) -> None:
    source = random.Random(8)
    ports = (14_789, 6_000, 30_303)
    packets = [
        (START_NS + number, in_vxlan(source.choice(list(INNER.values())), port=source.choice(ports), vni=source.getrandbits(24)))
        for number in range(400)
    ]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, packets)
    table = read_pcap(path)
    check(table, path, ports)
    assert (table.tunnel >= 0).all()
    assert set(table.tunnels.port.tolist()) == set(ports)


PROTOCOLS = {
    Encapsulation.GENEVE: "geneve",
    Encapsulation.IP_IN_IP: "ip",
    Encapsulation.GRE: "gre",
    Encapsulation.WIREGUARD: "wg",
    Encapsulation.ESP: "esp",
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(START_NS, NAMED[name][0])])
    (said,) = oracle.read(path, ["frame.protocols"])
    carrier = PROTOCOLS[Encapsulation(int(read_pcap(path).encapsulation[0]))]
    layers = [layer for layer in said["frame.protocols"][0].split(":") if layer not in ("eth", "ethertype", "udp", "udpencap")]
    assert layers[0] == "ip"
    assert layers[1] == ("ipv6" if name == "IPv6 in IP" else carrier)


def test_who_asks_and_who_answers(tmp_path: Path) -> None:
    near, far = "10.128.0.72", "10.128.0.95"
    wanted = [
        *(arp(near, far), arp(far, near, reply=True), arp(far, far), arp("0.0.0.0", far)),
        *(discovery(B6), discovery(B6, answer=True), discovery(A6, mac=None)),
    ]
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(START_NS + number, frame) for number, frame in enumerate([*wanted, *map(in_vxlan, wanted)])])
    table = read_pcap(path)
    names = ("arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "arp.src.hw_mac", "arp.isannouncement", "arp.isgratuitous")
    said = oracle.read(path, (*names, "icmpv6.nd.ns.target_address", "icmpv6.nd.na.target_address", "icmpv6.opt.linkaddr"))
    assert table.neighbours.row.tolist() == list(range(len(said)))
    for number, one in enumerate(said):
        check_neighbour(table, number, one)


def check_neighbour(table: PacketTable, number: int, said: dict[str, list[str]]) -> None:
    rows = table.neighbours
    address, answer, hardware = address_text(rows.address[number]), bool(rows.answer[number]), int(rows.mac[number])
    if table.kind[number] == Kind.ARP:
        assert answer == (said["arp.opcode"] == ["2"] or said["arp.isgratuitous"] == ["1"])
        assert [address] == said["arp.src.proto_ipv4" if answer else "arp.dst.proto_ipv4"]
        assert hardware == mac(said["arp.src.hw_mac"][0])
    else:
        assert [address] == said["icmpv6.nd.na.target_address" if answer else "icmpv6.nd.ns.target_address"]
        assert hardware == (mac(said["icmpv6.opt.linkaddr"][0]) if said["icmpv6.opt.linkaddr"] else 0)
