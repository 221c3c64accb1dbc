"""The blocks of a pcapng file that stand beside its packets (draft-ietf-opsawg-pcapng, 4): section, interfaces, names, statistics."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

SECTION, INTERFACE, NAMES, STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 4, 5, 6
COMMENT = 1
_PROGRAM = 4
MOST_OPTION_BYTES = 60_000
"""An option's length has 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceNotes:
    """What stands beside the packets of one capture: the interface's name, and what tcpdump said at its end. None: not known.

    received, dropped: packets. started_ns, stopped_ns: Unix ns.
    """

    name: str | None
    description: str | None = None
    filter: str | None = None
    snaplen_bytes: int = 0
    started_ns: int | None = None
    stopped_ns: int | None = None
    received: int | None = None
    dropped: int | None = None


def block(kind: int, body: bytes) -> bytes:
    """A block of any kind: its length stands before and behind the body, which is filled up to four bytes."""
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def section_block(about: str | None = None, program: str | None = None) -> bytes:
    """A section of unknown length in this machine's order: a comment, and shb_userappl."""
    return block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(COMMENT, about), (_PROGRAM, program)]))


def _options(options: Sequence[tuple[int, str | bytes | None]]) -> bytes:
    """Those options that have a value, with their end; nothing where none has."""
    encoded = []
    for code, value in options:
        if value is None:
            continue
        raw = (value.encode("utf-8", "replace") if isinstance(value, str) else value)[:MOST_OPTION_BYTES]
        encoded.append(struct.pack("<HH", code, len(raw)) + raw + bytes(-len(raw) % 4))
    return b"".join(encoded) + bytes(4) if encoded else b""


def interface_block(notes: InterfaceNotes, link_type: int) -> bytes:
    """if_name, if_description, if_tsresol (nanoseconds), if_filter as libpcap's text."""
    expression = None if notes.filter is None else b"\0" + notes.filter.encode("utf-8", "replace")
    options = _options([(2, notes.name), (3, notes.description), (9, b"\x09"), (11, expression)])
    return block(INTERFACE, struct.pack("<HHI", link_type, 0, notes.snaplen_bytes) + options)


def names_block(names: Mapping[str, str]) -> bytes:
    """nrb_record_ipv4 and nrb_record_ipv6, one for each address."""
    records = []
    for address, name in sorted(names.items()):
        raw = ip_address(address).packed
        value = raw + name.encode("utf-8", "replace")[:255].replace(b"\0", b"") + b"\0"
        records.append(struct.pack("<HH", 1 if len(raw) == 4 else 2, len(value)) + value + bytes(-len(value) % 4))
    return block(NAMES, b"".join(records) + bytes(4))


def statistics_block(number: int, notes: InterfaceNotes) -> bytes:
    """isb_starttime, isb_endtime, isb_ifrecv, isb_osdrop."""
    stop_ns = notes.stopped_ns or notes.started_ns or 0
    options: list[tuple[int, str | bytes | None]] = [
        (code, struct.pack("<II", *divmod(time_ns, 1 << 32))) for code, time_ns in ((2, notes.started_ns), (3, notes.stopped_ns)) if time_ns
    ]
    options += [(code, struct.pack("<Q", count)) for code, count in ((4, notes.received), (7, notes.dropped)) if count is not None]
    return block(STATISTICS, struct.pack("<III", number, *divmod(stop_ns, 1 << 32)) + _options(options))
