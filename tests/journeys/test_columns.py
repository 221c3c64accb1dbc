"""Rows as numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_vxtrace.journeys import columns

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2)), max_size=40)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_rows_have_the_same_number_exactly_where_they_are_equal(rows: list[tuple[int, int, int]]) -> None:
    parts = [np.array([row[index] for row in rows], dtype=np.uint64) for index in range(3)]
    numbers = columns.number_rows(parts)
    named = dict(zip(numbers.tolist(), rows, strict=True))
    assert len(named) == len(set(rows))
    assert [named[number] for number in numbers.tolist()] == rows


def test_rows_of_one_hash_are_told_apart() -> None:
    first = np.arange(1, 9, dtype=np.uint64)
    mixed = columns._hash([first])
    inner = np.zeros(8, dtype=np.uint64)
    inner ^= first
    inner *= columns._ODD
    inner ^= inner >> columns._HALF
    # the second column takes away what the first one put into the hash
    second = inner ^ inner[0]
    assert len(set(mixed.tolist())) == 8
    assert len(set(columns._hash([first, second]).tolist())) == 1
    repeated = np.tile(first, 3), np.tile(second, 3)
    numbers = columns.number_rows(repeated)
    assert len(set(numbers.tolist())) == 8
    assert numbers[:8].tolist() == numbers[8:16].tolist() == numbers[16:].tolist()
    assert 0 <= numbers.min() <= numbers.max() < 2 * len(numbers)


def test_no_rows_have_no_numbers() -> None:
    assert not len(columns.number_rows([np.zeros(0, np.uint64)]))


def test_nearest_in_time_of_equal_keys() -> None:
    keys, times = np.array([5, 3, 5, 5]), np.array([10, 10, 40, 90])
    wanted, at = np.array([5, 5, 5, 3, 4, 5]), np.array([0, 30, 66, 99, 10, 64])
    assert columns.nearest(keys, times, wanted, at).tolist() == [0, 2, 3, 1, -1, 2]
    assert columns.nearest(keys[:0], times[:0], wanted, at).tolist() == [-1] * 6
    assert columns.nearest(keys, times, wanted[:0], at[:0]).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), max_size=30))
def test_equal_rows_have_equal_numbers(rows: list[tuple[int, int]]) -> None:
    parts = [np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1] for row in rows], dtype=np.uint64)]
    numbers = columns.number_rows(parts).tolist()
    for one, first in zip(rows, numbers, strict=True):
        for other, second in zip(rows, numbers, strict=True):
            assert (one == other) == (first == second)


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_look_up_finds_the_first(keys: list[int], wanted: list[int]) -> None:
    found = columns.look_up(np.array(keys, dtype=np.int64), np.array(wanted, dtype=np.int64)).tolist()
    assert found == [keys.index(one) if one in keys else -1 for one in wanted]
    assert columns.distinct(np.array(keys, dtype=np.int64)).tolist() == sorted(set(keys))
