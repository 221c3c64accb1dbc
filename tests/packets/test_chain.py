import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.packets.chain import Chain, walk
from kubectl_vxtrace.packets.pcap import RecordFormat
from kubectl_vxtrace.packets.pcapng import BlockFormat
from tests.packets import naive
from tests.wire import frames

PADDING = 128
ORDERS = st.sampled_from(["<", ">"])


def lockstep(data: bytes, order: str, *, start: int = 0, segment_bytes: int = 64) -> tuple[list[int], int, bool]:
    array = np.frombuffer(data + bytes(PADDING), np.uint8)
    form = RecordFormat(order, 1).near(array, len(data), start)
    return _plain(walk(array, len(data), start, form, segment_bytes))


def lockstep_blocks(data: bytes, order: str, *, segment_bytes: int = 64) -> tuple[list[int], int, bool]:
    array = np.frombuffer(data + bytes(PADDING), np.uint8)
    return _plain(walk(array, len(data), 0, BlockFormat(order, len(data)), segment_bytes))


def _plain(chain: Chain) -> tuple[list[int], int, bool]:
    return chain.offsets.tolist(), chain.end, chain.stuck


def record(order: str, body: bytes, *, seconds: int = 1_766_000_000, captured: int | None = None) -> bytes:
    length = len(body) if captured is None else captured
    return struct.pack(order + "IIII", seconds, 5, length, length) + body


@given(st.binary(max_size=4000), ORDERS)
def test_random_bytes_give_the_plain_chain(data: bytes, order: str) -> None:
    assert lockstep(data, order) == naive.pcap_offsets(data, 0, order)


@st.composite
def crafted(draw: st.DrawFn, order: str) -> bytes:
    """Records whose bodies hold bytes that look like record headers, in step and out of step; cut somewhere."""
    seed = draw(st.integers(0, 2**32))
    source = random.Random(seed)
    parts = []
    for _ in range(draw(st.integers(0, 120))):
        kind = source.randrange(6)
        if kind == 0:
            body = source.randbytes(source.randrange(40))
        elif kind == 1:
            body = bytes(source.randrange(3)) + record(order, source.randbytes(source.randrange(30))) * source.randrange(4)
        elif kind == 2:
            body = record(order, b"", captured=source.choice((0, 3, 16, 50, 262144, 262145, 2**32 - 1))) * source.randrange(5)
        elif kind == 3:
            body = bytes(source.randrange(200))
        else:
            body = source.randbytes(source.randrange(90))
        parts.append(record(order, body))
    if draw(st.booleans()):
        place = source.randrange(len(parts) + 1)
        parts.insert(place, source.choice((b"x" * 7, record(order, b"", captured=262145), bytes(40), b"\xff" * 16)))
    data = b"".join(parts)
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@given(st.data(), ORDERS, st.sampled_from([32, 64, 200, 1000]))
@settings(max_examples=200)
def test_crafted_and_cut_records_give_the_plain_chain(data: st.DataObject, order: str, segment_bytes: int) -> None:
    raw = data.draw(crafted(order))
    assert lockstep(raw, order, segment_bytes=segment_bytes) == naive.pcap_offsets(raw, 0, order)


@given(st.integers(0, 2**32), ORDERS, st.integers(0, 40), st.integers(0, 3))
@settings(max_examples=150)
def test_blocks_with_blocks_in_them_give_the_plain_chain(seed: int, order: str, cut: int, damage: int) -> None:
    source = random.Random(seed)
    blocks = []
    for _ in range(source.randrange(100)):
        inside = frames.pcapng_packet(5, source.randbytes(source.randrange(20)), order=order) * source.randrange(4)
        body = bytes(4 * source.randrange(3)) + inside if source.random() < 0.5 else source.randbytes(source.randrange(90))
        blocks.append(frames.pcapng_packet(5, body, order=order))
    if damage == 1:
        blocks.insert(source.randrange(len(blocks) + 1), source.randbytes(source.randrange(60)))
    elif damage == 2:
        blocks.insert(source.randrange(len(blocks) + 1), frames.pcapng_section(order=order))
    data = b"".join(blocks)
    data = data[: len(data) - cut] if cut else data
    assert lockstep_blocks(data, order) == naive.pcapng_offsets(data, 0, order)


def test_many_segments_join() -> None:
    data = b"".join(record("<", bytes([number % 251]) * (number % 300)) for number in range(5000))
    steps = CountingFormat()
    array = np.frombuffer(data + bytes(PADDING), np.uint8)
    chain = walk(array, len(data), 0, steps, 4096)
    assert _plain(chain) == naive.pcap_offsets(data, 0, "<")
    assert steps.single < 100  # the look-ahead for the record length, and the tail


class CountingFormat(RecordFormat):
    """Counts the records that took a Python step each."""

    def __init__(self) -> None:
        super().__init__("<", 1, 1_766_000_000)
        self.single = 0

    def step_one(self, data: memoryview, at: int) -> int:
        self.single += 1
        return super().step_one(data, at)


@pytest.mark.parametrize("body", [record("<", b"") * 30, b"\0" * 480])
def test_false_records_in_every_payload_cost_time_not_truth(body: bytes) -> None:
    data = b"".join(record("<", b"\0" * (number % 5) + body) for number in range(500))
    assert lockstep(data, "<", segment_bytes=256) == naive.pcap_offsets(data, 0, "<")
