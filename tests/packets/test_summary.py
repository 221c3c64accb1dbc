import gzip
from pathlib import Path

import pytest

from kubectl_vxtrace.packets import read_pcap
from kubectl_vxtrace.packets.summary import summarise
from tests.packets.test_encapsulations import NAMED
from tests.packets.test_headers import A6, B6, NODE_A, NODE_B, A, B, in_vxlan, udp_packet
from tests.wire import frames, links


def line(folder: Path, frame: bytes, snaplen: int = 262144) -> str:
    path = folder / "a.pcap"
    frames.write_pcap(path, [(1, frame)], snaplen=snaplen)
    (said,) = summarise(path, read_pcap(path), [0])
    return said


def ip(message: bytes, protocol: int) -> bytes:
    return frames.ethernet(frames.ipv4(message, source=A, destination=B, protocol=protocol))


QUESTION = udp_packet(frames.dns_question("kotsadm-rqlite.kotsadm"))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (frames.ethernet(QUESTION), "DNS A? kotsadm-rqlite.kotsadm"),
        (in_vxlan(frames.ethernet(QUESTION)), "DNS A? kotsadm-rqlite.kotsadm"),
        (ip(frames.udp(frames.dns_answer("a.b", "10.0.0.1"), source=53, destination=4000), 17), "DNS A a.b NOERROR 10.0.0.1"),
        (ip(frames.tcp(b"\0\x21" + frames.dns_question("a.b"), source=4000, destination=53), 6), "DNS A? a.b (TCP)"),
        (ip(frames.udp(b"no dns at all", source=4000, destination=53), 17), "UDP 4000 > 53 len 13"),
        (ip(frames.udp(b"quic", source=4000, destination=443), 17), "UDP 4000 > 443 len 4"),
        (ip(frames.tcp(source=41234, destination=80, seq=1, flags=frames.SYN), 6), "TCP SYN 41234 > 80 seq 1 len 0"),
        (
            ip(frames.tcp(b"abc", source=80, destination=41234, seq=7, ack=9, flags=frames.PSH | frames.ACK), 6),
            "TCP PSH,ACK 80 > 41234 seq 7 ack 9 len 3",
        ),
        (ip(frames.tcp(source=1, destination=2, flags=0), 6), "TCP none 1 > 2 seq 0 len 0"),
        (ip(frames.echo(7, 3), 1), "ICMP echo request id 7 seq 3"),
        (ip(frames.echo(7, 3, reply=True), 1), "ICMP echo reply id 7 seq 3"),
        (ip(frames.icmp(3, 3, payload=udp_packet()[:28]), 1), f"ICMP port unreachable for UDP {A}:41234 > {B}:53"),
        (
            ip(frames.icmp(3, 4, payload=in_vxlan(frames.ethernet(udp_packet()))[14:]), 1),
            f"ICMP fragmentation needed for UDP {A}:41234 > {B}:53",
        ),
        (ip(frames.icmp(11, 0, payload=ip(frames.echo(1, 1), 1)[14:]), 1), f"ICMP time exceeded for ICMP {A} > {B}"),
        (ip(frames.icmp(3, 99), 1), "ICMP unreachable code 99"),
        (ip(frames.icmp(13, 0), 1), "ICMP type 13 code 0"),
        (ip(frames.sctp(b"diameter", source=40_000, destination=3868), 132), "SCTP 40000 > 3868 len 24"),
        (ip(b"x" * 30, 89), "IP protocol 89 len 30"),
        (frames.ethernet(frames.arp(sender=A, target=B), ethertype=frames.ARP), f"ARP who has {B}? tell {A}"),
        (frames.ethernet(frames.arp(sender=A, target=B, reply=True), ethertype=frames.ARP), f"ARP {A} answers {B}"),
        (frames.ethernet(bytes(46), ethertype=0x88CC), "not IP, 60 bytes"),
        (frames.ethernet(udp_packet(total=900)), "malformed, 47 bytes"),
        (
            frames.ethernet(frames.ipv4(b"r" * 8, source=A, destination=B, protocol=17, fragment=3, ident=9)),
            "fragment of IP id 9 at 24 len 8",
        ),
        (
            frames.ethernet(
                frames.ipv6(
                    frames.icmp(
                        1, 4, payload=frames.ipv6(frames.udp(b"", source=1, destination=2), source=B6, destination=A6, protocol=17)
                    ),
                    source=A6,
                    destination=B6,
                    protocol=58,
                ),
                ethertype=frames.IPV6,
            ),
            f"ICMPv6 port unreachable for UDP [{B6}]:1 > [{A6}]:2",
        ),
        (frames.ethernet(frames.arp(sender=A, target=A), ethertype=frames.ARP), f"ARP {A} announces itself"),
        (
            frames.ethernet(frames.neighbour(B6, source=A6), ethertype=frames.IPV6),
            f"ICMPv6 neighbour solicitation: who has {B6}? tell {A6}",
        ),
        (
            frames.ethernet(frames.neighbour(B6, answer=True, source=B6), ethertype=frames.IPV6),
            f"ICMPv6 neighbour advertisement: {B6} answers",
        ),
        (frames.ethernet(frames.neighbour(B6, source=A6, hops=64), ethertype=frames.IPV6), "ICMPv6 neighbour solicitation"),
    ],
)
def test_one_line(tmp_path: Path, frame: bytes, said: str) -> None:
    assert line(tmp_path, frame) == said


def test_headers_that_were_not_captured(tmp_path: Path) -> None:
    assert line(tmp_path, frames.ethernet(QUESTION), snaplen=36) == f"headers not captured, {14 + len(QUESTION)} bytes"


def test_a_hostile_name(tmp_path: Path) -> None:
    question = frames.dns_question("x")[:12] + b"\x05\x1b]0;\x07\x00\0\1\0\1"
    assert line(tmp_path, frames.ethernet(udp_packet(question))) == r"DNS A? \x1b]0;\x07"


def test_rows_in_the_order_given_and_from_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frames.write_pcap(path, [(n, ip(frames.echo(1, n), 1)) for n in range(5)])
    path.write_bytes(gzip.compress(path.read_bytes()))
    said = summarise(path, read_pcap(path), [4, 0])
    assert said == ("ICMP echo request id 1 seq 4", "ICMP echo request id 1 seq 0")
    assert summarise(path, read_pcap(path), []) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Geneve", "Geneve UDP 50123 > 6081 len 55, not opened"),
        ("IP in IP", "IP in IP len 33, not opened"),
        ("GRE", "GRE len 37, not opened"),
        ("ESP", "IPsec ESP len 72, not opened"),
        ("ESP behind a NAT", "IPsec ESP UDP 50123 > 4500 len 72, not opened"),
        ("WireGuard, first message", "WireGuard UDP 50123 > 51820 len 148, not opened"),
    ],
)
def test_what_is_not_opened(tmp_path: Path, name: str, said: str) -> None:
    assert line(tmp_path, NAMED[name][0]) == said


def test_vxlan_in_vxlan(tmp_path: Path) -> None:
    assert line(tmp_path, in_vxlan(in_vxlan(frames.ethernet(QUESTION), port=14_789))).startswith("VXLAN in VXLAN UDP 50123 > 14789 len ")


@pytest.mark.parametrize("link_type", [101, 113, 276])
def test_dns_on_other_links(tmp_path: Path, link_type: int) -> None:
    path = tmp_path / "a.pcap"
    frame = {101: QUESTION, 113: links.sll(QUESTION), 276: links.sll2(QUESTION)}[link_type]
    frames.write_pcap(path, [(1, frame)], link_type=link_type)
    assert summarise(path, read_pcap(path), [0]) == ("DNS A? kotsadm-rqlite.kotsadm",)


def test_a_vxlan_port_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frame = frames.encapsulate(frames.ethernet(QUESTION), source=NODE_A, destination=NODE_B, port=6081)
    frames.write_pcap(path, [(1, frame)])
    assert summarise(path, read_pcap(path, vxlan_ports=(6081,)), [0]) == ("DNS A? kotsadm-rqlite.kotsadm",)
