"""What tshark says of a frame, layer by layer: `frame.protocols` tells which occurrence of a field belongs to which header."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.packets import oracle
from tests.packets.corpus import VXLAN_PORTS

FIELDS = (
    *("frame.protocols", "frame.number", "frame.file_off", "frame.time_epoch", "frame.len", "frame.cap_len", "_ws.short", "_ws.malformed"),
    *("eth.src", "eth.dst", "eth.type", "vlan.etype"),
    *("ip.src", "ip.dst", "ip.id", "ip.ttl", "ip.proto", "ip.flags", "ip.frag_offset", "ip.len", "ip.hdr_len"),
    *("ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.nxt", "ipv6.plen", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt", "ipv6.fraghdr.nxt"),
    *("ipv6.fraghdr.offset", "ipv6.fraghdr.more", "ipv6.fraghdr.ident", "ipv6.hopopts.len_oct", "ipv6.dstopts.len_oct"),
    *("udp.srcport", "udp.dstport", "udp.length", "sctp.srcport", "sctp.dstport"),
    *("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.len", "tcp.hdr_len"),
    *("icmp.type", "icmp.code", "icmp.ident", "icmp.seq"),
    *("icmpv6.type", "icmpv6.code", "icmpv6.echo.identifier", "icmpv6.echo.sequence_number"),
    *("arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "vxlan.vni", "data.data"),
)
EXTENSIONS = ("ipv6.hopopts", "ipv6.dstopts", "ipv6.fraghdr")
_ECHO = ("icmp.ident", "icmp.seq", "icmpv6.echo.identifier", "icmpv6.echo.sequence_number")
"""Fields that only echo messages have, of which there is one in a frame. ICMP's are printed in both byte orders, big-endian first."""


@dataclass(frozen=True, slots=True)
class Layers:
    """One frame. A position is an index into `names`, the protocols from the outermost on."""

    names: tuple[str, ...]
    fields: dict[str, list[str]]

    def text(self, position: int, field: str) -> str | None:
        """A field of the header at a position; None where tshark does not have it."""
        name = self.names[position]
        place = 0 if field in _ECHO else self.names[:position].count(name)
        values = self.fields[field]
        return values[place] if place < len(values) else None

    def number(self, position: int, field: str) -> int | None:
        """The same as a number."""
        text = self.text(position, field)
        return None if text is None else int(text, 0)

    def frame(self, field: str) -> str:
        """A field of the frame itself."""
        return self.fields[field][0]

    @property
    def broken(self) -> bool:
        """Whether tshark missed bytes, or found headers that cannot be."""
        return bool(self.fields["_ws.short"] or self.fields["_ws.malformed"])

    @property
    def own(self) -> range:
        """Positions up to an ICMP message: what follows that is a packet that an error quotes."""
        ends = [place for place, name in enumerate(self.names) if name in ("icmp", "icmpv6")]
        return range(ends[0] + 1 if ends else len(self.names))

    @property
    def quoted(self) -> range:
        """Positions of a quoted packet."""
        return range(len(self.own), len(self.names))

    def last(self, positions: range, *names: str) -> int | None:
        """The innermost of some headers."""
        found = [place for place in positions if self.names[place] in names]
        return found[-1] if found else None

    def first(self, positions: range, *names: str) -> int | None:
        """The outermost of some headers."""
        return next((place for place in positions if self.names[place] in names), None)


def read(path: Path) -> list[Layers]:
    """What tshark says of each frame."""
    command = [*oracle.command(path, FIELDS, VXLAN_PORTS), "-o", "frame.show_file_off:TRUE"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = []
    for line in done.stdout.splitlines():
        fields = {name: value.split(",") if value else [] for name, value in zip(FIELDS, line.split("\t"), strict=True)}
        names = tuple(name for name in fields["frame.protocols"][0].split(":") if name not in ("ethertype",))
        found.append(Layers(names, fields))
    return found
