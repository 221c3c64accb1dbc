"""What carries other packets: VXLAN by its content, on any port; and what is only named."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.model.packets import Encapsulation, Kind, PacketTable
from tests.packets.reading import conversation, table_of, talk
from tests.packets.test_headers import A6, B6, NODE_A, NODE_B, UDP_TALK, A, B, in_vxlan, udp_packet
from tests.wire import encapsulations, frames

ODD_PORT = 14_789
_INNER_AT = 14 + 20 + 8 + 8
"""Where the inner Ethernet header begins behind IPv4, UDP and VXLAN."""


def on_port(payload: bytes, port: int = ODD_PORT, *, fragment: int = 0) -> bytes:
    datagram = frames.udp(payload, source=50_123, destination=port)
    packet = frames.ipv4(datagram, source=NODE_A, destination=NODE_B, protocol=frames.UDP, fragment=fragment)
    return frames.ethernet(packet)


def carried(table: PacketTable, row: int = 0) -> Encapsulation:
    return Encapsulation(int(table.encapsulation[row]))


INNER = {
    "IPv4": frames.ethernet(udp_packet()),
    "IPv4 with options": frames.ethernet(udp_packet(options=b"\x01" * 8)),
    "fragment": frames.ethernet(udp_packet(fragment=0x2000)),
    "padded": frames.ethernet(udp_packet(b"") + bytes(18)),
    "IPv6": frames.ethernet(
        frames.ipv6(frames.udp(b"x", source=1, destination=2), source=A6, destination=B6, protocol=17), ethertype=0x86DD
    ),
    "ARP": frames.ethernet(frames.arp(sender=A, target=B), ethertype=0x0806),
    "tagged": frames.ethernet(udp_packet(), vlans=(5,)),
    "padded ARP": frames.ethernet(frames.arp(sender=A, target=B) + bytes(18), ethertype=0x0806),
}


@pytest.mark.parametrize("name", INNER)
def test_vxlan_on_a_port_that_nobody_told(name: str) -> None:
    table = table_of(in_vxlan(INNER[name], port=ODD_PORT, vni=0xABCDEF), in_vxlan(INNER[name]))
    assert table.tunnel.tolist() == [0, 1]
    assert table.tunnels.port.tolist() == [ODD_PORT, 4789]
    assert table.tunnels.vni.tolist() == [0xABCDEF, 4096]
    assert talk(table) == talk(table, 1) is not None
    assert table.encapsulation.tolist() == [0, 0]


@pytest.mark.parametrize("policy", [0x00, 0x48], ids=["a group", "applied, and not to be learned"])
def test_a_group_policy_on_a_port_that_nobody_told(policy: int) -> None:
    carried_by = frames.vxlan(INNER["IPv4"], vni=9, flags=0x88, group=77)
    table = table_of(on_port(changed(carried_by, 1, policy)))
    assert table.tunnels.vni.tolist() == [9]
    assert talk(table) == UDP_TALK


def test_vxlan_by_content_in_an_icmp_error() -> None:
    quote = in_vxlan(INNER["IPv4"], port=ODD_PORT)[14:]
    error = frames.ipv4(frames.icmp(3, 13, payload=quote), source=NODE_B, destination=NODE_A, protocol=frames.ICMP)
    table = table_of(frames.ethernet(error))
    assert conversation(table, int(table.icmp_quotes.inner_conversation[0])) == UDP_TALK


def test_the_first_fragment_of_vxlan_on_an_odd_port() -> None:
    whole = in_vxlan(frames.ethernet(udp_packet(b"x" * 600)), port=ODD_PORT)[34:]
    first = frames.ethernet(frames.ipv4(whole[:400], source=NODE_A, destination=NODE_B, protocol=frames.UDP, fragment=0x2000))
    assert talk(table_of(first)) == UDP_TALK


def changed(frame: bytes, at: int, *values: int) -> bytes:
    return frame[:at] + bytes(values) + frame[at + len(values) :]


def summed(frame: bytes, first: int, header_bytes: int) -> bytes:
    """An Ethernet frame whose IPv4 header begins with another byte, and has the checksum of so many bytes."""
    header = bytes([first]) + frame[15:24] + b"\0\0" + frame[26 : 14 + header_bytes]
    return frame[:14] + header[:10] + frames.checksum(header).to_bytes(2, "big") + frame[26:]


NEARLY = {
    "no I flag": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), 42, 0),
    "another flag": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), 42, 0x0C),
    "a group without its flag": on_port(frames.vxlan(INNER["IPv4"], vni=1, group=77)),
    "a reserved bit beside a group": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1, flags=0x88, group=77)), 43, 0x01),
    "the last byte beside a group": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1, flags=0x88, group=77)), 49, 1),
    "a reserved bit": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), 45, 1),
    "the last byte": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), 49, 1),
    "sent by a group": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), _INNER_AT + 6, 3),
    "another ethertype": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), _INNER_AT + 12, 0x88, 0xB5),
    "two tags": on_port(frames.vxlan(frames.ethernet(udp_packet(), vlans=(5, 6)), vni=1)),
    "another version": on_port(frames.vxlan(summed(INNER["IPv4"], 0x55, 20), vni=1)),
    "another version of IPv6": changed(on_port(frames.vxlan(INNER["IPv6"], vni=1)), _INNER_AT + 14, 0x70),
    "a short header": on_port(frames.vxlan(summed(INNER["IPv4"], 0x44, 16), vni=1)),
    "a wrong checksum": changed(on_port(frames.vxlan(INNER["IPv4"], vni=1)), _INNER_AT + 14 + 8, 62),
    "a byte too much": on_port(frames.vxlan(frames.ethernet(udp_packet(b"x" * 60) + b"\0"), vni=1)),
    "a byte missing": on_port(frames.vxlan(frames.ethernet(udp_packet(b"x" * 60)[:-1]), vni=1)),
    "another length of IPv6": on_port(frames.vxlan(INNER["IPv6"] + b"\0", vni=1)),
    "ARP of another link": changed(on_port(frames.vxlan(INNER["ARP"], vni=1)), _INNER_AT + 15, 6),
    "ARP of longer addresses": changed(on_port(frames.vxlan(INNER["ARP"], vni=1)), _INNER_AT + 18, 8),
    "nothing inside": on_port(frames.vxlan(b"", vni=1)),
    "half an Ethernet header": on_port(frames.vxlan(INNER["IPv4"][:10], vni=1)),
}


@pytest.mark.parametrize("name", NEARLY)
def test_what_is_not_all_of_vxlan_is_none(name: str) -> None:
    table = table_of(NEARLY[name])
    assert table.tunnel.tolist() == [-1]
    assert talk(table) == (17, NODE_A, 50_123, NODE_B, ODD_PORT)
    assert carried(table) is Encapsulation.NONE


def test_headers_that_were_not_captured_are_not_guessed() -> None:
    headers = _INNER_AT + 14 + 20
    for name in ("IPv4", "ARP"):
        whole = in_vxlan(INNER[name], port=ODD_PORT)
        assert table_of(whole, snaplen=headers).tunnel.tolist() == [0]
        assert table_of(whole, snaplen=headers - 1).tunnel.tolist() == [-1]
    # Zeros, as behind the last frame of a file, would do for these options.
    options = in_vxlan(frames.ethernet(udp_packet(options=bytes(8))), port=ODD_PORT)
    assert table_of(options, snaplen=headers + 8).tunnel.tolist() == [0]
    assert table_of(options, snaplen=headers + 7).tunnel.tolist() == [-1]
    assert table_of(in_vxlan(INNER["IPv4"]), snaplen=headers - 1).kind.tolist() == [Kind.CUT]


_QNAME = b"\x08" + b"abcdefgh" + b"\x08\x00\x45\0\0"
OTHERS = {
    "DNS without recursion, id 0x0800": struct.pack(">HHHHHH", 0x0800, 0, 1, 0, 0, 0) + b"\x03api\x07example\0\0\x01\0\x01",
    "DNS, whose name looks like an ethertype": struct.pack(">HHHHHH", 0x0800, 0, 1, 0, 0, 0) + _QNAME,
    "STUN": struct.pack(">HHI", 1, 0, 0x2112A442) + bytes(12),
    "a STUN message of type 0x0800": struct.pack(">HHI", 0x0800, 0, 0x2112A442) + bytes(40),
    "QUIC, long header": b"\xc3\0\0\0\1\x08" + bytes(range(60)),
    "QUIC, short header": b"\x48" + bytes(60),
    "GTP-U": struct.pack(">BBHI", 0x30, 0xFF, 60, 9) + udp_packet(b"x" * 30),
    "NTP": b"\x23\x02\x06\xe8" + bytes(44),
    "zeros": bytes(200),
    "VXLAN-GPE with IPv4": struct.pack(">BBBBI", 0x0C, 0, 0, 1, 9 << 8) + udp_packet(),
    "SNMP": b"\x30\x2a\x02\x01\x01\x04\x06public" + bytes(30),
    "DHCP": struct.pack(">BBBBI", 1, 1, 6, 0, 0x3903F326) + bytes(232),
    "DTLS": b"\x16\xfe\xfd" + bytes(50),
    "1 as a little-endian number": struct.pack("<II", 1, 0) + bytes(139),
    "4 as a little-endian number": struct.pack("<III", 4, 7, 9) + b"\xff" * 20,
    "Geneve of another version": changed(encapsulations.geneve(INNER["IPv4"]), 0, 0x40),
    "Geneve with a reserved bit": changed(encapsulations.geneve(INNER["IPv4"]), 7, 1),
    "Geneve with something else": encapsulations.geneve(INNER["IPv4"], kind=0x88B5),
    "WireGuard's data of no whole block": encapsulations.wireguard(4, bytes(16))[:-1],
    "WireGuard's data without a tag": encapsulations.wireguard(4)[:16],
}


@pytest.mark.parametrize("port", [53, ODD_PORT, encapsulations.GENEVE_PORT, encapsulations.WIREGUARD_PORT])
@pytest.mark.parametrize("name", OTHERS)
def test_other_protocols_are_none(name: str, port: int) -> None:
    table = table_of(on_port(OTHERS[name], port))
    assert table.tunnel.tolist() == [-1]
    assert carried(table) is Encapsulation.NONE


@pytest.mark.parametrize("payload", [bytes(4) + bytes(range(1, 60)), b"\xff"])
def test_key_exchange_and_keepalives_are_no_esp(payload: bytes) -> None:
    """RFC 3948, 2.2 and 2.3."""
    assert carried(table_of(on_port(payload, 4500))) is Encapsulation.NONE


def test_vxlan_that_is_longer_than_16_bits_can_say() -> None:
    """BIG TCP: all lengths are 0."""
    segment = frames.tcp(bytes(70_000), source=1, destination=2)
    inner = frames.ipv4(segment, source=A, destination=B, protocol=frames.TCP, total=0)
    datagram = frames.udp(frames.vxlan(frames.ethernet(inner), vni=1), source=50_123, destination=ODD_PORT, length=0)
    frame = frames.ethernet(frames.ipv4(datagram, source=NODE_A, destination=NODE_B, protocol=frames.UDP, total=0))
    table = table_of(frame)
    assert talk(table) == (6, A, 1, B, 2)
    assert table.payload_bytes.tolist() == [70_000]
    short = frames.ethernet(frames.ipv4(frames.tcp(bytes(200), source=1, destination=2), source=A, destination=B, protocol=6, total=0))
    assert table_of(in_vxlan(short, port=ODD_PORT)).tunnel.tolist() == [-1]


@given(st.integers(0, 2**48), st.sampled_from([b"", b"\x08\0\0\0", b"\x08\0\0\0\0\1\0\0"]))
@settings(max_examples=60, deadline=None)
def test_noise_is_none(seed: int, start: bytes) -> None:
    source = random.Random(seed)
    table = table_of(*(on_port(start + source.randbytes(source.choice((60, 92, 148, 300)))) for _ in range(50)))
    assert (table.tunnel == -1).all()
    assert (table.encapsulation == Encapsulation.NONE).all()


def over_ip(payload: bytes, protocol: int) -> bytes:
    return frames.ethernet(frames.ipv4(payload, source=NODE_A, destination=NODE_B, protocol=protocol))


FRAME = frames.ethernet(udp_packet())
SIX = frames.ipv6(payload=udp_packet()[20:], source=A6, destination=B6, protocol=frames.UDP)
NAMED = {
    "Geneve": (on_port(encapsulations.geneve(FRAME), 6081), Encapsulation.GENEVE),
    "Geneve with options": (on_port(encapsulations.geneve(FRAME, options=b"\x01\x02\x80\x01abcd"), 6081), Encapsulation.GENEVE),
    "IP in IP": (over_ip(udp_packet(), encapsulations.IP_IN_IP), Encapsulation.IP_IN_IP),
    "IPv6 in IP": (over_ip(SIX, encapsulations.IPV6_IN_IP), Encapsulation.IP_IN_IP),
    "GRE": (over_ip(encapsulations.gre(udp_packet()), encapsulations.GRE), Encapsulation.GRE),
    "ESP": (over_ip(encapsulations.esp(bytes(64)), encapsulations.ESP), Encapsulation.ESP),
    "ESP behind a NAT": (on_port(encapsulations.esp(bytes(64)), 4500), Encapsulation.ESP),
    "WireGuard, first message": (on_port(encapsulations.wireguard(1), 51820), Encapsulation.WIREGUARD),
    "WireGuard, second message": (on_port(encapsulations.wireguard(2), 51871), Encapsulation.WIREGUARD),
    "WireGuard, cookie": (on_port(encapsulations.wireguard(3), 51820), Encapsulation.WIREGUARD),
    "WireGuard, data": (on_port(encapsulations.wireguard(4, udp_packet()), 51820), Encapsulation.WIREGUARD),
    "WireGuard, nothing": (on_port(encapsulations.wireguard(4), 51820), Encapsulation.WIREGUARD),
    "WireGuard on another port": (on_port(encapsulations.wireguard(4, udp_packet(), counter=2**32), 41641), Encapsulation.WIREGUARD),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("wrapped", [False, True])
def test_other_encapsulations_are_named(name: str, wrapped: bool) -> None:
    """Inside VXLAN as outside: it is then what the pods send each other."""
    frame, expected = NAMED[name]
    table = table_of(in_vxlan(frame) if wrapped else frame)
    assert carried(table) is expected
    assert (table.tunnel[0] >= 0) == wrapped
    addresses = talk(table)
    assert addresses is not None
    assert (addresses[1], addresses[3]) == (NODE_A, NODE_B)


@pytest.mark.parametrize("port", [4789, ODD_PORT])
def test_vxlan_in_vxlan_is_named(port: int) -> None:
    table = table_of(in_vxlan(in_vxlan(FRAME, port=port)))
    assert carried(table) is Encapsulation.VXLAN
    assert talk(table) == (17, NODE_A, 50123, NODE_B, port)
    assert table.tunnel.tolist() == [0]
