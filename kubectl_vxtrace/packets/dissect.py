"""What tshark says of a few packets, through pyshark.

Only XML mode keeps the layers inside a tunnel: in JSON and EK the inner `eth` and `ip` repeat keys and get lost. It is slow (some hundred
packets a second), so the packets are first cut out into a small file, and tshark runs once.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.text import clean_bytes
from kubectl_vxtrace.packets.cut import cut

if TYPE_CHECKING:
    from pyshark.packet.layers.xml_layer import XmlLayer
    from pyshark.packet.packet import Packet

MAX_ROWS = 500
"""More are not dissected; a person does not read them."""

TIMEOUT_S = 20.0
"""Longest run of tshark; what it said until then is returned."""

_SNAPLEN_BYTES = 1024
_MOST_CHARACTERS = 400
_MOST_FIELD_CHARACTERS = 80
_MOST_VALUES = 4


class DissectError(CannotRunError):
    """tshark or pyshark failed and said nothing of any packet."""


def tshark_available() -> bool:
    """Whether there is a tshark on the PATH."""
    return shutil.which("tshark") is not None


def dissect(path: str | Path, table: PacketTable, rows: Sequence[int], *, vxlan_ports: Collection[int]) -> dict[int, str]:
    """One line of printable ASCII for each row: the protocols from the outside in, with their addresses, ports and messages.

    Rows that tshark did not get to in TIMEOUT_S, and all beyond MAX_ROWS, are missing.

    Raises:
        DissectError: there is no tshark, or it failed before the first packet.
        PcapError: the file cannot be read.
    """
    chosen = list(dict.fromkeys(rows))[:MAX_ROWS]
    tshark = shutil.which("tshark")
    if tshark is None:
        raise DissectError("tshark is not installed, so packets are not dissected", "install tshark (Debian: apt-get install tshark)")
    if not chosen:
        return {}
    with tempfile.TemporaryDirectory(prefix="vxtrace-") as folder:
        small = Path(folder) / "packets.pcapng"
        cut(path, table, chosen, small, snaplen_bytes=_SNAPLEN_BYTES)
        # Tunnels that were known by their content are on ports that tshark has to be told.
        lines, failure = _run(tshark, small, {*vxlan_ports, *table.tunnels.port.tolist()})
    if failure is not None and not lines:
        raise DissectError(
            f"tshark could not dissect the packets: {clean_bytes(failure.encode(), 200, spaces=True)}", "try tshark -r on the capture"
        )
    return dict(zip(chosen, lines, strict=False))


def _run(tshark: str, file: Path, vxlan_ports: Collection[int]) -> tuple[list[str], str | None]:
    """The lines of the packets in the file's order, and why there are not more."""
    from pyshark import FileCapture
    from pyshark.capture.capture import TSharkCrashException

    lines: list[str] = []
    failure: str | None = None
    # A loop of its own: pyshark's way to one is broken on Python 3.14 and outside the main thread.
    loop = asyncio.new_event_loop()
    try:
        capture = FileCapture(
            str(file),
            keep_packets=False,
            # Named, so that pyshark takes none from a config.ini in the current directory.
            tshark_path=tshark,
            decode_as={f"udp.port=={int(port)}": "vxlan" for port in vxlan_ports},
            eventloop=loop,
        )
        try:
            loop.run_until_complete(asyncio.wait_for(_read(capture, lines), TIMEOUT_S))
        except TimeoutError:
            failure = f"it took longer than {TIMEOUT_S:.0f} s"
        except (TSharkCrashException, OSError, ValueError) as error:
            failure = _reason(error)
        finally:
            failure = _close(capture) or failure
    finally:
        loop.close()
    return lines, failure


async def _read(capture: Any, lines: list[str]) -> None:
    """Read all packets and wait for tshark to end by itself: killing it while it ends makes asyncio lose its exit status, and say so."""
    await capture.packets_from_tshark(lambda packet: lines.append(describe(packet)), close_tshark=False)
    for process in tuple(capture._running_processes):
        await process.wait()


def _close(capture: Any) -> str | None:
    """End tshark if it still runs; its exit status is looked at once more."""
    from pyshark.capture.capture import TSharkCrashException

    try:
        capture.close()
    except (TSharkCrashException, TimeoutError) as error:
        return _reason(error)
    finally:
        # pyshark's destructor closes again where processes are left, and fails on the closed loop.
        capture._running_processes.clear()
    return None


def _reason(error: Exception) -> str:
    """tshark's own last words where pyshark quotes them; the rest of its message is a command line."""
    for line in str(error).splitlines():
        label, _, words = line.partition(": ")
        if label == "Last error line" and words:
            return words
    return "it ended with an error" if "crashed" in str(error) else str(error) or type(error).__name__


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
    """A field as Wireshark spells it out, without its label: `Echo (ping) request` of `Type: 8 (Echo (ping) request)`."""
    field = layer.get_field(name)
    if field is None or not field.showname:
        return ""
    said = str(field.showname).partition(": ")[2] or str(field.showname)
    inside = said.partition(" (")[2]
    return (inside[:-1] if inside.endswith(")") else said)[:_MOST_FIELD_CHARACTERS]


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
