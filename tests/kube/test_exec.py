import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.kube import exec as exec_module
from kubectl_vxtrace.kube import handshake
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import ExecLimits, ExecResult, execute
from kubectl_vxtrace.kube.handshake import Patience
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus
from kubectl_vxtrace.model.request import Access
from tests.kube.fake import TLS, Fake, Stream


def run(connection: Connection, *argv: str, timeout_s: float = 5, idle_s: float = 5, max_bytes: int = 1 << 20) -> ExecResult:
    limits = ExecLimits(timeout_s=timeout_s, idle_s=idle_s, max_bytes=max_bytes)
    return execute(connection, "ns", "pod", argv or ("true",), limits=limits)


def test_output_errors_and_exit_code(fake: Fake, connection: Connection) -> None:
    result = run(connection, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.status, result.exit_code, result.stdout, result.stderr) == (AnswerStatus.FAILED, 7, b"out\n", b"err\n")
    method, path, headers, query = fake.seen[-1]
    assert (method, path) == ("GET", "/api/v1/namespaces/ns/pods/pod/exec")
    assert [value for name, value in query if name == "command"] == ["sh", "-c", "echo out; echo err >&2; exit 7"]
    assert headers["sec-websocket-protocol"] == "v5.channel.k8s.io,v4.channel.k8s.io"
    assert headers["authorization"] == "Bearer sesame"


LONG = "x" * 3000


def test_a_long_command_goes_over_standard_input(fake: Fake, connection: Connection) -> None:
    """Behind 8 KiB of request line many gateways refuse, and the command is the same: its words, its exit code, no input of its own."""
    script = f'# {LONG}\ncat; printf \'%s|\' "$0" "$@"; exit 3\n'
    result = run(connection, "sh", "-c", script, "name", "it's", "", "two words", "$(no)", "\u00e9\n")
    said = (result.status, result.exit_code, result.stdout.decode(), result.stderr)
    assert said == (AnswerStatus.FAILED, 3, "name|it's||two words|$(no)|\u00e9\n|", b"")
    _, _, _, query = fake.seen[-1]
    assert LONG not in str(query)
    assert ("stdin", "true") in query


def test_half_a_script_does_not_run(fake: Fake, connection: Connection, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def halves(argv: list[str], stream: Stream) -> None:
        done = subprocess.run(argv, input=stream.receive()[:200], capture_output=True, check=False)
        stream.send(2, done.stderr)
        stream.exit(done.returncode)

    fake.exec = halves
    result = run(connection, "sh", "-c", f"touch {made}\n# {LONG}")
    assert (result.status, result.exit_code, result.reason) == (AnswerStatus.TRUNCATED, None, "the script came in half")
    assert not made.exists()


def test_a_stream_that_breaks_before_the_script_is_through(fake: Fake, connection: Connection) -> None:
    fake.exec = lambda argv, stream: stream.handler.connection.close()
    assert run(connection, "sh", "-c", "x" * 5_000_000).status is AnswerStatus.TRUNCATED


def test_binary_output_is_untouched(connection: Connection) -> None:
    result = run(connection, "sh", "-c", r"printf '\000\377\r\n\200'")
    assert (result.status, result.stdout) == (AnswerStatus.OK, b"\x00\xff\r\n\x80")


def test_impersonation_reaches_the_exec(fake: Fake, tmp_path: Path) -> None:
    run(fake.connection(tmp_path, as_user="bob", as_groups=("a",)))
    assert (fake.seen[-1][2]["impersonate-user"], fake.seen[-1][2]["impersonate-group"]) == ("bob", "a")


def test_no_status_is_truncated(fake: Fake, connection: Connection) -> None:
    def closes(argv: list[str], stream: Stream) -> None:
        stream.send(1, b"half")
        stream.close()

    fake.exec = closes
    result = run(connection)
    assert (result.status, result.stdout, result.exit_code) == (AnswerStatus.TRUNCATED, b"half", None)
    fake.exec = lambda argv, stream: stream.send(1, b"cut")
    result = run(connection)
    assert (result.status, result.stdout) == (AnswerStatus.TRUNCATED, b"cut")


def test_half_a_status_is_truncated(fake: Fake, connection: Connection) -> None:
    fake.exec = lambda argv, stream: stream.send(3, b'{"status": "Succ')
    assert run(connection).status is AnswerStatus.TRUNCATED


def test_a_status_in_two_frames_counts(fake: Fake, connection: Connection) -> None:
    def splits(argv: list[str], stream: Stream) -> None:
        stream.send(3, b'{"status": ')
        stream.send(3, b'"Success"}')

    fake.exec = splits
    assert run(connection).status is AnswerStatus.OK


def test_output_after_the_status_is_kept(fake: Fake, connection: Connection) -> None:
    def late(argv: list[str], stream: Stream) -> None:
        stream.status(0)
        stream.send(1, b"late")
        stream.close()

    fake.exec = late
    assert run(connection).stdout == b"late"


def test_more_than_allowed_is_truncated(fake: Fake, connection: Connection) -> None:
    result = run(connection, "sh", "-c", "head -c 100000 /dev/zero", max_bytes=1000)
    assert (result.status, len(result.stdout)) == (AnswerStatus.TRUNCATED, 1000)


def test_total_time_is_bounded(fake: Fake, connection: Connection) -> None:
    release = threading.Event()

    def hangs(argv: list[str], stream: Stream) -> None:
        stream.send(1, b"begun")
        release.wait(10)

    fake.exec = hangs
    started = time.monotonic()
    result = run(connection, timeout_s=0.3)
    release.set()
    assert (result.status, result.stdout) == (AnswerStatus.TIMEOUT, b"begun")
    assert time.monotonic() - started < 2


def test_silence_is_bounded_and_pinged(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_module, "_PING_S", 0.1)
    heard: list[bytes] = []

    def deaf(argv: list[str], stream: Stream) -> None:
        heard.append(stream.handler.rfile.read(2))
        time.sleep(1)

    fake.exec = deaf
    result = run(connection, timeout_s=10, idle_s=0.4)
    assert result.status is AnswerStatus.TIMEOUT
    assert "silent" in (result.reason or "")
    assert heard[0][0] & 0x0F == 9  # RFC 6455, 5.5.2: a ping


def test_refused_handshake_says_what_the_api_said(fake: Fake, connection: Connection) -> None:
    said = {"kind": "Status", "message": 'pods "pod" is forbidden: no', "reason": "Forbidden", "code": 403}
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [(403, said, {})]
    with pytest.raises(ApiError) as caught:
        run(connection)
    assert (caught.value.status, caught.value.message, caught.value.reason) == (403, 'pods "pod" is forbidden: no', "Forbidden")


def test_what_may_pass_at_the_handshake_is_retried(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_FIRST_BACKOFF_S", 0.01)
    passing: list[tuple[int, Any, dict[str, str]]] = [(502, b"bad gateway", {}), (429, {}, {}), (404, b"<h1>default backend</h1>", {})]
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [*passing, (0, b"", {}), (409, {"kind": "Status"}, {})]
    assert run(connection, "echo", "x").stdout == b"x\n"


def test_the_server_may_ask_for_more_time(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [(429, b"", {"Retry-After": "1"})]
    started = time.monotonic()
    assert run(connection, "echo", "x").stdout == b"x\n"
    assert time.monotonic() - started >= 1


def test_patience_outlasts_an_api_that_is_away(fake: Fake, connection: Connection) -> None:
    away: list[tuple[int, Any, dict[str, str]]] = [(503, b"", {})] * 3
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [*away, (0, b"", {})]
    told: list[str] = []
    limits = ExecLimits(timeout_s=5, max_bytes=100)
    result = execute(connection, "ns", "pod", ("echo", "x"), limits=limits, patience=Patience(bound_s=20, tell=told.append))
    assert result.stdout == b"x\n"


@pytest.mark.parametrize(
    ("answer", "bound_s"),
    [
        pytest.param((503, b"away", {}), 0.5, id="its time is over"),
        pytest.param((403, {"kind": "Status", "message": "away"}, {}), 60, id="what does not pass"),
    ],
)
def test_patience_has_an_end(fake: Fake, connection: Connection, answer: tuple[int, bytes, dict[str, str]], bound_s: float) -> None:
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [answer] * 100
    started = time.monotonic()
    with pytest.raises(ApiError, match="away"):
        execute(connection, "ns", "pod", ("true",), limits=ExecLimits(timeout_s=5, max_bytes=100), patience=Patience(bound_s=bound_s))
    assert time.monotonic() - started < 5


def test_what_one_call_has_waited_in_vain_the_next_need_not(fake: Fake, connection: Connection) -> None:
    away: list[tuple[int, Any, dict[str, str]]] = [(503, b"away", {})] * 100
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = away
    patience, limits = Patience(bound_s=1.0), ExecLimits(timeout_s=5, max_bytes=100)
    took_s = []
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(ApiError, match="away"):
            execute(connection, "ns", "pod", ("true",), limits=limits, patience=patience)
        took_s.append(time.monotonic() - started)
    assert took_s[0] > 0.5 > took_s[1]
    away[:] = []
    execute(connection, "ns", "pod", ("true",), limits=limits, patience=patience)
    away[:] = [(503, b"away", {})]
    assert execute(connection, "ns", "pod", ("echo", "x"), limits=limits, patience=patience).stdout == b"x\n"


def test_who_gives_up_waits_no_more(fake: Fake, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_TELL_EVERY_S", 0.1)
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [(503, b"away", {})] * 100
    told: list[str] = []
    patience = Patience(bound_s=60, tell=told.append)
    threading.Timer(0.5, patience.give_up).start()
    started = time.monotonic()
    with pytest.raises(ApiError, match="away"):
        execute(connection, "ns", "pod", ("true",), limits=ExecLimits(timeout_s=5, max_bytes=100), patience=patience)
    assert time.monotonic() - started < 5
    assert told[0].startswith("waiting for the API to answer (away), ")


def test_a_redirect_is_not_followed(fake: Fake, connection: Connection) -> None:
    fake.replies["GET", "/api/v1/namespaces/ns/pods/pod/exec"] = [(302, b"", {"Location": f"{fake.url}/elsewhere"})]
    with pytest.raises(ApiError, match="a redirect to http") as caught:
        run(connection)
    assert caught.value.status == 302
    assert all(path != "/elsewhere" for _, path, _, _ in fake.seen)


def test_a_command_that_could_not_start(fake: Fake, connection: Connection) -> None:
    def fails(argv: list[str], stream: Stream) -> None:
        stream.send(3, json.dumps({"status": "Failure", "reason": "InternalError", "message": "no such file", "code": 500}).encode())
        stream.close()

    fake.exec = fails
    with pytest.raises(ApiError, match="no such file"):
        run(connection)


def test_interrupt_passes_through(fake: Fake, connection: Connection) -> None:
    def interrupt(_: memoryview) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(connection, "ns", "pod", ("echo", "x"), limits=ExecLimits(timeout_s=5, max_bytes=10), sink=interrupt)


def test_tls_verifies_and_presents_the_client_certificate(tmp_path: Path) -> None:
    with Fake(tls=True) as fake:
        certificate = {"client-certificate": str(TLS / "client.pem"), "client-key": str(TLS / "client.pem")}
        path = fake.kubeconfig(tmp_path, user=certificate)
        assert run(connect(Access(kubeconfig=str(path)), environ={}), "echo", "x").stdout == b"x\n"
        path = fake.kubeconfig(tmp_path, cluster={"tls-server-name": "kubernetes.test"})
        assert run(connect(Access(kubeconfig=str(path)), environ={}), "echo", "y").stdout == b"y\n"
        path = fake.kubeconfig(tmp_path, cluster={"tls-server-name": "other.test"})
        with pytest.raises(ApiError, match="TLS"):
            run(connect(Access(kubeconfig=str(path)), environ={}))
        path = fake.kubeconfig(
            tmp_path, cluster={"tls-server-name": "other.test", "insecure-skip-tls-verify": True, "certificate-authority": ""}
        )
        assert run(connect(Access(kubeconfig=str(path)), environ={}), "echo", "z").stdout == b"z\n"


def test_a_large_output_arrives_whole(fake: Fake, connection: Connection) -> None:
    size = 8 << 20
    taken = bytearray()
    limits = ExecLimits(timeout_s=20, max_bytes=size)
    result = execute(connection, "ns", "pod", ("head", "-c", str(size), "/dev/zero"), limits=limits, sink=taken.extend)
    assert (result.status, len(taken), result.stdout) == (AnswerStatus.OK, size, b"")
