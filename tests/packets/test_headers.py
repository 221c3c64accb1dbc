import struct
from pathlib import Path

import pytest

from kubectl_vxtrace.model.packets import Kind, address_text
from kubectl_vxtrace.packets import read_pcap
from tests.packets.reading import conversation, table_of, talk
from tests.wire import frames

A, B = "10.244.1.5", "10.244.2.6"
NODE_A, NODE_B = "10.128.0.72", "10.128.0.95"
A6, B6 = "fd00:10:244:1::5", "fd00:10:244:2::6"


def udp_packet(
    payload: bytes = b"hello", *, ident: int = 7, fragment: int = 0x4000, options: bytes = b"", total: int | None = None
) -> bytes:
    datagram = frames.udp(payload, source=41234, destination=53)
    return frames.ipv4(
        datagram, source=A, destination=B, protocol=frames.UDP, ident=ident, fragment=fragment, options=options, total=total, ttl=61
    )


def in_vxlan(frame: bytes, *, port: int = 4789, vni: int = 4096, ident: int = 99, fragment: int = 0) -> bytes:
    return frames.encapsulate(
        frame, source=NODE_A, destination=NODE_B, port=port, vni=vni, ident=ident, source_port=50123, fragment=fragment
    )


UDP_TALK = (17, A, 41234, B, 53)


def test_udp() -> None:
    table = table_of(frames.ethernet(udp_packet()))
    assert talk(table) == UDP_TALK
    assert (table.kind[0], table.payload_bytes[0], table.ip_id[0], table.ttl[0], table.fragment[0]) == (Kind.IP, 5, 7, 61, 0x4000)
    assert (table.tunnel[0], table.outer_id[0], table.flags[0], table.seq[0], table.ack[0]) == (-1, 0, 0, 0, 0)


@pytest.mark.parametrize("vlans", [(), (5,), (5, 6)])
@pytest.mark.parametrize("options", [b"", b"\x01" * 4, b"\x01" * 40])
def test_tags_and_options_are_stepped_over(vlans: tuple[int, ...], options: bytes) -> None:
    table = table_of(frames.ethernet(udp_packet(options=options), vlans=vlans))
    assert talk(table) == UDP_TALK
    assert table.payload_bytes[0] == 5


@pytest.mark.parametrize("port", [4789, 8472])
@pytest.mark.parametrize("vlans", [(), (5,)])
def test_vxlan(port: int, vlans: tuple[int, ...]) -> None:
    inner = frames.ethernet(udp_packet(), source="02:00:00:aa:bb:01", destination="66:00:00:aa:bb:02", vlans=vlans)
    table = table_of(in_vxlan(inner, port=port, vni=0xABCDEF))
    assert talk(table) == UDP_TALK
    assert (table.outer_id[0], table.ip_id[0], table.ttl[0], table.tunnel[0]) == (99, 7, 61, 0)
    tunnels = table.tunnels
    assert (address_text(tunnels.source[0]), address_text(tunnels.destination[0])) == (NODE_A, NODE_B)
    assert (tunnels.source_port[0], tunnels.port[0], tunnels.vni[0]) == (50123, port, 0xABCDEF)
    assert (tunnels.inner_source_mac[0], tunnels.inner_destination_mac[0]) == (0x020000AABB01, 0x660000AABB02)


def test_a_port_that_was_not_asked_for_is_plain_udp() -> None:
    """Unless it is VXLAN by all of its content, which two tags inside it are not."""
    frame = in_vxlan(frames.ethernet(udp_packet(), vlans=(5, 6)), port=4790)
    assert talk(table_of(frame)) == (17, NODE_A, 50123, NODE_B, 4790)
    assert talk(table_of(frame, ports=(4790,))) == UDP_TALK
    assert table_of(frame, ports=()).tunnel[0] == -1


def test_without_the_i_flag_it_is_plain_udp() -> None:
    datagram = frames.udp(frames.vxlan(frames.ethernet(udp_packet()), vni=1, flags=0), source=1, destination=4789)
    table = table_of(frames.ethernet(frames.ipv4(datagram, source=NODE_A, destination=NODE_B, protocol=frames.UDP)))
    assert talk(table) == (17, NODE_A, 1, NODE_B, 4789)


def dns_reply(ident: int, answers: int = 1) -> bytes:
    """A reply of a DNS server to a client's port 4789, which NAT picked."""
    head = struct.pack("!6H", ident, 0x8180, 1, answers, 0, 0)
    return frames.udp(head + b"\x03abc\x07cluster\x05local\x00\x00\x01\x00\x01" + bytes(40), source=53, destination=4789)


@pytest.mark.parametrize("answers", [0, 1, 2])
@pytest.mark.parametrize("ident", [0x0800, 0x0801, 0x8848, 0xFFFF, 0x0008, 0x1D2B])
def test_plain_udp_to_the_port_is_no_vxlan_whatever_its_first_bits(ident: int, answers: int) -> None:
    packet = frames.ipv4(dns_reply(ident, answers), source=B, destination=A, protocol=frames.UDP)
    table = table_of(frames.ethernet(packet), in_vxlan(frames.ethernet(packet)))
    assert [talk(table, 0), talk(table, 1)] == [(17, B, 53, A, 4789)] * 2
    assert table.tunnel.tolist() == [-1, 0]


@pytest.mark.parametrize("flags", [0x08, 0x88, 0x0C, 0xFF], ids=["as in RFC 7348", "with a group policy", "one reserved bit", "all"])
@pytest.mark.parametrize("vlans", [(), (5,)])
def test_reserved_bits_are_ignored_where_a_whole_packet_follows(flags: int, vlans: tuple[int, ...]) -> None:
    """RFC 7348, 5: they are ignored on receipt."""
    for inner in (udp_packet(), frames.ipv6(frames.udp(b"q", source=1, destination=2), source=A6, destination=B6, protocol=frames.UDP)):
        kind = {4: frames.IPV4, 6: frames.IPV6}[inner[0] >> 4]
        carried = frames.vxlan(frames.ethernet(inner, ethertype=kind, vlans=vlans), vni=9, flags=flags, group=77 if flags & 0x80 else 0)
        datagram = frames.udp(carried, source=50123, destination=4789)
        table = table_of(frames.ethernet(frames.ipv4(datagram, source=NODE_A, destination=NODE_B, protocol=frames.UDP)))
        assert (table.kind[0], table.tunnel[0], table.tunnels.vni.tolist()) == (Kind.IP, 0, [9])


def test_tcp() -> None:
    segment = frames.tcp(b"abc", source=1, destination=2, seq=2**32 - 1, ack=2**31, flags=frames.SYN | frames.ACK, options=b"\x01" * 12)
    table = table_of(frames.ethernet(frames.ipv4(segment, source=A, destination=B, protocol=frames.TCP)))
    assert talk(table) == (6, A, 1, B, 2)
    assert (table.seq[0], table.ack[0], table.flags[0], table.payload_bytes[0]) == (2**32 - 1, 2**31, 0x12, 3)


def test_payload_is_what_the_ip_length_says_not_the_padding() -> None:
    table = table_of(frames.ethernet(udp_packet(b"") + bytes(18)))
    assert (table.payload_bytes[0], table.wire_bytes[0]) == (0, 60)


def test_super_packet_without_a_length() -> None:
    segment = frames.tcp(bytes(90_000), source=1, destination=2)
    table = table_of(frames.ethernet(frames.ipv4(segment, source=A, destination=B, protocol=frames.TCP, total=0)), snaplen=512)
    assert (table.kind[0], table.payload_bytes[0]) == (Kind.IP, 90_000)


@pytest.mark.parametrize(("reply", "flags"), [(False, 0x0800), (True, 0)])
def test_echo(reply: bool, flags: int) -> None:
    message = frames.echo(513, 77, b"ping", reply=reply)
    table = table_of(frames.ethernet(frames.ipv4(message, source=A, destination=B, protocol=frames.ICMP)))
    assert talk(table) == (1, A, 513, B, 513)
    assert (table.seq[0], table.flags[0], table.payload_bytes[0]) == (77, flags, 4)


def test_fragments() -> None:
    first = frames.ethernet(udp_packet(b"x" * 1000, fragment=0x2000, total=20 + 8 + 1000))
    later = frames.ethernet(frames.ipv4(b"y" * 700, source=A, destination=B, protocol=frames.UDP, ident=7, fragment=126))
    table = table_of(first, later)
    assert (talk(table, 0), talk(table, 1)) == (UDP_TALK, (17, A, 0, B, 0))
    assert (table.fragment.tolist(), table.payload_bytes.tolist()) == ([0x2000, 126], [1000, 700])


def test_first_fragment_whose_udp_length_is_the_whole_datagrams() -> None:
    datagram = frames.udp(b"x" * 1000, source=41234, destination=53, length=3008)
    table = table_of(frames.ethernet(frames.ipv4(datagram, source=A, destination=B, protocol=frames.UDP, fragment=0x2000)))
    assert (talk(table), table.payload_bytes[0]) == (UDP_TALK, 1000)


def test_outer_fragments() -> None:
    """The first holds the inner headers; the second only says which outer packet it belongs to."""
    whole = in_vxlan(frames.ethernet(udp_packet(b"z" * 1400)))
    datagram = whole[34:]
    first = frames.ethernet(frames.ipv4(datagram[:800], source=NODE_A, destination=NODE_B, protocol=frames.UDP, ident=5, fragment=0x2000))
    later = frames.ethernet(frames.ipv4(datagram[800:], source=NODE_A, destination=NODE_B, protocol=frames.UDP, ident=5, fragment=100))
    table = table_of(first, later)
    assert (talk(table, 0), table.payload_bytes[0], table.outer_id[0]) == (UDP_TALK, 1400, 5)
    assert (talk(table, 1), table.ip_id[1], table.tunnel[1]) == ((17, NODE_A, 0, NODE_B, 0), 5, -1)


def test_arp_bare_and_encapsulated() -> None:
    question = frames.ethernet(frames.arp(sender=A, target=B), ethertype=frames.ARP)
    table = table_of(question, in_vxlan(question), frames.ethernet(frames.arp(sender=A, target=B, reply=True), ethertype=frames.ARP))
    assert table.kind.tolist() == [Kind.ARP] * 3
    assert talk(table) == (0, A, 0, B, 0)
    assert table.flags.tolist() == [1, 1, 2]
    assert table.tunnel.tolist() == [-1, 0, -1]
    assert table.digest.tolist() == [0, 0, 0]


def test_other_frames() -> None:
    spanning_tree = frames.ethernet(bytes(40), ethertype=38)
    unknown = frames.ethernet(bytes(40), ethertype=0x88CC)
    infiniband_arp = frames.ethernet(b"\0\x20" + frames.arp(sender=A, target=B)[2:], ethertype=frames.ARP)
    table = table_of(spanning_tree, unknown, infiniband_arp, in_vxlan(unknown))
    assert table.kind.tolist() == [Kind.OTHER] * 4
    assert table.conversation.tolist() == [-1] * 4
    assert table.tunnel.tolist() == [-1, -1, -1, 0]


def test_protocols_without_ports() -> None:
    table = table_of(frames.ethernet(frames.ipv4(b"rest" * 5, source=A, destination=B, protocol=47)))
    assert (talk(table), table.payload_bytes[0]) == ((47, A, 0, B, 0), 20)


def test_sctp() -> None:
    packet = frames.sctp(b"diameter", source=40_000, destination=3868, tsn=9)
    table = table_of(frames.ethernet(frames.ipv4(packet, source=A, destination=B, protocol=frames.SCTP)))
    assert (talk(table), table.payload_bytes[0], table.kind[0]) == ((132, A, 40_000, B, 3868), 16 + 8, Kind.IP)
    assert table.digest[0] != 0
    short = table_of(frames.ethernet(frames.ipv4(packet[:11], source=A, destination=B, protocol=frames.SCTP)))
    assert short.kind.tolist() == [Kind.MALFORMED]


MALFORMED = {
    "version": b"\x65" + udp_packet()[1:],
    "header length": b"\x44" + udp_packet()[1:],
    "total below header": udp_packet(total=19),
    "total above frame": udp_packet(total=500),
    "udp length 7": frames.ipv4(frames.udp(b"xx", source=1, destination=2, length=7), source=A, destination=B, protocol=17),
    "udp length above packet": frames.ipv4(frames.udp(b"xx", source=1, destination=2, length=11), source=A, destination=B, protocol=17),
    "udp header above packet": frames.ipv4(b"1234567", source=A, destination=B, protocol=17),
    "tcp offset 4": frames.ipv4(
        frames.tcp(b"", source=1, destination=2)[:12] + b"\x40" + bytes(7), source=A, destination=B, protocol=frames.TCP
    ),
    "tcp options above packet": frames.ipv4(
        frames.tcp(b"", source=1, destination=2)[:12] + b"\xf0" + bytes(7), source=A, destination=B, protocol=frames.TCP
    ),
    "icmp of 7 bytes": frames.ipv4(bytes(7), source=A, destination=B, protocol=frames.ICMP),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_headers_that_contradict_each_other(packet: bytes) -> None:
    bare, wrapped = frames.ethernet(packet), in_vxlan(frames.ethernet(packet))
    good = frames.ethernet(udp_packet())
    table = table_of(good, bare, wrapped, good)
    assert table.kind.tolist() == [Kind.IP, Kind.MALFORMED, Kind.MALFORMED, Kind.IP]
    assert table.conversation[1] == table.conversation[2] == -1


def test_every_cut_is_said_to_be_cut() -> None:
    """Whatever the snaplen, a packet is either decoded as the whole one or CUT."""
    for frame in (
        in_vxlan(frames.ethernet(udp_packet(), vlans=(5,))),
        frames.ethernet(frames.ipv4(frames.tcp(source=1, destination=2), source=A, destination=B, protocol=6)),
    ):
        whole = table_of(frame)
        kinds = []
        for snaplen in range(len(frame)):
            table = table_of(frame, snaplen=snaplen)
            kinds.append(int(table.kind[0]))
            if table.kind[0] == Kind.IP:
                assert talk(table) == talk(whole)
                assert table.payload_bytes[0] == whole.payload_bytes[0]
            else:
                assert (table.kind[0], table.conversation[0]) == (Kind.CUT, -1)
        assert kinds == sorted(kinds, reverse=True)


def test_a_frame_too_short_for_ethernet() -> None:
    assert table_of(b"123").kind.tolist() == [Kind.MALFORMED]
    assert table_of(b"").kind.tolist() == [Kind.MALFORMED]


class TestIpv6:
    def test_udp_and_vxlan_over_ipv6(self) -> None:
        inner = frames.ethernet(
            frames.ipv6(frames.udp(b"hi", source=5, destination=6), source=A6, destination=B6, protocol=frames.UDP, hops=9),
            ethertype=frames.IPV6,
        )
        outer = frames.udp(frames.vxlan(inner, vni=3), source=7, destination=4789)
        packet = frames.ipv6(outer, source="2001:db8::1", destination="2001:db8::2", protocol=frames.UDP)
        table = table_of(frames.ethernet(packet, ethertype=frames.IPV6))
        assert talk(table) == (17, A6, 5, B6, 6)
        assert (table.ttl[0], table.payload_bytes[0], table.ip_id[0]) == (9, 2, 0)
        assert address_text(table.tunnels.destination[0]) == "2001:db8::2"

    def test_extension_headers(self) -> None:
        datagram = frames.udp(b"hi", source=5, destination=6)
        hop_by_hop = bytes([43, 0]) + bytes(6)
        routing = bytes([44, 1]) + bytes(14)
        fragment = bytes([17, 0]) + struct.pack(">HI", 1, 0xAABBCCDD)
        packet = frames.ipv6(hop_by_hop + routing + fragment + datagram, source=A6, destination=B6, protocol=0)
        table = table_of(frames.ethernet(packet, ethertype=frames.IPV6))
        assert (talk(table), table.ip_id[0], table.fragment[0]) == ((17, A6, 5, B6, 6), 0xCCDD, 0x2000)

    def test_later_fragment(self) -> None:
        fragment = bytes([17, 0]) + struct.pack(">HI", 25 << 3, 1)
        packet = frames.ipv6(fragment + b"rest", source=A6, destination=B6, protocol=44)
        table = table_of(frames.ethernet(packet, ethertype=frames.IPV6))
        assert (talk(table), table.fragment[0], table.payload_bytes[0]) == ((17, A6, 0, B6, 0), 25, 4)

    def test_extension_header_longer_than_the_packet(self) -> None:
        packet = frames.ipv6(bytes([17, 200]) + bytes(30), source=A6, destination=B6, protocol=0)
        assert table_of(frames.ethernet(packet, ethertype=frames.IPV6)).kind.tolist() == [Kind.MALFORMED]

    def test_echo(self) -> None:
        message = struct.pack(">BBHHH", 128, 0, 0, 9, 4) + b"data"
        packet = frames.ipv6(message, source=A6, destination=B6, protocol=frames.ICMPV6)
        table = table_of(frames.ethernet(packet, ethertype=frames.IPV6))
        assert (talk(table), table.seq[0], table.payload_bytes[0]) == ((58, A6, 9, B6, 9), 4, 4)


class TestQuotes:
    def error(self, quoted: bytes, *, kind: int = 3, code: int = 3) -> bytes:
        message = frames.icmp(kind, code, payload=quoted)
        return frames.ethernet(frames.ipv4(message, source=B, destination=A, protocol=frames.ICMP))

    @pytest.mark.parametrize("kind", [3, 5, 11, 12])
    def test_an_error_quotes_eight_bytes(self, kind: int) -> None:
        table = table_of(frames.ethernet(udp_packet()), self.error(udp_packet(b"x" * 400)[:28], kind=kind))
        quotes = table.icmp_quotes
        assert (quotes.row.tolist(), quotes.conversation.tolist(), quotes.ip_id.tolist()) == ([1], [int(table.conversation[0])], [7])
        assert (quotes.inner_conversation.tolist(), quotes.inner_ip_id.tolist()) == ([-1], [0])
        assert talk(table, 1) == (1, B, 0, A, 0)
        assert table.flags[1] == kind << 8 | 3

    def test_an_error_inside_a_tunnel(self) -> None:
        table = table_of(in_vxlan(self.error(udp_packet()[:28])))
        assert conversation(table, int(table.icmp_quotes.conversation[0])) == UDP_TALK
        assert table.tunnel[0] == 0

    @pytest.mark.parametrize("length", [28 + 8 + 14 + 20 + 8, 500])
    def test_a_quoted_vxlan_packet(self, length: int) -> None:
        outer = in_vxlan(frames.ethernet(udp_packet(b"x" * 600)))[14:]
        table = table_of(self.error(outer[:length], kind=3, code=4))
        quotes = table.icmp_quotes
        assert conversation(table, int(quotes.conversation[0])) == (17, NODE_A, 50123, NODE_B, 4789)
        assert conversation(table, int(quotes.inner_conversation[0])) == UDP_TALK
        assert (quotes.ip_id[0], quotes.inner_ip_id[0]) == (99, 7)

    def test_a_vxlan_packet_quoted_too_short_for_its_inner_one(self) -> None:
        table = table_of(self.error(in_vxlan(frames.ethernet(udp_packet()))[14 : 14 + 28 + 8 + 14 + 20]))
        assert table.icmp_quotes.inner_conversation.tolist() == [-1]
        assert len(table.tunnels) == 0

    def test_a_quoted_echo_and_a_quoted_fragment(self) -> None:
        echo = frames.ipv4(frames.echo(513, 4), source=A, destination=B, protocol=frames.ICMP)
        fragment = frames.ipv4(b"12345678", source=A, destination=B, protocol=17, fragment=33, ident=3)
        table = table_of(self.error(echo), self.error(fragment))
        assert [conversation(table, number) for number in table.icmp_quotes.conversation.tolist()] == [
            (1, A, 513, B, 513),
            (17, A, 0, B, 0),
        ]

    @pytest.mark.parametrize("quoted", [b"", udp_packet()[:20], udp_packet()[:27], b"\x65" + udp_packet()[1:]])
    def test_too_little_quoted_is_no_quote(self, quoted: bytes) -> None:
        table = table_of(self.error(quoted))
        assert (len(table.icmp_quotes), table.kind[0]) == (0, Kind.IP)

    def test_icmpv6_error(self) -> None:
        quoted = frames.ipv6(frames.udp(b"", source=5, destination=6), source=A6, destination=B6, protocol=17)
        message = struct.pack(">BBHI", 2, 0, 0, 1280) + quoted
        table = table_of(frames.ethernet(frames.ipv6(message, source=B6, destination=A6, protocol=frames.ICMPV6), ethertype=frames.IPV6))
        assert conversation(table, int(table.icmp_quotes.conversation[0])) == (17, A6, 5, B6, 6)


class TestDigest:
    def digest(self, payload: bytes, snaplen: int = 262144) -> int:
        return int(table_of(frames.ethernet(udp_packet(payload)), snaplen=snaplen).digest[0])

    def test_the_same_bare_and_encapsulated_and_behind_any_headers(self) -> None:
        bare = frames.ethernet(udp_packet(b"q" * 40), vlans=(4,))
        wrapped = in_vxlan(frames.ethernet(udp_packet(b"q" * 40, options=b"\x01" * 8)))
        translated = frames.ethernet(
            frames.ipv4(frames.udp(b"q" * 40, source=1, destination=5353, check=9), source=A, destination=NODE_B, protocol=17)
        )
        table = table_of(bare, wrapped, translated)
        assert len(set(table.digest.tolist())) == 1

    def test_depends_on_place_and_length(self) -> None:
        payloads = [b"", b"\0", b"\0\0", b"ab", b"ba", b"a" + bytes(8), bytes(8) + b"a", bytes(63), bytes(64), bytes(62) + b"\1", bytes(9)]
        payloads += [bytes(at) + b"\1" + bytes(63 - at) for at in range(64)]
        digests = [self.digest(payload) for payload in payloads]
        assert len(set(digests)) == len(payloads)
        assert 0 not in digests

    def test_looks_at_the_first_96_bytes(self) -> None:
        assert self.digest(b"k" * 96 + b"one") == self.digest(b"k" * 96 + b"two")

    def test_every_byte_of_the_first_96_counts(self) -> None:
        digests = {self.digest(bytes(at) + b"\1" + bytes(199 - at)) for at in range(96)}
        assert len(digests) == 96

    def test_zero_where_not_enough_was_captured(self) -> None:
        assert self.digest(b"k" * 100, snaplen=42 + 95) == 0
        assert self.digest(b"k" * 100, snaplen=42 + 96) == self.digest(b"k" * 100)
        assert self.digest(b"k" * 20, snaplen=42 + 19) == 0

    def test_of_an_empty_payload_behind_options_that_were_cut_off(self) -> None:
        ack = frames.tcp(source=1, destination=2, options=b"\x01" * 12)
        frame = frames.ethernet(frames.ipv4(ack, source=A, destination=B, protocol=6))
        assert table_of(frame, snaplen=60).digest[0] == table_of(frame).digest[0] != 0

    def test_of_icmp_begins_behind_its_header(self) -> None:
        one, two = (frames.ethernet(frames.ipv4(frames.echo(1, seq, b"same"), source=A, destination=B, protocol=1)) for seq in (1, 2))
        table = table_of(one, two)
        assert table.digest[0] == table.digest[1]

    def test_how_much_of_the_payload_all_packets_have(self) -> None:
        long, short = frames.ethernet(udp_packet(b"k" * 100)), frames.ethernet(udp_packet(b"k" * 20))
        assert table_of(long, short, snaplen=42 + 100).common_payload_bytes == 96
        assert table_of(long, short, snaplen=42 + 40).common_payload_bytes == 40
        assert table_of(in_vxlan(long), long, short, snaplen=50 + 42 + 20).common_payload_bytes == 20
        assert table_of(in_vxlan(long), long, short, snaplen=50 + 42 + 15).common_payload_bytes == 65, "too little tells nothing"

    def test_fewer_bytes_are_the_same_where_more_were_captured(self, tmp_path: Path) -> None:
        frame = frames.ethernet(udp_packet(b"k" * 50 + b"end" * 30))
        inside, outside = tmp_path / "inside", tmp_path / "outside"
        frames.write_pcap(inside, [(1, frame)], snaplen=110)
        frames.write_pcap(outside, [(1, in_vxlan(frame))], snaplen=110)
        common = read_pcap(outside).common_payload_bytes
        assert common == 110 - 42 - 50
        one, other, whole = (
            read_pcap(path, digest_bytes=size).digest[0] for path, size in ((inside, common), (outside, common), (inside, 96))
        )
        assert one == other != 0
        assert one != whole
