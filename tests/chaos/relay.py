"""One exec's stream between the plugin and the API, and what is done to it."""

import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator

from tests.chaos import frames
from tests.chaos.calls import call_of
from tests.chaos.frames import Frame
from tests.chaos.rules import Action, Call, Cut, End, Flip, Halve, Idle, Stall

_READ_BYTES = 65536
_TURN_S = 0.25
_HALF_CLOSED_S = 30.0
_READING_S = 0.2  # an RST takes away what came before it and was not yet read
_BINARY = 2
_STDOUT = 1


class Relay:
    """Carries frames both ways until an end closes.

    Args:
        target: path and query of the handshake.
        client, upstream: the two ends, after the handshake.
        decide: says what to do; asked once, before the command is whole where it can be known, else before its first answer.
    """

    def __init__(self, target: str, client: ssl.SSLSocket, upstream: ssl.SSLSocket, decide: Callable[[Call], Action | None]) -> None:
        self._target = target
        self._client, self._upstream = client, upstream
        self._decide = decide
        self._action: Action | None = None
        self._is_decided = False
        self._asked, self._answered = bytearray(), bytearray()
        self._script = bytearray()
        self._held = bytearray()
        self._passed_bytes = 0
        self._is_tampered = False
        self.stdout = bytearray()

    @property
    def call(self) -> Call:
        """What runs, as far as is known."""
        return call_of(self._target, bytes(self._script))

    def run(self) -> None:
        """Carry until the end; never raises for what an end does."""
        quiet_since_s = time.monotonic()
        self._ask_what_to_do(is_last_chance=False)
        try:
            while True:
                ends = (self._client, self._upstream)
                ready = [end for end in ends if end.pending()] or select.select(ends, [], [], _TURN_S)[0]
                if ready:
                    quiet_since_s = time.monotonic()
                elif isinstance(self._action, Idle) and time.monotonic() - quiet_since_s >= self._action.quiet_s:
                    reset(self._client)
                    return
                for end in ready:
                    data = end.recv(_READ_BYTES)
                    if not data or not (self._up(data) if end is self._client else self._down(data)):
                        return
        except (OSError, ValueError):
            return

    def _up(self, data: bytes) -> bool:
        self._asked += data
        for frame in frames.take(self._asked):
            if frame.opcode == _BINARY and frame.data[:1] == b"\0":
                self._script += frame.data[1:]
        self._ask_what_to_do(is_last_chance=False)
        self._upstream.sendall(data)
        return True

    def _down(self, data: bytes) -> bool:
        """Pass on what the API says; False where that was the last of it."""
        self._answered += data
        for frame in frames.take(self._answered):
            if frame.opcode == _BINARY and len(frame.data) > 1:  # each channel begins with an empty message
                self._ask_what_to_do(is_last_chance=True)
            if frame.opcode == _BINARY and frame.data[:1] == bytes([_STDOUT]):
                self.stdout += frame.data[1:]
            for raw in self._changed(frame):
                if raw is None:
                    return False
                self._client.sendall(raw)
        return True

    def _ask_what_to_do(self, *, is_last_chance: bool) -> None:
        if not self._is_decided and (self.call != "other" or is_last_chance):
            self._action, self._is_decided = self._decide(self.call), True

    def _changed(self, frame: Frame) -> Iterator[bytes | None]:
        """What the client gets in place of a frame; None at the end of the stream."""
        is_output = frame.opcode == _BINARY and frame.data[:1] == bytes([_STDOUT]) and len(frame.data) > 1
        match self._action:
            case Cut(after_bytes=after_bytes, end=end) if is_output or frame.opcode != _BINARY or frame.data[:1] == b"\x03":
                data = frame.data[1:] if is_output else b""
                kept = data[: max(0, after_bytes - self._passed_bytes)]
                self._passed_bytes += len(data)
                if kept:
                    yield frames.binary(bytes([_STDOUT]) + kept)
                if self._passed_bytes >= after_bytes or not is_output:
                    finish(self._client, end)
                    yield None
            case Stall(after_bytes=after_bytes, pause_s=pause_s) if not self._is_tampered and self._passed_bytes >= after_bytes:
                self._is_tampered = True
                time.sleep(pause_s)
                yield frame.raw
            case Halve() if is_output:
                self._held += frame.data[1:]
            case Halve() if self._held:
                yield frames.binary(bytes([_STDOUT]) + self._held[: len(self._held) // 2])
                self._held.clear()
                yield frame.raw
            case Flip() if is_output and not self._is_tampered:
                self._is_tampered = True
                yield frames.binary(frame.data[:-1] + bytes([frame.data[-1] ^ 1]))
            case _:
                self._passed_bytes += len(frame.data) - 1 if is_output else 0
                yield frame.raw


def finish(client: socket.socket, end: End) -> None:
    """End a connection in one of the ways in which connections end."""
    if end == "reset":
        time.sleep(_READING_S)
        reset(client)
    elif end == "close":
        client.shutdown(socket.SHUT_RDWR)
    else:
        client.shutdown(socket.SHUT_WR)
        until_s = time.monotonic() + _HALF_CLOSED_S
        while time.monotonic() < until_s and select.select([client], [], [], _TURN_S)[0] == []:
            pass


def reset(client: socket.socket) -> None:
    """Close at once, so that the other end gets an RST (socket(7), SO_LINGER)."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(client.detach())
