"""The node itself: its clock, its own sockets, readers of packet queues, WireGuard peers, counts of IPsec states."""

import re
import socket
import struct
from dataclasses import replace
from ipaddress import IPv6Address

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.reading import MOST_NUMBER
from kubectl_vxtrace.model.cluster import NodeAnswer
from kubectl_vxtrace.model.datapath import Listener, QueueListener, UdpSocket
from kubectl_vxtrace.model.facts import ClockReading, TimeSync, WireguardPeer

# include/uapi/linux/timex.h
_STA_UNSYNC = 0x40
_CLOCK_DIGITS = 20
_MOST_CLOCK_NS = 1 << 62
"""In Unix time the year 2116."""
_DROPS = re.compile(r"\bskmem:\([^)]*\bd(\d{1,10})\)")
_COUNT = re.compile(rb"\b(?:IN|OUT|FWD|count) +(\d{1,12})")


def read_clock(raw: bytes, answer: NodeAnswer) -> ClockReading:
    """`STARTED RESOLUTION ENDED`: the node's clock at both ends of the look.

    The look took as long for the client, so that its start was received no later than the answer less that time; a node
    clock that was stepped back meanwhile is not used for this.

    Raises:
        UnreadableError: the clock could not be read.
    """
    words = raw.split()
    if len(words) != 3 or not all(word.isdigit() and len(word) < _CLOCK_DIGITS for word in words):
        raise UnreadableError("the clock could not be read")
    started_ns, resolution_ns, ended_ns = (int(word) for word in words)
    if max(started_ns, resolution_ns, ended_ns) >= _MOST_CLOCK_NS:
        raise UnreadableError("the clock is far in the future")
    received_ns = answer.received_ns - max(0, ended_ns - started_ns - resolution_ns)
    return ClockReading(
        node_ns=started_ns,
        sent_ns=answer.sent_ns,
        received_ns=max(received_ns, answer.sent_ns),
        resolution_ns=resolution_ns,
    )


def read_adjtimex(raw: bytes) -> TimeSync:
    """What busybox' `adjtimex` prints: `    maxerror:     16000000`, `    status:       64 (UNSYNC)`.

    Raises:
        UnreadableError: there is no status in it (other programs of that name ask for options).
    """
    values = {}
    for line in raw.decode("ascii", "replace").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal() and len(words[0]) < 15:
            values[name.split()[-1] if name.split() else ""] = int(words[0])
    if "status" not in values:
        raise UnreadableError("not the output of busybox' adjtimex")
    return TimeSync(
        synchronised=not values["status"] & _STA_UNSYNC,
        max_error_us=values.get("maxerror"),
        estimated_error_us=values.get("esterror"),
    )


def read_udp(raw: bytes) -> tuple[UdpSocket, ...]:
    """/proc/net/udp and udp6: `  12: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 ... 0`, the last column drops.

    Raises:
        UnreadableError: it is not one of them.
    """
    lines = raw.decode("ascii", "replace").splitlines()
    if not lines or "drops" not in lines[0]:
        raise UnreadableError("not /proc/net/udp")
    return tuple(found for line in lines[1:] if (found := _udp(line.split())) is not None)


def _udp(words: list[str]) -> UdpSocket | None:
    try:
        address, _, port = words[1].partition(":")
        _, _, queued = words[4].partition(":")
        numbers = int(port, 16), int(queued, 16), int(words[-1])
        if not all(0 <= number <= MOST_NUMBER for number in numbers):
            return None
        return UdpSocket(address=_address(address), port=numbers[0], receive_queue_bytes=numbers[1], drops=numbers[2])
    except (ValueError, IndexError, struct.error):
        return None


def _address(word: str) -> str:
    """The kernel prints 32-bit words as the machine holds them; every machine that Kubernetes runs on but s390x is little-endian."""
    packed = b"".join(struct.pack("<I", int(word[place : place + 8], 16)) for place in range(0, len(word), 8))
    return socket.inet_ntoa(packed) if len(packed) == 4 else str(IPv6Address(packed))


def read_listeners(raw: bytes) -> tuple[Listener, ...]:
    """`ss -H -l -t -n`: `LISTEN 1 4096 127.0.0.1:8080 0.0.0.0:*`; `*` is every address of both families. Other lines are passed over.

    With `-m` what its socket's memory says stands on the same line or the next: `skmem:(r0,rb131072,...,d3)`, d for drops.
    """
    found: list[Listener] = []
    for line in raw.decode("utf-8", "replace").splitlines():
        listener = _listener(line.split())
        if listener is not None:
            found.append(listener)
        drops = _DROPS.search(line)
        if drops is not None and found:
            found[-1] = replace(found[-1], drops=int(drops[1]))
    return tuple(found)


def _listener(words: list[str]) -> Listener | None:
    if len(words) < 4 or words[0] != "LISTEN":
        return None
    address, _, port = words[3].rpartition(":")
    waiting, limit, number = (_number(word) for word in (words[1], words[2], port))
    if not address or waiting is None or number is None:
        return None
    return Listener(address=address.strip("[]"), port=number, waiting=waiting, limit=limit)


def read_queues(raw: bytes) -> tuple[QueueListener, ...]:
    """/proc/net/netfilter/nfnetlink_queue, a line a queue that is read: number, port, waiting, copy mode and range, dropped, lost, and two.

    Source: seq_show in net/netfilter/nfnetlink_queue.c.
    """
    rows = ([_number(word) for word in line.split()] for line in raw.decode("ascii", "replace").splitlines())
    return tuple(
        QueueListener(number=number, waiting=waiting, dropped=dropped, lost=lost)
        for number, _, waiting, _, _, dropped, lost, *_ in (row for row in rows if len(row) == 9)
        if number is not None and waiting is not None and dropped is not None and lost is not None
    )


def read_xfrm_count(raw: bytes) -> int:
    """`ip xfrm state count` (` SAD count 2`), `ip xfrm policy count` (` SPD IN  1 OUT 1 FWD 1`): the sum.

    Raises:
        UnreadableError: there is no number in it.
    """
    counts = _COUNT.findall(raw)
    if not counts:
        raise UnreadableError("no count in it")
    return sum(map(int, counts))


def read_wireguard(answers: dict[str, bytes]) -> tuple[WireguardPeer, ...]:
    """Peers from `wg show all` with `endpoints`, `allowed-ips`, `latest-handshakes`, `transfer`: tab-separated, device and key first."""
    peers: dict[tuple[str, str], dict[str, list[str]]] = {}
    for question, raw in answers.items():
        for line in raw.decode("utf-8", "replace").splitlines():
            device, _, rest = line.partition("\t")
            key, _, value = rest.partition("\t")
            if key:
                peers.setdefault((device, key), {})[question] = value.split()
    return tuple(_peer(device, key, said) for (device, key), said in peers.items())


def _peer(device: str, key: str, said: dict[str, list[str]]) -> WireguardPeer:
    endpoint = next(iter(said.get("endpoints", ())), "(none)")
    transfer = [_number(word) for word in said.get("transfer", ())]
    return WireguardPeer(
        device=device,
        public_key=key,
        endpoint=None if endpoint == "(none)" else endpoint,
        allowed=tuple(word for word in said.get("allowed-ips", ()) if word != "(none)"),
        handshake_s=_number(next(iter(said.get("latest-handshakes", ())), "")),
        received_bytes=transfer[0] if len(transfer) == 2 else None,
        sent_bytes=transfer[1] if len(transfer) == 2 else None,
    )


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() and len(word) < 20 else None
