"""One command at a time: namespaces have the same names whoever makes them, so there is one lock for each place that keeps names."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .tools import NETNS_DIR, LabError

_RUN = Path("/run")


def _lock_file() -> Path:
    """The machine's, or that of a mount namespace with a file system of its own for the names."""
    kept = (NETNS_DIR if NETNS_DIR.is_dir() else _RUN).stat().st_dev
    return _RUN / ("vxtrace-lab.lock" if kept == _RUN.stat().st_dev else f"vxtrace-lab-{kept}.lock")


LOCK_FILE = _lock_file()


@contextmanager
def held(path: Path = LOCK_FILE, *, patience_s: float = 120.0) -> Iterator[None]:
    """Hold the lock; the file is gone afterwards.

    Raises:
        LabError: another command held it for longer than `patience_s`, or the file cannot be made.
    """
    descriptor = _acquire(path, time.monotonic() + patience_s)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, until: float) -> int:
    told = False
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LabError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > until:
                raise LabError(f"another lab command still runs ({path} is locked)") from None
            if not told:
                print("lab: another command is running, waiting for it", file=sys.stderr)
                told = True
            time.sleep(0.05)
            continue
        if _is_same(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed the file; the lock is on nothing now


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
