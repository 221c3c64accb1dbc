"""What tshark says of a few packets, read by pyshark.

Only XML keeps the layers inside a tunnel: in JSON and EK the inner `eth` and `ip` repeat keys and get lost. It is slow (some hundred
packets a second), so the packets are first cut out into a small file, and tshark runs once. It is run by us, as pyshark bounds neither its
memory nor its output, and its event loop fails where tshark does.
"""

import re
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.text import clean_bytes
from kubectl_vxtrace.packets import tshark
from kubectl_vxtrace.packets.cut import excerpt

if TYPE_CHECKING:
    from pyshark.packet.layers.xml_layer import XmlLayer
    from pyshark.packet.packet import Packet

MAX_ROWS = 500
"""More are not dissected; a person does not read them."""

_SNAPLEN_BYTES = 1024
_MOST_CHARACTERS = 400
_MOST_FIELD_CHARACTERS = 80
_MOST_VALUES = 4
_NUMBER_BEHIND = re.compile(r" \(\d+\)$")


class DissectError(CannotRunError):
    """tshark or pyshark failed and said nothing of any packet."""


class _UnreadableError(Exception):
    """What tshark says of a packet is not what it prints."""


def tshark_available() -> bool:
    """Whether there is a tshark on the PATH."""
    return shutil.which("tshark") is not None


def dissect(path: str | Path, table: PacketTable, rows: Sequence[int], *, vxlan_ports: Collection[int]) -> dict[int, str]:
    """One line of printable ASCII for each row: the protocols from the outside in, with their addresses, ports and messages.

    Rows that tshark did not get to within its bounds (see tshark.run), and all beyond MAX_ROWS, are missing.

    Raises:
        DissectError: there is no tshark, or it failed before the first packet.
        PcapError: the file cannot be read.
    """
    chosen = list(dict.fromkeys(rows))[:MAX_ROWS]
    program = shutil.which("tshark")
    if program is None:
        raise DissectError("tshark is not installed, so packets are not dissected", "install tshark (Debian: apt-get install tshark)")
    if not chosen:
        return {}
    lines: list[str] = []
    # Tunnels that were known by their content are on ports that tshark has to be told.
    ports = {*vxlan_ports, *table.tunnels.port.tolist()}
    capture = excerpt(path, table, chosen, snaplen_bytes=_SNAPLEN_BYTES)
    try:
        failure = tshark.run(program, capture, vxlan_ports=ports, take=lambda pdml: lines.append(_described(pdml)))
    except (OSError, _UnreadableError) as error:
        failure = str(error)
    if failure is not None and not lines:
        raise DissectError(f"tshark could not dissect the packets: {failure}", "try tshark -r on the capture")
    return dict(zip(chosen, lines, strict=False))


def _described(pdml: bytes) -> str:
    """The line of a packet that tshark printed. Raises _UnreadableError."""
    from pyshark.tshark.output_parser.tshark_xml import packet_from_xml_packet

    try:
        return describe(packet_from_xml_packet(pdml))
    except Exception as error:  # whatever pyshark and lxml raise where a packet is not as tshark prints them
        raise _UnreadableError(f"what it says cannot be read: {type(error).__name__}") from error


def describe(packet: "Packet") -> str:
    """`eth / ip A > B / udp 41000 > 4789 / vxlan 4096 / eth / ip C > D / udp 41234 > 53 / dns query A kubernetes.default`."""
    parts = [" ".join([layer.layer_name, *_details(layer)]) for layer in packet.layers]
    return clean_bytes(" / ".join(parts).encode(), _MOST_CHARACTERS, spaces=True)


def _details(layer: "XmlLayer") -> list[str]:
    teller = _TELLERS.get(layer.layer_name)
    return [part for part in (teller or _first_field)(layer) if part]


def _show(layer: "XmlLayer", name: str) -> str:
    """The value of a field, the first where there are several; empty where there is none."""
    field = layer.get_field(name)
    return "" if field is None else str(field.show)[:_MOST_FIELD_CHARACTERS]


def _named(layer: "XmlLayer", name: str) -> str:
    """A field as Wireshark spells it out, without its label: `Echo (ping) request` of `Type: 8 (Echo (ping) request)`, and of ICMPv6's
    `Type: Echo (ping) request (128)`."""
    field = layer.get_field(name)
    if field is None or not field.showname:
        return ""
    said = str(field.showname).partition(": ")[2] or str(field.showname)
    if said[:1].isdigit() and said.endswith(")"):
        return (said.partition(" (")[2][:-1] or said)[:_MOST_FIELD_CHARACTERS]
    return _NUMBER_BEHIND.sub("", said)[:_MOST_FIELD_CHARACTERS]


def _worded(layer: "XmlLayer", name: str) -> str:
    """The other half: `No error` of `.... 0000 = Reply code: No error (0)`."""
    field = layer.get_field(name)
    if field is None or not field.showname:
        return ""
    return str(field.showname).partition(": ")[2].partition(" (")[0][:_MOST_FIELD_CHARACTERS]


def _all(layer: "XmlLayer", name: str) -> str:
    field = layer.get_field(name)
    return "" if field is None else ", ".join(str(each.show)[:_MOST_FIELD_CHARACTERS] for each in field.all_fields[:_MOST_VALUES])


def _between(source: str, destination: str) -> Callable[["XmlLayer"], list[str]]:
    return lambda layer: [_show(layer, source), ">", _show(layer, destination)]


def _tcp(layer: "XmlLayer") -> list[str]:
    flags = _named(layer, "tcp.flags")
    seq, length = _show(layer, "tcp.seq_raw"), _show(layer, "tcp.len")
    return [*_between("tcp.srcport", "tcp.dstport")(layer), f"[{flags}]", f"seq {seq}", f"len {length}"]


def _icmp(layer: "XmlLayer") -> list[str]:
    seq = _show(layer, "icmp.seq") or _show(layer, "icmpv6.echo.sequence_number")
    return [_named(layer, "icmp.type") or _named(layer, "icmpv6.type"), _named(layer, "icmp.code"), f"seq {seq}" if seq else ""]


def _dns(layer: "XmlLayer") -> list[str]:
    answer = _show(layer, "dns.flags.response") in ("1", "True")
    said = [_worded(layer, "dns.qry.type"), _show(layer, "dns.qry.name")]
    if not answer:
        return ["query", *said]
    return ["answer", *said, _worded(layer, "dns.flags.rcode"), _all(layer, "dns.a"), _all(layer, "dns.aaaa"), _all(layer, "dns.cname")]


def _arp(layer: "XmlLayer") -> list[str]:
    return [_worded(layer, "arp.opcode"), *_between("arp.src.proto_ipv4", "arp.dst.proto_ipv4")(layer)]


def _nothing(_: "XmlLayer") -> list[str]:
    return []


def _first_field(layer: "XmlLayer") -> list[str]:
    """The first thing that Wireshark shows of a protocol not named here: a request line, a record type."""
    for field in layer._all_fields.values():
        if not field.hide and (field.showname or field.show):
            return [str(field.showname or field.show)[:_MOST_FIELD_CHARACTERS]]
    return []


_TELLERS: dict[str, Callable[["XmlLayer"], list[str]]] = {
    "eth": _nothing,
    "vlan": lambda layer: [_show(layer, "vlan.id")],
    "ip": _between("ip.src", "ip.dst"),
    "ipv6": _between("ipv6.src", "ipv6.dst"),
    "udp": _between("udp.srcport", "udp.dstport"),
    "tcp": _tcp,
    "vxlan": lambda layer: [_show(layer, "vxlan.vni")],
    "icmp": _icmp,
    "icmpv6": _icmp,
    "dns": _dns,
    "arp": _arp,
}
