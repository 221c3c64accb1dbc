"""The bytes that connections carry: every eight of them say where they are."""

_WORD_BYTES = 8


def stream_bytes(start: int, size: int) -> bytes:
    """The bytes of a stream at a place."""
    first = start // _WORD_BYTES
    whole = b"".join((number % 2**64).to_bytes(_WORD_BYTES, "big") for number in range(first, (start + size) // _WORD_BYTES + 1))
    return whole[start % _WORD_BYTES : start % _WORD_BYTES + size]


def place_of(payload: bytes) -> int | None:
    """Where in a stream these bytes are; None where they are of none, or too few to tell."""
    for before in range(_WORD_BYTES if len(payload) >= 2 * _WORD_BYTES else 0):
        start = int.from_bytes(payload[before : before + _WORD_BYTES], "big") * _WORD_BYTES - before
        if start >= 0 and stream_bytes(start, len(payload)) == payload:
            return start
    return None
