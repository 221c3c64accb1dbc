"""Frames built by hand, and the packet tables that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np

from kubectl_vxtrace.model.packets import U8, Conversations, Ethernets, IcmpQuotes, Kind, Neighbours, PacketTable, Tunnels
from kubectl_vxtrace.model.path import Tap
from tests.diagnosis.places import MAC_A, MAC_B, SECOND_NS, START_NS

PROTOCOLS = {"ICMP": 1, "TCP": 6, "UDP": 17}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a capture file. `tunnel`: outer source, destination, UDP source port, port, VNI. `quotes`: a quoted packet.

    macs: inner source and destination; ethernet: the frame's own. time_ns: None: a fifth of a second after the frame before it.
    """

    source: str
    destination: str
    protocol: int = 17
    source_port: int = 0
    destination_port: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0
    payload_bytes: int = 40
    wire_bytes: int = 132
    kind: Kind = Kind.IP
    tunnel: tuple[str, str, int, int, int] | None = None
    macs: tuple[str, str] = (MAC_A, MAC_B)
    ethernet: tuple[str, str] | None = None
    outer_id: int = 0
    fragment: int = 0
    ip_id: int | None = None
    quotes: "Frame | None" = None
    quotes_inner: bool = False
    time_ns: int | None = None


def icmp(source: str, code: int, quotes: Frame, *, type_: int = 3, inner: bool = False) -> Frame:
    """An ICMP error; `inner`: what it quotes is a VXLAN packet, `quotes` the packet in that."""
    flags = type_ << 8 | code
    return Frame(source=source, destination=quotes.source, protocol=1, flags=flags, quotes=quotes, quotes_inner=inner)


def arp(source: str, target: str, *, reply: bool = False) -> Frame:
    return Frame(source=source, destination=target, protocol=0, kind=Kind.ARP, flags=2 if reply else 1)


def table(tap: Tap, frames: Sequence[Frame]) -> PacketTable:
    """The columns of a capture file with these frames."""
    talks: dict[tuple[int, str, str, int, int], int] = {}
    tunnels: dict[tuple[str, str, int, int, int, str, str], int] = {}
    talk = [talks.setdefault(_key(frame), len(talks)) for frame in frames]
    tunnel = [-1 if frame.tunnel is None else tunnels.setdefault((*frame.tunnel, *frame.macs), len(tunnels)) for frame in frames]
    quotes = [(row, frame) for row, frame in enumerate(frames) if frame.quotes is not None]
    quoted = [talks.setdefault(_key(frame.quotes), len(talks)) for _, frame in quotes if frame.quotes is not None]
    inside = np.array([frame.quotes_inner for _, frame in quotes], dtype=bool)
    count = len(frames)
    pairs = list(dict.fromkeys(frame.ethernet for frame in frames if frame.ethernet is not None))
    return PacketTable(
        tap=tap,
        frame=np.arange(1, count + 1, dtype=np.int32),
        offset=np.arange(count, dtype=np.int64) * 148 + 24,
        time_ns=np.array(
            [START_NS + row * SECOND_NS // 5 if frame.time_ns is None else frame.time_ns for row, frame in enumerate(frames)],
            dtype=np.int64,
        ),
        wire_bytes=np.array([frame.wire_bytes for frame in frames], dtype=np.int32),
        captured_bytes=np.array([frame.wire_bytes for frame in frames], dtype=np.int32),
        kind=np.array([frame.kind for frame in frames], dtype=np.uint8),
        payload_bytes=np.array([frame.payload_bytes for frame in frames], dtype=np.int32),
        conversation=np.array(talk, dtype=np.int32),
        tunnel=np.array(tunnel, dtype=np.int32),
        ip_id=np.array([row if frame.ip_id is None else frame.ip_id for row, frame in enumerate(frames)], dtype=np.uint16),
        outer_id=np.array([frame.outer_id for frame in frames], dtype=np.uint16),
        ttl=np.full(count, 63, dtype=np.uint8),
        fragment=np.array([frame.fragment for frame in frames], dtype=np.uint16),
        encapsulation=np.zeros(count, dtype=np.uint8),
        seq=np.array([frame.seq for frame in frames], dtype=np.uint32),
        ack=np.array([frame.ack for frame in frames], dtype=np.uint32),
        flags=np.array([frame.flags for frame in frames], dtype=np.uint16),
        digest=np.zeros(count, dtype=np.uint64),
        interface=np.zeros(count, dtype=np.int32),
        ethernet=np.array([-1 if frame.ethernet is None else pairs.index(frame.ethernet) for frame in frames], dtype=np.int32),
        conversations=Conversations(
            protocol=np.array([key[0] for key in talks], dtype=np.uint8),
            source=_addresses([key[1] for key in talks]),
            destination=_addresses([key[2] for key in talks]),
            source_port=np.array([key[3] for key in talks], dtype=np.uint16),
            destination_port=np.array([key[4] for key in talks], dtype=np.uint16),
        ),
        tunnels=Tunnels(
            source=_addresses([key[0] for key in tunnels]),
            destination=_addresses([key[1] for key in tunnels]),
            source_port=np.array([key[2] for key in tunnels], dtype=np.uint16),
            port=np.array([key[3] for key in tunnels], dtype=np.uint16),
            vni=np.array([key[4] for key in tunnels], dtype=np.uint32),
            inner_source_mac=np.array([_mac(key[5]) for key in tunnels], dtype=np.uint64),
            inner_destination_mac=np.array([_mac(key[6]) for key in tunnels], dtype=np.uint64),
        ),
        ethernets=Ethernets(
            source=np.array([_mac(pair[0]) for pair in pairs], dtype=np.uint64),
            destination=np.array([_mac(pair[1]) for pair in pairs], dtype=np.uint64),
        ),
        icmp_quotes=IcmpQuotes(
            row=np.array([row for row, _ in quotes], dtype=np.int32),
            conversation=np.where(inside, -1, np.array(quoted, dtype=np.int32)).astype(np.int32),
            ip_id=np.zeros(len(quotes), dtype=np.uint16),
            inner_conversation=np.where(inside, np.array(quoted, dtype=np.int32), -1).astype(np.int32),
            inner_ip_id=np.zeros(len(quotes), dtype=np.uint16),
        ),
        neighbours=_neighbours(frames),
    )


def _neighbours(frames: Sequence[Frame]) -> Neighbours:
    """The ARP messages among the frames."""
    messages = [(row, frame) for row, frame in enumerate(frames) if frame.kind is Kind.ARP]
    return Neighbours(
        row=np.array([row for row, _ in messages], dtype=np.int32),
        address=_addresses([frame.source if frame.flags == 2 else frame.destination for _, frame in messages]),
        answer=np.array([frame.flags == 2 for _, frame in messages], dtype=np.bool_),
        mac=np.zeros(len(messages), dtype=np.uint64),
    )


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _key(frame: Frame) -> tuple[int, str, str, int, int]:
    return frame.protocol, frame.source, frame.destination, frame.source_port, frame.destination_port


def _addresses(texts: Sequence[str]) -> U8:
    raw = b""
    for text in texts:
        address = ip_address(text)
        raw += address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 16)
