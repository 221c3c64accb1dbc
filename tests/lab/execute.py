"""pods/exec over WebSocket: the channels of v4.channel.k8s.io and v5.channel.k8s.io (k8s.io/apimachinery, remotecommand).

Each message begins with a byte that names its channel: 0 standard input, 1 output, 2 error, 3 the status at the end, 4 terminal
size; in v5, 255 and a channel's number closes that channel. Output goes straight from a pipe to the connection, so that
a slow reader slows the process down. A process goes on when its connection is lost; nobody reads what it says then.
"""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.lab.routes import Route
from tests.lab.status import JsonObject
from tests.lab.websocket import WebSocket

STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_CHUNK_BYTES = 32 * 1024  # as io.Copy in the kubelet's streams
_GOODBYE_S = 2.0

SUCCESS: JsonObject = {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> JsonObject:
    """The Status object for an exit code (k8s.io/cri-streaming, remotecommand/exec.go)."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """PodExecOptions, from the query."""

    command: tuple[str, ...]
    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def options(route: Route) -> ExecOptions:
    """What the request asks for."""
    return ExecOptions(
        command=tuple(route.query.get("command", ())),
        container=route.value("container"),
        stdin=route.flag("stdin"),
        stdout=route.flag("stdout"),
        stderr=route.flag("stderr"),
        tty=route.flag("tty"),
    )


class ExecSession:
    """One exec on an open WebSocket.

    Args:
        cut: ends the connection at once.
        cut_after_bytes: do that when so many bytes of output have been sent; None for never.
    """

    def __init__(self, socket: WebSocket, wanted: ExecOptions, cut: Callable[[], None], cut_after_bytes: int | None) -> None:
        self._socket = socket
        self._wanted = wanted
        self._cut = cut
        self._left_bytes = cut_after_bytes
        self._output = threading.Lock()
        self._input: int | None = None

    def refuse(self, status: JsonObject) -> None:
        """Say that it could not be run, and end."""
        self._finish(status)

    def hang(self) -> None:
        """Never answer; return when the client has gone."""
        while self._socket.receive() is not None:
            continue

    def run(self, argv: Sequence[str], environment: Mapping[str, str], started: Callable[["subprocess.Popen[bytes]"], None]) -> None:
        """Run `argv`, stream, send its status, end the connection. `started` is told the process."""
        self._send(STDOUT if self._wanted.stdout else STATUS, b"")  # as the kubelet: the connection is established
        process, pumps = self._start(argv, environment)
        started(process)
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        code = process.wait()
        self._finish(exit_status(code if code >= 0 else 128 - code))
        listener.join(_GOODBYE_S)
        self._cut()

    def _start(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple["subprocess.Popen[bytes]", list[threading.Thread]]:
        wanted = self._wanted
        if wanted.tty:
            terminal, inner = pty.openpty()
            self._input = os.dup(terminal)
            process = subprocess.Popen(argv, env=dict(environment), stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
            os.close(inner)
            return process, [threading.Thread(target=self._pump, args=(STDOUT, terminal), daemon=True)]
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.PIPE if wanted.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if wanted.stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE if wanted.stderr else subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        if process.stdin:
            self._input = os.dup(process.stdin.fileno())
            process.stdin.close()
        pumps = []
        for channel, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr)):
            if pipe:
                descriptor = os.dup(pipe.fileno())
                pipe.close()
                pumps.append(threading.Thread(target=self._pump, args=(channel, descriptor), daemon=True))
        return process, pumps

    def _pump(self, channel: int, descriptor: int) -> None:
        connected = True
        while True:
            try:
                data = os.read(descriptor, _CHUNK_BYTES)
            except OSError:
                data = b""  # a terminal whose other side is closed (EIO)
            if not data:
                break
            if connected:
                connected = self._send_output(channel, data)
        os.close(descriptor)

    def _send_output(self, channel: int, data: bytes) -> bool:
        with self._output:
            if self._left_bytes is None:
                return self._send(channel, data)
            part = data[: self._left_bytes]
            self._left_bytes -= len(part)
            sent = self._send(channel, part)
            if self._left_bytes == 0:
                self._cut()
                return False
            return sent

    def _send(self, channel: int, data: bytes) -> bool:
        try:
            self._socket.send(bytes([channel]) + data)
        except OSError:
            return False
        return True

    def _finish(self, status: JsonObject) -> None:
        self._send(STATUS, json.dumps(status, separators=(",", ":")).encode())
        self._socket.close()

    def _listen(self) -> None:
        """Take the client's messages until it is gone; then the process's input ends."""
        while (message := self._socket.receive()) is not None:
            if not message:
                continue
            if message[0] == STDIN:
                self._write_input(message[1:])
            elif message[0] == RESIZE and self._wanted.tty:
                self._resize(message[1:])
            elif message[0] == CLOSE and message[1:] == bytes([STDIN]):
                self._close_input()
        self._close_input()

    def _write_input(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and self._input is not None:
                view = view[os.write(self._input, view) :]
        except OSError:
            self._close_input()  # the process no longer reads

    def _close_input(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def _resize(self, data: bytes) -> None:
        try:
            size = json.loads(data)
            rows, columns = int(size["Height"]), int(size["Width"])
            if self._input is not None:
                fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        except (ValueError, KeyError, TypeError, OSError, struct.error):
            return  # a size that is none changes nothing
