import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.model.address import packed_address


@given(known=st.lists(st.ip_addresses(), max_size=12), asked=st.lists(st.ip_addresses(), max_size=12))
def test_numbers_are_those_of_the_texts(known: list[object], asked: list[object]) -> None:
    book = AddressBook([str(one) for one in known])
    texts = [str(one) for one in (*asked, *known)]
    raws = np.frombuffer(b"".join(raw for text in texts if (raw := packed_address(text))), dtype=np.uint8).reshape(-1, 16)
    assert book.numbers(raws).tolist() == [book.number(text) for text in texts]
    assert UNKNOWN not in book.numbers(raws[len(asked) :])


def test_what_is_no_address() -> None:
    book = AddressBook(["nonsense", "10.0.0.1"])
    assert book.number("nonsense") == UNKNOWN
    assert book.number(None) == UNKNOWN
    assert book.number("10.0.0.1") == 0
