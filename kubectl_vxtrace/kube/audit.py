"""What a run did to a cluster: every request to the API and every command in a debug pod, each as one line of JSON.

Of a request its method, path, and the parameters that select; of a command its arguments, a script by its SHA-256. No header, no token, no
body, nothing that was answered but how it ended.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from kubectl_vxtrace.model.protocol import rfc3339

_MOST_EVENTS: Final = 50_000
"""About 15 MB; a trace of 15 s over three nodes makes some 200."""

_SHOWN: Final = frozenset(
    {
        "dryRun",
        "fieldManager",
        "fieldSelector",
        "gracePeriodSeconds",
        "labelSelector",
        "limit",
        "propagationPolicy",
        "timeoutSeconds",
        "watch",
    }
)
_LONGEST_ARGUMENT: Final = 2_000
_LONGEST_TEXT: Final = 500
_LONGEST_ANSWER_BYTES: Final = 400

Fields = dict[str, Any]


class Teller(Protocol):
    """Who is told of each event while it happens."""

    def detail(self, text: str) -> None:
        """What was done, and how it ended."""

    def answer(self, text: str) -> None:
        """What was answered: the beginning of it."""


class Audit:
    """The events of one run, in the order in which they ended; safe to share between threads. It holds so many; more are counted.

    Args:
        tell: is told of each, too.
    """

    def __init__(self, tell: Teller | None = None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._events: list[Fields] = []
        self._left_out = 0

    def request(self, method: str, resource: str, query: Sequence[tuple[str, str]] = ()) -> "Event":
        """A request to the API that begins now."""
        shown = urlencode([(name, value if name in _SHOWN else "...") for name, value in query], safe="=,!()/.")
        return Event(self, {"kind": "request", "method": method, "path": f"{resource}?{shown}" if shown else resource})

    def command(self, node: str, pod: str, name: str, argv: Sequence[str]) -> "Event":
        """A command on a node that begins now, in the debug pod `pod`; `name` is what is asked by it."""
        fields = {"kind": "command", "node": node, "pod": pod, "name": name, "argv": [_argument(word) for word in argv]}
        return Event(self, {key: value for key, value in fields.items() if value != ""})

    def lines(self) -> Iterator[str]:
        """The events that have ended so far, as lines of JSON without line breaks."""
        with self._lock:
            events, left_out = list(self._events), self._left_out
        yield from map(json.dumps, events)
        if left_out:
            yield json.dumps({"kind": "left-out", "events": left_out})

    def _add(self, fields: Fields, said: bytes) -> None:
        with self._lock:
            if len(self._events) < _MOST_EVENTS:
                self._events.append(fields)
            else:
                self._left_out += 1
        if self._tell is not None:
            self._tell.detail(_line(fields))
            if said:
                self._tell.answer(f"  {_begin(said)}")


class Event:
    """Something that has begun; it is recorded when it has ended."""

    def __init__(self, audit: Audit, fields: Fields) -> None:
        self._audit = audit
        self._fields = {"time": rfc3339(time.time_ns()), **fields}
        self._began_ns = time.monotonic_ns()

    def end(self, *, said: bytes = b"", **outcome: str | int | None) -> None:
        """It has ended so (None: not known), and `said` was answered, of which only the teller hears."""
        known = {key: value[:_LONGEST_TEXT] if isinstance(value, str) else value for key, value in outcome.items() if value is not None}
        lasted_ms = round((time.monotonic_ns() - self._began_ns) / 1e6, 1)
        self._audit._add({**self._fields, **known, "duration_ms": lasted_ms}, said)


def _argument(word: str) -> str:
    """An argument as it is, a script by its digest."""
    if "\n" not in word and len(word) <= _LONGEST_ARGUMENT:
        return word
    raw = word.encode("utf-8", "replace")
    return f"script of {len(raw)} bytes, SHA-256 {hashlib.sha256(raw).hexdigest()}"


def _line(fields: Fields) -> str:
    """An event as people read it."""
    if fields["kind"] == "request":
        what = f"{fields['method']} {fields['path']}"
    else:
        what = " ".join(str(part) for part in (fields.get("node", ""), fields.get("name", ""), *fields["argv"]) if part)
    outcome = [f"{key.replace('_', ' ')} {fields[key]}" for key in ("status", "exit_code", "bytes", "error") if key in fields]
    return f"{fields['time'][11:23]} {what}: {', '.join(outcome)}, {fields['duration_ms']} ms"


def _begin(said: bytes) -> str:
    """The beginning of an answer on one line."""
    more = f" ... ({len(said)} bytes)" if len(said) > _LONGEST_ANSWER_BYTES else ""
    return " ".join(said[:_LONGEST_ANSWER_BYTES].decode("utf-8", "replace").split()) + more
