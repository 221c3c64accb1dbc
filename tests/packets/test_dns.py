import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.packets.dns import describe
from tests.wire import frames

QUESTION = frames.dns_question("kotsadm-rqlite.kotsadm")


def answer(name: str, *records: bytes, flags: int = 0x8180) -> bytes:
    return struct.pack(">HHHHHH", 1, flags, 1, len(records), 0, 0) + frames.dns_question(name)[12:] + b"".join(records)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 30, len(data)) + data


def test_questions() -> None:
    assert describe(QUESTION) == "A? kotsadm-rqlite.kotsadm"
    assert describe(frames.dns_question("a", kind=28)) == "AAAA? a"
    assert describe(frames.dns_question("a", kind=999)) == "TYPE999? a"


def test_answers() -> None:
    assert describe(frames.dns_answer("a.b", "10.96.0.1")) == "A a.b NOERROR 10.96.0.1"
    assert describe(frames.dns_answer("a.b", None, rcode=3)) == "A a.b NXDOMAIN"
    assert describe(frames.dns_answer("a.b", None, rcode=15)) == "A a.b RCODE15"
    assert describe(answer("a", flags=0x8380)) == "A a NOERROR truncated"


def test_records_of_many_kinds() -> None:
    pointer = record(5, b"\x01x\xc0\x0c")
    service = record(33, struct.pack(">HHH", 0, 0, 53) + b"\x02ns\x00")
    said = describe(answer("a", pointer, record(28, bytes(15) + b"\1"), service, record(16, b"\x03txt")))
    assert said == "A a NOERROR x.a, ::1, ns:53, TXT"


def test_only_the_first_few_answers_are_named() -> None:
    said = describe(answer("a", *(record(1, bytes([10, 0, 0, n])) for n in range(9))))
    assert said == "A a NOERROR 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, ..."


def test_answers_that_were_not_captured() -> None:
    whole = answer("a", record(1, bytes([10, 0, 0, 1])), record(1, bytes([10, 0, 0, 2])))
    assert describe(whole[:-3]) == "A a NOERROR 10.0.0.1, ..."


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # points at itself
        b"\x01a\xc0\x0e",  # points forward
        b"\x01a\xc0\xff",
        b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x00",
        b"\x41a\x00",  # reserved label type
        b"\x05ab",
    ],
)
def test_bad_names_are_no_dns(name: bytes) -> None:
    assert describe(QUESTION[:12] + name + b"\0\1\0\1") is None


def test_a_chain_of_pointers_ends() -> None:
    records = [record(1, b"\x0a\0\0\1")] + [record(5, struct.pack(">H", 0xC000 | (23 + 16 * n))) for n in range(3)]
    said = describe(answer("a", *records))
    assert said is not None
    assert said.startswith("A a NOERROR 10.0.0.1")


def test_hostile_names_are_escaped() -> None:
    name = b"\x07\x1b[31m\\ " + b"\x02\r\n" + b"\x02\xc3\xa4" + b"\x00"
    assert describe(QUESTION[:12] + name + b"\0\1\0\1") == r"A? \x1b[31m\x5c\x20.\x0d\x0a.\xc3\xa4"


def test_other_messages_are_no_dns() -> None:
    assert describe(b"") is None
    assert describe(QUESTION[:20]) is None
    assert describe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 5))
def test_any_bytes_give_one_short_printable_line(raw: bytes, questions: int, answers: int) -> None:
    for message in (raw, struct.pack(">HHHHHH", 1, 0x8180, questions, answers, 0, 0) + raw, answer("a")[:-4] + raw):
        said = describe(message)
        assert said is None or (said.isascii() and said.isprintable() and len(said) < 8000)
