"""Ctrl-C, TERM and HUP: end a trace early, and never without its clean-up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Phase(Enum):
    """What a signal means."""

    FREE = auto()
    """Nothing is in the cluster: end at once."""
    RECORDING = auto()
    """Debug pods run: the first signal ends waiting early and keeps what was captured, the second gives that up."""
    FINISHING = auto()
    """What is left is bounded in time and must be done: signals are only remembered."""


class Interruption:
    """Whether somebody wants the trace to end. `stop` is set by the first signal; `signalled` says that there was one."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.signalled = False
        self.phase = Phase.FREE

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals until the block ends, also where they were inherited as ignored (a shell's background job)."""
        previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.signalled
        self.signalled = True
        self.stop.set()
        if self.phase is Phase.FREE or (self.phase is Phase.RECORDING and not first):
            raise KeyboardInterrupt
