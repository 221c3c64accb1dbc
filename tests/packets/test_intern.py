import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.packets import intern
from kubectl_vxtrace.packets.intern import Interner, Key, distinct

KEYS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2**63, 2**64 - 1])), max_size=60)


def key(rows: list[tuple[int, int]]) -> Key:
    return tuple(np.array([row[column] for row in rows], np.uint64) for column in range(2))


def by_dictionary(rows: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    seen: dict[tuple[int, int], int] = {}
    first = []
    numbers = []
    for place, row in enumerate(rows):
        if row not in seen:
            first.append(place)
        numbers.append(seen.setdefault(row, len(seen)))
    return first, numbers


@given(KEYS)
def test_distinct_equals_a_dictionary(rows: list[tuple[int, int]]) -> None:
    first, number = distinct(key(rows))
    assert (first.tolist(), number.tolist()) == by_dictionary(rows)


@pytest.mark.parametrize("same_hash", [0, 1])
def test_equal_hashes_cost_only_time(monkeypatch: pytest.MonkeyPatch, same_hash: int) -> None:
    monkeypatch.setattr(intern, "_hash", lambda key, rows: np.full(rows, same_hash, np.uint64))
    rows = [(n * 7 % 50, n % 3) for n in range(400)]
    first, number = distinct(key(rows))
    assert (first.tolist(), number.tolist()) == by_dictionary(rows)


def test_many_keys() -> None:
    rows = [(n * 2654435761 % 70_000, n % 5) for n in range(100_000)]
    first, number = distinct(key(rows))
    assert (first.tolist(), number.tolist()) == by_dictionary(rows)


@given(st.lists(KEYS, max_size=5))
def test_portions_are_numbered_as_one(portions: list[list[tuple[int, int]]]) -> None:
    interner = Interner(2)
    provisional = [interner.add(key(rows)) for rows in portions]
    keys, number = interner.finish()
    final = [number[part].tolist() for part in provisional]
    together = by_dictionary([row for rows in portions for row in rows])[1]
    assert [n for part in final for n in part] == together
    assert len(keys[0]) == len(set(together))
    assert number[-1] == -1
