"""The server's side of WebSocket (RFC 6455)."""

import base64
import hashlib
import threading
from collections.abc import Callable
from email.message import Message
from typing import Protocol

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009


class Reader(Protocol):
    """Something that reads exactly `size` bytes, fewer only at the end of the stream."""

    def read(self, size: int, /) -> bytes: ...


class HandshakeError(Exception):
    """The request is no WebSocket handshake."""


class _BrokenError(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def is_upgrade(headers: Message) -> bool:
    """Whether a request asks for WebSocket."""
    return (headers.get("Upgrade") or "").lower() == "websocket"


def answer(headers: Message) -> str:
    """The Sec-WebSocket-Accept of a handshake (4.2.2). Raises HandshakeError."""
    connection = {word.strip().lower() for word in (headers.get("Connection") or "").split(",")}
    if "upgrade" not in connection or (headers.get("Sec-WebSocket-Version") or "").strip() != "13":
        raise HandshakeError("not a WebSocket handshake of version 13")
    key = (headers.get("Sec-WebSocket-Key") or "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except ValueError as error:
        raise HandshakeError("Sec-WebSocket-Key is not base64") from error
    if len(nonce) != 16:
        raise HandshakeError("Sec-WebSocket-Key is not 16 bytes")
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()


def offered_protocols(headers: Message) -> list[str]:
    """The subprotocols that the client offers, in its order."""
    return [word.strip() for word in (headers.get("Sec-WebSocket-Protocol") or "").split(",") if word.strip()]


def server_frame(opcode: int, data: bytes) -> bytes:
    """A message by itself, as a server sends it: not masked."""
    size = len(data)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + data


def unmask(data: bytes, key: bytes) -> bytes:
    """RFC 6455, 5.3: octet i XOR key[i mod 4]."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class WebSocket:
    """A connection after its handshake. One thread receives; any may send."""

    def __init__(self, reader: Reader, write: Callable[[bytes], object]) -> None:
        self._reader = reader
        self._write = write
        self._lock = threading.Lock()
        self._closing = False

    def receive(self) -> bytes | None:
        """The next message, None when the connection has ended. Pings are answered on the way.

        A client that breaks the protocol is told so with a close frame, and the connection counts as ended.
        """
        try:
            return self._message()
        except _BrokenError as error:
            self.close(error.code)
        except EOFError:
            self._closing = True
        except OSError:
            self._closing = True
        return None

    def send(self, data: bytes) -> None:
        """Send one binary message. Raises OSError when the peer is gone or the connection was closed."""
        self._send(BINARY, data)

    def close(self, code: int = NORMAL) -> None:
        """Send a close frame, once."""
        try:
            self._send(CLOSE, code.to_bytes(2, "big"))
        except OSError:
            return  # nobody is there to be told

    def _send(self, opcode: int, data: bytes) -> None:
        with self._lock:
            if self._closing:
                raise BrokenPipeError("the WebSocket is closed")
            self._closing = opcode == CLOSE
            self._write(server_frame(opcode, data))

    def _exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._exactly(2)
        final, opcode, size = bool(first & 0x80), first & 0x0F, second & 0x7F
        if first & 0x70:
            raise _BrokenError(PROTOCOL_ERROR, "reserved bits are set")
        if not second & 0x80:
            raise _BrokenError(PROTOCOL_ERROR, "a client's frame must be masked")
        if opcode >= CLOSE and (size > 125 or not final):
            raise _BrokenError(PROTOCOL_ERROR, "a control frame is short and whole")
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        if size > _MAX_MESSAGE_BYTES:
            raise _BrokenError(TOO_BIG, "frame too big")
        key = self._exactly(4)
        return final, opcode, unmask(self._exactly(size), key)

    def _message(self) -> bytes | None:
        parts: list[bytes] = []
        while True:
            final, opcode, data = self._frame()
            if opcode == PING:
                self._send(PONG, data)
            elif opcode == CLOSE:
                self.close(int.from_bytes(data[:2], "big") if len(data) >= 2 else NORMAL)
                return None
            elif opcode in (TEXT, BINARY, CONTINUATION):
                if (opcode == CONTINUATION) is not bool(parts):
                    raise _BrokenError(PROTOCOL_ERROR, "a message begins with its type and goes on with continuations")
                parts.append(data or b"")
                if sum(map(len, parts)) > _MAX_MESSAGE_BYTES:
                    raise _BrokenError(TOO_BIG, "message too big")
                if final:
                    return b"".join(parts)
            elif opcode != PONG:
                raise _BrokenError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
