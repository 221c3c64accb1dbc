"""Fetching one file from a pod into memory, in pieces, and verifying it.

An exec stream can end early with exit code 0 (kubernetes#124571). What came is the file's next bytes all the same, so the next piece begins
behind them, and in the end nothing counts but the SHA-256 of the whole.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kubectl_vxtrace.kube.exec import ExecResult, Sink
from kubectl_vxtrace.kube.handshake import PATIENCE_S
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus, FetchResult

CHUNK_BYTES = 8 * 1024 * 1024
_SMALLEST_CHUNK_BYTES = 256 * 1024
_LARGEST_CHUNK_BYTES = 128 * 1024 * 1024
_CHUNK_TIMEOUT_S = 120.0
_QUICK_S = 20.0  # a piece of twice the size then takes a third of the time that it may
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 3.0
_TELL_AFTER_S = 5.0
_FINAL = frozenset({401, 403, 404})
_MOST_ENDS = 3
"""So often the command may end well without a byte: then the file is shorter than the node says."""
# $1 the file, $2 the first byte (from 1), $3 how many.
_SCRIPT = 'tail -c "+$2" "$1" | head -c "$3"'


class Run(Protocol):
    """Runs a command in the pod that holds the file; raises ApiError where it cannot be started."""

    def __call__(self, argv: Sequence[str], *, timeout_s: float, max_bytes: int, sink: Sink | None = None) -> ExecResult:
        """The command's result."""


class _FetchError(Exception):
    """Why a file could not be fetched. `is_final`: trying again is of no use."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def fetch(
    run: Run,
    *,
    node: str,
    remote_path: str,
    size_bytes: int,
    sha256: str,
    max_bytes: int,
    chunk_bytes: int = CHUNK_BYTES,
    tell: Callable[[str], None] = lambda _: None,
) -> FetchResult:
    """Fetch `remote_path`; a broken piece goes on from the byte where it broke, a file with a wrong hash comes once more.

    What had come when fetching was given up is the result's; of a file whose hash stays wrong there is nothing. Never raises but for
    Ctrl-C: `reason` says what was wrong.

    Args:
        size_bytes, sha256: what the node says of the file, hexadecimal.
        max_bytes: more than this is not fetched at all; so much memory it takes.
        tell: is told what is waited for, where that takes long.
    """

    def waits(reason: str, left_s: float) -> None:
        tell(f"waiting for {remote_path.rpartition('/')[2]} ({reason}), {left_s:.0f} s more at most")

    if size_bytes > max_bytes:
        return FetchResult(node=node, reason=f"{size_bytes} bytes are more than the limit of {max_bytes}")
    found = ""
    for _ in range(2):
        pieces = _Pieces(run, remote_path, size_bytes, chunk_bytes, waits)
        try:
            pieces.fetch_all()
        except _FetchError as error:
            got = len(pieces.content)
            return FetchResult(node=node, content=pieces.content, reason=f"{error}, after {got} of {size_bytes} bytes")
        found = hashlib.sha256(pieces.content).hexdigest()
        if found == sha256.lower():
            return FetchResult(node=node, content=pieces.content, sha256=found)
    return FetchResult(node=node, reason=f"its SHA-256 is {found}, the node says {sha256.lower()}")


class _Pieces:
    """The pieces of one file, one after the other: twice as large after one that came quickly, half as large after a failure.

    `content` is what has come.
    """

    def __init__(self, run: Run, remote_path: str, size_bytes: int, chunk_bytes: int, waits: Callable[[str, float], None]) -> None:
        self.content = bytearray()
        self._run = run
        self._remote_path = remote_path
        self._size_bytes = size_bytes
        self._chunk_bytes = chunk_bytes
        self._said = ""
        self._waits = waits

    def fetch_all(self) -> None:
        """Fetch what is left, and give up where nothing has come for PATIENCE_S. Raises _FetchError."""
        progress_s, pause_s, ends = time.monotonic(), _FIRST_BACKOFF_S, 0
        tell_at_s = progress_s + _TELL_AFTER_S
        while (before := len(self.content)) < self._size_bytes:
            began_s = time.monotonic()
            length = min(self._size_bytes - before, self._chunk_bytes)
            problem = self._try(length)
            now_s, got = time.monotonic(), len(self.content) - before
            if got:
                progress_s, pause_s, ends = now_s, _FIRST_BACKOFF_S, 0
                tell_at_s = now_s + _TELL_AFTER_S
            if problem is None and got == length:
                if now_s - began_s < _QUICK_S:
                    self._chunk_bytes = min(_LARGEST_CHUNK_BYTES, 2 * self._chunk_bytes)
                continue
            self._chunk_bytes = max(_SMALLEST_CHUNK_BYTES, self._chunk_bytes // 2)
            ends += problem is None and not got
            if ends == _MOST_ENDS:
                raise _FetchError(self._said or f"the node sends no more, {length} bytes were asked for")
            if problem is not None and (problem.is_final or now_s - progress_s >= PATIENCE_S):
                raise problem
            if problem is not None and now_s >= tell_at_s:
                tell_at_s = now_s + 2 * _TELL_AFTER_S
                self._waits(str(problem), progress_s + PATIENCE_S - now_s)
            if not got:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_BACKOFF_S)

    def _try(self, length: int) -> _FetchError | None:
        """Fetch a piece, or its beginning; what went wrong with the command."""
        argv = ("sh", "-c", _SCRIPT, "vxtrace", self._remote_path, str(len(self.content) + 1), str(length))
        try:
            result = self._run(argv, timeout_s=_CHUNK_TIMEOUT_S, max_bytes=length, sink=self.content.extend)
        except ApiError as error:
            return _FetchError(error.message, is_final=error.status in _FINAL and not error.may_pass)
        self._said = result.stderr.decode("utf-8", "replace").strip()
        if result.status is AnswerStatus.OK:
            return None
        problem = result.reason or self._said or f"the command ended with {result.exit_code}"
        return _FetchError(problem, is_final=result.exit_code is not None)
