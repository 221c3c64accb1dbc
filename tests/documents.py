"""The commands that the documents tell people to run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tests.command import ROOT

PACKAGE = ROOT / "kubectl_vxtrace"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *PACKAGE.rglob("*.md")])

_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (kubectl vxtrace .*)$", re.MULTILINE)
_PROMPTED = re.compile(r"^(?:[$#] |)(kubectl vxtrace .*)$", re.MULTILINE)
# A command in the middle of a sentence; a blank and a capital may follow for what is to be filled in.
_INLINE = re.compile(r"`(kubectl vxtrace [a-z-][^`\n]*)`")
# What stands behind a command for the reader: `(the path that ...)`.
_ASIDE = re.compile(r"\s{2,}\(.*$")
_PROGRAM = 2  # words: kubectl vxtrace
_OPERATORS = frozenset("|;<>&")


@dataclass(frozen=True)
class Command:
    """One command: its line as it is written, and the plugin's arguments."""

    document: Path
    line: str
    arguments: tuple[str, ...]
    to_run: bool
    """It stands in a block of its own, and not in a sentence."""


def commands(document: Path) -> Iterator[Command]:
    """All commands of the plugin in a document, first those in blocks, in their order."""
    text = document.read_text(encoding="utf-8")
    blocks = _FENCE.findall(text)
    prose = _FENCE.sub("", text)
    lines = [line for block in blocks for line in _PROMPTED.findall(block)] + _INDENTED.findall(prose)
    yield from (_command(document, line, to_run=True) for line in lines)
    yield from (_command(document, line, to_run=False) for line in _INLINE.findall(prose))


def _command(document: Path, line: str, *, to_run: bool) -> Command:
    """Of a line the words before a comment, a pipe or a redirection."""
    words = shlex.shlex(_ASIDE.sub("", line), posix=True, punctuation_chars="|;<>&")
    words.whitespace_split = True
    own = tuple(takewhile(lambda word: not _OPERATORS.issuperset(word), words))
    return Command(document, line, own[_PROGRAM:], to_run)
