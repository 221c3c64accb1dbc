"""DNS questions over one TCP connection for as long as it lasts, then over the next (RFC 7766, 6.2.1).

questions.py ADDRESS:PORT NAME --stats FILE [--rate N]

The counts in FILE are those of ask.py: sent, answered, refused (the connection broke), silent (no answer in time).
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PATIENCE_S = 3.0
INTERNET_A = struct.pack(">HH", 1, 1)  # type and class, RFC 1035, 3.2
LENGTH = struct.Struct(">H")  # RFC 1035, 4.2.2


def question(name: str) -> bytes:
    """An A question with its length before it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    body = os.urandom(2) + struct.pack(">5H", 0x0100, 1, 0, 0, 0) + labels + b"\0" + INTERNET_A
    return LENGTH.pack(len(body)) + body


class Counts:
    """What became of the questions, written down after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts = {"sent": 0, "answered": 0, "refused": 0, "silent": 0}

    def add(self, outcome: str) -> None:
        """A question, and its "answered", "refused" or "silent"."""
        self._counts["sent"] += 1
        self._counts[outcome] += 1
        scratch = self._path.with_name(self._path.name + ".new")
        scratch.write_text(json.dumps(self._counts))
        scratch.replace(self._path)


def talk(server: tuple[str, int], name: str, counts: Counts, pause_s: float) -> None:
    """One connection, until it breaks."""
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_S)
        try:
            sock.connect(server)
            while True:
                sock.sendall(question(name))
                counts.add("answered" if sock.recv(4096) else "refused")
                time.sleep(pause_s)
        except TimeoutError:
            counts.add("silent")
        except OSError:
            counts.add("refused")


def main() -> None:
    """Connection after connection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server")
    parser.add_argument("name")
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=5.0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address, _, port = options.server.rpartition(":")
    counts = Counts(options.stats)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            talk((address, int(port)), options.name, counts, 1 / options.rate)


if __name__ == "__main__":
    main()
