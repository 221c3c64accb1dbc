"""What is said on stderr while a trace runs."""

import sys
from typing import Protocol

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.model.text import clean


class Console(Protocol):
    """Where the steps of a trace tell what they do."""

    def step(self, text: str) -> None:
        """Say what was done or is under way."""

    def detail(self, text: str) -> None:
        """Say more, to those who asked for it."""

    def warn(self, text: str) -> None:
        """Say something that should not be missed."""


class Stderr:
    """A Console on standard error; one line for each message, so that logs stay readable.

    Args:
        quiet: drop steps; warnings stay.
        verbose: show details.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose and not quiet

    def step(self, text: str) -> None:
        """Say what was done or is under way."""
        if not self._quiet:
            self._write(text)

    def detail(self, text: str) -> None:
        """Say more, to those who asked for it."""
        if self._verbose:
            self._write(text)

    def warn(self, text: str) -> None:
        """Say something that should not be missed."""
        self._write(f"warning: {text}")

    def error(self, error: VxtraceError) -> None:
        """Say what was wrong and what to do next."""
        self._write(f"error: {error.message}")
        if error.hint:
            self._write(f"hint: {error.hint}")

    def _write(self, text: str) -> None:
        if sys.stderr is None:  # the process was started without one
            return
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()
