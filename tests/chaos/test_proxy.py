"""The proxy does what its rules say, and nothing else."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import ExecLimits, ExecResult, execute
from kubectl_vxtrace.kube.rest import Api, ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus
from kubectl_vxtrace.model.request import Access
from tests.chaos.proxy import Proxy
from tests.chaos.rules import Action, Away, Cut, End, Flip, Halve, Idle, Longest, Match, Refuse, Reply, Revoke, Rule, Slow, Stall, whole
from tests.e2e.listing import Endpoint
from tests.kube.fake import TLS, Fake, Stream

FETCH = Match(exec=True, call="fetch")
# As transfer.py asks for a piece of a file.
COMMAND = ("sh", "-c", 'tail -c "+$2" "$1" | head -c "$3"', "vxtrace")


@contextmanager
def standing(
    folder: Path, action: Action | None, match: Match = FETCH, user: Any = "token", exec_: Any = None
) -> Iterator[tuple[Proxy, Connection]]:
    """A proxy before a server that has a version."""
    with Fake(tls=True) as fake:
        fake.replies["GET", "/version"] = [(200, {"gitVersion": "v1"}, {})] * 9
        fake.exec = exec_ or fake.exec
        tls = ssl.create_default_context(cafile=TLS / "ca.pem")
        rule = Rule(name="r", match=match, action=action, answer=whole(), user=user)
        with Proxy(Endpoint(fake.url.removeprefix("https://"), tls, "sesame"), rule) as proxy:
            yield proxy, connect(Access(kubeconfig=str(proxy.kubeconfig(folder))), environ={})


def run(connection: Connection, file: Path, **limits: float) -> ExecResult:
    argv = (*COMMAND, str(file), "1", "1000")
    return execute(connection, "ns", "pod", argv, limits=ExecLimits(max_bytes=1 << 20, **({"timeout_s": 10.0} | limits)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def test_without_an_action_nothing_is_changed(tmp_path: Path, file: Path) -> None:
    with standing(tmp_path, None) as (proxy, connection):
        assert server_version(connection) == "v1"
        assert run(connection, file).stdout == b"0123456789"
    assert proxy.hits == 0


@pytest.mark.parametrize(
    ("action", "status", "stdout"),
    [
        (Cut(after_bytes=4, end="close"), AnswerStatus.TRUNCATED, b"0123"),
        (Cut(after_bytes=0, end="close"), AnswerStatus.TRUNCATED, b""),
        (Halve(), AnswerStatus.OK, b"01234"),
        (Flip(), AnswerStatus.OK, b"0123456788"),
        (Stall(after_bytes=0, pause_s=9.0), AnswerStatus.TIMEOUT, b""),
    ],
)
def test_what_is_done_to_a_stream(tmp_path: Path, file: Path, action: Action, status: AnswerStatus, stdout: bytes) -> None:
    with standing(tmp_path, action) as (proxy, connection):
        result = run(connection, file, timeout_s=3.0)
        assert (result.status, result.stdout) == (status, stdout)
    assert proxy.hits == 1


@pytest.mark.parametrize("end", ["reset", "close", "half-close"])
def test_the_ways_in_which_a_stream_ends(tmp_path: Path, file: Path, end: End) -> None:
    with standing(tmp_path, Cut(after_bytes=4, end=end)) as (_, connection):
        started = time.monotonic()
        assert "the stream" in (run(connection, file, timeout_s=30.0).reason or "")
        assert time.monotonic() - started < 20


def test_other_calls_are_let_alone(tmp_path: Path, file: Path) -> None:
    with standing(tmp_path, Cut(after_bytes=0), Match(exec=True, call="start", times=1)) as (_, connection):
        assert run(connection, file).status is AnswerStatus.OK
        long = ("sh", "-c", f"# {'x' * 3000}\necho begun", "vxtrace-start")
        limits = ExecLimits(timeout_s=5, max_bytes=100)
        assert execute(connection, "ns", "pod", long, limits=limits).status is AnswerStatus.TRUNCATED
        assert execute(connection, "ns", "pod", long, limits=limits).stdout == b"begun\n"


def test_a_quiet_stream_is_cut(tmp_path: Path, file: Path) -> None:
    def quiet(argv: list[str], stream: Stream) -> None:
        time.sleep(2)
        stream.exit(0)

    with standing(tmp_path, Idle(quiet_s=0.5), exec_=quiet) as (_, connection):
        assert run(connection, file).status is AnswerStatus.TRUNCATED


@pytest.mark.parametrize(
    ("action", "status"), [(Reply(status=418), 418), (Refuse(), 0), (Longest(line_bytes=20), 414), (Reply(status=504, done=True), 504)]
)
def test_what_is_done_to_a_request(tmp_path: Path, action: Action, status: int) -> None:
    with standing(tmp_path, action, Match(target="version", times=1)) as (_, connection), Api(connection) as api:
        with pytest.raises(ApiError) as caught:
            api.send("GET", "/version?longer=than-twenty")
        assert caught.value.status == status
        assert api.send("GET", "/version")


def test_slowness(tmp_path: Path) -> None:
    with standing(tmp_path, Slow(pause_s=0.5), Match(skip=1)) as (_, connection):
        for least_s, most_s in ((0.0, 0.4), (0.5, 5.0)):
            started = time.monotonic()
            server_version(connection)
            assert least_s <= time.monotonic() - started < most_s


def test_nobody_listens_for_a_while(tmp_path: Path) -> None:
    with standing(tmp_path, Away(for_s=1.0), Match(target="version")) as (_, connection), Api(connection) as api:
        assert api.send("GET", "/version")
        time.sleep(0.3)
        with pytest.raises(ApiError, match="Connection refused"):
            api.send("GET", "/version")
        time.sleep(1.5)
        assert api.send("GET", "/version")


@pytest.mark.parametrize("user", ["token", "file", "plugin"])
def test_a_token_is_taken_no_more(tmp_path: Path, user: str) -> None:
    with standing(tmp_path, Revoke(), Match(target="version"), user) as (_, connection), Api(connection) as api:
        assert api.send("GET", "/version")
        if user == "token":
            with pytest.raises(ApiError, match="Unauthorized"):
                api.send("GET", "/version")
        else:
            assert api.send("GET", "/version")
