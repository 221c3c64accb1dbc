"""Traffic that is more than a question: bulk over TCP, datagrams of any size.

stream.py serve PORT                 TCP: takes what comes (first byte "u"), or sends as many bytes as the line after it says ("d").
                                     UDP: sends every datagram back.
stream.py up|down ADDRESS:PORT [--connections N] [--bytes N] [--seconds N]
stream.py echo ADDRESS:PORT [--connections N] [--bytes N] [--rate N] [--seconds N]
stream.py stall ADDRESS:PORT [--bytes N] [--rate N] [--seconds N]

up, down: `--bytes` over each connection, all at once, then "mss N": the largest segment of the last one. Whatever is not done after
`--seconds` is aborted. echo: datagrams of `--bytes` from so many sockets in turn; the last line says "sent N answered M". stall: asks an
HTTP server (web.py) for so many bytes and reads none of them, on a new connection each time.
"""

import argparse
import socket
import socketserver
import struct
import sys
import threading
import time

CHUNK_BYTES = 1 << 16
NUMBER = struct.Struct(">I")


class Bulk(socketserver.StreamRequestHandler):
    """One connection."""

    timeout = 30

    def handle(self) -> None:
        """Take or send."""
        try:
            if self.rfile.read(1) == b"u":
                while self.connection.recv(CHUNK_BYTES):
                    pass
                return
            self.connection.sendall(bytes(min(int(self.rfile.readline(20)), 100_000_000)))
        except (OSError, ValueError):
            return  # the client is gone, or said nothing that can be meant; there is nobody to tell


class BulkServer(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def serve(port: int) -> None:
    """Both servers, for ever."""
    with BulkServer(("0.0.0.0", port), Bulk) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        echo.bind(("0.0.0.0", port))
        while True:
            data, client = echo.recvfrom(CHUNK_BYTES)
            try:
                echo.sendto(data, client)
            except OSError:
                continue  # a rule of this machine refuses it; the client counts that as unanswered


def bulk(address: tuple[str, int], kind: str, size_bytes: int, until_s: float) -> int:
    """One connection; its largest segment, 0 where there was no connection. Ends with a reset if it is not done in time."""
    with socket.socket() as connection:
        connection.settimeout(max(until_s - time.monotonic(), 0.01))
        try:
            connection.connect(address)
            connection.sendall(b"u" + bytes(size_bytes) if kind == "up" else b"d%d\n" % size_bytes)
            if kind == "up":
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(CHUNK_BYTES):
                connection.settimeout(max(until_s - time.monotonic(), 0.01))
        except OSError:
            # Out of time. Lingering for no time is a reset (socket(7), SO_LINGER): nothing is sent again after that.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        except OSError:
            return 0


def stall(address: tuple[str, int], options: argparse.Namespace) -> None:
    """Connections whose window fills up, each until the next one; all end with a reset, since nothing was read."""
    until_s = time.monotonic() + options.seconds
    while time.monotonic() < until_s:
        with socket.create_connection(address, 5) as connection:
            connection.sendall(f"GET /bytes/{options.bytes} HTTP/1.1\r\nHost: {address[0]}\r\n\r\n".encode())
            time.sleep(min(1 / options.rate, max(until_s - time.monotonic(), 0)))


def echo(address: tuple[str, int], options: argparse.Namespace) -> None:
    """Datagrams at a steady pace, each with its number in it."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(options.connections)]
    for one in sockets:
        one.connect(address)
        one.setblocking(False)
    begin = time.monotonic()
    sent = 0
    while (now := time.monotonic() - begin) < options.seconds:
        if sent <= now * options.rate:
            sockets[sent % len(sockets)].send(NUMBER.pack(sent).ljust(options.bytes, b"."))
            sent += 1
        else:
            time.sleep(min(0.002, 1 / options.rate))
    time.sleep(0.1)
    print(f"sent {sent} answered {sum(map(_received, sockets))}", flush=True)


def _received(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(CHUNK_BYTES)
        except OSError:
            return count
        count += 1


def main() -> int:
    """Parse, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("serve", "up", "down", "echo", "stall"))
    parser.add_argument("target")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    if options.kind == "serve":
        serve(int(options.target))
    host, _, port = options.target.rpartition(":")
    address = host, int(port)
    if options.kind in ("echo", "stall"):
        (echo if options.kind == "echo" else stall)(address, options)
        return 0
    until_s = time.monotonic() + options.seconds
    largest: list[int] = []
    threads = [
        threading.Thread(target=lambda: largest.append(bulk(address, options.kind, options.bytes, until_s)))
        for _ in range(options.connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"mss {max(largest)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
