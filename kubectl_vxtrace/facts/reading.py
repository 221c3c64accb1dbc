"""Tolerant reading of tools' JSON: what is not as it should be becomes None, never an exception but UnreadableError."""

import json
import re
from typing import Any

from kubectl_vxtrace.facts.frames import UnreadableError

Record = dict[str, Any]
MOST_NUMBER = (1 << 64) - 1
"""The largest that a counter of the kernel holds."""
# A whole pair, or one half of it.
_SURROGATE = re.compile(r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_FAILED = re.compile(r"Command failed .*:(\d{1,6})")


def json_text(raw: bytes) -> str:
    """JSON's text. Bytes that are no UTF-8, and escapes of half a surrogate pair, which no UTF-8 can say, become U+FFFD."""
    text = raw.decode("utf-8", "replace")
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _SURROGATE.sub(lambda match: match[0] if match[1] else "\\ufffd", text)


def documents(raw: bytes) -> list[Any]:
    """All JSON values of a text, one after the other.

    Raises:
        UnreadableError: something in it is not JSON.
    """
    text = json_text(raw)
    decoder = json.JSONDecoder()
    values = []
    position = _skip_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"not JSON: {error}") from error
        values.append(value)
        position = _skip_space(text, position)
    return values


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def records(raw: bytes) -> list[Record]:
    """The objects of a tool's JSON array; an empty text is an empty array, as iproute2 and bridge mean it.

    Raises:
        UnreadableError: it is not an array.
    """
    found: list[Record] = []
    for value in documents(raw):
        if not isinstance(value, list):
            raise UnreadableError("not a JSON array")
        found += [item for item in value if isinstance(item, dict)]
    return found


def refused_lines(stderr: bytes) -> dict[int, str]:
    """Lines of a batch that `ip` or `tc` refused, by their number, with the reason that each gave.

    The reason stands on the line before: "RTNETLINK answers: Network is unreachable", then "Command failed FILE:3" (or "-:3").
    """
    refused = {}
    reason = ""
    for line in stderr.decode("utf-8", "replace").splitlines():
        match = _FAILED.search(line)
        if match:
            refused[int(match[1])] = reason or "refused"
            reason = ""
        else:
            reason = line.removeprefix("RTNETLINK answers: ").strip()
    return refused


def text(record: Record, *names: str) -> str | None:
    """The first of the named fields that is a non-empty string."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def number(record: Record, name: str) -> int | None:
    """The named field if it is a whole number; see `whole`."""
    return whole(record.get(name))


def whole(value: object) -> int | None:
    """A value of JSON if it is a whole number (true and false are none) that 64 bits can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_NUMBER else None


def child(record: Record, name: str) -> Record:
    """The named object, empty where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def children(record: Record, name: str) -> list[Record]:
    """The objects in the named array, empty where there is none."""
    value = record.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def strings(record: Record, name: str) -> tuple[str, ...]:
    """The strings in the named array, empty where there is none."""
    value = record.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
