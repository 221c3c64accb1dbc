import gzip
import io
import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.packets import streams
from kubectl_vxtrace.packets.streams import AheadStream, GzipStream, PlainStream

DATA = random.Random(1).randbytes(300_000)


@pytest.fixture(params=[(1000, 1), (1000, 4), (65_536, 2), (300_000, 2), (1 << 20, 3)], ids=str)
def pieces(request: pytest.FixtureRequest) -> tuple[int, int]:
    size, count = request.param
    return size, count


@pytest.fixture
def ahead(pieces: tuple[int, int]) -> Iterator[AheadStream]:
    with closing(AheadStream(PlainStream(io.BytesIO(DATA)), *pieces)) as stream:
        yield stream


def _read(stream: AheadStream | GzipStream, count: int) -> bytes:
    buffer = bytearray(count)
    return bytes(buffer[: stream.fill(memoryview(buffer))])


@pytest.mark.parametrize("count", [777, 1000, 65_537])
def test_what_is_read_ahead_comes_in_order_and_whole(ahead: AheadStream, count: int) -> None:
    assert b"".join(iter(lambda: _read(ahead, count), b"")) == DATA
    assert _read(ahead, count) == b""


def test_skipping_what_is_read_ahead(ahead: AheadStream) -> None:
    ahead.skip(123_456)
    assert _read(ahead, 5000) == DATA[123_456:128_456]
    ahead.skip(len(DATA))
    assert _read(ahead, 1) == b""


def test_a_file_that_ends_early_is_broken_and_what_came_is_kept(pieces: tuple[int, int]) -> None:
    packed = gzip.compress(DATA)[:200_000]
    whole = GzipStream(io.BytesIO(packed), len(packed))
    expected = _read(whole, len(DATA))
    with closing(AheadStream(GzipStream(io.BytesIO(packed), len(packed)), *pieces)) as ahead:
        assert _read(ahead, len(DATA)) == expected == DATA[: len(expected)]
        assert 0 < len(expected) < len(DATA)
        assert ahead.broken


def test_an_error_of_the_thread_reaches_the_reader(pieces: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNPACKED_BYTES", 100_000)
    monkeypatch.setattr(streams, "MOST_UNPACKED_RATIO", 0)
    packed = gzip.compress(DATA)
    stream = GzipStream(io.BytesIO(packed), len(packed))
    with closing(AheadStream(stream, *pieces)) as ahead, pytest.raises(PcapError, match="unpacks to more than"):
        _read(ahead, len(DATA))


@pytest.mark.parametrize("size", [1, 100, 20_000, 150_000])
def test_members_of_any_length_are_fed_whole(size: int) -> None:
    """How much is fed at once grows inside a member, and starts small in the next."""
    data = DATA[: 150 * size]
    packed = b"".join(gzip.compress(data[at : at + size]) for at in range(0, len(data), size))
    stream = GzipStream(io.BytesIO(packed), len(packed))
    assert _read(stream, len(DATA)) == data
    assert not stream.broken
