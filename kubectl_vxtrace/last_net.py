"""The last net: what nobody foresaw ends in one line as well, not in a traceback."""

import errno
import sys
import threading
import traceback
import warnings

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


def spread(console: Stderr) -> None:
    """Let what fails beside the command, in a thread or a destructor, be one line too, and libraries' warnings none."""

    def told(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:
            console.warn(f"a part of the plugin failed: {failed.exc_type.__name__}: {' '.join(str(failed.exc_value).split())}")
            console.detail("".join(traceback.format_exception(failed.exc_value)))

    threading.excepthook = told
    sys.unraisablehook = lambda failed: console.detail(f"ignored: {failed.exc_value!r} in {failed.object!r}")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


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
