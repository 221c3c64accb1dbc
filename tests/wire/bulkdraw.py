"""What is sent in bulk traffic, drawn from a seed: lookups, pings and TCP connections, and which of it vanishes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.wire import frames

MSS = 1358
"""TCP payload in a VXLAN device's MTU of 1,410 with timestamps (RFC 7323)."""
MOST_SEGMENTS = 16
QUESTION = frames.dns_question("kotsadm-rqlite.default.svc.cluster.local")
ANSWER = frames.dns_answer("kotsadm-rqlite.default.svc.cluster.local", "10.96.14.7")
HOPS = 6
_ROUNDS = 2
_FIRST_PORT, _PORTS = 32_768, 28_232
"""Linux' ephemeral ports (ip_local_port_range)."""
_PING_BYTES = 56
_REQUEST_BYTES = 200
_RESENT_AFTER_NS, _RESENT_ID = 100_000, 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Every `one_in`-th datagram and burst of TCP data vanishes behind hop `after` (1 to 5) of its way."""

    after: int
    one_in: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """Transmissions of one conversation, one server and one direction: datagrams, TCP control packets, bursts of TCP segments.

    `passed` is the last hop that it passed. `size` is the payload, `segments` the packets on the wire that carry it.
    """

    time_ns: NDArray[np.int64]
    port: NDArray[np.uint16]
    ip_id: NDArray[np.uint16]
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    flags: NDArray[np.uint16]
    size: NDArray[np.int64]
    segments: NDArray[np.int64]
    word: NDArray[np.uint64]
    passed: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, which: NDArray[np.generic]) -> "Sent":
        """Some of the rows."""
        return Sent(**{name: getattr(self, name)[which] for name in Sent.__slots__})


Drawn = tuple[Sent, Sent]
"""Requests and replies."""


class Draw:
    """The source of all that is random. Ports and the count of what may vanish go on from one call to the next."""

    def __init__(self, seed: int, loss: Loss | None) -> None:
        self._random = np.random.default_rng(seed)
        self._loss = loss
        self._connections = 0
        self._sent = 0

    def _fates(self, may_vanish: NDArray[np.bool_]) -> NDArray[np.int8]:
        passed = np.full(len(may_vanish), HOPS, np.int8)
        if self._loss is not None:
            which = np.flatnonzero(may_vanish)
            hit = which[(np.arange(len(which)) + self._sent) % self._loss.one_in == 0]
            passed[hit] = self._loss.after
            self._sent += len(which)
        return passed

    def _times(self, start_ns: int, span_ns: int, count: int) -> NDArray[np.int64]:
        return np.sort(self._random.integers(start_ns, start_ns + span_ns, count))

    def _numbers(self, count: int) -> NDArray[np.uint16]:
        """IP IDs that a host counts up."""
        return (self._random.integers(1 << 16) + np.arange(count)).astype(np.uint16)

    def lookups(self, start_ns: int, span_ns: int, count: int) -> Drawn:
        """Questions from a new port each, and the answers to those that arrived."""
        words = self._random.integers(1 << 16, size=count, dtype=np.uint64)
        ports = self._new_ports(count)
        asked = self._datagrams(self._times(start_ns, span_ns, count), ports, words, len(QUESTION), np.zeros(count, np.uint16))
        arrived = asked.passed == HOPS
        times = asked.time_ns[arrived] + self._random.integers(200_000, 900_000, int(arrived.sum()))
        return asked, self._datagrams(times, ports[arrived], words[arrived], len(ANSWER), np.zeros(len(times), np.uint16))

    def pings(self, start_ns: int, span_ns: int, count: int) -> Drawn:
        """Echo requests of one identifier, and the replies."""
        words = self._random.integers(1 << 63, size=count, dtype=np.uint64)
        ports = np.full(count, self._random.integers(1 << 16), np.uint16)
        asked = self._datagrams(self._times(start_ns, span_ns, count), ports, words, _PING_BYTES, np.full(count, 8, np.uint16))
        back = asked.take(np.flatnonzero(asked.passed == HOPS))
        reply = self._datagrams(back.time_ns + 300_000, back.port, back.word, _PING_BYTES, np.zeros(len(back), np.uint16))
        return asked, Sent(**{**{name: getattr(reply, name) for name in Sent.__slots__}, "seq": back.seq})

    def _datagrams(
        self, times: NDArray[np.int64], ports: NDArray[np.uint16], words: NDArray[np.uint64], size: int, kind: NDArray[np.uint16]
    ) -> Sent:
        count = len(times)
        none = np.zeros(count, np.uint32)
        return Sent(
            time_ns=times, port=ports, ip_id=self._numbers(count), seq=np.arange(count, dtype=np.uint32), ack=none, flags=kind,
            size=np.full(count, size), segments=np.ones(count, np.int64), word=words, passed=self._fates(np.ones(count, np.bool_)),
        )  # fmt: skip

    def _new_ports(self, count: int) -> NDArray[np.uint16]:
        ports = _FIRST_PORT + (self._connections + np.arange(count)) % _PORTS
        self._connections += count
        return ports.astype(np.uint16)

    def talks(self, start_ns: int, span_ns: int, packets: int) -> Drawn:
        """TCP connections, each some rounds of a request, a long answer and a long upload, every one acknowledged."""
        count = max(round(packets / (7 + _ROUNDS * (5 + 1 + MOST_SEGMENTS))), 1)
        talk = _Talks(self._times(start_ns, span_ns, count), self._new_ports(count), self._random)
        for _ in range(_ROUNDS):
            talk.round(self._random)
        talk.close()
        return self._sent_again(self._bursts(talk.rows[False])), self._sent_again(self._bursts(talk.rows[True]))

    def _sent_again(self, sent: Sent) -> Sent:
        """With a copy that arrives of what vanished: its receiver acknowledges it."""
        lost = sent.take(np.flatnonzero(sent.passed < HOPS))
        copies = {
            "time_ns": lost.time_ns + _RESENT_AFTER_NS,
            "ip_id": lost.ip_id + np.uint16(_RESENT_ID),
            "passed": np.full(len(lost), HOPS, np.int8),
        }
        return Sent(**{name: np.concatenate([getattr(sent, name), copies.get(name, getattr(lost, name))]) for name in Sent.__slots__})

    def _bursts(self, rows: Sequence[Sequence[NDArray[np.int64]]]) -> Sent:
        time, port, ip_id, seq, ack, flags, size = (np.concatenate(column) for column in zip(*rows, strict=True))
        return Sent(
            time_ns=time, port=port.astype(np.uint16), ip_id=ip_id.astype(np.uint16), seq=seq.astype(np.uint32), ack=ack.astype(np.uint32),
            flags=flags.astype(np.uint16), size=size, segments=np.maximum(-(-size // MSS), 1), word=seq.astype(np.uint64),
            passed=self._fates(size > 0),
        )  # fmt: skip


class _Talks:
    """TCP connections that all follow one script: rows of time, port, IP ID, seq, ack, flags and size, by direction."""

    def __init__(self, times: NDArray[np.int64], ports: NDArray[np.uint16], random: np.random.Generator) -> None:
        self.rows: dict[bool, list[list[NDArray[np.int64]]]] = {False: [], True: []}
        self._time, self._port = times.copy(), ports.astype(np.int64)
        self._next = {way: random.integers(1 << 32, size=len(times)) for way in (False, True)}
        self._ip_id = {way: random.integers(1 << 16, size=len(times)) for way in (False, True)}
        nothing = np.zeros(len(times), np.int64)
        self._nothing = nothing
        self._say(False, frames.SYN, nothing)
        self._say(True, frames.SYN | frames.ACK, nothing)
        self._say(False, frames.ACK, nothing)

    def round(self, random: np.random.Generator) -> None:
        count = len(self._time)
        self._say(False, frames.PSH | frames.ACK, self._nothing + _REQUEST_BYTES)
        self._say(True, frames.ACK, self._nothing)
        for way in (True, False):
            segments = random.integers(1, MOST_SEGMENTS + 1, count)
            tails = np.where(random.integers(2, size=count) == 0, MSS, _REQUEST_BYTES * 3)
            self._say(way, frames.PSH | frames.ACK, (segments - 1) * MSS + tails)
            self._say(not way, frames.ACK, self._nothing)

    def close(self) -> None:
        self._say(False, frames.FIN | frames.ACK, self._nothing)
        self._say(True, frames.FIN | frames.ACK, self._nothing)
        self._say(False, frames.ACK, self._nothing)

    def _say(self, reply: bool, flags: int, size: NDArray[np.int64]) -> None:
        ack = self._next[not reply] if flags & frames.ACK else self._nothing
        self.rows[reply].append([self._time, self._port, self._ip_id[reply], self._next[reply], ack, self._nothing + flags, size])
        self._time = self._time + 250_000
        self._next[reply] = self._next[reply] + size + (1 if flags & (frames.SYN | frames.FIN) else 0)
        self._ip_id[reply] = self._ip_id[reply] + np.maximum(-(-size // MSS), 1)


def cut(sent: Sent, which: NDArray[np.intp], most: int) -> Sent:
    """The transmissions in frames of at most `most` segments; PSH and FIN stand on the last one, as GSO leaves them."""
    count = -(-sent.segments[which] // most)
    row = np.repeat(which, count)
    ordinal = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    last = ordinal == np.repeat(count, count) - 1
    done = ordinal * most * MSS
    one = sent.take(row)
    return Sent(
        time_ns=one.time_ns + ordinal * most * 1_000,
        port=one.port,
        ip_id=(one.ip_id + ordinal * most).astype(np.uint16),
        seq=(one.seq + done).astype(np.uint32),
        ack=one.ack,
        flags=np.where(last, one.flags, one.flags & np.uint16(0xFFFF ^ frames.PSH)).astype(np.uint16),
        size=np.minimum(one.size - done, most * MSS) if len(row) else one.size,
        segments=one.segments,
        word=one.word + done.astype(np.uint64),
        passed=one.passed,
    )
