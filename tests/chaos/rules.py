"""What the proxy does to which requests, and what the plugin has to answer, as data."""

import re
from dataclasses import dataclass
from typing import Literal

Call = Literal["look", "start", "poll", "stop", "fetch", "drops", "other"]
"""What an exec runs; see calls.py."""
End = Literal["reset", "close", "half-close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests.

    verb: the HTTP method. target: a regular expression somewhere in path and query. exec: whether it is a handshake of an exec; None for
    both. call: what that exec runs, known once its command has come. skip, times: the first that are let alone, and how many then are
    hit (None: all). each: they are counted for each path by itself.
    """

    verb: str | None = None
    target: str = ""
    exec: bool | None = None
    call: Call | None = None
    skip: int = 0
    times: int | None = None
    each: bool = False

    def fits(self, verb: str, target: str, call: Call | None) -> bool:
        """Whether it is one of those, however many there were."""
        is_exec = "/exec?" in target
        return (
            self.verb in (None, verb)
            and self.exec in (None, is_exec)
            and self.call in (None, call)
            and re.search(self.target, target) is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in place of the API's. done: the API gets the request all the same, and its answer is thrown away."""

    status: int
    body: str = ""
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The connection is reset in place of an answer. done: as for Reply."""

    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The answer begins that much later."""

    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """Request lines above this are refused, with 414 and a page."""

    line_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The answer ends after so many bytes, of an exec's standard output or of a body."""

    after_bytes: int
    end: End = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """An exec's stream stands still so long after so many bytes of standard output; then it goes on."""

    after_bytes: int
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Halve:
    """Half of an exec's standard output is left out, and its status is that of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The last byte of the first message of an exec's standard output is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A WebSocket on which nothing was said so long is cut."""

    quiet_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Once such a request was answered, and delay_s later, nobody listens and all connections are cut; for ever where for_s is None."""

    delay_s: float = 0.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Once such a request was answered the token that the client has is no longer taken, but the next one is. fails_for_s: what gives that
    fails so long."""

    fails_for_s: float = 0.0


Action = Reply | Refuse | Slow | Longest | Cut | Stall | Halve | Flip | Idle | Away | Revoke
ON_STREAM = (Cut, Stall, Halve, Flip, Idle)
AFTERWARDS = (Away, Revoke)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the plugin has to do. Whatever it is, the files that count as whole are the nodes' own, and no tap has two captures.

    codes: the exit codes that are right. whole: every file that a node closed is in the bundle with the node's SHA-256, what its kernel and
    its counters say is there, the report is complete, and it delivers. blind: a regular expression in a reason of the report's blind ones.
    said: some in stderr, each. left: debug pods may be left (and are named, exactly those); else the API has none of them. within_s: of
    wall-clock time.
    """

    text: str
    codes: frozenset[int]
    whole: bool = False
    blind: str | None = None
    said: tuple[str, ...] = ()
    left: bool = False
    within_s: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way to disturb. `user`: how the client gets its token; `by_proxy`: it goes through an HTTPS_PROXY, by CONNECT."""

    name: str
    match: Match
    action: Action | None
    answer: Answer
    duration: str = "2s"
    user: Literal["token", "file", "plugin"] = "token"
    by_proxy: bool = False


def whole(*said: str, within_s: float = 90.0) -> Answer:
    """As if nothing had happened."""
    return Answer(text="delivered, every file as on its node", codes=frozenset({0}), whole=True, said=said, within_s=within_s)


def gap(reason: str, *said: str, within_s: float = 90.0) -> Answer:
    """A report that says what it lacks."""
    return Answer(text=f"a gap: {reason}", codes=frozenset({4}), blind=reason, said=said, within_s=within_s)


def error(code: int, *said: str, within_s: float = 60.0) -> Answer:
    """No report, and why."""
    return Answer(text=f"exit {code}: {' ... '.join(said)}", codes=frozenset({code}), said=said, within_s=within_s)


def left(*said: str, within_s: float = 150.0) -> Answer:
    """Exit code 5, and what may be left is named."""
    return Answer(text="exit 5, and what is left is named", codes=frozenset({5}), said=said, left=True, within_s=within_s)
