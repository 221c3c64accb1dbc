import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.journeys.addresses import UNKNOWN, AddressBook, raw_address
from kubectl_vxtrace.journeys.columns import distinct, look_up, number_rows


@given(known=st.lists(st.ip_addresses(), max_size=12), asked=st.lists(st.ip_addresses(), max_size=12))
def test_numbers_are_those_of_the_texts(known: list[object], asked: list[object]) -> None:
    book = AddressBook([str(one) for one in known])
    texts = [str(one) for one in (*asked, *known)]
    raws = np.frombuffer(b"".join(raw for text in texts if (raw := raw_address(text))), dtype=np.uint8).reshape(-1, 16)
    assert book.numbers(raws).tolist() == [book.number(text) for text in texts]
    assert UNKNOWN not in book.numbers(raws[len(asked) :])


def test_what_is_no_address() -> None:
    book = AddressBook(["nonsense", "10.0.0.1"])
    assert book.number("nonsense") == UNKNOWN
    assert book.number(None) == UNKNOWN
    assert book.number("10.0.0.1") == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), max_size=30))
def test_equal_rows_have_equal_numbers(rows: list[tuple[int, int]]) -> None:
    columns = [np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1] for row in rows], dtype=np.uint64)]
    numbers = number_rows(columns).tolist()
    for one, first in zip(rows, numbers, strict=True):
        for other, second in zip(rows, numbers, strict=True):
            assert (one == other) == (first == second)


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_look_up_finds_the_first(keys: list[int], wanted: list[int]) -> None:
    found = look_up(np.array(keys, dtype=np.int64), np.array(wanted, dtype=np.int64)).tolist()
    assert found == [keys.index(one) if one in keys else -1 for one in wanted]
    assert distinct(np.array(keys, dtype=np.int64)).tolist() == sorted(set(keys))
