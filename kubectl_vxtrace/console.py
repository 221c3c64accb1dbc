"""What is said on stderr while a trace runs."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, TextIO, cast

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.model.text import clean

_REDRAWN_PER_S = 4


class Console(Protocol):
    """Where the steps of a trace tell what they do."""

    def step(self, text: str) -> None:
        """Say what was done or is under way."""

    def detail(self, text: str) -> None:
        """Say more, to those who asked for it."""

    def answer(self, text: str) -> None:
        """Say what was answered, to those who asked for still more."""

    def warn(self, text: str) -> None:
        """Say something that should not be missed."""

    def live(self, text: Callable[[], str]) -> AbstractContextManager[bool]:
        """Show a line that changes until the block ends; whether it is shown is what the block gets."""


class Stderr:
    """A Console on standard error; one line for each message, so that logs stay readable.

    Args:
        quiet: drop steps; warnings stay.
        verbose: 1 shows details, and before each step how long the command has run; 2 also what was answered.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self._quiet = quiet
        self._verbose = 0 if quiet else verbose
        self._began_s = time.monotonic()

    def step(self, text: str) -> None:
        """Say what was done or is under way."""
        if not self._quiet:
            self._write(f"{time.monotonic() - self._began_s:6.2f} s  {text}" if self._verbose else text)

    def detail(self, text: str) -> None:
        """Say more, to those who asked for it."""
        if self._verbose:
            self._write(text)

    def answer(self, text: str) -> None:
        """Say what was answered, to those who asked for still more."""
        if self._verbose > 1:
            self._write(text)

    def warn(self, text: str) -> None:
        """Say something that should not be missed."""
        self._write(f"warning: {text}")

    @contextmanager
    def live(self, text: Callable[[], str]) -> Iterator[bool]:
        """Show a line that changes until the block ends, on a terminal whose user wants steps and nothing more.

        Yields:
            Whether it is shown: whoever only serves it need not bother otherwise.
        """
        if self._quiet or self._verbose or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
            yield False
            return
        from rich.console import Console as Terminal  # 60 ms, and only a terminal needs it
        from rich.live import Live
        from rich.text import Text

        line = Live(
            get_renderable=lambda: Text(clean(text(), keep_newlines=False), no_wrap=True, overflow="ellipsis"),
            console=Terminal(file=sys.stderr),
            refresh_per_second=_REDRAWN_PER_S,
            transient=True,
            redirect_stdout=False,
        )
        with line:
            yield True

    def error(self, error: VxtraceError) -> None:
        """Say what was wrong and what to do next."""
        self._write(f"error: {error.message}")
        if error.hint:
            self._write(f"hint: {error.hint}")

    def _write(self, text: str) -> None:
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()


class _Forgiving:
    """A stream that nobody can be told of when it fails: what is written to it then goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """What is still in the stream's buffer goes nowhere either: else every later write would fail, and the interpreter's end."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Let no failure of stderr, here or in a library, end anything: its reader may have gone, its disk be full, or there be none."""
    sys.stderr = cast(TextIO, _Forgiving(sys.stderr or io.StringIO()))
