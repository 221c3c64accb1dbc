"""What can be said to a user: a message, what to do next, and the exit code.

The codes are the command line's contract; see docs/exit-codes.md.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the process."""

    DELIVERED = 0
    CANNOT_RUN = 1
    USAGE = 2
    BROKEN = 3
    UNDECIDED = 4
    LEFT_BEHIND = 5
    INTERRUPTED = 130


class VxtraceError(Exception):
    """An expected failure: the message says what was wrong, the hint what to do next.

    Args:
        message: what was wrong, one or more lines, without a trailing newline.
        hint: what the user can do next; may be empty.
    """

    exit_code = ExitCode.CANNOT_RUN

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CannotRunError(VxtraceError):
    """The trace could not run: API, credentials, image, no VXLAN device, unreadable file."""


class UsageError(VxtraceError):
    """The request cannot be met as it stands: flags, names, rights, admission, pod not running."""

    exit_code = ExitCode.USAGE


class PcapError(CannotRunError):
    """A capture file that cannot be read."""


class LeftBehindError(VxtraceError):
    """Something may be left in the cluster; the message names it."""

    exit_code = ExitCode.LEFT_BEHIND
