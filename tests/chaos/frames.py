"""WebSocket's frames (RFC 6455, 5.2), as somebody between the two ends sees them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.lab.websocket import BINARY, server_frame, unmask


@dataclass(frozen=True, slots=True)
class Frame:
    """`raw` is the whole of it, `data` its payload, unmasked."""

    opcode: int
    data: bytes
    raw: bytes


def take(buffer: bytearray) -> Iterator[Frame]:
    """Take the whole frames from the front of `buffer`."""
    while len(buffer) >= 2:
        masked, size, at = buffer[1] & 0x80, buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            at += width
            if len(buffer) < at:
                return
            size = int.from_bytes(buffer[2:at], "big")
        end = at + (4 if masked else 0) + size
        if len(buffer) < end:
            return
        payload = bytes(buffer[end - size : end])
        data = unmask(payload, bytes(buffer[at : at + 4])) if masked else payload
        yield Frame(buffer[0] & 0x0F, data, bytes(buffer[:end]))
        del buffer[:end]


def binary(data: bytes) -> bytes:
    """A server's frame that is a message by itself."""
    return server_frame(BINARY, data)
