"""Sequence numbers that wrap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.journeys.unpack.tcp_sequence import SEQUENCE_SPACE, unwrapped

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([80, 81]),
        st.one_of(st.integers(0, SEQUENCE_SPACE - 1), st.integers(SEQUENCE_SPACE // 2 - 300_000, SEQUENCE_SPACE // 2 + 300_000)),
        st.integers(1, 65_535),
    ),
    min_size=1,
    max_size=30,
)


@given(FRAMES)
@settings(max_examples=300, deadline=None)
def test_no_frame_reaches_beyond_the_sequence_space(frames: list[tuple[int, int, int]]) -> None:
    ports, seqs, lengths = (np.array(column, dtype=np.int64) for column in zip(*frames, strict=True))
    found, whole = unwrapped(ports, seqs, lengths)
    assert whole
    assert (found >= 0).all()
    assert (found + lengths <= SEQUENCE_SPACE).all()
    for port in set(ports.tolist()):
        mine = ports == port
        assert len(set(((found[mine] - seqs[mine]) % SEQUENCE_SPACE).tolist())) == 1


def test_a_port_whose_frames_leave_no_number_out() -> None:
    seqs = np.arange(0, SEQUENCE_SPACE, 50_000, dtype=np.int64)
    found, whole = unwrapped(np.full(len(seqs), 80), seqs, np.full(len(seqs), 60_000))
    assert not whole
    assert len(set(found.tolist())) == len(seqs)


def test_one_gap_is_found() -> None:
    seqs = (np.arange(0, SEQUENCE_SPACE, 50_000, dtype=np.int64) + 2_000_000_000) % SEQUENCE_SPACE
    lengths = np.full(len(seqs), 60_000)
    lengths[17] = 40_000
    found, whole = unwrapped(np.full(len(seqs), 80), seqs, lengths)
    assert whole
    assert found[18] == 0
