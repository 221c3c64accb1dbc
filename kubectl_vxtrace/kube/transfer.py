"""Fetching one file from a pod in verified pieces.

An exec stream can end early with exit code 0 (kubernetes#124571), so nothing counts but the exact length, a status, and in the end
the SHA-256 of the whole.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from kubectl_vxtrace.kube.exec import ExecResult, Sink
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus, FetchResult

CHUNK_BYTES = 8 * 1024 * 1024
_SMALLEST_CHUNK_BYTES = 256 * 1024
_LARGEST_CHUNK_BYTES = 128 * 1024 * 1024
_CHUNK_TIMEOUT_S = 120.0
_QUICK_S = 20.0  # a piece of twice the size then takes a third of the time that it may
_BACKOFF_S = (0.2, 1.0)  # between three tries
_FINAL = frozenset({401, 403, 404})
# $1 the file, $2 the first byte (from 1), $3 how many.
_SCRIPT = 'tail -c "+$2" "$1" | head -c "$3"'


class Run(Protocol):
    """Runs a command in the pod that holds the file; raises ApiError where it cannot be started."""

    def __call__(self, argv: Sequence[str], *, timeout_s: float, max_bytes: int, sink: Sink | None = None) -> ExecResult:
        """The command's result."""


class _FetchError(Exception):
    pass


def fetch(
    run: Run,
    *,
    node: str,
    remote_path: str,
    destination: Path,
    size_bytes: int,
    sha256: str,
    max_bytes: int,
    chunk_bytes: int = CHUNK_BYTES,
) -> FetchResult:
    """Fetch `remote_path` to `destination`; a broken piece is asked for again from where it broke.

    The file grows as `<destination>.part` and takes its name once it is whole; what had come when fetching was given up stays
    in the `.part`. Never raises but for Ctrl-C: `reason` says what was wrong on either side.

    Args:
        size_bytes, sha256: what the node says of the file, hexadecimal.
        max_bytes: more than this is not fetched at all.
    """
    part = destination.with_name(destination.name + ".part")
    pieces = _Pieces(run, remote_path, size_bytes, chunk_bytes)

    def failed(reason: str) -> FetchResult:
        return FetchResult(node=node, file=destination.name, size_bytes=pieces.got, reason=reason)

    if size_bytes > max_bytes:
        return failed(f"{size_bytes} bytes are more than the limit of {max_bytes}")
    try:
        with _create(part) as file:
            while pieces.got < size_bytes:
                pieces.fetch_next(file)
        if (found := pieces.digest.hexdigest()) != sha256.lower():
            return failed(f"its SHA-256 is {found}, the node says {sha256.lower()}")
        part.replace(destination)
    except _FetchError as error:
        return failed(f"{error}, after {pieces.got} of {size_bytes} bytes")
    except OSError as error:
        return failed(f"cannot write {error.filename or part}: {error.strerror}")
    return FetchResult(node=node, file=destination.name, size_bytes=pieces.got, sha256=found)


def _create(part: Path) -> BinaryIO:
    """The new file, open for writing; a leftover of an earlier try is replaced, a link is never followed."""
    part.unlink(missing_ok=True)
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


class _Pieces:
    """The pieces of one file, one after the other: twice as large after one that came quickly, half as large after a failure.

    `got` is how many bytes are whole, `digest` the SHA-256 of these. Bytes go to the file as they come: memory holds one message.
    """

    def __init__(self, run: Run, remote_path: str, size_bytes: int, chunk_bytes: int) -> None:
        self.got = 0
        self.digest = hashlib.sha256()
        self._run = run
        self._remote_path = remote_path
        self._size_bytes = size_bytes
        self._chunk_bytes = chunk_bytes

    def fetch_next(self, file: BinaryIO) -> None:
        """Fetch the next piece, exactly as long as asked for. Raises _FetchError after three tries."""
        problem = ""
        for pause_s in (*_BACKOFF_S, None):
            started = time.monotonic()
            found = self._try(file, min(self._size_bytes - self.got, self._chunk_bytes))
            if found is None:
                if time.monotonic() - started < _QUICK_S:
                    self._chunk_bytes = min(_LARGEST_CHUNK_BYTES, 2 * self._chunk_bytes)
                return
            problem, final = found
            self._chunk_bytes = max(_SMALLEST_CHUNK_BYTES, self._chunk_bytes // 2)
            if final:
                break
            if pause_s is not None:
                time.sleep(pause_s)
        raise _FetchError(problem)

    def _try(self, file: BinaryIO, length: int) -> tuple[str, bool] | None:
        """One try: None, or what was wrong and whether that is final. The file then ends where it did before."""
        digest, come = self.digest.copy(), 0

        def sink(data: memoryview) -> None:
            nonlocal come
            file.write(data)
            digest.update(data)
            come += len(data)

        argv = ("sh", "-c", _SCRIPT, "vxtrace", self._remote_path, str(self.got + 1), str(length))
        try:
            result = self._run(argv, timeout_s=_CHUNK_TIMEOUT_S, max_bytes=length, sink=sink)
        except ApiError as error:
            problem = error.message, error.status in _FINAL
        else:
            if result.status is AnswerStatus.OK and come == length:
                self.got, self.digest = self.got + length, digest
                return None
            said = result.stderr.decode("utf-8", "replace").strip()
            problem = result.reason or said or f"{come} bytes came instead of {length}", False
        file.seek(self.got)
        file.truncate()
        return problem
