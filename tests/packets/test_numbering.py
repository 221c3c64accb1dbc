import numpy as np
import pytest

from kubectl_vxtrace.packets.numbering import Numbering


@pytest.mark.parametrize("seed", range(20))
def test_values_have_numbers_in_the_order_of_their_first_appearance(seed: int) -> None:
    random = np.random.default_rng(seed)
    numbering, expected = Numbering(), dict[int, int]()
    for _ in range(5):
        values = random.integers(0, 40, random.integers(0, 30)).astype(np.uint64)
        known = numbering.knows(values).tolist()
        assert known == [value in expected for value in values.tolist()]
        assert numbering.numbers(values).tolist() == [expected.setdefault(value, len(expected)) for value in values.tolist()]


def test_a_copy_goes_its_own_way() -> None:
    numbering = Numbering()
    numbering.numbers(np.array([7], np.uint64))
    copied = numbering.copy()
    copied.numbers(np.array([5, 7], np.uint64))
    assert numbering.numbers(np.array([7, 9], np.uint64)).tolist() == [0, 1]
    assert not numbering.knows(np.array([5], np.uint64)).any()
