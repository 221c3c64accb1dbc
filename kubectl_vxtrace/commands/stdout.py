"""What commands print on stdout: the report or the answer, and nothing else."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO, TypeVar, cast

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.flags.values import Color, Notation
from kubectl_vxtrace.model.text import clean

Result = TypeVar("Result")


class UnwritableError(CannotRunError):
    """Stdout cannot be written to: it is closed, or its disk is full."""


class _Guarded:
    """A stream whose failures to write cannot be mistaken for those of another file. A reader that has gone stays a BrokenPipeError."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._guarded(self._stream.write, text)

    def flush(self) -> None:
        self._guarded(self._stream.flush)

    def _guarded(self, function: Callable[..., Result], *arguments: str) -> Result:
        try:
            return function(*arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UnwritableError(f"cannot write to stdout: {error.strerror}") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Let whatever fails to write to stdout from now on, here or in a library, raise UnwritableError.

    Raises:
        UnwritableError: the process was started without a stdout.
    """
    if sys.stdout is None:
        raise UnwritableError("stdout is closed", "send it to a file, or to /dev/null")
    sys.stdout = cast(TextIO, _Guarded(sys.stdout))


@contextmanager
def binary() -> Iterator[BinaryIO]:
    """Stdout for bytes.

    Raises:
        UsageError: it is a terminal.
        UnwritableError, BrokenPipeError: it cannot be written to, or nobody reads it.
    """
    refuse_terminal()
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableError(f"cannot write to stdout: {error.strerror}") from error


def refuse_terminal() -> None:
    """Raise UsageError where stdout is a terminal, for which bytes are nothing."""
    if sys.stdout.isatty():
        raise UsageError("a capture or a bundle on a terminal is of no use", "send it to a file, or a capture into wireshark -k -i -")


def finish() -> None:
    """Leave nothing to the interpreter's end: it would try again to write what could not be written, and end with a status of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (UnwritableError, OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(text: str) -> None:
    """Print `text` as it is, at once.

    Raises:
        UnwritableError, BrokenPipeError: it cannot be printed, or nobody reads it.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


def answer(notation: Notation, text: str, document: Mapping[str, object]) -> None:
    """Print an answer that is no report: as text, or as a document with the same content."""
    match notation:
        case Notation.TABLE:
            write(clean(text) + "\n")
        case Notation.JSON:
            import json

            write(json.dumps(document, indent=2) + "\n")
        case Notation.YAML:
            import yaml

            write(yaml.safe_dump(dict(document), sort_keys=False))


def columns() -> int | None:
    """The width of the terminal that stdout is; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colored(mode: Color) -> bool:
    """Whether to colour what is printed.

    https://no-color.org: a NO_COLOR that is not empty switches colour off unless a flag says otherwise.
    """
    if mode is Color.AUTO:
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return mode is Color.ALWAYS
