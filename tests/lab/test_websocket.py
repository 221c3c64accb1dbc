"""The server's side of RFC 6455, against the RFC's own examples, and against input that breaks its rules."""

import io
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import websocket
from tests.lab.websocket import HandshakeError, WebSocket


def masked(opcode: int, data: bytes, *, final: bool = True, key: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A client's frame."""
    size = len(data)
    length = (
        bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    )
    return bytes([(0x80 if final else 0) | opcode]) + length + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


def connection(*frames: bytes) -> tuple[WebSocket, bytearray]:
    """A connection on which these frames came in, and what the server sends."""
    sent = bytearray()
    return WebSocket(io.BytesIO(b"".join(frames)), sent.extend), sent


def handshake(**changes: str | None) -> Message:
    headers = {
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io, v4.channel.k8s.io",
    }
    message = Message()
    for name, value in (headers | {key.replace("_", "-"): value for key, value in changes.items()}).items():
        if value is not None:
            message[name] = value
    return message


def test_handshake_of_the_rfc() -> None:
    assert websocket.answer(handshake()) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
    assert websocket.offered_protocols(handshake()) == ["v5.channel.k8s.io", "v4.channel.k8s.io"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "c2hvcnQ="},
        {"Sec_WebSocket_Key": "\u00e4\u00e4"},
        {"Sec_WebSocket_Version": "8"},
        {"Connection": "close"},
    ],
)
def test_handshakes_that_are_none(changes: dict[str, str | None]) -> None:
    with pytest.raises(HandshakeError):
        websocket.answer(handshake(**changes))


def test_masked_hello_of_the_rfc() -> None:
    socket, _ = connection(bytes.fromhex("818537fa213d7f9f4d5158"))  # RFC 6455, 5.7
    assert socket.receive() == b"Hello"
    assert socket.receive() is None


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 65535, 65536, 200_000])
def test_lengths_in_both_directions(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    socket, sent = connection(masked(websocket.BINARY, data))
    assert socket.receive() == data
    socket.send(data)
    header = 2 if size < 126 else 4 if size < 65536 else 10
    assert len(sent) == header + size
    assert bytes(sent[header:]) == data
    assert sent[0] == 0x82
    assert not sent[1] & 0x80  # a server does not mask


def test_fragments_with_a_ping_between_them() -> None:
    ping = masked(websocket.PING, b"are you there")
    socket, sent = connection(masked(2, b"\x00ab", final=False), ping, masked(0, b"cd", final=False), masked(0, b""))
    assert socket.receive() == b"\x00abcd"
    assert bytes(sent) == b"\x8a\x0dare you there"


def test_an_empty_first_fragment_is_still_a_first_one() -> None:
    socket, _ = connection(masked(2, b"", final=False), masked(0, b"x"))
    assert socket.receive() == b"x"


def test_close_is_answered_once_and_nothing_is_sent_after_it() -> None:
    socket, sent = connection(masked(websocket.CLOSE, b"\x03\xe8bye"))
    assert socket.receive() is None
    socket.close()
    assert bytes(sent) == b"\x88\x02\x03\xe8"
    with pytest.raises(BrokenPipeError):
        socket.send(b"x")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x82\x01x", 1002),  # not masked
        (b"\xc2\x81\x00\x00\x00\x00x", 1002),  # a reserved bit
        (masked(0x3, b"x"), 1002),  # an opcode that nobody has defined
        (masked(0x0, b"x"), 1002),  # nothing to continue
        (masked(2, b"x", final=False) + masked(2, b"y"), 1002),  # a new message inside another
        (masked(websocket.PING, b"x", final=False), 1002),  # a control frame in fragments
        (masked(websocket.PING, b"x" * 126), 1002),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009),
    ],
)
def test_broken_rules_are_told(frames: bytes, code: int) -> None:
    socket, sent = connection(frames)
    assert socket.receive() is None
    assert bytes(sent) == b"\x88\x02" + code.to_bytes(2, "big")


@given(st.binary(max_size=300))
def test_no_input_raises(data: bytes) -> None:
    socket, _ = connection(data)
    received = 0
    while socket.receive() is not None:
        received += 1
    assert received <= len(data)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.binary(min_size=4, max_size=4))
def test_a_message_is_its_fragments(parts: list[bytes], key: bytes) -> None:
    last = len(parts) - 1
    frames = [masked(0 if index else 2, part, final=index == last, key=key) for index, part in enumerate(parts)]
    assert connection(*frames)[0].receive() == b"".join(parts)
