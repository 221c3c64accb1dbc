"""Running a command in a container: our own reader of the exec stream.

kubernetes.stream drops impersonation headers, reads in quadratic time, takes a cut stream for a whole one and turns Ctrl-C into an
API error. Protocol: v5.channel.k8s.io and v4.channel.k8s.io (k8s.io/apimachinery/pkg/util/remotecommand/constants.go): binary
messages whose first byte names the channel: 0 stdin, 1 stdout, 2 stderr, 3 a Status object when the command has ended.
"""

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import msgspec
from websocket import ABNF, WebSocketException, WebSocketTimeoutException

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.handshake import Patience, opened
from kubectl_vxtrace.kube.manifest import CONTAINER
from kubectl_vxtrace.kube.rest import ApiError, decode, namespaced
from kubectl_vxtrace.model.cluster import AnswerStatus

Sink = Callable[[memoryview], None]

IDLE_S = 60.0  # kubectl gives a peer up after 61 s without a pong (client-go, tools/remotecommand/websocket.go)
_PING_S = 10.0  # the shortest idle limit of a load balancer that was reported is 20 s (kubernetes#94301)
_CLOSE_AFTER_STATUS_S = 5.0
_STDERR_BYTES = 1024 * 1024
_STATUS_BYTES = 256 * 1024
_HURRY_S = 8.0  # for a call that can be done without
_MOST_ADDRESS_BYTES = 1800
"""Of a command in the address. Ingresses and API gateways refuse request lines above 8 KiB (nginx, large_client_header_buffers), some above
2 KiB; a command that is longer goes over standard input."""
_PIECE_BYTES = 16 * 1024
_END = "#end"
# Half a script must not run: what was read counts only with its end. The command itself has no standard input, as without a script.
_READING = 's=$(head -c {count}) && case $s in *{end}) eval "${{s}}" ;; *) echo "{complaint}" >&2; exit {code} ;; esac'
_HALF, _HALF_CODE = "the script came in half", 125


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command is, in the audit: the node on which it runs, and what is asked by it."""

    node: str = ""
    name: str = ""


_SOMETHING = Asked()


def execute(
    connection: Connection,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    *,
    asked: Asked = _SOMETHING,
    limits: ExecLimits,
    sink: Sink | None = None,
    patience: Patience | None = None,
) -> ExecResult:
    """Run `argv` and read what it says until it has ended.

    Args:
        asked: on which node, and what, for the audit.
        limits: how long it may take and how much it may say.
        sink: gets stdout as it comes; without it stdout is collected.
        patience: so long it is tried to start the command, which does not count for `limits`; without, for some seconds.

    Raises ApiError where the command could not be started. Ctrl-C passes through.
    """
    event = connection.audit.command(asked.node, f"{namespace}/{pod}", asked.name, argv)
    stream = _Stream(sink, limits.max_bytes)
    try:
        result = _run(connection, namespace, pod, argv, limits=limits, stream=stream, patience=patience)
    except ApiError as error:
        event.end(status="not started", error=error.message)
        raise
    except BaseException as error:
        event.end(status="given up", bytes=stream.taken, error=type(error).__name__)
        raise
    event.end(
        status=result.status.value,
        exit_code=result.exit_code,
        bytes=stream.taken,
        error=result.reason,
        said=result.stdout or result.stderr,
    )
    return result


def _run(
    connection: Connection,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    *,
    limits: ExecLimits,
    stream: "_Stream",
    patience: Patience | None,
) -> ExecResult:
    """See `execute`."""
    deadline = time.monotonic() + limits.timeout_s
    address, script = _address(connection, namespace, pod, argv), b""
    if len(address) > _MOST_ADDRESS_BYTES:
        script = f"exec {shlex.join(argv)} </dev/null {_END}".encode()
        reading = ("sh", "-c", _READING.format(count=len(script), end=_END, complaint=_HALF, code=_HALF_CODE))
        address = _address(connection, namespace, pod, reading, stdin=True)
    if patience is None:
        socket = opened(connection, address, Patience(bound_s=min(_HURRY_S, limits.timeout_s)))
    else:
        socket = opened(connection, address, patience)
        deadline = time.monotonic() + limits.timeout_s
    try:
        ended = _sent(socket, script, deadline) or _read(socket, stream, deadline, limits.idle_s)
    finally:
        socket.shutdown()
    result = stream.result(connection.server, *ended)
    if script and result.exit_code == _HALF_CODE and result.stderr.decode("utf-8", "replace").strip() == _HALF:
        return replace(result, status=AnswerStatus.TRUNCATED, exit_code=None, reason=_HALF)
    return result


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
    def taken(self) -> int:
        """Bytes of stdout so far."""
        return self._max_bytes - self._left_bytes

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


def _address(connection: Connection, namespace: str, pod: str, argv: Sequence[str], *, stdin: bool = False) -> str:
    query = [("container", CONTAINER), ("stdout", "true"), ("stderr", "true"), *(("command", part) for part in argv)]
    query += [("stdin", "true")] if stdin else []
    return "ws" + connection.configuration.host.removeprefix("http") + namespaced(namespace, "pods", pod, "exec") + "?" + urlencode(query)
