"""A frame of the corpus as we and tshark have it, and what tshark says of its packet. None stands for what tshark does not say."""

from collections.abc import Callable
from dataclasses import dataclass

from kubectl_vxtrace.model.packets import Kind, PacketTable
from tests.packets.layers import EXTENSIONS, Layers

L4 = ("udp", "tcp", "sctp", "icmp", "icmpv6")


@dataclass(frozen=True, slots=True)
class Row:
    """A frame as we and tshark have it."""

    table: PacketTable
    row: int
    said: Layers

    @property
    def kind(self) -> Kind:
        return Kind(int(self.table.kind[self.row]))

    @property
    def ip(self) -> int | None:
        """tshark's innermost IP header that is not quoted."""
        return self.said.last(self.said.own, "ip", "ipv6")

    @property
    def l4(self) -> int | None:
        """The header behind it; None where there is none, as in later fragments."""
        if self.ip is None or fragment_offset(self.said, self.ip):
            return None
        return self.said.first(range(self.ip + 1, len(self.said.own)), *L4)


def agree(rows: list[Row], column: Callable[[Row], object], expected: Callable[[Row], object], least: int) -> None:
    """Where tshark says something (not None), `column` is the same; so for at least `least` rows."""
    compared = 0
    for row in rows:
        said = expected(row)
        if said is not None:
            assert column(row) == said, (row.row, row.said)
            compared += 1
    assert compared >= least


def own(name: str) -> Callable[[Row], int]:
    return lambda row: int(getattr(row.table, name)[row.row])


def decoded(row: Row) -> bool:
    return row.kind is Kind.IP and row.ip is not None


def fragment_header(said: Layers, ip: int) -> int | None:
    return next((place for place in extensions(said, ip) if said.names[place] == "ipv6.fraghdr"), None)


def extensions(said: Layers, ip: int) -> list[int]:
    found = []
    for place in range(ip + 1, len(said.names)):
        if said.names[place] not in EXTENSIONS:
            break
        found.append(place)
    return found


def fragment_offset(said: Layers, ip: int) -> int:
    if said.names[ip] == "ip":
        return said.number(ip, "ip.frag_offset") or 0
    header = fragment_header(said, ip)
    return 0 if header is None else said.number(header, "ipv6.fraghdr.offset") or 0


def protocol_of(said: Layers, ip: int) -> int | None:
    if said.names[ip] == "ip":
        return said.number(ip, "ip.proto")
    place = [ip, *extensions(said, ip)][-1]
    return said.number(place, f"{said.names[place]}.nxt")


def address_of(said: Layers, ip: int, end: str) -> str | None:
    return said.text(ip, f"{said.names[ip]}.{end}")


def port_of(said: Layers, l4: int | None, end: str) -> int | None:
    """Ports, or the identifier of an echo message, or 0 for what has neither."""
    if l4 is None:
        return 0
    name = said.names[l4]
    if name == "icmp":
        return said.number(l4, "icmp.ident") if said.number(l4, "icmp.type") in (0, 8) else 0
    if name == "icmpv6":
        return said.number(l4, "icmpv6.echo.identifier") if said.number(l4, "icmpv6.type") in (128, 129) else 0
    return said.number(l4, f"{name}.{end}")


def ip_bytes(said: Layers, ip: int) -> int | None:
    """Length behind the IP header and what extends it."""
    if said.names[ip] == "ip":
        total, header = said.number(ip, "ip.len"), said.number(ip, "ip.hdr_len")
        return None if total is None or header is None else total - header
    left = said.number(ip, "ipv6.plen")
    for place in extensions(said, ip):
        name = said.names[place]
        length = 8 if name == "ipv6.fraghdr" else said.number(place, f"{name}.len_oct")
        left = None if left is None or length is None else left - length
    return left


def in_first_fragment(row: Row) -> bool:
    """Whether a packet that was decoded is a first fragment, in which headers need not be whole."""
    said = row.said
    if any((said.number(place, "ip.flags") or 0) & 1 for place in said.own if said.names[place] == "ip"):
        return True
    return any(said.number(place, "ipv6.fraghdr.more") for place in said.own if said.names[place] == "ipv6.fraghdr")


def vxlan(row: Row) -> int | None:
    """tshark's VXLAN header that is not quoted, where the packet in it was decoded."""
    return row.said.first(row.said.own, "vxlan") if row.kind in (Kind.IP, Kind.ARP) else None


def in_outer(row: Row, *names: str) -> int | None:
    place = vxlan(row)
    return None if place is None else row.said.last(range(place), *names)
