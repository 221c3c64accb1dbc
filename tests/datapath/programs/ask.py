"""A client that asks at a steady pace and never waits for an answer before the next question. One try each.

ask.py dns ADDRESS:PORT NAME | http ADDRESS:PORT PATH | ping ADDRESS[,ADDRESS...] -
       [--rate N] [--seconds N] [--timeout S] [--stats FILE] [--until-answered] [--ports N [--first-port N]] [--twins] [--source ADDRESS]

dns: an A question, each from a new socket; with --ports from so many sockets in turn, whose ports are always the same; with --twins each
together with an AAAA question from the same socket, as glibc's resolver asks (resolv.conf(5), single-request). http: a GET, each
on a new connection. ping: one ICMP identifier, the addresses in turn.
Without --seconds it runs until it is ended. The last line says "sent N answered M".
"""

import argparse
import errno
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

A, AAAA, INTERNET = 1, 28, 1  # RFC 1035, 3.2; RFC 3596, 2.1
LONGEST_PAUSE_S = 1.0
STATS_EVERY_S = 1.0


class Exchange:
    """A question that is on its way: `ready` says True for answered, False for refused, None for not yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        self.events = select.POLLIN

    def ready(self) -> bool | None:
        """Read what is there."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the socket back."""
        self.sock.close()


def family(address: str) -> socket.AddressFamily:
    """Of an address as text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def socket_address(target: str) -> tuple[str, int]:
    """What ADDRESS:PORT names, in which an IPv6 address stands in brackets."""
    address, _, port = target.rpartition(":")
    return address.strip("[]"), int(port)


class Lookup(Exchange):
    """A DNS question over UDP (RFC 1035, section 4.1)."""

    def __init__(self, server: tuple[str, int], name: str, kept: socket.socket | None, *, twins: bool) -> None:
        super().__init__(socket.socket(family(server[0]), socket.SOCK_DGRAM) if kept is None else kept)
        self.kept = kept is not None
        self.identifier = os.urandom(2)
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
        if kept is None:
            self.sock.connect(server)
        self.sock.send(self.identifier + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", A, INTERNET))
        if twins:
            head = struct.pack(">6H", int.from_bytes(self.identifier) ^ 1, 0x0100, 1, 0, 0, 0)
            self.sock.send(head + labels + b"\0" + struct.pack(">HH", AAAA, INTERNET))

    def ready(self) -> bool | None:
        """The answer, or the ICMP error that the kernel reports as a refusal."""
        try:
            answer = self.sock.recv(4096)
        except BlockingIOError:
            return None
        except OSError:
            return False
        return True if answer[:2] == self.identifier else None

    def close(self) -> None:
        """A socket of one of the `--ports` stays for the next question."""
        if not self.kept:
            super().close()


class Fetch(Exchange):
    """A GET on a connection of its own."""

    def __init__(self, server: tuple[str, int], path: str, source: str = "") -> None:
        super().__init__(socket.socket(family(server[0]), socket.SOCK_STREAM))
        if source:
            self.sock.bind((source, 0))
        name = f"[{server[0]}]" if ":" in server[0] else server[0]
        self.request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        self.first = b""
        self.events = select.POLLOUT
        error = self.sock.connect_ex(server)
        if error not in (0, errno.EINPROGRESS):
            self.sock.close()
            raise OSError(error, os.strerror(error))

    def ready(self) -> bool | None:
        """Connected: ask; then read to the end."""
        try:
            if self.events == select.POLLOUT:
                if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return False
                self.sock.send(self.request)
                self.events = select.POLLIN
                return None
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return None
        except OSError:
            return False
        self.first = (self.first + data)[:16]
        return None if data else self.first.startswith(b"HTTP/1.1 200")


class Echo(Exchange):
    """An ICMP echo (RFC 792; RFC 4443, 4) from a raw socket, connected so that it sees one address only.

    Of ICMPv6 the kernel computes the checksum, and gives the message without an IP header (RFC 3542, 3.1, 3.2).
    """

    identifier = os.getpid() & 0xFFFF
    sequence = 0

    def __init__(self, address: str) -> None:
        self.six = ":" in address
        super().__init__(socket.socket(family(address), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if self.six else socket.IPPROTO_ICMP))
        Echo.sequence = (Echo.sequence + 1) & 0xFFFF
        self.key = struct.pack(">HH", self.identifier, Echo.sequence)
        body = self.key + b"vxtrace lab echo" + bytes(40)
        self.sock.connect((address, 0))
        if self.six:
            self.sock.send(b"\x80\x00\x00\x00" + body)
            return
        self.sock.send(b"\x08\x00" + struct.pack(">H", checksum(b"\x08\x00\x00\x00" + body)) + body)

    def ready(self) -> bool | None:
        """The reply to this very request; others' are passed over."""
        try:
            packet = self.sock.recv(2048)
        except BlockingIOError:
            return None
        except OSError:
            return False
        message = packet if self.six else packet[(packet[0] & 15) * 4 :]
        return True if message[0] == (129 if self.six else 0) and message[4:8] == self.key else None


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Asker:
    """Asks, and counts what becomes of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.poll = select.poll()
        self.waiting: dict[int, tuple[Exchange, float]] = {}
        self.sent = 0
        self.answered = 0
        self.refused = 0
        self.silent = 0
        self.running = True
        self.kept: list[socket.socket] = []
        for number in range(options.ports):
            server = socket_address(options.target)
            self.kept.append(socket.socket(family(server[0]), socket.SOCK_DGRAM))
            self.kept[-1].bind(("", options.first_port + number))
            # Once: each connect(2) draws another hash, and with it another outer port (net/ipv4/datagram.c, sk_set_txhash).
            self.kept[-1].connect(server)

    def question(self) -> Exchange:
        """The next one."""
        kind, target, what = self.options.kind, self.options.target, self.options.what
        if kind == "ping":
            addresses = target.split(",")
            return Echo(addresses[self.sent % len(addresses)])
        server = socket_address(target)
        kept = self.kept[self.sent % len(self.kept)] if self.kept else None
        if kept is not None and kept.fileno() in self.waiting:
            self.silent += 1
            self.forget(kept.fileno())
        if kind == "dns":
            return Lookup(server, what, kept, twins=self.options.twins)
        return Fetch(server, what, self.options.source)

    def ask(self, now: float) -> None:
        """Send one question; what the own kernel refuses at once counts as sent and refused."""
        self.sent += 1
        try:
            exchange = self.question()
        except OSError:
            self.refused += 1
            return
        self.waiting[exchange.sock.fileno()] = (exchange, now + self.options.timeout)
        self.poll.register(exchange.sock, exchange.events)

    def read(self, wait_s: float) -> None:
        """Take what has arrived, waiting for it at most so long."""
        for descriptor, _ in self.poll.poll(max(0.0, wait_s) * 1000):
            exchange = self.waiting[descriptor][0]
            outcome = exchange.ready()
            if outcome is None:
                self.poll.modify(descriptor, exchange.events)
                continue
            self.answered += outcome
            self.refused += not outcome
            self.forget(descriptor)

    def expire(self, now: float) -> None:
        """Give up on what is older than the time-out (dictionaries keep their order: the oldest stands first)."""
        while self.waiting:
            descriptor, (_, deadline) = next(iter(self.waiting.items()))
            if deadline > now:
                return
            self.silent += 1
            self.forget(descriptor)

    def forget(self, descriptor: int) -> None:
        """Close one."""
        self.poll.unregister(descriptor)
        self.waiting.pop(descriptor)[0].close()

    def write_stats(self) -> None:
        """The counts so far, never half a file."""
        if self.options.stats:
            path = Path(self.options.stats)
            scratch = path.with_name(path.name + ".new")
            scratch.write_text(
                json.dumps({"sent": self.sent, "answered": self.answered, "refused": self.refused, "silent": self.silent}) + "\n"
            )
            scratch.replace(path)

    def run(self) -> None:
        """Ask until the time is over or a signal comes, then wait for the last answers."""
        begin = time.monotonic()
        stats_at = due = begin
        end = begin + self.options.seconds if self.options.seconds else float("inf")
        while not self.done():
            now = time.monotonic()
            if now >= end:
                break
            if now >= due:
                self.ask(now)
                # After a pause of the machine the pace goes on; what was missed is not made up for.
                due = now if now - due > LONGEST_PAUSE_S else due + 1 / self.options.rate
            self.expire(now)
            if now >= stats_at:
                self.write_stats()
                stats_at = now + STATS_EVERY_S
            self.read(min(due, end, now + 0.1) - now if due > now else 0)
        while not self.done() and self.waiting:
            self.expire(time.monotonic())
            self.read(0.02)
        self.write_stats()
        print(f"sent {self.sent} answered {self.answered}", flush=True)

    def done(self) -> bool:
        """Whether to stop early: a signal came, or the one answer that was wanted."""
        return not self.running or (bool(self.options.until_answered) and self.answered > 0)

    def stop(self, *_: object) -> None:
        """End the loop (signal handler)."""
        self.running = False


def main() -> int:
    """Parse, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("dns", "http", "ping"))
    parser.add_argument("target")
    parser.add_argument("what")
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=1.0)
    parser.add_argument("--stats")
    parser.add_argument("--ports", type=int, default=0)
    parser.add_argument("--first-port", type=int, default=20000, help="of --ports; the kernel picks from 32768 on by itself")
    parser.add_argument("--twins", action="store_true", help="dns: an AAAA question beside each")
    parser.add_argument("--source", default="", help="http: the address that is bound first; the kernel's choice otherwise")
    parser.add_argument("--until-answered", action="store_true", help="end with the first answer; exit status 1 if there was none")
    asker = Asker(parser.parse_args())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asker.stop)
    asker.run()
    return 1 if asker.options.until_answered and not asker.answered else 0


if __name__ == "__main__":
    sys.exit(main())
