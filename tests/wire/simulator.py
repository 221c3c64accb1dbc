"""Captures written packet by packet, for tests that tell one story: a front to the generator of whole worlds.

Time is in ns of a true clock; each node's clock is that plus its skew. Nothing here is random: tests choose.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.wire import files, frames
from tests.wire.dress import Sides, inner_frame, ip, outer_frames
from tests.wire.emit import passing
from tests.wire.places import (
    CLIENT,
    CLIENT_NODE,
    EPOCH,
    FIRST,
    NIC,
    PODS,
    SECOND,
    SECOND_SERVER,
    SERVERS,
    SERVICE,
    TTLS,
    UNDERLAY,
    VXLAN,
    TapName,
    hops_to,
    way,
)
from tests.wire.stream import stream_bytes
from tests.wire.world import Capture, Flow, Packet, Tunnel, World

__all__ = [
    "CLIENT",
    "CLIENT_NODE",
    "EPOCH",
    "FIRST",
    "NIC",
    "PODS",
    "SECOND",
    "SECOND_SERVER",
    "SERVERS",
    "SERVICE",
    "TTLS",
    "UNDERLAY",
    "VXLAN",
    "Simulator",
    "TapName",
    "hops_to",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A packet on the wire and its fate: `vanished` is the number of the last hop that it passed, None if it arrived."""

    server: str
    reply: bool
    client_port: int
    time_ns: int
    vanished: int | None


@dataclass(kw_only=True)
class Simulator:
    """Packets are sent one by one; `write` makes the capture files.

    skew_ns: node's clock minus the true one. delay_ns: how long each of the five legs takes. blind: taps that write no file. gaps: per
    tap, (start, end) in true time during which it sees nothing. service: None for traffic straight to the servers.
    """

    skew_ns: Mapping[str, int] = field(default_factory=dict)
    delay_ns: Sequence[int] = (4_000, 3_000, 120_000, 5_000, 6_000)
    blind: frozenset[TapName] = frozenset()
    gaps: Mapping[TapName, tuple[int, int]] = field(default_factory=dict)
    service: str | None = SERVICE
    snaplen: int = 512
    sent: list[Sent] = field(default_factory=list)
    files: dict[TapName, list[tuple[int, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for server in SERVERS:
            for tap in hops_to(server):
                if tap not in self.blind:
                    self.files.setdefault(tap, [])

    def udp(
        self,
        server: str,
        *,
        time_ns: int,
        payload: bytes,
        client_port: int,
        port: int = 53,
        ident: int = 0,
        reply: bool = False,
        vanished: int | None = None,
    ) -> None:
        """One datagram."""
        packet = Packet(time_ns=time_ns, payload=payload, client_port=client_port, ip_id=ident, reply=reply, lost_after=vanished)
        self._send("UDP", server, port, packet)

    def ping(
        self, server: str, *, time_ns: int, ident: int, seq: int, ip_id: int, reply: bool = False, vanished: int | None = None
    ) -> None:
        """One echo request or reply."""
        packet = Packet(time_ns=time_ns, payload=b"abcdefgh" * 6, client_port=ident, seq=seq, ip_id=ip_id, reply=reply, lost_after=vanished)
        self._send("ICMP", server, 0, packet)

    def tcp(
        self,
        server: str,
        *,
        time_ns: int,
        client_port: int,
        flags: int,
        seq: int = 0,
        ack: int = 0,
        payload: bytes = b"",
        port: int = 80,
        ident: int = 0,
        reply: bool = False,
        vanished: int | None = None,
        first: int = 1,
    ) -> None:
        """One segment. `first` is the hop where it comes into being (an RST that a firewall makes)."""
        legs_before = sum(self.delay_ns[: first - 1])
        packet = Packet(
            time_ns=time_ns + legs_before, payload=payload, client_port=client_port, flags=flags, seq=seq, ack=ack, ip_id=ident,
            reply=reply, lost_after=vanished, first=first,
        )  # fmt: skip
        self._send("TCP", server, port, packet)

    def bulk(
        self,
        server: str,
        *,
        time_ns: int,
        client_port: int,
        seq: int,
        segments: int,
        mss: int,
        ident: int,
        merge: tuple[int, ...],
        vanished: Mapping[int, int] | None = None,
        tail: int | None = None,
        fixed_ident: bool = False,
    ) -> None:
        """A run of full TCP segments that offloads merge: merge[i] is how many segments a frame at hop i + 1 may hold.

        `vanished` maps a segment's index to the last hop that it passed. `tail` is the last segment's length. A frame holds only
        segments that follow each other without a gap. With `fixed_ident` the NIC gives all segments one IP ID.
        """
        fates = dict(vanished or {})
        packets = [
            Packet(
                time_ns=time_ns + index * 1_000,
                client_port=client_port,
                payload=stream_bytes(seq + index * mss, tail or mss if index == segments - 1 else mss),
                seq=seq + index * mss,
                ack=1,
                ip_id=ident + index,
                wire_ip_id=ident if fixed_ident else None,
                lost_after=fates.get(index),
                burst=0,
            )
            for index in range(segments)
        ]
        self._send("TCP", server, 80, *packets, merge=merge)

    def fragments(
        self,
        server: str,
        *,
        time_ns: int,
        payload: bytes,
        client_port: int,
        ident: int,
        size: int,
        whole_hops: int = 0,
        vanished: tuple[int, int] | None = None,
    ) -> None:
        """A datagram in IP fragments of `size` bytes (a multiple of 8), whole at the first hops; `vanished` is the part that did and the
        last hop that it passed."""
        part, last = vanished or (None, None)
        packet = Packet(
            time_ns=time_ns, payload=payload, client_port=client_port, ip_id=ident, dont_fragment=False, fragment_bytes=size,
            whole_until=whole_hops, lost_part=part, lost_after=last, parts_until=6,
        )  # fmt: skip
        self._send("UDP", server, 53, packet)

    def packet(
        self, server: str, segment: bytes, *, protocol: int, time_ns: int, ident: int, reply: bool = False, vanished: int | None = None
    ) -> None:
        """One IP packet with any L4 bytes at every hop until it vanishes; stands in no truth."""
        nodes = (SERVERS[server], CLIENT_NODE) if reply else (CLIENT_NODE, SERVERS[server])
        for hop, stop in enumerate(way(server, reply=reply)[:vanished]):
            far = server if stop.dnat or self.service is None else self.service
            source, destination = (far, CLIENT) if reply else (CLIENT, far)
            ends = Sides(source=source, destination=destination, source_port=0, destination_port=0)
            frame = inner_frame(
                ip(segment, ends, protocol=protocol, ident=ident, ttl=stop.ttl, fragment=0x4000, six=False), Tunnel(), False
            )
            if stop.role == "underlay":
                (frame,) = outer_frames(frame, Tunnel(), nodes, source_port=49152, ident=ident ^ 0x5555)
            self.put(stop.tap, time_ns + sum(self.delay_ns[:hop]), frame)

    def refusal(self, server: str, *, time_ns: int, quoted: bytes, to_client: bool = True, code: int = 3) -> None:
        """An ICMP destination unreachable that a node sends to the client's pod; `quoted` begins with the refused packet's IP header."""
        message = frames.icmp(3, code, payload=quoted[:28])
        source = UNDERLAY[CLIENT_NODE] if to_client else server
        packet = frames.ipv4(message, source=source, destination=CLIENT, protocol=frames.ICMP, ident=7, fragment=0)
        self.put((CLIENT_NODE, PODS[CLIENT]), time_ns, frames.ethernet(packet))

    def asked(self, server: str, datagram: bytes, *, protocol: int, ident: int) -> bytes:
        """The IP packet as it is at the client's pod, for quoting."""
        return frames.ipv4(datagram, source=CLIENT, destination=self.service or server, protocol=protocol, ident=ident)

    def put(self, tap: TapName, time_ns: int, frame: bytes) -> None:
        """One frame at one tap, at a true time."""
        start, end = self.gaps.get(tap, (1, 0))
        if tap in self.files and not start <= time_ns <= end:
            self.files[tap].append((time_ns + self.skew_ns.get(tap[0], 0), frame))

    def noise(self, tap: TapName, times_ns: Iterable[int]) -> None:
        """Other packets, which prove the tap alive."""
        for time_ns in times_ns:
            self.put(tap, time_ns, frames.ethernet(frames.arp(sender="10.128.0.1", target="10.128.0.2"), ethertype=frames.ARP))

    def write(self, folder: Path) -> dict[TapName, Path]:
        """The capture files, in order of each file's own clock."""
        paths = {}
        for number, (tap, packets) in enumerate(sorted(self.files.items())):
            paths[tap] = folder / f"{number}-{tap[0]}-{tap[1]}.pcap"
            files.write(paths[tap], sorted(packets, key=lambda one: one[0]), Capture(snaplen=self.snaplen))
        return paths

    def lost(self, server: str, *, reply: bool = False) -> dict[int, int]:
        """How many packets vanished behind each hop, by hop number."""
        found: dict[int, int] = {}
        for one in self.sent:
            if one.server == server and one.reply == reply and one.vanished is not None:
                found[one.vanished] = found.get(one.vanished, 0) + 1
        return found

    def count(self, server: str, *, reply: bool = False) -> int:
        """How many packets were sent."""
        return sum(one.server == server and one.reply == reply for one in self.sent)

    def _send(self, protocol: str, server: str, port: int, *packets: Packet, merge: tuple[int, ...] = ()) -> None:
        flow = Flow(protocol=protocol, server=server, server_port=port, service_port=port if self.service else None, merge=merge)
        mine = tuple(replace(one, outer_ip_id=(one.ip_id ^ 0x5555) + len(self.sent)) for one in packets)
        world = World(flows=(flow,), packets=mine, delays_ns=tuple(self.delay_ns))
        for tap, shots in passing(world).items():
            for shot in shots:
                self.put(tap, shot.time_ns, shot.frame)
        for one in packets:
            self.sent.append(
                Sent(server=server, reply=one.reply, client_port=one.client_port, time_ns=one.time_ns, vanished=one.lost_after)
            )
