import random
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.packets import read_pcap
from tests.packets import oracle
from tests.packets.reading import conversation
from tests.packets.test_headers import A6, B6, NODE_A, NODE_B
from tests.wire import frames

pytestmark = oracle.needs_tshark

ETHERNET_BYTES = 14
HEADER_BYTES = {0: 4, 1: 14, 12: 0, 14: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
"""By link type (https://www.tcpdump.org/linktypes.html)."""
RECORDED = sorted((Path(__file__).parent / "data").glob("*.pcap"))
Said = dict[str, list[str]]


def last(said: Said, name: str) -> int:
    """The innermost occurrence as a number; 0 where there is none."""
    return int(said[name][-1], 0) if said[name] else 0


def mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def check(table: PacketTable, path: Path, ports: Collection[int] = (4789, 8472)) -> None:
    """The table is what tshark says of the file, told that these ports carry VXLAN.

    But for lengths of frames without Ethernet header: those are with one.
    """
    rows = oracle.read(path, ports=ports)
    assert len(rows) == len(table)
    for row, said in enumerate(rows):
        check_frame(table, row, said)
        if said["icmp.type"] and last(said, "icmp.type") in (3, 5, 11, 12):
            check_quote(table, row, said)
        elif said["arp.opcode"]:
            check_arp(table, row, said)
        elif said["ip.src"] or said["ipv6.src"]:
            check_ip(table, row, said)
            check_tunnel(table, row, said)
        else:
            assert table.kind[row] == Kind.OTHER


def check_frame(table: PacketTable, row: int, said: Said) -> None:
    seconds, _, fraction = said["frame.time_epoch"][0].partition(".")
    assert table.frame[row] == last(said, "frame.number")
    assert table.time_ns[row] == int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
    missing = ETHERNET_BYTES - HEADER_BYTES[table.interfaces[table.interface[row]].link_type]
    assert table.wire_bytes[row] == last(said, "frame.len") + missing
    assert table.captured_bytes[row] == last(said, "frame.cap_len")


def check_ip(table: PacketTable, row: int, said: Said) -> None:
    assert table.kind[row] == Kind.IP
    talk = conversation(table, int(table.conversation[row]))
    assert talk is not None
    protocol, source, source_port, destination, destination_port = talk
    assert {source} <= {*said["ip.src"][-1:], *said["ipv6.src"][-1:]}
    assert {destination} <= {*said["ip.dst"][-1:], *said["ipv6.dst"][-1:]}
    if ":" in source:
        assert table.ttl[row] == last(said, "ipv6.hlim")
    else:
        assert protocol == last(said, "ip.proto")
        assert table.ip_id[row] == last(said, "ip.id")
        assert table.ttl[row] == last(said, "ip.ttl")
        offset = last(said, "ip.frag_offset")  # units of 8 bytes, or bytes, by tshark's version
        assert table.fragment[row] & 0x1FFF in (offset, offset // 8)
        assert table.fragment[row] >> 13 == last(said, "ip.flags") >> (5 if last(said, "ip.flags") > 7 else 0)
    if table.fragment[row] & 0x1FFF:
        assert table.payload_bytes[row] == last(said, "ip.len") - last(said, "ip.hdr_len")
    elif protocol == IpProtocol.UDP:
        assert (source_port, destination_port) == (last(said, "udp.srcport"), last(said, "udp.dstport"))
        if not table.fragment[row] & 0x2000:
            assert table.payload_bytes[row] == last(said, "udp.length") - 8
    elif protocol == IpProtocol.TCP:
        check_tcp(table, row, said, (source_port, destination_port))
    elif protocol == IpProtocol.ICMP:
        assert source_port == destination_port == int(said["icmp.ident"][0], 0)
        assert table.seq[row] == int(said["icmp.seq"][0], 0)
        assert table.flags[row] == last(said, "icmp.type") << 8 | last(said, "icmp.code")


def check_tcp(table: PacketTable, row: int, said: Said, ports: tuple[int, int]) -> None:
    assert ports == (last(said, "tcp.srcport"), last(said, "tcp.dstport"))
    assert table.seq[row] == last(said, "tcp.seq_raw")
    assert table.ack[row] == last(said, "tcp.ack_raw")
    assert table.flags[row] == last(said, "tcp.flags") & 0x1FF
    assert table.payload_bytes[row] == last(said, "tcp.len")


def check_tunnel(table: PacketTable, row: int, said: Said) -> None:
    number = int(table.tunnel[row])
    assert (number >= 0) == bool(said["vxlan.vni"])
    if number < 0:
        assert table.outer_id[row] == 0
        return
    tunnels = table.tunnels
    assert tunnels.vni[number] == last(said, "vxlan.vni")
    assert address_text(tunnels.source[number]) == said["ip.src"][0]
    assert address_text(tunnels.destination[number]) == said["ip.dst"][0]
    assert (tunnels.source_port[number], tunnels.port[number]) == (int(said["udp.srcport"][0]), int(said["udp.dstport"][0]))
    assert (tunnels.inner_source_mac[number], tunnels.inner_destination_mac[number]) == (mac(said["eth.src"][-1]), mac(said["eth.dst"][-1]))
    assert table.outer_id[row] == int(said["ip.id"][0], 0)


def check_arp(table: PacketTable, row: int, said: Said) -> None:
    assert table.kind[row] == Kind.ARP
    assert table.flags[row] == last(said, "arp.opcode")
    talk = conversation(table, int(table.conversation[row]))
    assert talk == (0, said["arp.src.proto_ipv4"][0], 0, said["arp.dst.proto_ipv4"][0], 0)


def check_quote(table: PacketTable, row: int, said: Said) -> None:
    """tshark lists the error's own addresses first, then the quoted ones."""
    place = np.flatnonzero(table.icmp_quotes.row == row)
    assert len(place) == 1
    quotes = table.icmp_quotes
    talk = conversation(table, int(quotes.conversation[place[0]]))
    assert talk is not None
    depth = 2 if table.tunnel[row] >= 0 else 1
    assert (talk[1], talk[3]) == (said["ip.src"][depth], said["ip.dst"][depth])
    assert quotes.ip_id[place[0]] == int(said["ip.id"][depth], 0)
    assert (talk[2], talk[4]) == (int(said["udp.srcport"][depth - 1]), int(said["udp.dstport"][depth - 1]))
    inner = conversation(table, int(quotes.inner_conversation[place[0]]))
    if len(said["ip.src"]) > depth + 1:
        assert inner is not None
        assert (inner[1], inner[3]) == (said["ip.src"][-1], said["ip.dst"][-1])
        assert quotes.inner_ip_id[place[0]] == int(said["ip.id"][-1], 0)
    else:
        assert inner is None


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_on_a_calico_cluster(path: Path) -> None:
    check(read_pcap(path), path)


def packet(source: random.Random) -> bytes:
    """An Ethernet frame with anything that is decoded."""
    pick = source.randrange(9)
    near, far = f"10.244.1.{source.randrange(2, 9)}", f"10.244.2.{source.randrange(2, 9)}"
    payload = source.randbytes(source.choice((0, 1, 30, 64, 200)))
    vlans = source.choice(((), (), (7,), (7, 8)))
    options = bytes([1]) * source.choice((0, 0, 4, 12))
    if pick == 0:
        return frames.ethernet(frames.arp(sender=near, target=far, reply=source.random() < 0.5), ethertype=frames.ARP, vlans=vlans)
    if pick == 1:
        return frames.ethernet(
            frames.ipv6(frames.udp(payload, source=9, destination=10), source=A6, destination=B6, protocol=17), ethertype=0x86DD
        )
    if pick == 2:
        quoted = frames.ipv4(frames.udp(payload, source=4000, destination=5000), source=far, destination=near, protocol=17, ident=77)
        if source.random() < 0.5:
            quoted = frames.encapsulate(frames.ethernet(quoted), source=NODE_A, destination=NODE_B, ident=78)[14:]
        message, protocol = frames.icmp(source.choice((3, 11)), 1, payload=quoted), frames.ICMP
    elif pick == 3:
        message, protocol = frames.echo(source.randrange(65536), source.randrange(65536), payload, reply=source.random() < 0.5), frames.ICMP
    elif pick == 4:
        fragment = frames.ipv4(payload, source=near, destination=far, protocol=17, ident=3, fragment=source.choice((0x2010, 0x0020)))
        return frames.ethernet(fragment, vlans=vlans)
    elif pick in (5, 6):
        message, protocol = (
            frames.udp(payload, source=source.randrange(20000, 65536), destination=source.randrange(20000, 65536)),
            frames.UDP,
        )
    else:
        message = frames.tcp(
            payload,
            source=source.randrange(20000, 65536),
            destination=source.randrange(20000, 65536),
            seq=source.getrandbits(32),
            ack=source.getrandbits(32),
            flags=source.randrange(512),
            options=options,
        )
        protocol = frames.TCP
    ident, ttl = source.randrange(65536), source.randrange(1, 256)
    inner = frames.ipv4(message, source=near, destination=far, protocol=protocol, ident=ident, ttl=ttl, options=options)
    return frames.ethernet(inner, vlans=vlans)


@pytest.mark.parametrize("order", ["<", ">"])
def test_generated(tmp_path: Path, order: str) -> None:
    source = random.Random(11)
    packets = []
    for number in range(1500):
        frame = packet(source)
        if source.random() < 0.6:
            port = source.choice((4789, 8472))
            vni = source.getrandbits(24)
            outer_port = source.randrange(32768, 65536)
            frame = frames.encapsulate(
                frame, source=NODE_A, destination=NODE_B, port=port, vni=vni, source_port=outer_port, ident=source.randrange(65536)
            )
        packets.append((1_766_000_000_000_000_000 + number * 1_234_567, frame))
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, packets, order=order, snaplen=512)
    table = read_pcap(path)
    check(table, path)
    assert {*table.kind.tolist()} == {Kind.IP, Kind.ARP}
