"""tshark as a child process: what it is given, what it may take, and what it says of each packet."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import IO, Final

from kubectl_vxtrace.model.text import clean_bytes

TIMEOUT_S = 20.0
"""Longest run; what it said until then counts."""

_MOST_ADDRESS_SPACE_BYTES: Final = 2 << 30
"""Of 4.0.17, 350 MB are in use for 500 packets."""
_MOST_OUTPUT_BYTES: Final = 256 << 20
_MOST_PACKET_BYTES: Final = 8 << 20
"""A packet of 1,024 bytes gives some 20 KB to 100 KB of PDML."""
_MOST_FILE_BYTES: Final = 16 << 20
"""It writes no files."""
_MOST_ERRORS_BYTES: Final = 16 << 20
"""Of its stderr; then the pipe is closed, and who writes there is ended by SIGPIPE."""
_READ_BYTES: Final = 1 << 16
_PIECES_AHEAD: Final = 4
_LOOKS_EVERY_S: Final = 0.5
_MOST_REASON_CHARACTERS: Final = 200
_BEGIN: Final = b"<packet>"
_END: Final = b"</packet>"


class _TooMuchError(Exception):
    """It took more than it may; the text says what."""


def run(tshark: str, capture: bytes, *, vxlan_ports: Collection[int], take: Callable[[bytes], None]) -> str | None:
    """Let the program `tshark` dissect the capture file `capture`; `take` gets the PDML of one packet after the other.

    Returns why it did not get to the end, in its own words where it has some; None where it did.

    Raises:
        OSError: it cannot be started, or there is no room for temporary files.
    """
    ports = [word for port in vxlan_ports for word in ("-d", f"udp.port=={int(port)},vxlan")]
    # A file without a name: nothing of it outlives whoever has it open, however that ends.
    with tempfile.TemporaryFile() as given:
        given.write(capture)
        given.seek(0)
        # -l: each packet is said at once.
        argv = [tshark, "-l", "-n", "-T", "pdml", "-r", "-", *ports]
        # Of a session of its own: what it starts (it may be a script) ends with it.
        with subprocess.Popen(argv, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                _limit(process.pid)
                assert process.stdout is not None  # noqa: S101 (stdout=PIPE; for the type checker)  # nosec B101
                assert process.stderr is not None  # noqa: S101 (likewise)  # nosec B101
                errors = _Errors(process.stderr)
                deadline_s = time.monotonic() + TIMEOUT_S
                _read(process.stdout, deadline_s, take)
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except _TooMuchError as error:
                return str(error)
            except subprocess.TimeoutExpired:
                return _TOO_LONG
            finally:
                _end(process)
        return _reason(process.returncode, errors.first_bytes())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with all of its session, unless it was seen to have ended: until then its number is nobody else's."""
    if process.returncode is not None:
        return
    if sys.platform != "win32":
        with suppress(PermissionError):  # macOS says so of a session of which only the ended leader is left
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


_TOO_LONG: Final = f"it took longer than {TIMEOUT_S:.0f} s"


def _limit(pid: int) -> None:
    """Bound its memory, processor time and files. Only Linux lets one process bound another (prlimit(2)); elsewhere time and output are."""
    if sys.platform == "linux":
        try:
            from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, prlimit
        except ImportError:
            return
        cpu_s = int(TIMEOUT_S) + 1
        limits = {
            RLIMIT_AS: _MOST_ADDRESS_SPACE_BYTES,
            RLIMIT_CPU: cpu_s,
            RLIMIT_FSIZE: _MOST_FILE_BYTES,
            RLIMIT_CORE: 0,
        }
        for number, most in limits.items():
            try:
                _, hard = prlimit(pid, number)
                lowest = most if hard == RLIM_INFINITY else min(most, hard)
                prlimit(pid, number, (lowest, lowest))
            except OSError:  # it has ended already, or has bounds of its own
                continue


def _read(stream: IO[bytes], deadline_s: float, take: Callable[[bytes], None]) -> None:
    """Hand on what it says, until it closes its stdout. Raises _TooMuchError, and what `take` raises."""
    rest, said_bytes = b"", 0
    pipe = _Pipe(stream)
    try:
        while True:
            left_s = deadline_s - time.monotonic()
            piece = pipe.piece(left_s) if left_s > 0 else None
            if piece is None:
                raise _TooMuchError(_TOO_LONG)
            if not piece:
                return
            said_bytes += len(piece)
            rest = _handed_on(rest + piece, take)
            if said_bytes > _MOST_OUTPUT_BYTES or len(rest) > _MOST_PACKET_BYTES:
                raise _TooMuchError(f"it said more than {said_bytes // (1 << 20)} MiB")
    finally:
        pipe.left.set()


class _Errors:
    """What it says on stderr, read in a thread: the first of it is kept, and who says too much is no longer listened to."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._first = b""
        self._thread = threading.Thread(target=self._read, args=(os.dup(stream.fileno()),), daemon=True)
        self._thread.start()

    def first_bytes(self) -> bytes:
        """What was said, when the process has ended; another one that has its stderr open is not waited for."""
        self._thread.join(_LOOKS_EVERY_S)
        return self._first

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            left_bytes = _MOST_ERRORS_BYTES
            while left_bytes > 0 and (piece := pipe.read(_READ_BYTES)):
                left_bytes -= len(piece)
                if len(self._first) < _READ_BYTES:
                    self._first += piece


class _Pipe:
    """What a pipe says, piece by piece, in a thread: not every system lets one wait for a pipe with a time limit. `left` ends it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.left = threading.Event()
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES_AHEAD)
        threading.Thread(target=self._read, args=(os.dup(stream.fileno()),), daemon=True).start()

    def piece(self, timeout_s: float) -> bytes | None:
        """The next piece, empty at the end; None if there is none in time."""
        try:
            return self._pieces.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            piece = b"-"
            while piece and not self.left.is_set():
                piece = pipe.read(_READ_BYTES)
                self._put(piece)

    def _put(self, piece: bytes) -> None:
        while not self.left.is_set():
            try:
                self._pieces.put(piece, timeout=_LOOKS_EVERY_S)
            except queue.Full:
                continue
            return


def _handed_on(said: bytes, take: Callable[[bytes], None]) -> bytes:
    """What is left of `said` when its whole packets were handed on."""
    while (end := said.find(_END)) >= 0:
        end += len(_END)
        begin = said.find(_BEGIN, 0, end)
        if begin >= 0:
            take(said[begin:end])
        said = said[end:]
    return said


def _reason(status: int, errors: bytes) -> str | None:
    """Why it failed: its last words, else how it ended."""
    if status == 0:
        return None
    lines = [line for line in errors[:_READ_BYTES].splitlines() if line.strip()]
    if status > 0 and lines:
        return clean_bytes(lines[-1].removeprefix(b"tshark: "), _MOST_REASON_CHARACTERS, spaces=True)
    return f"it ended with status {status}" if status > 0 else f"it was ended by signal {-status}"
