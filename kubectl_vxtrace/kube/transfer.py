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
_CHUNK_TIMEOUT_S = 120.0
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
    got = 0

    def failed(reason: str) -> FetchResult:
        return FetchResult(node=node, file=destination.name, size_bytes=got, reason=reason)

    if size_bytes > max_bytes:
        return failed(f"{size_bytes} bytes are more than the limit of {max_bytes}")
    try:
        with _create(part) as descriptor:
            digest = hashlib.sha256()
            while got < size_bytes:
                chunk, chunk_bytes = _chunk(run, remote_path, got, size_bytes - got, chunk_bytes)
                descriptor.write(chunk)
                digest.update(chunk)
                got += len(chunk)
        if digest.hexdigest() != sha256.lower():
            return failed(f"its SHA-256 is {digest.hexdigest()}, the node says {sha256.lower()}")
        part.replace(destination)
    except _FetchError as error:
        return failed(f"{error}, after {got} of {size_bytes} bytes")
    except OSError as error:
        return failed(f"cannot write {error.filename or part}: {error.strerror}")
    return FetchResult(node=node, file=destination.name, size_bytes=got, sha256=digest.hexdigest())


def _create(part: Path) -> BinaryIO:
    """The new file, open for writing; a leftover of an earlier try is replaced, a link is never followed."""
    part.unlink(missing_ok=True)
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


def _chunk(run: Run, remote_path: str, offset: int, left_bytes: int, chunk_bytes: int) -> tuple[bytearray, int]:
    """The next piece, exactly as long as asked for, and the size to ask for next: smaller after a failure."""
    problem = ""
    for pause_s in (*_BACKOFF_S, None):
        length = min(left_bytes, chunk_bytes)
        data = bytearray()
        try:
            argv = ("sh", "-c", _SCRIPT, "vxtrace", remote_path, str(offset + 1), str(length))
            result = run(argv, timeout_s=_CHUNK_TIMEOUT_S, max_bytes=length, sink=data.extend)
        except ApiError as error:
            problem = error.message
            if error.status in _FINAL:
                break
        else:
            if result.status is AnswerStatus.OK and len(data) == length:
                return data, chunk_bytes
            said = result.stderr.decode("utf-8", "replace").strip()
            problem = result.reason or said or f"{len(data)} bytes came instead of {length}"
        chunk_bytes = max(_SMALLEST_CHUNK_BYTES, chunk_bytes // 2)
        if pause_s is not None:
            time.sleep(pause_s)
    raise _FetchError(problem)
