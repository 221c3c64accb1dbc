"""One test for each column of icmp_quotes: it agrees with tshark on a corpus that has everything which is decoded."""

import numpy as np
import pytest

from kubectl_vxtrace.model.packets import address_text
from tests.packets import oracle
from tests.packets.rows import L4, Row, address_of, agree, decoded, in_first_fragment, port_of, protocol_of

pytestmark = oracle.needs_tshark

# What ICMP errors quote.


def quote(row: Row) -> int | None:
    """The place of a row's error in icmp_quotes."""
    places = np.flatnonzero(row.table.icmp_quotes.row == row.row)
    assert len(places) < 2
    return int(places[0]) if len(places) else None


def quoted(row: Row, *, inner: bool) -> tuple[int, int | None] | None:
    """tshark's quoted IP header and what is behind it, or that of the packet which a quoted VXLAN packet holds."""
    said = row.said
    tunnelled = said.first(said.quoted, "vxlan")
    if inner:
        where = None if tunnelled is None else range(tunnelled, len(said.names))
    else:
        where = said.quoted if tunnelled is None else range(said.quoted.start, tunnelled)
    ip = None if where is None else said.first(where, "ip", "ipv6")
    return None if ip is None or where is None else (ip, said.first(range(ip + 1, where.stop), *L4))


def ends(row: Row, *, inner: bool) -> tuple[object, ...] | None:
    """What tshark says of a quoted packet; None where it does not say all."""
    whole = decoded(row) and not row.said.broken and not in_first_fragment(row)
    place = quoted(row, inner=inner) if whole else None
    if place is None:
        return None
    ip, l4 = place
    if l4 is None and protocol_of(row.said, ip) != 253:
        return None
    known = (
        protocol_of(row.said, ip),
        address_of(row.said, ip, "src"),
        port_of(row.said, l4, "srcport"),
        address_of(row.said, ip, "dst"),
        port_of(row.said, l4, "dstport"),
    )
    return None if None in known else known


def our_ends(row: Row, name: str) -> tuple[object, ...] | None:
    place = quote(row)
    number = -1 if place is None else int(getattr(row.table.icmp_quotes, name)[place])
    talks = row.table.conversations
    if number < 0:
        return None
    source, destination = address_text(talks.source[number]), address_text(talks.destination[number])
    return (int(talks.protocol[number]), source, int(talks.source_port[number]), destination, int(talks.destination_port[number]))


def test_quote_row(rows: list[Row]) -> None:
    """Errors that quote an IP packet and enough behind it, and nothing else."""
    for row in rows:
        if quote(row) is not None:
            assert row.said.last(row.said.quoted, "ip", "ipv6") is not None
    for table in {id(row.table): row.table for row in rows}.values():
        assert (np.diff(table.icmp_quotes.row) > 0).all()


@pytest.mark.parametrize(("name", "inner"), [("conversation", False), ("inner_conversation", True)])
def test_quote_conversations(rows: list[Row], name: str, inner: bool) -> None:
    agree(rows, lambda row: our_ends(row, name), lambda row: ends(row, inner=inner), 50)
    # tshark leaves some quoted VXLAN packets as UDP.
    assert all(quoted(row, inner=False) for row in rows if our_ends(row, name))


@pytest.mark.parametrize(("name", "inner"), [("ip_id", False), ("inner_ip_id", True)])
def test_quote_ip_ids(rows: list[Row], name: str, inner: bool) -> None:
    def expected(row: Row) -> int | None:
        place = quoted(row, inner=inner) if ends(row, inner=inner) else None
        if place is None:
            return None
        return row.said.number(place[0], "ip.id") if row.said.names[place[0]] == "ip" else 0

    def column(row: Row) -> int | None:
        place = quote(row)
        return None if place is None else int(getattr(row.table.icmp_quotes, name)[place])

    agree(rows, column, expected, 50)
