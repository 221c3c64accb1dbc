"""Ethernet frames and pcap files made by hand, for captures whose truth is known."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

_START_S = 1_700_000_000
_SYN, _SYN_ACK = 0x02, 0x12


def ethernet(payload: bytes, source: int = 1, destination: int = 2, kind: int = 0x0800) -> bytes:
    return destination.to_bytes(6, "big") + source.to_bytes(6, "big") + kind.to_bytes(2, "big") + payload


def ip(source: str, destination: str, protocol: int, payload: bytes, *, ident: int, ttl: int) -> bytes:
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident & 0xFFFF, 0, ttl, protocol, 0) + ends + payload


def udp(source_port: int, destination_port: int, payload: bytes = b"question" * 5) -> bytes:
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def tcp(source_port: int, destination_port: int, flags: int) -> bytes:
    return struct.pack(">HHIIBBHHH", source_port, destination_port, 1000, 0, 0x50, flags, 65535, 0, 0)


def echo(kind: int, ident: int) -> bytes:
    return struct.pack(">BBHHH", kind, 0, 0, ident, 1) + b"ping" * 4


@dataclass(slots=True, kw_only=True)
class Side:
    """A pod and its node."""

    pod: str
    node: str
    underlay: str
    mac: int


A = Side(pod="10.244.114.75", node="ada-ec-1", underlay="10.128.0.72", mac=0x660000000001)
B = Side(pod="10.244.56.129", node="ada-ec-2", underlay="10.128.0.95", mac=0x660000000002)
C = Side(pod="10.244.106.65", node="ada-ec-3", underlay="10.128.0.96", mac=0x660000000003)
PLACES = ("pod", "vxlan-calico", "primary-interface")


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Frames by file name; `send` puts one packet at every place of its way, up to where it is lost."""

    files: dict[str, list[bytes]] = field(default_factory=dict)
    ident: int = 0

    def put(self, node: str, place: str, frame: bytes) -> None:
        self.files.setdefault(f"{node}-{place}.pcap", []).append(frame)

    def empty(self, *sides: Side, places: Sequence[str] = PLACES) -> None:
        """Files without packets, as tcpdump leaves them where nothing came."""
        for side in sides:
            for place in places:
                self.files.setdefault(f"{side.node}-{place}.pcap", [])

    def send(
        self,
        start: Side,
        end: Side,
        protocol: int,
        payload: bytes,
        *,
        was: str | None = None,
        becomes: str | None = None,
        hops: int = 6,
        bridged: bool = False,
        bare: bool = False,
    ) -> None:
        """One packet from pod to pod; at the sender's pod its destination is `was`, at the receiver's pod its source is `becomes`."""
        self.ident += 1

        def inner(ttl: int, source: str = start.pod, destination: str = end.pod) -> bytes:
            return ethernet(ip(source, destination, protocol, payload, ident=self.ident, ttl=ttl), start.mac, end.mac)

        vxlan = struct.pack(">II", 0x08000000, 4096 << 8)
        outer = udp(50000 + self.ident % 1000, 4789, vxlan + inner(63))
        wire = inner(63) if bare else ethernet(ip(start.underlay, end.underlay, 17, outer, ident=self.ident + 7, ttl=64))
        way = [
            (start.node, "pod", inner(64, destination=was or end.pod)),
            (start.node, "bridge", inner(64, destination=was or end.pod)),
            (start.node, "vxlan-calico", inner(63)),
            (start.node, "primary-interface", wire),
            (end.node, "primary-interface", wire),
            (end.node, "vxlan-calico", inner(63)),
            (end.node, "bridge", inner(62, source=becomes or start.pod)),
            (end.node, "pod", inner(62, source=becomes or start.pod)),
        ]
        used = [step for step in way if (step[1] != "bridge" or bridged) and (step[1] != "vxlan-calico" or not bare)]
        for node, place, frame in used[:hops]:
            self.put(node, place, frame)

    def ask(self, client: Side, server: Side, port: int, *, service: str | None = None, hops: int = 6, answered: bool = True) -> None:
        """A DNS question and, if all hops saw it, its answer."""
        self.send(client, server, 17, udp(port, 53), was=service, hops=hops)
        if answered and hops >= 6:
            self.send(server, client, 17, udp(53, port, b"answer" * 12), becomes=service)

    def write(self, folder: Path) -> None:
        for name, frames in self.files.items():
            (folder / name).write_bytes(pcap(frames))


def pcap(frames: Iterable[bytes]) -> bytes:
    """A pcap file of Ethernet frames, a millisecond apart."""
    records = (
        struct.pack("<IIII", _START_S, 1000 * number, len(frame), len(frame)) + frame for number, frame in enumerate(frames, start=1)
    )
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + b"".join(records)


def syn(source_port: int, destination_port: int) -> bytes:
    return tcp(source_port, destination_port, _SYN)


def syn_ack(source_port: int, destination_port: int) -> bytes:
    return tcp(source_port, destination_port, _SYN_ACK)
