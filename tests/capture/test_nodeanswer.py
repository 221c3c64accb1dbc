"""What the scripts answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_vxtrace.capture.nodeanswer import Device, Record, State, read_report
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand

_HEAD = b"vxtrace-capture 1 1795413650114222219 -Z root --time-stamp-precision=nano\n"


def _answer(stdout: bytes, *, status: AnswerStatus = AnswerStatus.OK, stderr: bytes = b"", reason: str | None = None) -> NodeAnswer:
    return NodeAnswer(command=NodeCommand(node="a", key="x", argv=("sh",)), status=status, stdout=stdout, stderr=stderr, reason=reason)


def test_a_whole_report() -> None:
    said = b"tcpdump: 2 stopped up 5 - 0\n"
    digest = "ab" * 32
    report = read_report(
        _answer(_HEAD + b"1 stopped up 1280 " + digest.encode() + b" %d\n" % len(said) + said + b"\n2 none absent 0 - 0\n\n")
    )
    assert report.reason is None
    assert (report.node_ns, report.options) == (1795413650114222219, ("-Z", "root", "--time-stamp-precision=nano"))
    assert report.records == {
        1: Record(state=State.STOPPED, device=Device.UP, number=1280, sha256=digest, said=said.decode()),
        2: Record(state=State.NONE, device=Device.ABSENT, number=0),
    }


def test_a_cut_report_keeps_what_is_whole() -> None:
    report = read_report(_answer(_HEAD + b"1 running unknown - - 0\n\n2 running up"))
    assert report.records == {1: Record(state=State.RUNNING)}
    assert report.reason == "the node's answer ended early"


def test_a_report_that_is_cut_between_two_records_is_lost() -> None:
    report = read_report(_answer(_HEAD + b"1 running unknown - - 0\n\n", status=AnswerStatus.TRUNCATED))
    assert report.records == {1: Record(state=State.RUNNING)}
    assert report.is_lost


@pytest.mark.parametrize(
    ("stderr", "status", "reason", "expected"),
    [
        (b"", AnswerStatus.ABSENT, "no debug pod", "no debug pod"),
        (b"sh: not found\nmore", AnswerStatus.FAILED, None, "sh: not found"),
        (b"", AnswerStatus.TIMEOUT, None, "the node did not answer in time"),
        (b"", AnswerStatus.OK, None, "the node gave no answer (ok, exit code None)"),
    ],
)
def test_no_report(stderr: bytes, status: AnswerStatus, reason: str | None, expected: str) -> None:
    assert read_report(_answer(b"", status=status, stderr=stderr, reason=reason)).reason == expected


@given(st.binary(max_size=200))
def test_hostile_answers_never_raise(raw: bytes) -> None:
    assert read_report(_answer(raw)).records == {}
    assert isinstance(read_report(_answer(_HEAD + raw)).records, dict)
