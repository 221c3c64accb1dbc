"""Packets as columns: numpy arrays, one row for each frame of one capture file; and which of its conversations answer which.

Addresses are 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), so that both families share one layout.
Arrays are read-only and records are compared by identity.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.path import Tap

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Kind(IntEnum):
    """What a frame turned out to be. MALFORMED: its headers contradict each other; CUT: they were not captured whole."""

    IP = 0
    ARP = 1
    OTHER = 2
    MALFORMED = 3
    CUT = 4


class Encapsulation(IntEnum):
    """What carries other packets. VXLAN is opened, once: its packets have a `tunnel`. The others are only named.

    VXLAN: on the ports that were told, and by its content on any UDP port. Geneve: UDP 6081. IP_IN_IP: protocols 4 and 41. GRE: 47.
    WireGuard: by its content on any UDP port. ESP (IPsec): protocol 50, and UDP 4500 (RFC 3948).
    """

    NONE = 0
    VXLAN = 1
    GENEVE = 2
    IP_IN_IP = 3
    GRE = 4
    WIREGUARD = 5
    ESP = 6


def address_text(raw: U8) -> str:
    """The text of a 16-byte address; IPv4-mapped ones in dotted form."""
    address = IPv6Address(raw.tobytes())
    return str(address.ipv4_mapped or address)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conversations:
    """Distinct innermost (protocol, source, destination, ports), directed. n rows.

    ICMP echo: both ports are the identifier. Other ICMP, and protocols without ports: 0. Later fragments: ports 0.
    ARP: protocol 0, source and destination are the protocol addresses, ports 0.
    """

    protocol: U8
    source: U8
    destination: U8
    source_port: U16
    destination_port: U16

    def __len__(self) -> int:
        return len(self.protocol)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tunnels:
    """Distinct VXLAN encapsulations: outer addresses, UDP ports, VNI and the inner Ethernet addresses (48 bits in a uint64)."""

    source: U8
    destination: U8
    source_port: U16
    port: U16
    vni: U32
    inner_source_mac: U64
    inner_destination_mac: U64

    def __len__(self) -> int:
        return len(self.vni)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IcmpQuotes:
    """ICMP errors and what they quote: `row` is the error's row; `conversation` and `ip_id` are the quoted packet's.

    Where the quoted packet is itself a VXLAN packet, `inner_conversation` and `inner_ip_id` are its inner packet's, else -1 and 0.
    """

    row: I32
    conversation: I32
    ip_id: U16
    inner_conversation: I32
    inner_ip_id: U16

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """ARP and IPv6 neighbour discovery: `row` is the message's row, ascending; `address` what it is about.

    answer: it tells where the address is (a reply, an advertisement, an announcement nobody asked for); else it asks for it, and the
    asker is the source of the row's conversation. mac: of the answer, what it tells; of a question, the asker's; 0 where it is not said.
    """

    row: I32
    address: U8
    answer: NDArray[np.bool_]
    mac: U64

    def __len__(self) -> int:
        return len(self.row)


class Notice(IntEnum):
    """What an end says of itself. DNS_ERROR: a response whose code is not NOERROR. HTTP_ERROR: a status of 500 or more. SHUT_WINDOW: a TCP
    window of zero, so that the other side may send nothing."""

    DNS_ERROR = 1
    HTTP_ERROR = 2
    SHUT_WINDOW = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Notices:
    """Packets with a Notice: `row`, ascending; `code`: DNS response code, HTTP status."""

    row: I32
    notice: U8
    code: U16

    def __len__(self) -> int:
        return len(self.row)


NO_NOTICES = Notices(row=np.zeros(0, np.int32), notice=np.zeros(0, np.uint8), code=np.zeros(0, np.uint16))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ethernets:
    """Distinct pairs of outermost Ethernet addresses, 48 bits in a uint64: of the frames themselves, whatever they carry."""

    source: U64
    destination: U64

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInterface:
    """An interface that a capture file was recorded on.

    name: as a pcapng file's interface description gives it, else None. index: the kernel's number of the interface, which stands in the
    header of each frame of link type LINUX_SLL2 (`tcpdump -i any`), else None. link_type: its number at tcpdump.org (1: Ethernet).
    """

    name: str | None = None
    index: int | None = None
    link_type: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PacketTable:
    """The frames of one capture file, n rows, in file order; or only those of one of its interfaces (see InterfaceTable).

    frame: number in the file, from 1. offset: of the record header in the file. time_ns: Unix ns. captured_bytes: of the frame.
    wire_bytes: the frame's length; where its link has no Ethernet header, as if one stood in place of the link's own, so that lengths
    at different taps compare. kind: Kind. interface: a row of `interfaces`. ethernet: a row of `ethernets`, -1 where the link has no
    Ethernet header (raw IP, loopback, Linux cooked) or it was not captured. conversation, tunnel: rows of the small tables, -1 for none.
    All others are the innermost packet's:
    payload_bytes: L4 payload by the IP length (not by what was captured). ip_id, ttl. fragment: IPv4 flags and offset field.
    encapsulation: what an innermost packet carries that was not followed: an Encapsulation, VXLAN only where it lies in another VXLAN.
    seq, ack: TCP numbers, or ICMP echo sequence in seq. flags: TCP flags; ICMP type << 8 | code; ARP opcode.
    outer_id: IP ID of the outer packet, 0 for bare ones. digest: hash of the first bytes of L4 payload (96, or what read_pcap was told)
    and of how many these are; 0 where not so many were captured as there are.
    stopped_at: where the file ended, or turned to garbage, inside a record: the offset behind the last whole one; None for a whole file.
    common_payload_bytes: how many of the first 96 payload bytes, or all that there are, were captured of every packet; those of which
    fewer than 16 were captured do not count.
    parts: where a capture was written into several files, the first row of each; `offset` is then that in the row's own file.
    """

    tap: Tap | None
    frame: I32
    offset: I64
    time_ns: I64
    wire_bytes: I32
    captured_bytes: I32
    kind: U8
    payload_bytes: I32
    conversation: I32
    tunnel: I32
    ip_id: U16
    outer_id: U16
    ttl: U8
    fragment: U16
    encapsulation: U8
    seq: U32
    ack: U32
    flags: U16
    digest: U64
    interface: I32
    ethernet: I32
    conversations: Conversations
    tunnels: Tunnels
    ethernets: Ethernets
    icmp_quotes: IcmpQuotes
    neighbours: Neighbours
    notices: Notices = NO_NOTICES
    interfaces: tuple[CaptureInterface, ...] = (CaptureInterface(),)
    stopped_at: int | None = None
    common_payload_bytes: int = 96
    parts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def whole(self) -> bool:
        """Whether the file ended behind a record."""
        return self.stopped_at is None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InterfaceTable:
    """The frames of one interface of a capture file; `frame` and `offset` are those in the file. name, index: see CaptureInterface."""

    name: str | None
    index: int | None
    table: PacketTable


def answering(table: PacketTable, rows: I32) -> I64:
    """Numbers of the conversations of `table` that are the reverse of those in which `rows` are, present in any frame or not."""
    asked = np.unique(table.conversation[rows])
    reverse = conversation_keys(table.conversations, reverse=True)[asked[asked >= 0]]
    return np.flatnonzero(np.isin(conversation_keys(table.conversations), reverse)).astype(np.int64)


def answered(table: PacketTable, rows: I32) -> NDArray[np.bool_]:
    """For each of `rows` whether the table holds any frame of the reverse of its conversation."""
    conversation = table.conversation[rows]
    seen = np.unique(table.conversation[table.conversation >= 0])
    if not len(seen):
        return np.zeros(len(rows), dtype=np.bool_)
    reverse = conversation_keys(table.conversations, reverse=True)[np.maximum(conversation, 0)]
    return np.asarray((conversation >= 0) & np.isin(reverse, conversation_keys(table.conversations)[seen]))


def conversation_keys(conversations: Conversations, *, reverse: bool = False) -> NDArray[np.void]:
    """One comparable value for each conversation, or for its reverse."""
    ends = [conversations.source, conversations.destination]
    ports = [conversations.source_port, conversations.destination_port]
    if reverse:
        ends.reverse()
        ports.reverse()
    columns = [conversations.protocol[:, None], *ends]
    columns += [port.astype(">u2").view(np.uint8).reshape(-1, 2) for port in ports]
    raw = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return raw.view(np.dtype((np.void, raw.shape[1]))).reshape(-1)
