import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kubectl_vxtrace.kube import transfer
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import ExecLimits, ExecResult, Sink, execute
from kubectl_vxtrace.model.cluster import FetchResult
from tests.kube.fake import Fake, Stream, run_locally

CHUNK = 300_000
CONTENT = bytes(range(256)) * 3000 + b"end"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(transfer, "_LONGEST_BACKOFF_S", 0.05)
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.5)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote dir; $(id)" / "-file.pcap"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def fetch(connection: Connection, remote: Path, *, size: int = len(CONTENT), sha: str = SHA, limit: int = 1 << 30) -> FetchResult:
    def run(argv: Sequence[str], *, timeout_s: float, max_bytes: int, sink: Sink | None = None) -> ExecResult:
        return execute(connection, "ns", "pod", argv, limits=ExecLimits(timeout_s=5, max_bytes=max_bytes), sink=sink)

    return transfer.fetch(run, node="n", remote_path=str(remote), size_bytes=size, sha256=sha, max_bytes=limit, chunk_bytes=CHUNK)


def sometimes(fake: Fake, bad: Callable[[list[str], Stream], None], *, calls: set[int]) -> list[list[str]]:
    """Let the numbered calls go wrong; returns what is asked."""
    asked: list[list[str]] = []

    def run(argv: list[str], stream: Stream) -> None:
        asked.append(argv)
        (bad if len(asked) - 1 in calls else run_locally)(argv, stream)

    fake.exec = run
    return asked


def beginning(argv: list[str]) -> bytes:
    """The first thousand bytes of what is asked for, of the content or of some such behind each other."""
    at = int(argv[-2]) - 1
    return (CONTENT * 4)[at : at + 1000]


def half_with_success(argv: list[str], stream: Stream) -> None:
    stream.send(1, beginning(argv))
    stream.exit(0)


def cut(argv: list[str], stream: Stream) -> None:
    stream.send(1, beginning(argv))


def wrong_bytes(argv: list[str], stream: Stream) -> None:
    stream.send(1, b"x" * int(argv[-1]))
    stream.exit(0)


def test_whole_file(connection: Connection, remote: Path) -> None:
    result = fetch(connection, remote)
    assert result == FetchResult(node="n", content=bytearray(CONTENT), sha256=SHA)


def test_small_and_empty_files(fake: Fake, connection: Connection, remote: Path) -> None:
    asked = sometimes(fake, cut, calls=set())
    remote.write_bytes(b"abc")
    assert fetch(connection, remote, size=3, sha=hashlib.sha256(b"abc").hexdigest()).reason is None
    assert len(asked) == 1
    assert fetch(connection, remote, size=0, sha=hashlib.sha256(b"").hexdigest().upper()).reason is None


@pytest.mark.parametrize("bad", [half_with_success, cut])
def test_broken_pieces_are_fetched_again_from_where_they_broke(
    fake: Fake, connection: Connection, remote: Path, bad: Callable[[list[str], Stream], None]
) -> None:
    asked = sometimes(fake, bad, calls={1, 2})
    assert fetch(connection, remote).content == CONTENT
    assert [argv[-2] for argv in asked[:4]] == ["1", "300001", "301001", "302001"]


def test_streams_that_are_always_cut_make_progress(fake: Fake, connection: Connection, remote: Path) -> None:
    """A gateway that cuts each stream after 100 kB."""

    def limited(argv: list[str], stream: Stream) -> None:
        first, count = int(argv[-2]) - 1, int(argv[-1])
        for at in range(first, min(first + count, first + 100_000, len(CONTENT)), 10_000):
            stream.send(1, CONTENT[at : min(at + 10_000, first + count, len(CONTENT))])

    fake.exec = limited
    assert fetch(connection, remote).content == CONTENT


def test_given_up_where_nothing_comes_any_more_and_what_came_is_kept(fake: Fake, connection: Connection, remote: Path) -> None:
    sometimes(fake, lambda argv, stream: None, calls=set(range(1, 10_000)))
    result = fetch(connection, remote)
    assert "without a status" in (result.reason or "")
    assert (bytes(result.content), result.sha256) == (CONTENT[:CHUNK], None)


def test_a_file_that_is_shorter_than_the_node_says(fake: Fake, connection: Connection, remote: Path) -> None:
    asked = sometimes(fake, cut, calls=set())
    result = fetch(connection, remote, size=len(CONTENT) + 5)
    assert "sends no more" in (result.reason or "")
    assert len(asked) < 10
    assert result.content == CONTENT


def test_the_api_may_be_away_for_a_while(fake: Fake, connection: Connection, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PATIENCE_S", 10)
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [(503, b"", {})] * 9
    assert fetch(connection, remote).reason is None


def test_wrong_content_of_the_right_length_is_fetched_once_more(fake: Fake, connection: Connection, remote: Path) -> None:
    sometimes(fake, wrong_bytes, calls={1})
    assert fetch(connection, remote).content == CONTENT


def test_wrong_content_that_stays_wrong_is_noticed(fake: Fake, connection: Connection, remote: Path) -> None:
    result = fetch(connection, remote, sha="0" * 64)
    assert "SHA-256" in (result.reason or "")
    assert not result.content


def test_missing_remote_file(connection: Connection, tmp_path: Path) -> None:
    reason = fetch(connection, tmp_path / "none").reason or ""
    assert "No such file" in reason


def test_too_large_is_not_fetched(fake: Fake, connection: Connection, remote: Path) -> None:
    asked = sometimes(fake, cut, calls=set())
    assert "limit" in (fetch(connection, remote, limit=10).reason or "")
    assert asked == []


def test_a_pod_that_is_gone_is_not_asked_again(fake: Fake, connection: Connection, remote: Path) -> None:
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [
        (404, {"kind": "Status", "reason": "NotFound", "message": 'pods "pod" not found'}, {})
    ]
    asked = sometimes(fake, cut, calls=set())
    assert "not found" in (fetch(connection, remote).reason or "")
    assert asked == []


def test_pieces_grow_while_they_come_quickly(fake: Fake, connection: Connection, remote: Path) -> None:
    content = CONTENT * 3
    remote.write_bytes(content)
    asked = sometimes(fake, half_with_success, calls={2})
    assert fetch(connection, remote, size=len(content), sha=hashlib.sha256(content).hexdigest()).content == content
    lengths = [int(argv[-1]) for argv in asked]
    assert lengths == [CHUNK, 2 * CHUNK, 4 * CHUNK, 2 * CHUNK, len(content) - 5 * CHUNK - 1000]
