"""What not every operating system has: flags of open(2), locks, owners, signals. Windows has none of these, macOS lacks some."""

import os
import signal
import sys
from pathlib import Path
from typing import Final

NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
"""A link is not followed. Where there is no such flag, O_EXCL keeps a link from being written through."""
CLOSE_ON_EXEC: Final[int] = getattr(os, "O_CLOEXEC", 0)
"""Python closes its descriptors in children anyway (PEP 446)."""
NON_BLOCKING: Final[int] = getattr(os, "O_NONBLOCK", 0)
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
"""Windows' C library turns line ends into others without it."""

ENDING_SIGNALS: Final[tuple[signal.Signals, ...]] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""By which somebody wants a command to end: Ctrl-C, kill, a terminal that closes, Ctrl-Break on Windows."""
HANG_UP: Final[int | None] = getattr(signal, "SIGHUP", None)


def open_folder(folder: Path) -> int:
    """A descriptor of a folder, which must not be a link. Raises OSError, on Windows always: it opens no folders."""
    return os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | NO_FOLLOW | CLOSE_ON_EXEC)


def lock(descriptor: int) -> None:
    """Lock a file or folder for as long as this process has it open. Raises OSError where another has the lock, or there are no locks."""
    if sys.platform != "win32":
        try:
            import fcntl
        except ImportError as error:
            raise OSError("there are no locks here") from error
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    raise OSError("there are no locks of whole files that others can ask for")


def is_ours(status: os.stat_result) -> bool:
    """Whether a file is this user's; where files have no owner by number it is not said."""
    return sys.platform != "win32" and hasattr(os, "geteuid") and status.st_uid == os.geteuid()
