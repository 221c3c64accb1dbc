"""What captures at every hop of a VXLAN overlay would hold, with known truth: which packet vanished on which leg.

Nodes, addresses and hops are those of a Calico cluster with one client, one Service and servers on other nodes. Time is in ns of a true
clock; each node's clock is that plus its skew. Nothing here is random: tests choose. Shares no code with the plugin.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.wire import frames

SECOND = 1_000_000_000
EPOCH = 1_760_000_000 * SECOND
CLIENT, CLIENT_NODE = "10.244.114.75", "ada-ec-1"
SERVICE = "10.96.0.10"
SERVERS = {"10.244.56.129": "ada-ec-2", "10.244.106.65": "ada-ec-3"}
UNDERLAY = {"ada-ec-1": "10.128.0.72", "ada-ec-2": "10.128.0.95", "ada-ec-3": "10.128.0.96"}
FIRST, SECOND_SERVER = tuple(SERVERS)
NIC, VXLAN = "ens4", "vxlan.calico"
PODS = {CLIENT: "cali9d8b6a7d855", FIRST: "cali0123456789a", SECOND_SERVER: "calibcdef012345"}
TTLS = (64, 63, 63, 63, 63, 62)
"""Inner TTL per hop: each node's routing step takes one, the tunnel none."""

TapName = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A packet on the wire and its fate: `vanished` is the number of the last hop that it passed, None if it arrived."""

    server: str
    reply: bool
    client_port: int
    time_ns: int
    vanished: int | None


def hops_to(server: str, *, reply: bool = False) -> tuple[TapName, ...]:
    """The six taps from the client to a server, or back."""
    far = SERVERS[server]
    taps = (
        (CLIENT_NODE, PODS[CLIENT]),
        (CLIENT_NODE, VXLAN),
        (CLIENT_NODE, NIC),
        (far, NIC),
        (far, VXLAN),
        (far, PODS[server]),
    )
    return taps[::-1] if reply else taps


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
        ends = (port, client_port) if reply else (client_port, port)
        datagram = frames.udp(payload, source=ends[0], destination=ends[1])
        self.packet(server, datagram, protocol=frames.UDP, time_ns=time_ns, ident=ident, reply=reply, vanished=vanished)
        self._note(server, reply, client_port, time_ns, vanished)

    def ping(
        self, server: str, *, time_ns: int, ident: int, seq: int, ip_id: int, reply: bool = False, vanished: int | None = None
    ) -> None:
        """One echo request or reply."""
        message = frames.echo(ident, seq, b"abcdefgh" * 6, reply=reply)
        self.packet(server, message, protocol=frames.ICMP, time_ns=time_ns, ident=ip_id, reply=reply, vanished=vanished)
        self._note(server, reply, ident, time_ns, vanished)

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
        ends = (port, client_port) if reply else (client_port, port)
        segment = frames.tcp(payload, source=ends[0], destination=ends[1], seq=seq % 2**32, ack=ack, flags=flags)
        self.packet(server, segment, protocol=frames.TCP, time_ns=time_ns, ident=ident, reply=reply, vanished=vanished, first=first)
        self._note(server, reply, client_port, time_ns, vanished)

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
        merge: Sequence[int],
        vanished: Mapping[int, int] | None = None,
        tail: int | None = None,
        fixed_ident: bool = False,
    ) -> None:
        """A run of full TCP segments that offloads merge: merge[i] is how many segments a frame at hop i + 1 may hold.

        `vanished` maps a segment's index to the last hop that it passed. `tail` is the last segment's length. A frame holds only
        segments that follow each other without a gap. With `fixed_ident` the NIC gives all segments one IP ID.
        """
        fates = dict(vanished or {})
        lengths = [mss] * segments
        lengths[-1] = tail or mss
        for hop in range(6):
            alive = [i for i in range(segments) if fates.get(i, 6) > hop]
            for run in _runs(alive, merge[hop]):
                start = seq + run[0] * mss
                size = sum(lengths[i] for i in run)
                shown = ident if fixed_ident and merge[hop] == 1 else ident + run[0]
                segment = frames.tcp(_bytes_at(start, size), source=client_port, destination=80, seq=start % 2**32, ack=1, flags=0x10)
                when = time_ns + run[-1] * 1_000
                self._at_hop(server, segment, frames.TCP, hop, when, shown % 65536, False, 0x4000)
        for index in range(segments):
            self._note(server, False, client_port, time_ns + index * 1_000, fates.get(index))

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
        vanished: Mapping[int, int] | None = None,
    ) -> None:
        """A datagram in IP fragments of `size` bytes (a multiple of 8), whole at the first hops; `vanished` per fragment as in bulk."""
        fates = dict(vanished or {})
        datagram = frames.udp(payload, source=client_port, destination=53)
        parts = [datagram[at : at + size] for at in range(0, len(datagram), size)]
        for hop in range(6):
            if hop < whole_hops:
                self._at_hop(server, datagram, frames.UDP, hop, time_ns, ident, False, 0)
                continue
            for index, part in enumerate(parts):
                if fates.get(index, 6) > hop:
                    more = 0x2000 if index < len(parts) - 1 else 0
                    self._at_hop(server, part, frames.UDP, hop, time_ns + index * 500, ident, False, more | index * size // 8)
        self._note(server, False, client_port, time_ns, min(fates.values(), default=None))

    def packet(
        self,
        server: str,
        segment: bytes,
        *,
        protocol: int,
        time_ns: int,
        ident: int,
        reply: bool = False,
        vanished: int | None = None,
        first: int = 1,
    ) -> None:
        """One IP packet at every hop from `first` until it vanishes; stands in no truth."""
        for hop in range(first - 1, 6 if vanished is None else vanished):
            self._at_hop(server, segment, protocol, hop, time_ns, ident, reply, 0x4000)

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
            frames.write_pcap(paths[tap], sorted(packets, key=lambda one: one[0]), snaplen=self.snaplen)
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

    def _note(self, server: str, reply: bool, client_port: int, time_ns: int, vanished: int | None) -> None:
        self.sent.append(Sent(server=server, reply=reply, client_port=client_port, time_ns=time_ns, vanished=vanished))

    def _at_hop(self, server: str, segment: bytes, protocol: int, hop: int, time_ns: int, ident: int, reply: bool, fragment: int) -> None:
        tap = hops_to(server, reply=reply)[hop]
        translated = hop < 5 if reply else hop > 0
        far = server if translated or self.service is None else self.service
        source, destination = (far, CLIENT) if reply else (CLIENT, far)
        packet = frames.ipv4(
            segment, source=source, destination=destination, protocol=protocol, ident=ident, ttl=TTLS[hop], fragment=fragment
        )
        frame = frames.ethernet(packet)
        if tap[1] == NIC:
            nodes = (SERVERS[server], CLIENT_NODE) if reply else (CLIENT_NODE, SERVERS[server])
            frame = frames.encapsulate(frame, source=UNDERLAY[nodes[0]], destination=UNDERLAY[nodes[1]], ident=ident ^ 0x5555)
        self.put(tap, time_ns + sum(self.delay_ns[:hop]), frame)


def _runs(alive: Sequence[int], most: int) -> list[list[int]]:
    """Runs of successive numbers, at most `most` long."""
    runs: list[list[int]] = []
    for index in alive:
        if runs and runs[-1][-1] == index - 1 and len(runs[-1]) < most:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _bytes_at(start: int, size: int) -> bytes:
    """The bytes of a stream at a place: every eight of them say where they are."""
    first = start // 8
    whole = b"".join((number % 2**64).to_bytes(8, "big") for number in range(first, (start + size) // 8 + 1))
    return whole[start % 8 : start % 8 + size]
