"""The peer of a trace: tcpdump started by hand in the nodes' namespaces, one for each tap."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.place import BrokenError

_LISTEN_S = 30.0
_END_S = 30.0
_COUNTS = re.compile(r"^(\d+) packets? (captured|received by filter|dropped by kernel)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """One capture: the node's namespace, and tcpdump's arguments without `-w FILE`."""

    netns: str
    interface: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """tcpdump's closing numbers."""

    received: int
    captured: int
    dropped: int


class Tcpdumps:
    """Captures that run from `start` to `stop`.

    Args:
        captures: what to capture.
        folder: where the files go.
    """

    def __init__(self, captures: Sequence[ByHand], folder: Path) -> None:
        self._captures = captures
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self._said: list[list[str]] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> "Tcpdumps":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def start(self) -> None:
        """Start all; returns once each listens. BrokenError where one does not."""
        listening = []
        for number, capture in enumerate(self._captures):
            file = str(self._folder / f"{number}.pcap")
            # Debian's tcpdump gives up root before it opens the file, unless it is told not to.
            command = [
                "ip",
                "netns",
                "exec",
                capture.netns,
                "tcpdump",
                "-Z",
                "root",
                "-w",
                file,
                "-i",
                capture.interface,
                *capture.arguments,
            ]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            listens, said = threading.Event(), list[str]()
            reader = threading.Thread(target=_read, args=(process, said, listens), daemon=True)
            reader.start()
            self._processes.append(process)
            self._said.append(said)
            self._readers.append(reader)
            listening.append(listens)
        until = time.monotonic() + _LISTEN_S
        for number, listens in enumerate(listening):
            if not listens.wait(max(0.0, until - time.monotonic())) or self._processes[number].poll() is not None:
                raise BrokenError(f"tcpdump on {self._captures[number].interface}: {''.join(self._said[number])}")

    @property
    def pids(self) -> list[int]:
        """Of the tcpdumps, in order."""
        return [process.pid for process in self._processes]

    def stop(self) -> list[Counts]:
        """Stop all and give their closing numbers, in order."""
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process, reader in zip(self._processes, self._readers, strict=True):
            process.wait(_END_S)
            reader.join(_END_S)
        return [_counts("".join(said)) for said in self._said]


def _read(process: subprocess.Popen[str], said: list[str], listens: threading.Event) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "listening on" in line:
            listens.set()
    listens.set()  # it has ended; whoever waits looks at that


def _counts(text: str) -> Counts:
    found = {what: int(number) for number, what in _COUNTS.findall(text)}
    try:
        return Counts(received=found["received by filter"], captured=found["captured"], dropped=found["dropped by kernel"])
    except KeyError:
        raise BrokenError(f"tcpdump ended without its closing numbers: {text}") from None
