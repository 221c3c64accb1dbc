"""Answers told apart by their lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.facts.frames import UnreadableError, split
from kubectl_vxtrace.model.cluster import AnswerStatus
from tests.facts.samples import answer, framed


@given(
    st.dictionaries(
        st.sampled_from(["links", "fdb", "ethtool-k.ens4", "nft"]), st.tuples(st.binary(max_size=80), st.binary(max_size=80)), min_size=1
    )
)
def test_content_cannot_forge_a_frame(content: dict[str, tuple[bytes, bytes]]) -> None:
    frames = split(answer(framed({key: ("0", out, err) for key, (out, err) in content.items()})))
    assert {key: (frame.stdout, frame.stderr) for key, frame in frames.items()} == content


def test_a_forged_frame_inside_an_answer_stays_content() -> None:
    inner = framed({"links": ("0", b"[]", b"")})
    frames = split(answer(framed({"fdb": ("0", inner, b""), "routes": ("0", b"[]", b"")})))
    assert set(frames) == {"fdb", "routes"}
    assert frames["fdb"].stdout == inner


@pytest.mark.parametrize(
    ("status", "out", "err", "complaint"),
    [
        ("0", b"[]", b"", None),
        ("0", b"", b"conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.\n", None),
        ("absent", b"", b"ethtool is not installed\n", "ethtool is not installed"),
        ("1", b"", b"Operation not permitted\nmore", "Operation not permitted"),
        ("124", b"[{", b"", "no answer in time"),
        ("143", b"[{", b"", "no answer in time"),
        ("2", b"", b"", "exit status 2"),
    ],
)
def test_complaint(status: str, out: bytes, err: bytes, complaint: str | None) -> None:
    assert split(answer(framed({"fdb": (status, out, err)})))["fdb"].complaint == complaint


def test_an_answer_at_its_limit_has_lost_its_end() -> None:
    frame = split(answer(framed({"routes": ("141", b" " * 2097152, b"")})))["routes"]
    assert frame.complaint == "the answer is longer than 2097152 bytes"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"sh: not found",
        b"vxtrace-look 1\nlinks 0 5 0\n",
        b"vxtrace-look 1\nlinks 0 5 0\n\n1234",
        b"vxtrace-look 1\nlinks 0 -5 0\n\n12345",
        b"vxtrace-look 1\n../links 0 5 0\n\n12345",
        b"vxtrace-look 1\nlinks 0 99999999999999 0\n\n12345",
    ],
)
def test_a_broken_answer_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        split(answer(raw))


def test_the_reason_of_an_absent_answer_is_kept() -> None:
    with pytest.raises(UnreadableError, match="no pod"):
        split(answer(b"", status=AnswerStatus.ABSENT, reason="no pod"))
