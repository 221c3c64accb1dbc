"""What makes two frames the same packet: which header fields survive what happens to a packet on its way.

Two frames are taken for the same packet if all fields agree that nothing between their taps can have altered, as far as these fields tell
packets apart at all. `ALTERED` says what each event alters; everything else survives it. A `Key` names the fields that one use compares and
the events that may lie between; a key that compares what its events alter cannot be made. Times are no part of a key: where several frames
have one key, they are joined in time order (`match`).

Rules beside the table:

- The client's port is known by attribution before packets are matched, through port rewriting as well: it is a field of its own here, and
  nothing alters it. Where attribution itself is at work (SNAT inference) it is unknown and not compared.
- Fragments are joined to their packet before it is compared (`unpack.fragments`); a later fragment has no ports, and is known by protocol,
  addresses and IP ID alone (RFC 791, 3.2; RFC 8200, 4.5).
- Segmentation offload makes one frame of many packets and the reverse. A super-packet has the sequence number, IP ID and payload digest of
  its first packet. Beyond that TCP data is known by the bytes that it carries (`unpack.segments`), datagrams by IP IDs that count on
  (`unpack.datagrams`).
- An ICMP error quotes the IP header and the ports of the packet that caused it (RFC 792; RFC 4443, 3.1): that one is known by client port
  and IP ID (`judge.rejections`).
- An IP ID tells packets apart only where the sender uses one: IPv6 has none, and Linux sends 0 with DF set outside connections
  (RFC 6864, 4; ip_select_ident_segs in include/net/ip.h). It is compared beside the key of a packet on a path, and TCP is matched a second
  time without it, since offloads renumber segments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.columns import number_rows
from kubectl_vxtrace.model.packets import I32, U64, PacketTable
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST, TCP_SYN

Rows = NDArray[np.generic] | slice


class Field(StrEnum):
    """What can be compared. The first three come from attribution, the next two from cutting TCP data, the rest from the frame."""

    GROUP = "group of flows"
    DIRECTION = "direction"
    CLIENT_PORT = "client's port"
    FIRST_BYTE = "client's port and place of the first byte of TCP data"
    LENGTH = "number of bytes of TCP data"
    KIND = "kind of frame"
    CONVERSATION = "addresses, protocol and ports"
    TTL = "TTL"
    IP_ID = "IP ID"
    FRAGMENT = "fragment offset and flags"
    SEQ = "TCP or ICMP sequence number"
    ACK = "acknowledgement number"
    FLAGS = "TCP flags, or ICMP type and code"
    OPENING_FLAGS = "SYN, RST and ACK"
    PAYLOAD_BYTES = "payload length"
    HAS_PAYLOAD = "whether there is a payload"
    DIGEST = "digest of the payload's beginning"
    TUNNEL = "encapsulation"
    OUTER_ID = "outer IP ID"
    WIRE_BYTES = "frame length"


class Event(StrEnum):
    """What happens to a packet between two taps."""

    FORWARDING = "forwarding"
    DNAT = "DNAT"
    SNAT = "SNAT"
    PORT_REWRITING = "port rewriting"
    ENCAPSULATION = "encapsulation"
    REENCAPSULATION = "two equal packets, each encapsulated by itself"
    OFFLOAD = "segmentation offload, against the first packet"
    OFFLOAD_REST = "segmentation offload, against the other packets"
    FRAGMENTATION = "fragmentation, against the first fragment"
    DUPLICATION = "duplication"


ALTERED: Mapping[Event, frozenset[Field]] = {
    # A router takes one from the TTL (RFC 1812, 5.3.1; ip_forward in net/ipv4/ip_forward.c). A bridge alters nothing (IEEE 802.1D).
    Event.FORWARDING: frozenset({Field.TTL}),
    # Addresses and ports, and the checksums over them (RFC 3022, 4.1; nf_nat_ipv4_manip_pkt in net/netfilter/nf_nat_proto.c).
    Event.DNAT: frozenset({Field.CONVERSATION}),
    Event.SNAT: frozenset({Field.CONVERSATION}),
    # The source port, or ICMP identifier, where another connection has it (RFC 4787, 4.2; get_unique_tuple in nf_nat_core.c).
    Event.PORT_REWRITING: frozenset({Field.CONVERSATION}),
    # The inner packet stays as it is; outer headers come in front of it (RFC 7348, 5; vxlan_build_skb in drivers/net/vxlan/vxlan_core.c).
    Event.ENCAPSULATION: frozenset({Field.TUNNEL, Field.OUTER_ID, Field.WIRE_BYTES}),
    # The outer packet is numbered anew each time (iptunnel_xmit in net/ipv4/ip_tunnel_core.c).
    Event.REENCAPSULATION: frozenset({Field.OUTER_ID}),
    # One frame for several packets. PSH and FIN are those of the last, CWR of the first (tcp_gso_segment in net/ipv4/tcp_offload.c).
    Event.OFFLOAD: frozenset({Field.PAYLOAD_BYTES, Field.LENGTH, Field.FLAGS, Field.WIRE_BYTES}),
    # The others have sequence number and bytes of their own, and IP IDs that count on (inet_gso_segment in net/ipv4/af_inet.c).
    Event.OFFLOAD_REST: frozenset(
        {Field.PAYLOAD_BYTES, Field.LENGTH, Field.FLAGS, Field.WIRE_BYTES, Field.IP_ID, Field.SEQ, Field.FIRST_BYTE, Field.DIGEST}
    ),
    # Offset and MF; each fragment has its part of the payload (RFC 791, 3.2; ip_do_fragment in net/ipv4/ip_output.c).
    Event.FRAGMENTATION: frozenset({Field.FRAGMENT, Field.PAYLOAD_BYTES, Field.LENGTH, Field.WIRE_BYTES}),
    # The same bytes again (skb_clone: a bond and its member, a mirrored port, a flooded frame).
    Event.DUPLICATION: frozenset(),
}
"""What each event alters of the fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The fields by which one use compares frames, and the events that may lie between them.

    Raises:
        ValueError: a field is compared that one of the events alters.
    """

    fields: tuple[Field, ...]
    across: frozenset[Event]

    def __post_init__(self) -> None:
        for event in self.across:
            if altered := ALTERED[event] & set(self.fields):
                raise ValueError(f"{event} alters {', '.join(sorted(altered))}")


ON_THE_PATH = frozenset({Event.FORWARDING, Event.DNAT, Event.SNAT, Event.PORT_REWRITING, Event.ENCAPSULATION, Event.DUPLICATION})

SNAT_KEY = Key(
    fields=(Field.HAS_PAYLOAD, Field.OPENING_FLAGS, Field.IP_ID, Field.SEQ, Field.DIGEST),
    across=ON_THE_PATH | {Event.OFFLOAD},
)
"""Frames of the client beside frames of an unknown source, or an unknown port, to the same backends."""
DNAT_KEY = Key(
    fields=(Field.CLIENT_PORT, Field.IP_ID, Field.SEQ, Field.DIGEST, Field.FLAGS, Field.PAYLOAD_BYTES),
    across=ON_THE_PATH,
)
"""Requests to a Service beside frames of the same client to an address that is no backend; not through offloads."""
BACKEND_KEY = Key(
    fields=(Field.CLIENT_PORT, Field.IP_ID, Field.SEQ, Field.DIGEST, Field.GROUP, Field.DIRECTION),
    across=ON_THE_PATH | {Event.OFFLOAD},
)
"""Frames in service form beside the same ones in server form."""
ORIGIN_KEY = Key(
    fields=(Field.CLIENT_PORT, Field.IP_ID, Field.SEQ, Field.DIGEST, Field.DIRECTION, Field.HAS_PAYLOAD),
    across=ON_THE_PATH | {Event.OFFLOAD},
)
"""Frames behind the client's interface beside the same ones at it, where one port asked in several forms."""
PASSAGE_KEY = Key(
    fields=(Field.CLIENT_PORT, Field.IP_ID, Field.SEQ, Field.FRAGMENT, Field.FLAGS, Field.PAYLOAD_BYTES, Field.DIGEST),
    across=ON_THE_PATH,
)
"""Passages of one packet at one tap: a routing loop, or a path that comes there twice."""
DOUBLE_KEY = Key(
    fields=(
        *(Field.IP_ID, Field.OUTER_ID, Field.SEQ, Field.FRAGMENT, Field.FLAGS, Field.ACK, Field.TTL, Field.KIND, Field.PAYLOAD_BYTES),
        *(Field.WIRE_BYTES, Field.CONVERSATION, Field.TUNNEL, Field.DIGEST),
    ),
    across=frozenset({Event.DUPLICATION}),
)
"""Frames that an interface and its member both showed."""
REPEATED_KEY = Key(
    fields=tuple(field for field in DOUBLE_KEY.fields if field is not Field.OUTER_ID),
    across=frozenset({Event.DUPLICATION, Event.REENCAPSULATION}),
)
"""Frames that their sender may have sent twice."""
TCP_CONTROL_KEY = Key(
    fields=(Field.CLIENT_PORT, Field.FLAGS, Field.SEQ, Field.ACK, Field.PAYLOAD_BYTES),
    across=ON_THE_PATH,
)
"""TCP packets without data at all hops of a path; the IP ID is compared beside it."""
TCP_DATA_KEY = Key(fields=(Field.FIRST_BYTE, Field.LENGTH), across=ON_THE_PATH)
"""Pieces of TCP data, cut at all boundaries that any hop shows, so that offloads no longer matter; the IP ID is compared beside it."""
DATAGRAM_KEY = Key(fields=(Field.CLIENT_PORT, Field.PAYLOAD_BYTES, Field.DIGEST, Field.SEQ), across=ON_THE_PATH)
"""Datagrams at all hops of a path, taken out of super-packets; the IP ID is compared beside it."""
FIRST_DATAGRAM_KEY = Key(fields=(Field.CLIENT_PORT, Field.IP_ID, Field.DIGEST), across=ON_THE_PATH | {Event.OFFLOAD, Event.FRAGMENTATION})
"""A super-packet beside the first datagram that it holds."""
CUT_DATAGRAM_KEY = Key(fields=(Field.CLIENT_PORT, Field.IP_ID, Field.PAYLOAD_BYTES), across=ON_THE_PATH)
"""The same frames at several hops, of which some were captured too short for a digest."""
FRAGMENT_KEY = Key(fields=(Field.CLIENT_PORT, Field.IP_ID), across=ON_THE_PATH | {Event.FRAGMENTATION})
"""Fragments of one packet at one hop, later ones too: attribution gave them the first one's port."""

_WIDTH_BITS: Mapping[Field, int] = {
    **dict.fromkeys((Field.FIRST_BYTE, Field.DIGEST), 64),
    **dict.fromkeys((Field.GROUP, Field.SEQ, Field.ACK, Field.PAYLOAD_BYTES, Field.LENGTH), 32),
    **dict.fromkeys((Field.WIRE_BYTES, Field.CONVERSATION, Field.TUNNEL), 32),
    **dict.fromkeys((Field.CLIENT_PORT, Field.IP_ID, Field.OUTER_ID, Field.FRAGMENT, Field.FLAGS, Field.OPENING_FLAGS), 16),
    **dict.fromkeys((Field.KIND, Field.TTL, Field.DIRECTION, Field.HAS_PAYLOAD), 8),
}
_OPENING_FLAGS = TCP_SYN | TCP_RST | TCP_ACK

_COLUMN: Mapping[Field, Callable[[PacketTable, Rows], NDArray[Any]]] = {
    Field.KIND: lambda table, rows: table.kind[rows],
    # -1, none, is the largest number here
    Field.CONVERSATION: lambda table, rows: table.conversation[rows].astype(np.uint32),
    Field.TUNNEL: lambda table, rows: table.tunnel[rows].astype(np.uint32),
    Field.TTL: lambda table, rows: table.ttl[rows],
    Field.IP_ID: lambda table, rows: table.ip_id[rows],
    Field.OUTER_ID: lambda table, rows: table.outer_id[rows],
    Field.FRAGMENT: lambda table, rows: table.fragment[rows],
    Field.SEQ: lambda table, rows: table.seq[rows],
    Field.ACK: lambda table, rows: table.ack[rows],
    Field.FLAGS: lambda table, rows: table.flags[rows],
    Field.OPENING_FLAGS: lambda table, rows: table.flags[rows] & _OPENING_FLAGS,
    Field.PAYLOAD_BYTES: lambda table, rows: table.payload_bytes[rows],
    Field.HAS_PAYLOAD: lambda table, rows: table.payload_bytes[rows] > 0,
    Field.DIGEST: lambda table, rows: table.digest[rows],
    Field.WIRE_BYTES: lambda table, rows: table.wire_bytes[rows],
}


def key_columns(key: Key, table: PacketTable, rows: Rows, given: Mapping[Field, NDArray[Any]] | None = None) -> tuple[U64, ...]:
    """The key of some rows of a table as columns of 64 bits, as few as its fields fit in.

    Args:
        given: columns, one entry for each of the rows, that are not the table's, or stand in place of the table's.
    """
    words: list[U64] = []
    free_bits = 0
    for field in key.fields:
        column = given[field] if given is not None and field in given else _COLUMN[field](table, rows)
        if _WIDTH_BITS[field] > free_bits:
            words.append(column.astype(np.uint64))
            free_bits = 64
        else:
            words[-1] = (words[-1] << np.uint64(_WIDTH_BITS[field])) | column.astype(np.uint64)
        free_bits -= _WIDTH_BITS[field]
    return tuple(words)


def number_packets(keys: Sequence[tuple[U64, ...]]) -> I32:
    """A number for each row of several tables' key columns, one table after the other: the same exactly for equal keys."""
    return number_rows([np.concatenate(columns) for columns in zip(*keys, strict=True)])
