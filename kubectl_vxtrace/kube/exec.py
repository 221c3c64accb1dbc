"""Running a command in a container: our own reader of the exec stream.

kubernetes.stream drops impersonation headers, reads in quadratic time, takes a cut stream for a whole one and turns Ctrl-C into an
API error. Protocol: v5.channel.k8s.io and v4.channel.k8s.io (k8s.io/apimachinery/pkg/util/remotecommand/constants.go): binary
messages whose first byte names the channel: 0 stdin, 1 stdout, 2 stderr, 3 a Status object when the command has ended.
"""

import shlex
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import msgspec
from kubernetes.client.rest import should_bypass_proxies
from websocket import (
    ABNF,
    WebSocket,
    WebSocketAddressException,
    WebSocketBadStatusException,
    WebSocketException,
    WebSocketTimeoutException,
)

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.manifest import CONTAINER
from kubectl_vxtrace.kube.rest import CONNECT_TIMEOUT_S, ApiError, decode, namespaced, refused
from kubectl_vxtrace.model.cluster import AnswerStatus

Sink = Callable[[memoryview], None]

SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
IDLE_S = 60.0  # kubectl gives a peer up after 61 s without a pong (client-go, tools/remotecommand/websocket.go)
_PING_S = 10.0  # the shortest idle limit of a load balancer that was reported is 20 s (kubernetes#94301)
_CLOSE_AFTER_STATUS_S = 5.0
_STDERR_BYTES = 1024 * 1024
_STATUS_BYTES = 256 * 1024
_RETRIED = frozenset({429, 500, 502, 503, 504})
_BACKOFF_S = (0.2, 0.6)
PATIENCE_S = 60.0
"""A debug pod waits as long for a call (manifest.py); what it holds is lost after that."""
_LONGEST_BACKOFF_S = 3.0
_TELL_EVERY_S = 5.0
_MOST_ADDRESS_BYTES = 1800
"""Of a command in the address. Ingresses and API gateways refuse request lines above 8 KiB (nginx, large_client_header_buffers), some above
2 KiB; a command that is longer goes over standard input."""
_PIECE_BYTES = 16 * 1024
_END = "#end"
# Half a script must not run: what was read counts only with its end. The command itself has no standard input, as without a script.
_READING = 's=$(head -c {count}) && case $s in *{end}) eval "${{s}}" ;; *) echo "the script came in half" >&2; exit 125 ;; esac'


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What a command said. `status` is never `absent`; `stdout` is empty where a sink took it.

    `exit_code` is None unless the stream ended with a status; `reason` says why it did not.
    """

    status: AnswerStatus
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecLimits:
    """Bounds of one call.

    timeout_s: of the whole call; the command itself is not ended by it (kubernetes#89031). idle_s: of the time in which the server sends
    nothing at all, not even an answer to a ping. max_bytes: of stdout; above it the stream is cut and the result is `truncated`.
    """

    timeout_s: float
    idle_s: float = IDLE_S
    max_bytes: int


class Patience:
    """Waiting for an API that is away: for calls of which the loss would lose what was captured. Several calls may share one.

    Args:
        bound_s: so long the API may be away.
        tell: is told what is waited for, now and then.
    """

    def __init__(self, bound_s: float = PATIENCE_S, tell: Callable[[str], None] = lambda _: None) -> None:
        self.bound_s = bound_s
        self._tell = tell
        self._given_up = threading.Event()
        self._tell_at_s = 0.0

    def give_up(self) -> None:
        """Nobody is to wait any more."""
        self._given_up.set()

    def pause(self, pause_s: float, began_s: float, error: ApiError) -> bool:
        """Wait so long after an error of a call that began then; False where it is of no use, or too late."""
        waited_s = time.monotonic() - began_s
        may_pass = error.status in _RETRIED or (error.status == 0 and not error.message.startswith("TLS"))
        if not may_pass or waited_s + pause_s >= self.bound_s:
            return False
        if waited_s >= _TELL_EVERY_S and time.monotonic() >= self._tell_at_s:
            self._tell_at_s = time.monotonic() + _TELL_EVERY_S
            self._tell(f"waiting for the API to answer ({error.message}), {self.bound_s - waited_s:.0f} s more at most")
        return not self._given_up.wait(pause_s)


class _Cause(msgspec.Struct):
    reason: str | None = None
    message: str | None = None


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    status: str | None = None
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


def execute(
    connection: Connection,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    *,
    container: str = CONTAINER,
    limits: ExecLimits,
    sink: Sink | None = None,
    patience: Patience | None = None,
) -> ExecResult:
    """Run `argv` and read what it says until it has ended.

    Args:
        limits: how long it may take and how much it may say.
        sink: gets stdout as it comes; without it stdout is collected.
        patience: so long it is tried to start the command; without, three times within a second.

    Raises ApiError where the command could not be started. Ctrl-C passes through.
    """
    deadline = time.monotonic() + limits.timeout_s
    address, script = _address(connection, namespace, pod, container, argv), b""
    if len(address) > _MOST_ADDRESS_BYTES:
        script = f"exec {shlex.join(argv)} </dev/null {_END}".encode()
        reading = ("sh", "-c", _READING.format(count=len(script), end=_END))
        address = _address(connection, namespace, pod, container, reading, stdin=True)
    if patience is None:
        socket = _open_retrying(connection, address, deadline)
    else:
        socket = _open_patiently(connection, address, patience)
        deadline = time.monotonic() + limits.timeout_s
    stream = _Stream(sink, limits.max_bytes)
    try:
        ended = _sent(socket, script, deadline) or _read(socket, stream, deadline, limits.idle_s)
    finally:
        socket.shutdown()
    return stream.result(connection.server, *ended)


class _Stream:
    """Collects the channels of one call."""

    def __init__(self, sink: Sink | None, max_bytes: int) -> None:
        self._collected = bytearray()
        self._sink = sink or self._collected.extend
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._stderr = bytearray()
        self._status = bytearray()

    @property
    def has_status(self) -> bool:
        return bool(self._status)

    def take(self, message: bytes) -> bool:
        """Take one message; False where stdout is more than was allowed."""
        if not message:
            return True
        data = memoryview(message)[1:]
        match message[0]:
            case 1:
                kept = data[: self._left_bytes]
                self._left_bytes -= len(kept)
                if kept:
                    self._sink(kept)
                return len(kept) == len(data)
            case 2:
                self._stderr += data[: max(0, _STDERR_BYTES - len(self._stderr))]
            case 3:
                self._status += data[: max(0, _STATUS_BYTES - len(self._status))]
        return True

    def result(self, server: str, ended: AnswerStatus, reason: str | None) -> ExecResult:
        """The outcome. Raises ApiError where the status says that the command never ran."""
        if ended is not AnswerStatus.OK:
            return self._said(ended, reason=reason)
        try:
            status = decode(self._status, _Status)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._said(AnswerStatus.TRUNCATED, reason="the stream ended with half a status")
        if status.status == "Success":
            return self._said(AnswerStatus.OK, exit_code=0)
        causes = (status.details.causes if status.details else None) or ()
        code = next((cause.message for cause in causes if cause.reason == "ExitCode"), None)
        if code is None or not code.isdecimal():
            raise ApiError(server, status.code or 500, status.message or "the command could not be started", reason=status.reason or "")
        return self._said(AnswerStatus.FAILED, exit_code=int(code))

    def _said(self, status: AnswerStatus, *, exit_code: int | None = None, reason: str | None = None) -> ExecResult:
        stdout, stderr = bytes(self._collected), bytes(self._stderr)
        return ExecResult(status=status, exit_code=exit_code, stdout=stdout, stderr=stderr, reason=reason)


def _sent(socket: Any, script: bytes, deadline: float) -> tuple[AnswerStatus, str] | None:
    """Send the command's standard input; what went wrong."""
    try:
        for at in range(0, len(script), _PIECE_BYTES):
            socket.settimeout(max(0.001, deadline - time.monotonic()))
            socket.send_binary(b"\0" + script[at : at + _PIECE_BYTES])
    except WebSocketTimeoutException:
        return AnswerStatus.TIMEOUT, "the script was not taken in time"
    except (WebSocketException, OSError) as error:
        return AnswerStatus.TRUNCATED, f"the stream broke before the script was through: {error}"
    return None


def _read(socket: Any, stream: _Stream, deadline: float, idle_s: float) -> tuple[AnswerStatus, str | None]:
    """Read until the end; (OK, None) means that a status came and the connection ended."""
    heard = time.monotonic()
    while True:
        now = time.monotonic()
        wait_s = min(deadline, heard + idle_s) - now
        if wait_s <= 0:
            return AnswerStatus.TIMEOUT, "no end in time" if now >= deadline else f"the server has been silent for {idle_s:g} s"
        socket.settimeout(min(_PING_S, wait_s))
        try:
            opcode, frame = socket.recv_data_frame(True)
        except WebSocketTimeoutException:
            with suppress(WebSocketException, OSError):  # a dead connection shows itself in the next read
                socket.ping()
            continue
        except (WebSocketException, OSError) as error:
            return (AnswerStatus.OK, None) if stream.has_status else (AnswerStatus.TRUNCATED, f"the stream broke without a status: {error}")
        heard = time.monotonic()
        if opcode == ABNF.OPCODE_CLOSE:
            return (AnswerStatus.OK, None) if stream.has_status else (AnswerStatus.TRUNCATED, "the stream ended without a status")
        if opcode == ABNF.OPCODE_BINARY and not stream.take(frame.data):
            return AnswerStatus.TRUNCATED, "more output than allowed"
        if stream.has_status:
            # The other channels may still be on their way; the server closes when all are through.
            deadline = min(deadline, heard + _CLOSE_AFTER_STATUS_S)


def _address(connection: Connection, namespace: str, pod: str, container: str, argv: Sequence[str], *, stdin: bool = False) -> str:
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", part) for part in argv)]
    query += [("stdin", "true")] if stdin else []
    return "ws" + connection.configuration.host.removeprefix("http") + namespaced(namespace, "pods", pod, "exec") + "?" + urlencode(query)


def _open_retrying(connection: Connection, address: str, deadline: float) -> Any:
    """An open WebSocket (untyped); overload, gateway errors and broken connections before the command began are retried."""
    for pause_s in (*_BACKOFF_S, None):
        try:
            return _open(connection, address, deadline)
        except ApiError as error:
            transient = error.status in _RETRIED or isinstance(error.__cause__, ConnectionResetError)
            if pause_s is None or not transient or time.monotonic() + pause_s >= deadline:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last turn returns or raises")


def _open_patiently(connection: Connection, address: str, patience: Patience) -> Any:
    began_s, pause_s = time.monotonic(), _BACKOFF_S[0]
    while True:
        try:
            return _open(connection, address, time.monotonic() + CONNECT_TIMEOUT_S)
        except ApiError as error:
            if not patience.pause(pause_s, began_s, error):
                raise
            pause_s = min(2 * pause_s, _LONGEST_BACKOFF_S)


def _open(connection: Connection, address: str, deadline: float) -> Any:
    """An open WebSocket; once more with new credentials where the server refuses these."""
    generation = connection.credentials.generation
    try:
        return _connected(connection, address, deadline)
    except ApiError as error:
        if error.status != 401 or not connection.credentials.renew(generation):
            raise
    return _connected(connection, address, deadline)


def _connected(connection: Connection, address: str, deadline: float) -> Any:
    server = connection.server
    timeout_s = min(CONNECT_TIMEOUT_S, max(0.001, deadline - time.monotonic()))
    try:
        socket: Any = WebSocket(sslopt=_tls_options(connection), skip_utf8_validation=True)
        socket.connect(
            address,
            header=[f"{name}: {value}" for name, value in connection.headers()],
            subprotocols=list(SUBPROTOCOLS),
            suppress_origin=True,
            redirect_limit=0,  # a redirect would carry the credentials elsewhere
            timeout=timeout_s,
            **_proxy_options(connection),
        )
    except WebSocketBadStatusException as error:
        headers = error.resp_headers or {}
        body = error.resp_body or b""
        body = body if isinstance(body, bytes) else str(body).encode()
        raise refused(server, error.status_code, body, headers.get("retry-after"), http_reason=error.status_message or "") from error
    except (WebSocketTimeoutException, TimeoutError) as error:
        raise ApiError(server, 0, "no connection in time") from error
    except ssl.SSLError as error:
        raise ApiError(server, 0, f"TLS: {error}") from error
    except WebSocketAddressException as error:
        raise ApiError(server, 0, "its name cannot be resolved") from error
    except (WebSocketException, OSError) as error:
        raise ApiError(server, 0, getattr(error, "strerror", None) or str(error)) from error
    return socket


def _tls_options(connection: Connection) -> dict[str, Any]:
    settings = connection.configuration
    if not settings.host.startswith("https"):
        return {}
    verify: dict[str, Any] = {} if settings.verify_ssl else {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    if settings.assert_hostname is False:
        verify["check_hostname"] = False
    return {"context": connection.tls(), "server_hostname": settings.tls_server_name, **verify}


def _proxy_options(connection: Connection) -> dict[str, Any]:
    """The configuration's proxy; without one the environment must not choose another, hence the no-proxy for everything."""
    settings = connection.configuration
    if not settings.proxy or should_bypass_proxies(settings.host, settings.no_proxy or ""):
        return {"http_no_proxy": ["*"]}
    proxy = urlsplit(settings.proxy if "://" in settings.proxy else f"http://{settings.proxy}")
    if proxy.scheme not in ("http", "socks4", "socks4a", "socks5", "socks5h") or not proxy.hostname:
        raise ApiError(connection.server, 0, f"exec through a proxy of type {proxy.scheme} is not supported; give an http proxy")
    port = proxy.port or (80 if proxy.scheme == "http" else 1080)
    auth = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
    # A no-proxy of one impossible name keeps NO_PROXY of the environment from being applied a second time by other rules.
    return {
        "proxy_type": proxy.scheme,
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": port,
        "http_proxy_auth": auth,
        "http_no_proxy": ["invalid."],
    }
