"""Ctrl-C, TERM and HUP: end a trace early, and never without its clean-up; the third ends anything at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from types import FrameType
from typing import NoReturn

from kubectl_vxtrace.portable import ENDING_SIGNALS, HANG_UP

_MOST = 3
_INTERRUPTED, _LEFT_BEHIND = 130, 5
_STDERR = 2


class Phase(Enum):
    """What a signal means."""

    FREE = auto()
    """Nothing is in the cluster: end at once."""
    RECORDING = auto()
    """Debug pods run: the first signal ends waiting early and keeps what was captured, the second gives that up."""
    FINISHING = auto()
    """What is left is bounded in time and must be done: signals are only remembered."""


class Interruption:
    """Whether somebody wants the trace to end. `stop` is set by the first signal; `signalled` says that there was one.

    `left` says what may be left in the cluster where everything ends at once, `kept` what on this machine; empty for nothing. They are
    called between two instructions of whatever the main thread was doing: they must take no lock and no time.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signalled = False
        self.phase = Phase.FREE
        self.left: Callable[[], str] = str
        self.kept: Callable[[], str] = str
        self._times = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals until the block ends, also where they were inherited as ignored (a shell's background job)."""
        previous = {number: signal.signal(number, self._handle) for number in ENDING_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == HANG_UP and self.signalled:
            return  # a terminal that closes says so twice, through its shell and by itself
        first = not self.signalled
        self._times += 1
        if self._times == _MOST:
            _end_at_once(self.left(), self.kept())
        self.signalled = True
        self.stop.set()
        if self.phase is Phase.FREE:
            if first:
                raise KeyboardInterrupt
        elif not first:
            _say("finishing; once more ends at once", self.left())
            if self.phase is Phase.RECORDING:
                raise KeyboardInterrupt


def guard() -> None:
    """Let the first signal raise KeyboardInterrupt, also TERM and HUP, and the next end the process at once.

    Ignored signals stay ignored, as in Python itself.
    """
    times = 0

    def handle(*_: object) -> None:
        nonlocal times
        times += 1
        if times > 1:
            _end_at_once("", "")
        raise KeyboardInterrupt

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, handle)


def ending(code: int) -> None:
    """From now on all is done, and a signal only ends what the interpreter still does, with the status `code`."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))


def _end_at_once(left: str, kept: str) -> NoReturn:
    """Nothing is waited for and nothing cleaned up: not a thread, not a child, not the interpreter."""
    _say("ended at once", kept, left)
    os._exit(_LEFT_BEHIND if left else _INTERRUPTED)


def _say(*parts: str) -> None:
    """By the descriptor: the stream may be in the middle of a line of ours."""
    text = "; ".join(part for part in parts if part)
    with suppress(OSError):
        os.write(_STDERR, f"warning: {text}\n".encode("ascii", "backslashreplace"))
