"""Millions of packets of mixed traffic over twelve taps of three nodes, with known truth, in seconds.

A client looks names up through a Service (UDP, answered by a server on either of two other nodes) and pings these servers; a second one
talks TCP through a Service with a server on each of the two nodes, as whole segments or, with offloads, as super-packets at the taps
that are not NICs. Everything is drawn from one seed. Losses are of datagrams and of TCP data, on one leg, every n-th. Shares no code with
the plugin.
"""

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.wire import bulkframes, frames
from tests.wire.bulkdraw import ANSWER, HOPS, MOST_SEGMENTS, QUESTION, Draw, Loss, Sent, cut
from tests.wire.simulator import EPOCH, NIC, SECOND, TTLS, UNDERLAY, VXLAN, TapName

CLIENT_NODE, *SERVER_NODES = UNDERLAY
CHUNK_NS = SECOND
_ACTIVE_NS = CHUNK_NS * 9 // 10
_DELAYS_NS = np.cumsum([0, 4_000, 3_000, 120_000, 5_000, 6_000])


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What one client asks, of each of two servers; `service` is what the client's own interface sees, None for traffic without one."""

    protocol: int
    client: str
    interface: str
    port: int
    service: str | None
    servers: tuple[str, str]
    interfaces: tuple[str, str]

    def taps(self, server: int, reply: bool) -> tuple[TapName, ...]:
        """The six taps that a packet passes."""
        far = SERVER_NODES[server]
        near = ((CLIENT_NODE, self.interface), (CLIENT_NODE, VXLAN), (CLIENT_NODE, NIC))
        taps = (*near, (far, NIC), (far, VXLAN), (far, self.interfaces[server]))
        return taps[::-1] if reply else taps


_DNS_SERVERS, _DNS_PODS = ("10.244.56.129", "10.244.106.65"), ("cali0123456789a", "calibcdef012345")
DNS = Conversation(
    protocol=frames.UDP, client="10.244.114.75", interface="cali9d8b6a7d855", port=53, service="10.96.0.10", servers=_DNS_SERVERS,
    interfaces=_DNS_PODS,
)  # fmt: skip
PING = Conversation(
    protocol=frames.ICMP, client=DNS.client, interface=DNS.interface, port=0, service=None, servers=_DNS_SERVERS, interfaces=_DNS_PODS
)
WEB = Conversation(
    protocol=frames.TCP, client="10.244.114.80", interface="cali5e6f7a8b9c0", port=80, service="10.96.20.7",
    servers=("10.244.56.140", "10.244.106.77"), interfaces=("cali77777777777", "cali88888888888"),
)  # fmt: skip
CONVERSATIONS = (DNS, PING, WEB)
TAPS = tuple(sorted({tap for one in CONVERSATIONS for server in range(2) for tap in one.taps(server, False)}))


@dataclass(slots=True, kw_only=True)
class Truth:
    """What happened: packets on the wire that were sent, and those lost, by conversation (its index), server and direction."""

    sent: Counter[tuple[int, int, bool]] = field(default_factory=Counter)
    lost: Counter[tuple[int, int, bool]] = field(default_factory=Counter)
    frames: Counter[TapName] = field(default_factory=Counter)
    start_ns: int = EPOCH
    end_ns: int = EPOCH

    @property
    def packets(self) -> int:
        """All packets on the wire."""
        return self.sent.total()

    @property
    def sightings(self) -> int:
        """All frames in the files."""
        return self.frames.total()


@dataclass(kw_only=True)
class Bulk:
    """A source of traffic. `write` may be called once.

    gso: whether TCP data are super-packets everywhere but at NICs. skew_ns: node's clock minus the true one. pcapng: the form of the files.
    """

    seed: int = 1
    gso: bool = True
    loss: Loss | None = None
    skew_ns: dict[str, int] = field(default_factory=dict)
    snaplen: int = 512
    pcapng: bool = False

    def __post_init__(self) -> None:
        self._draw = Draw(self.seed, self.loss)

    def write(self, folder: Path, packets: int, *, per_chunk: int = 50_000) -> Truth:
        """Write one file for each of TAPS (see `file_name`), about `packets` packets on the wire, `per_chunk` each second."""
        truth = Truth()
        for tap in TAPS:
            (folder / self.file_name(tap)).write_bytes(bulkframes.header(self.pcapng))
        while truth.packets < packets:
            share = min(per_chunk, packets - truth.packets)
            self._chunk(folder, truth, max(share, 200))
            truth.end_ns += CHUNK_NS
        return truth

    def file_name(self, tap: TapName) -> str:
        """As a bundle names the capture of a tap."""
        node, interface = tap
        place = {NIC: "primary-interface", VXLAN: "vxlan-calico"}.get(interface, f"pod-{interface}")
        return f"{node}-{place}.{'pcapng' if self.pcapng else 'pcap'}"

    def _chunk(self, folder: Path, truth: Truth, packets: int) -> None:
        """A second of traffic: by packets a quarter lookups, a twentieth pings, the rest TCP."""
        parts: dict[TapName, list[tuple[NDArray[np.int64], bulkframes.Records]]] = {tap: [] for tap in TAPS}
        for server in range(2):
            drawn = (
                (0, self._draw.lookups(truth.end_ns, _ACTIVE_NS, packets // 16)),
                (1, self._draw.pings(truth.end_ns, _ACTIVE_NS, packets // 80)),
                (2, self._draw.talks(truth.end_ns, _ACTIVE_NS, packets * 7 // 20)),
            )
            for index, ways in drawn:
                for reply, sent in enumerate(ways):
                    self._count(truth, (index, server, bool(reply)), sent)
                    for hop, tap in enumerate(CONVERSATIONS[index].taps(server, bool(reply))):
                        parts[tap] += self._at_hop(CONVERSATIONS[index], server, bool(reply), hop, sent)
        for tap, records in parts.items():
            truth.frames[tap] += bulkframes.append(folder / self.file_name(tap), records)

    def _count(self, truth: Truth, key: tuple[int, int, bool], sent: Sent) -> None:
        truth.sent[key] += int(sent.segments.sum())
        truth.lost[key] += int(sent.segments[sent.passed < HOPS].sum())

    def _at_hop(
        self, talk: Conversation, server: int, reply: bool, hop: int, sent: Sent
    ) -> list[tuple[NDArray[np.int64], bulkframes.Records]]:
        """What a hop's file holds of these transmissions."""
        alive = np.flatnonzero(sent.passed > hop)
        nic = hop in (2, 3)
        held = cut(sent, alive, 1 if nic or not self.gso else (MOST_SEGMENTS if hop < 2 else MOST_SEGMENTS // 2))
        room = self.snaplen - bulkframes.HEAD_BYTES - bulkframes.L4_BYTES[talk.protocol] - (bulkframes.OUTER_BYTES if nic else 0)
        captured = np.minimum(held.size, room)
        found = []
        for size in np.unique(captured).tolist():
            part = held.take(np.flatnonzero(captured == size))
            times = part.time_ns + _DELAYS_NS[hop] + self.skew_ns.get(talk.taps(server, reply)[hop][0], 0)
            packets = _packets(talk, server, reply, hop, part, times, size)
            found.append((times, bulkframes.build(packets, _tunnel(server, reply, part) if nic else None, self.pcapng)))
        return found


def _address(text: str) -> int:
    return int(IPv4Address(text))


def _packets(
    talk: Conversation, server: int, reply: bool, hop: int, sent: Sent, times: NDArray[np.int64], captured: int
) -> bulkframes.Packets:
    count = len(sent)
    at_client = hop == (5 if reply else 0)
    far = talk.service if at_client and talk.service is not None else talk.servers[server]
    near_address, far_address = np.full(count, _address(talk.client), np.uint32), np.full(count, _address(far), np.uint32)
    port = np.full(count, talk.port, np.uint16)
    return bulkframes.Packets(
        protocol=talk.protocol,
        time_ns=times,
        source=far_address if reply else near_address,
        destination=near_address if reply else far_address,
        source_port=port if reply and talk.protocol != frames.ICMP else sent.port,
        destination_port=sent.port if reply else port,
        ip_id=sent.ip_id,
        ttl=TTLS[hop],
        seq=sent.seq,
        ack=sent.ack,
        flags=sent.flags,
        payload_bytes=sent.size,
        content=_content(talk.protocol, reply, sent.word, captured),
    )


def _content(protocol: int, reply: bool, word: NDArray[np.uint64], captured: int) -> NDArray[np.uint8]:
    """DNS messages with the word as their ID; else the word at the start."""
    text = (ANSWER if reply else QUESTION) if protocol == frames.UDP else bytes(range(256)) * (captured // 256 + 1)
    out = np.empty((len(word), captured), np.uint8)
    out[:] = np.frombuffer(text[:captured], np.uint8)
    mark = word.astype(">u2").view(np.uint8).reshape(-1, 2) if protocol == frames.UDP else word.astype(">u8").view(np.uint8).reshape(-1, 8)
    out[:, : mark.shape[1]] = mark[:, : out.shape[1]]
    return out


def _tunnel(server: int, reply: bool, sent: Sent) -> bulkframes.Tunnel:
    """The outer source port is a hash of the flow (RFC 7348, 5), the outer IP ID counts."""
    count = len(sent)
    near, far = (np.full(count, _address(UNDERLAY[node]), np.uint32) for node in (CLIENT_NODE, SERVER_NODES[server]))
    return bulkframes.Tunnel(
        source=far if reply else near,
        destination=near if reply else far,
        source_port=(49_152 + (sent.port.astype(np.int64) * 40_503 >> 4) % 16_384).astype(np.uint16),
        ip_id=(sent.ip_id ^ 0x5555).astype(np.uint16),
    )
