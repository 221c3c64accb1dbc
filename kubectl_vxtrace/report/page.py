"""A cause's page on a terminal: the Markdown that the pages are written in, without its marks."""

import re
import textwrap
from collections.abc import Iterator

from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.report.paint import Paint

_NARROWEST = 40
# Longer lines of prose are hard to read; a wide terminal is no reason for them.
_WIDEST = 110
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")


def render(markdown: str, *, width: int | None, color: bool) -> str:
    """A page as text with a final newline.

    Headings stand alone, code is indented and never wrapped, prose is wrapped; links to other pages become their words, others are
    followed by their address.

    Args:
        markdown: headings (#, ##), paragraphs, lists (- ), fenced code, `code` and [links](address): what the pages use of CommonMark.
        width: columns to wrap at; None for a file or a pipe.
        color: use ANSI colours.
    """
    columns = _WIDEST if width is None else min(max(width, _NARROWEST), _WIDEST)
    paint = Paint(enabled=color)
    return "\n\n".join(_block(block, columns, paint) for block in _blocks(clean(markdown).splitlines())) + "\n"


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """The lines of each paragraph, heading, list or piece of code."""
    block: list[str] = []
    fenced = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
        if line or fenced:
            block.append(line)
        if block and (not (line or fenced) or (line.startswith("#") and not fenced)):
            yield block
            block = []
    if block:
        yield block


def _block(block: list[str], columns: int, paint: Paint) -> str:
    first = block[0]
    if first.startswith("```"):
        return "\n".join(f"    {line}".rstrip() for line in block[1:-1])
    if first.startswith("## "):
        return paint.heading(_words(first.removeprefix("## ")).upper())
    if first.startswith("# "):
        return paint.heading("\n".join(_wrapped(_words(first.removeprefix("# ")), columns, "")))
    if first.startswith("- "):
        return "\n".join(line for item in _items(block) for line in _wrapped("- " + _words(item), columns, "  "))
    return "\n".join(_wrapped(_words(" ".join(block)), columns, ""))


def _items(block: list[str]) -> list[str]:
    return " ".join(line.strip() if not line.startswith("- ") else f"\n{line[2:]}" for line in block).split("\n")[1:]


def _words(text: str) -> str:
    """Text without marks."""
    return _CODE.sub(r"\1", _LINK.sub(_link, text)).strip()


def _link(match: re.Match[str]) -> str:
    text, address = match.groups()
    return f"{text} ({address})" if "://" in address else text


def _wrapped(text: str, columns: int, indent: str) -> list[str]:
    return textwrap.wrap(text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
