"""The last net: what nobody foresaw ends in one line as well, not in a traceback."""

import errno
import traceback

from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import CannotRunError

_HINTS = {
    errno.ENOSPC: "make room there, or set TMPDIR to a place that has some",
    errno.EDQUOT: "make room there, or set TMPDIR to a place that has some",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "set TMPDIR to a place that can be written to",
    errno.EACCES: "check its permissions",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


def say(error: Exception, console: Stderr) -> None:
    """Say what went wrong, on one line, and what to do; to those who asked for more also where in the program."""
    console.error(_said(error))
    console.detail("".join(traceback.format_exception(error)))


def _said(error: Exception) -> CannotRunError:
    if isinstance(error, MemoryError):
        return CannotRunError("there is not enough memory", "give fewer or smaller captures, or run it on a larger machine")
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return CannotRunError(f"{where}{error.strerror or text or type(error).__name__}", _HINTS.get(error.errno or 0, ""))
    return CannotRunError(
        f"the plugin failed: {type(error).__name__}: {text}",
        "this is a defect: please report it, with what the same command prints with -v",
    )
