"""Packets as hosts send them: datagrams, pings, TCP connections with what retransmission and flow control add, super-packets, trains."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count

from tests.wire.places import EPOCH
from tests.wire.stream import stream_bytes
from tests.wire.world import Packet

SYN, SYN_ACK, ACK, PSH_ACK, FIN_ACK, RST = 0x02, 0x12, 0x10, 0x18, 0x11, 0x04
MS = 1_000_000


class Numbering(StrEnum):
    """How a host fills the IP ID: a counter, one that wraps, a counter that other traffic of the host shares, or 0 with DF."""

    COUNTER = "counter"
    WRAP = "wrap"
    SHARED = "shared"
    ZERO = "zero"


def numbers(numbering: Numbering, start: int = 1) -> Iterator[int]:
    """The IP IDs of one sender, in order."""
    if numbering is Numbering.ZERO:
        return iter(lambda: 0, 1)
    if numbering is Numbering.WRAP:
        return (number % 65536 for number in count(65_532 + start))
    if numbering is Numbering.SHARED:
        return ((start + number * 37) % 65536 for number in count())
    return (number % 65536 for number in count(start))


def datagrams(
    payloads: Sequence[bytes],
    *,
    flow: int = 0,
    client_port: int = 40_000,
    start_ns: int = EPOCH,
    gap_ns: int = 10 * MS,
    ids: Iterator[int] | None = None,
    fates: Sequence[int | None] = (),
    ports: Callable[[int], int] | None = None,
    reply: bool = False,
) -> tuple[Packet, ...]:
    """Datagrams of one socket, or (`ports`) of a socket each; `fates` are the last hops that they passed."""
    ids = ids or numbers(Numbering.COUNTER)
    return tuple(
        Packet(
            flow=flow,
            reply=reply,
            client_port=ports(index) if ports else client_port,
            time_ns=start_ns + index * gap_ns,
            payload=payload,
            ip_id=next(ids),
            seq=index,
            lost_after=fates[index] if index < len(fates) else None,
        )
        for index, payload in enumerate(payloads)
    )


def answers(
    requests: Sequence[Packet], *, payload: Callable[[int], bytes], fates: Sequence[int | None] = (), after_ns: int = MS
) -> tuple[Packet, ...]:
    """An answer to each request that arrived."""
    return tuple(
        replace(
            one, reply=True, time_ns=one.time_ns + after_ns, payload=payload(index), ip_id=(one.ip_id + 500) % 65536 if one.ip_id else 0,
            lost_after=fates[index] if index < len(fates) else None, copied_after=None, copy_lost_after=None, loops=0, jitter_ns=(),
        )
        for index, one in enumerate(requests)
        if one.lost_after is None
    )  # fmt: skip


def super_datagrams(
    count_: int, size: int, *, tail: int, flow: int = 0, client_port: int = 40_000, start_ns: int = EPOCH, ident: int = 1, burst: int = 0,
    fates: Mapping[int, int] | None = None, reply: bool = False,
) -> tuple[Packet, ...]:  # fmt: skip
    """Datagrams that one send with UDP_SEGMENT made (udp(7)): all of `size` bytes but the last; the kernel numbers them on from one ID."""
    return tuple(
        Packet(
            flow=flow,
            reply=reply,
            client_port=client_port,
            time_ns=start_ns + index * 1_000,
            payload=stream_bytes((ident * 1_000 + burst * 100_000 + index) * 8_000, tail if index == count_ - 1 else size),
            ip_id=(ident + index) % 65536,
            lost_after=(fates or {}).get(index),
            burst=burst,
        )
        for index in range(count_)
    )


@dataclass(kw_only=True)
class Connection:
    """A TCP connection that only one side sends data on; each call adds packets. Time moves on with each.

    download: whether it is the server that sends, else the client does. mss: bytes of a full segment. seq, ids: the sender's next byte and
    its IP IDs; peer_seq, peer_ids: those of the other, whose ACKs count for themselves.
    """

    flow: int = 0
    client_port: int = 40_000
    download: bool = False
    mss: int = 1358
    seq: int = 1_000
    peer_seq: int = 77_000
    now_ns: int = EPOCH
    ids: Iterator[int] = field(default_factory=lambda: numbers(Numbering.COUNTER))
    peer_ids: Iterator[int] = field(default_factory=lambda: numbers(Numbering.COUNTER, 20_000))
    packets: list[Packet] = field(default_factory=list)
    bursts: int = 0

    def handshake(self, fates: Sequence[int | None] = (None, None, None)) -> None:
        """SYN, SYN-ACK with IP ID 0, ACK; a SYN that vanished is sent again, for what comes after says that it arrived."""
        client, server = (self.peer_seq, self.seq) if self.download else (self.seq, self.peer_seq)
        self._add(flags=SYN, seq=client - 1, ack=0, peer=self.download, fate=fates[0])
        if fates[0] is not None:
            self.again(self.packets[-1])
        self._add(flags=SYN_ACK, seq=server - 1, ack=client, peer=not self.download, ip_id=0, fate=fates[1])
        if fates[1] is not None:
            self.again(self.packets[-1])
        self._add(flags=ACK, seq=client, ack=server, peer=self.download, fate=fates[2])

    def send(
        self, segments: int, *, fates: Mapping[int, int] | None = None, tail: int | None = None, fixed_id: bool = False
    ) -> list[Packet]:
        """A burst of segments, the last with PSH; offloads may share frames among them."""
        self.bursts += 1
        sent = []
        first = None
        for index in range(segments):
            last = index == segments - 1
            size = tail if last and tail else self.mss
            ident = next(self.ids)
            first = ident if first is None else first
            sent.append(
                Packet(
                    flow=self.flow, reply=self.download, client_port=self.client_port, time_ns=self.now_ns + index * 1_000,
                    payload=stream_bytes(self.seq, size), seq=self.seq, ack=self.peer_seq, flags=PSH_ACK if last else ACK,
                    ip_id=ident, wire_ip_id=first if fixed_id else None, burst=self.bursts, lost_after=(fates or {}).get(index),
                )
            )  # fmt: skip
            self.seq += size
        self.packets += sent
        self.now_ns += segments * 1_000 + MS
        return sent

    def again(self, packet: Packet, *, same_id: bool = False, fate: int | None = None) -> None:
        """A retransmission: the same bytes, mostly with a new IP ID."""
        ident = packet.ip_id if same_id else next(self.ids)
        self.packets.append(replace(packet, time_ns=self.now_ns, ip_id=ident, wire_ip_id=None, burst=None, lost_after=fate, jitter_ns=()))
        self.now_ns += MS

    def acknowledge(
        self,
        ack: int,
        *,
        fate: int | None = None,
        sack: tuple[tuple[int, int], ...] = (),
        window: int = 501,
        hidden: frozenset[int] = frozenset(),
    ) -> None:
        """A pure ACK from the peer; window 0 stops the sender."""
        self._add(flags=ACK, seq=self.peer_seq, ack=ack, peer=True, fate=fate, sack=sack, window=window, hidden=hidden)

    def own_acknowledgement(self, ack: int, *, fate: int | None = None, hidden: frozenset[int] = frozenset()) -> None:
        """A pure ACK of the sender's; `hidden` where an offload put it into a data frame."""
        self._add(flags=ACK, seq=self.seq, ack=ack, fate=fate, hidden=hidden)

    def keepalive(self, *, garbage: bool = False, fate: int | None = None) -> None:
        """A probe with the sequence number before the next one (RFC 9293, 3.8.4), also with one byte of garbage, and its answer."""
        self._add(flags=ACK, seq=self.seq - 1, ack=self.peer_seq, payload=b"\0" if garbage else b"", fate=fate)
        if fate is None:
            self.acknowledge(self.seq)

    def window_probe(self, *, fate: int | None = None) -> None:
        """A zero-window probe of one byte of new data, that the peer refuses."""
        self._add(flags=ACK, seq=self.seq, ack=self.peer_seq, payload=stream_bytes(self.seq, 1), fate=fate)
        if fate is None:
            self.acknowledge(self.seq, window=0)

    def close(self) -> None:
        """FIN from both."""
        self._add(flags=FIN_ACK, seq=self.seq, ack=self.peer_seq)
        self._add(flags=FIN_ACK, seq=self.peer_seq, ack=self.seq + 1, peer=True)
        self._add(flags=ACK, seq=self.seq + 1, ack=self.peer_seq + 1, ip_id=0)

    def _add(
        self,
        *,
        flags: int,
        seq: int,
        ack: int,
        peer: bool = False,
        payload: bytes = b"",
        ip_id: int | None = None,
        fate: int | None = None,
        sack: tuple[tuple[int, int], ...] = (),
        window: int = 64240,
        hidden: frozenset[int] = frozenset(),
    ) -> None:
        ident = next(self.peer_ids if peer else self.ids) if ip_id is None else ip_id
        self.packets.append(
            Packet(
                flow=self.flow, reply=peer != self.download, client_port=self.client_port, time_ns=self.now_ns, payload=payload,
                ip_id=ident, seq=seq, ack=ack, flags=flags, window=window, sack=sack, lost_after=fate, hidden=hidden,
            )
        )  # fmt: skip
        self.now_ns += MS
