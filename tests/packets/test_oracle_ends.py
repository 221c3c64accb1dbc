"""One test for each column of conversations and tunnels: it agrees with tshark on a corpus that has everything which is decoded."""

from collections.abc import Callable

import pytest

from kubectl_vxtrace.model.packets import Kind, address_text
from tests.packets import oracle
from tests.packets.rows import Row, address_of, agree, decoded, fragment_header, in_outer, own, port_of, protocol_of, vxlan

pytestmark = oracle.needs_tshark

# Conversations: the innermost packet's ends.


def test_conversation(rows: list[Row]) -> None:
    """Every packet that has ends has one, and no two rows are the same."""
    for row in rows:
        assert (row.table.conversation[row.row] >= 0) == (row.kind in (Kind.IP, Kind.ARP))
    for table in {id(row.table): row.table for row in rows}.values():
        talk = table.conversations
        ends = zip(
            talk.protocol, map(bytes, talk.source), map(bytes, talk.destination), talk.source_port, talk.destination_port, strict=True
        )
        assert len(set(ends)) == len(talk)


def talk(name: str) -> Callable[[Row], int | str]:
    def value(row: Row) -> int | str:
        column = getattr(row.table.conversations, name)[row.table.conversation[row.row]]
        return address_text(column) if name in ("source", "destination") else int(column)

    return value


def test_conversation_protocol(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if row.kind is Kind.ARP:
            return 0
        return protocol_of(row.said, row.ip) if decoded(row) and row.ip is not None else None

    agree(rows, talk("protocol"), expected, 1_000)
    assert {talk("protocol")(row) for row in rows if decoded(row)} >= {1, 6, 17, 58, 132, 253}


@pytest.mark.parametrize(("name", "end"), [("source", "src"), ("destination", "dst")])
def test_conversation_addresses(rows: list[Row], name: str, end: str) -> None:
    def expected(row: Row) -> str | None:
        if row.kind is Kind.ARP and (place := row.said.last(row.said.own, "arp")) is not None:
            return row.said.text(place, f"arp.{end}.proto_ipv4")
        return address_of(row.said, row.ip, end) if decoded(row) and row.ip is not None else None

    agree(rows, talk(name), expected, 1_000)


@pytest.mark.parametrize(("name", "end"), [("source_port", "srcport"), ("destination_port", "dstport")])
def test_conversation_ports(rows: list[Row], name: str, end: str) -> None:
    def expected(row: Row) -> int | None:
        if row.kind is Kind.ARP:
            return 0
        return port_of(row.said, row.l4, end) if decoded(row) else None

    agree(rows, talk(name), expected, 1_000)


# Tunnels: VXLAN's outer headers.


def tunnel(name: str) -> Callable[[Row], int | str]:
    def value(row: Row) -> int | str:
        column = getattr(row.table.tunnels, name)[row.table.tunnel[row.row]]
        return address_text(column) if name in ("source", "destination") else int(column)

    return value


def test_tunnel(rows: list[Row]) -> None:
    agree(
        [row for row in rows if row.kind in (Kind.IP, Kind.ARP)],
        lambda row: own("tunnel")(row) >= 0,
        lambda row: vxlan(row) is not None,
        1_000,
    )


def test_outer_id(rows: list[Row]) -> None:
    def expected(row: Row) -> int | None:
        if row.kind not in (Kind.IP, Kind.ARP):
            return None
        place = in_outer(row, "ip", "ipv6")
        if place is None:
            return 0
        if row.said.names[place] == "ip":
            return row.said.number(place, "ip.id")
        header = fragment_header(row.said, place)
        ident = 0 if header is None else row.said.number(header, "ipv6.fraghdr.ident")
        return None if ident is None else ident & 0xFFFF

    agree(rows, own("outer_id"), expected, 1_000)


@pytest.mark.parametrize(("name", "end"), [("source", "src"), ("destination", "dst")])
def test_tunnel_addresses(rows: list[Row], name: str, end: str) -> None:
    def expected(row: Row) -> str | None:
        place = in_outer(row, "ip", "ipv6")
        return None if place is None else address_of(row.said, place, end)

    agree(rows, tunnel(name), expected, 300)
    assert {":" in str(tunnel(name)(row)) for row in rows if vxlan(row) is not None} == {True, False}


@pytest.mark.parametrize(("name", "field"), [("source_port", "udp.srcport"), ("port", "udp.dstport")])
def test_tunnel_ports(rows: list[Row], name: str, field: str) -> None:
    def expected(row: Row) -> int | None:
        place = in_outer(row, "udp")
        return None if place is None else row.said.number(place, field)

    agree(rows, tunnel(name), expected, 300)


def test_tunnel_vni(rows: list[Row]) -> None:
    agree(rows, tunnel("vni"), lambda row: None if (place := vxlan(row)) is None else row.said.number(place, "vxlan.vni"), 300)


@pytest.mark.parametrize(("name", "field"), [("inner_source_mac", "eth.src"), ("inner_destination_mac", "eth.dst")])
def test_tunnel_inner_macs(rows: list[Row], name: str, field: str) -> None:
    def expected(row: Row) -> int | None:
        place = vxlan(row)
        text = None if place is None else row.said.text(place + 1, field)
        return None if text is None else int(text.replace(":", ""), 16)

    agree(rows, tunnel(name), expected, 300)
