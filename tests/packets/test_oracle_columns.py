"""One test for each column: it agrees with tshark on a corpus that has everything which is decoded."""

from pathlib import Path

from kubectl_vxtrace.model.packets import Kind
from tests.packets import corpus, oracle
from tests.packets.layers import EXTENSIONS
from tests.packets.rows import L4, Row, agree, decoded, fragment_header, fragment_offset, in_first_fragment, in_outer, ip_bytes, own
from tests.packets.test_oracle import mac

pytestmark = oracle.needs_tshark

_L4_BYTES = {"udp": 8, "sctp": 12, "icmp": 8, "icmpv6": 8}

# Frames.


def test_frame(rows: list[Row]) -> None:
    agree(rows, own("frame"), lambda row: int(row.said.frame("frame.number")), len(rows))


def test_offset(rows: list[Row]) -> None:
    agree(rows, own("offset"), lambda row: int(row.said.frame("frame.file_off")), len(rows))


def test_time_ns(rows: list[Row]) -> None:
    def expected(row: Row) -> int:
        seconds, _, fraction = row.said.frame("frame.time_epoch").partition(".")
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))

    agree(rows, own("time_ns"), expected, len(rows))


def test_wire_bytes(rows: list[Row]) -> None:
    agree(rows, own("wire_bytes"), lambda row: int(row.said.frame("frame.len")), len(rows))


def test_captured_bytes(rows: list[Row]) -> None:
    agree(rows, own("captured_bytes"), lambda row: int(row.said.frame("frame.cap_len")), len(rows))


def test_kind(rows: list[Row]) -> None:
    def expected(row: Row) -> Kind | None:
        if row.said.broken or (row.kind is Kind.CUT and in_first_fragment(row)):
            return None
        if row.said.last(row.said.own, "arp") is not None:
            return Kind.ARP
        return Kind.OTHER if row.ip is None else Kind.IP

    agree(rows, lambda row: row.kind, expected, len(rows) // 2)
    damaged = [row for row in rows if row.kind in (Kind.CUT, Kind.MALFORMED)]
    assert all(row.said.broken or in_first_fragment(row) for row in damaged), "tshark reads whole what we do not"
    assert {row.kind for row in rows} >= {Kind.IP, Kind.ARP, Kind.OTHER, Kind.CUT}


def test_ethernet(rows: list[Row]) -> None:
    def column(row: Row) -> tuple[int, int] | None:
        number = int(row.table.ethernet[row.row])
        return None if number < 0 else (int(row.table.ethernets.source[number]), int(row.table.ethernets.destination[number]))

    def expected(row: Row) -> tuple[int, int] | None:
        place = row.said.first(row.said.own, "eth")
        source, destination = (None if place is None else row.said.text(place, f"eth.{end}") for end in ("src", "dst"))
        return None if source is None or destination is None else (mac(source), mac(destination))

    agree(rows, column, expected, len(rows))


def test_encapsulation(rows: list[Row]) -> None:
    """Nothing in the corpus is in anything but VXLAN."""
    agree(rows, own("encapsulation"), lambda _: 0, len(rows))


# The innermost packet.


def test_ip_id(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row) or row.ip is None:
            return None
        if row.said.names[row.ip] == "ip":
            return row.said.number(row.ip, "ip.id")
        header = fragment_header(row.said, row.ip)
        ident = 0 if header is None else row.said.number(header, "ipv6.fraghdr.ident")
        return None if ident is None else ident & 0xFFFF

    agree(rows, own("ip_id"), expected, 1_000)


def test_ttl(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row) or row.ip is None:
            return None
        return row.said.number(row.ip, "ip.ttl" if row.said.names[row.ip] == "ip" else "ipv6.hlim")

    agree(rows, own("ttl"), expected, 1_000)


def test_fragment(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row) or row.ip is None:
            return None
        if row.said.names[row.ip] == "ip":
            flags = row.said.number(row.ip, "ip.flags")
            return None if flags is None else flags << 13 | fragment_offset(row.said, row.ip)
        header = fragment_header(row.said, row.ip)
        more = 0 if header is None else row.said.number(header, "ipv6.fraghdr.more") or 0
        return more << 13 | fragment_offset(row.said, row.ip)

    agree(rows, own("fragment"), expected, 1_000)
    assert {row.table.fragment[row.row] & 0x3FFF for row in rows if decoded(row)} >= {0, 0x2000, 12, 0x2000 | 12}


def test_payload_bytes(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row) or row.ip is None or (length := ip_bytes(row.said, row.ip)) is None:
            return None
        if row.l4 is None:
            return length
        name = row.said.names[row.l4]
        header = row.said.number(row.l4, "tcp.hdr_len") if name == "tcp" else _L4_BYTES[name]
        return None if header is None else max(length - header, 0)

    agree(rows, own("payload_bytes"), expected, 1_000)


def test_seq(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row) or row.l4 is None:
            return 0 if decoded(row) else None
        name = row.said.names[row.l4]
        fields = {"tcp": "tcp.seq_raw", "icmp": "icmp.seq", "icmpv6": "icmpv6.echo.sequence_number"}
        if name in ("icmp", "icmpv6") and row.said.number(row.l4, f"{name}.type") not in (0, 8, 128, 129):
            return 0
        return row.said.number(row.l4, fields[name]) if name in fields else 0

    agree(rows, own("seq"), expected, 1_000)


def test_ack(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if not decoded(row):
            return None
        return row.said.number(row.l4, "tcp.ack_raw") if row.l4 is not None and row.said.names[row.l4] == "tcp" else 0

    agree(rows, own("ack"), expected, 1_000)


def test_flags(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if row.kind is Kind.ARP:
            place = row.said.last(row.said.own, "arp")
            return None if place is None else row.said.number(place, "arp.opcode")
        if not decoded(row):
            return None
        name = None if row.l4 is None else row.said.names[row.l4]
        if row.l4 is None or name not in ("tcp", "icmp", "icmpv6"):
            return 0
        if name == "tcp":
            flags = row.said.number(row.l4, "tcp.flags")
            return None if flags is None else flags & 0x1FF
        kind, code = (row.said.number(row.l4, f"{name}.{part}") for part in ("type", "code"))
        return None if kind is None or code is None else kind << 8 | code

    agree(rows, own("flags"), expected, 1_000)


def test_digest(rows: list[Row]) -> None:
    """Equal where, and only where, the first 96 bytes are; 0 where these were not captured."""
    digest_of: dict[str, int] = {}
    cut = 0
    for row in rows:
        digest, length = int(row.table.digest[row.row]), min(int(row.table.payload_bytes[row.row]), 96)
        place = row.said.last(row.said.own, "data")
        if not decoded(row) or (row.l4 is not None and row.said.names[row.l4] == "sctp") or (place is None and length):
            continue
        payload = "" if place is None else row.said.text(place, "data.data") or ""
        if len(payload) < 2 * length:
            assert digest == 0
            cut += 1
        else:
            assert digest == digest_of.setdefault(payload[: 2 * length], digest)
    assert len(set(digest_of.values()) - {0}) == len(digest_of)
    assert len(digest_of) > 100
    assert cut > 10


def test_the_corpus_holds_everything(rows: list[Row]) -> None:
    """By tshark's word: otherwise agreement on it would say little."""
    names = [row.said.names for row in rows]
    stacks = {"-".join(name for name in one if name in ("ip", "ipv6", "vxlan", "vlan", *L4, *EXTENSIONS)) for one in names}

    def holds(*wanted: str) -> bool:
        return any("-".join(wanted) in stack for stack in stacks)

    for outer in ("ip", "ipv6"):
        assert all(holds(outer, "udp", "vxlan", inner) for inner in ("ip", "ipv6"))
        assert all(holds("vxlan", outer, one) for one in ("udp", "tcp", "sctp"))
    assert holds("vlan", "vlan", "ip", "udp", "vxlan", "vlan", "vlan")
    assert holds("vxlan", "ip", "icmp", "ip", "udp", "vxlan")
    assert holds("vxlan", "ipv6", "icmpv6", "ipv6", "udp", "vxlan")
    assert holds("ipv6.hopopts", "ipv6.dstopts", "ipv6.fraghdr")
    assert any(row.said.broken and row.kind is Kind.IP for row in rows)
    flags = {row.said.text(place, "ip.frag_offset") for row in rows if (place := in_outer(row, "ip")) is not None}
    assert len(flags) == 1, "later outer fragments hold no inner packet"
    assert {row.said.frame("frame.cap_len") == row.said.frame("frame.len") for row in rows} == {True, False}


def test_paths_are_those_of_the_corpus(tmp_path: Path) -> None:
    assert [path.name for path in corpus.write(tmp_path, count=1)] == [form.name for form in corpus.FORMS]
