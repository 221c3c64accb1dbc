"""kubectl's JSONPath templates over the report (-o jsonpath=): text and `{expressions}`, `{range EXPRESSION}...{end}`, `{"\\n"}`.

The paths themselves are RFC 9535's, which has what kubectl's dialect has, and are read by a library; kubectl's braces and the text around
them (https://kubernetes.io/docs/reference/kubectl/jsonpath/) are no part of any standard.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_vxtrace.errors import UsageError

_HINT = "write for example -o jsonpath='{.verdict}' or '{range .findings[*]}{.cause}{\"\\n\"}{end}'"
# Text, or one expression with its braces; braces inside quotes belong to the expression.
_PIECE = re.compile(r"""(?P<text>[^{]+)|\{(?P<expression>(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^"'{}])*)\}""", re.DOTALL)
_LITERAL = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(slots=True)
class _Range:
    """What is printed once for each value of a path; the whole template is one without a path."""

    path: Any = None
    body: "list[str | _Path | _Range]" = field(default_factory=list)


@dataclass(slots=True)
class _Path:
    """A path whose values are printed, with blanks between them."""

    path: Any


def check(template: str) -> None:
    """Raise UsageError where `template` is none, before anything is traced for it."""
    _parse(template)


def render(template: str, document: Any) -> str:
    """What `template` makes of a document (dicts, lists, strings, numbers). What is not there prints as nothing, as kubectl has it.

    Raises:
        UsageError: the template cannot be read.
    """
    return "".join(_rendered(_parse(template).body, document))


def _rendered(body: "Sequence[str | _Path | _Range]", value: Any) -> Iterator[str]:
    for piece in body:
        match piece:
            case str():
                yield piece
            case _Path(path):
                yield " ".join(map(_text, path.findall(value)))
            case _Range(path, inner):
                for each in path.findall(value):
                    yield from _rendered(inner, each)


def _text(value: Any) -> str:
    """A value as kubectl prints it: texts bare, the rest as JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _parse(template: str) -> _Range:
    open_ranges = [_Range()]
    at = 0
    while at < len(template):
        piece = _PIECE.match(template, at)
        if piece is None:
            raise UsageError(f"-o jsonpath: no }} closes what begins at {template[at : at + 30]!r}", _HINT)
        at = piece.end()
        expression = (piece["expression"] or "").strip()
        if piece["text"] is not None:
            open_ranges[-1].body.append(piece["text"])
        elif expression == "end":
            if len(open_ranges) == 1:
                raise UsageError("-o jsonpath: {end} without {range}", _HINT)
            open_ranges.pop()
        elif expression.startswith("range ") or expression == "range":
            inner = _Range(path=_compiled(expression.removeprefix("range").strip()))
            open_ranges[-1].body.append(inner)
            open_ranges.append(inner)
        elif _LITERAL.fullmatch(expression):
            open_ranges[-1].body.append(re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), expression[1:-1]))
        else:
            open_ranges[-1].body.append(_Path(_compiled(expression)))
    if len(open_ranges) > 1:
        raise UsageError("-o jsonpath: {range} without {end}", _HINT)
    return open_ranges[0]


def _compiled(expression: str) -> Any:
    """The path of an expression, which begins at the root or, inside a range, at its value.

    Raises:
        UsageError: it is none.
    """
    from jsonpath import JSONPathError, compile  # the library's own name

    if not expression.startswith((".", "[", "$", "@")):
        raise UsageError(f"-o jsonpath: {{{expression}}} is no path", _HINT)
    inner = expression.lstrip("$@") if expression[0] in "$@" else expression
    try:
        return compile("$" + ("" if inner == "." else inner))
    except JSONPathError as error:
        raise UsageError(f"-o jsonpath: {{{expression}}} cannot be read: {str(error).splitlines()[0]}", _HINT) from error
