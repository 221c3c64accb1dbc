"""What commands print on stdout: the report or the answer, and nothing else."""

import os
import shutil
import sys
from collections.abc import Mapping

from kubectl_vxtrace.flags.values import Color, Notation
from kubectl_vxtrace.model.text import clean


def write(text: str) -> None:
    """Print `text` as it is, at once."""
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
