"""Every rule: what goes wrong on the way, and what has to come of it."""

import json

from tests.chaos.rules import (
    Action,
    Answer,
    Away,
    Call,
    Cut,
    Flip,
    Halve,
    Idle,
    Longest,
    Match,
    Refuse,
    Reply,
    Revoke,
    Rule,
    Slow,
    Stall,
    error,
    gap,
    left,
    whole,
)

_PAGE = "<html><body><h1>default backend - 404</h1></body></html>"
_LOGIN = "<html><title>Sign in</title><form action=/login></form></html>"


def _status(code: int, reason: str, message: str, name: str | None = None) -> str:
    """A v1 Status, as the API writes it."""
    about = {"details": {"name": name, "kind": "pods"}} if name is not None else {}
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code} | about
    )


def _says(code: int, reason: str = "", *, done: bool = False, retry_after: str = "") -> Reply:
    headers = (("Retry-After", retry_after),) if retry_after else ()
    return Reply(status=code, body=_status(code, reason or "Failure", f"chaos says {code}"), headers=headers, done=done)


def _html(code: int, body: str = _PAGE) -> Reply:
    return Reply(status=code, body=body, type="text/html")


_MOVED = Reply(status=302, body=_LOGIN, type="text/html", headers=(("Location", "https://login.invalid/"),))
_READ = Match(verb="GET", exec=False)
_CREATE = Match(verb="POST", target=r"/pods$")
_DELETE = Match(verb="DELETE")
_PODS = Match(verb="GET", target=r"/pods\?.*session", exec=False)
_EXEC = Match(exec=True)


def _times(match: Match, times: int, *, skip: int = 0, each: bool = False) -> Match:
    return Match(
        verb=match.verb,
        target=match.target,
        exec=match.exec,
        call=match.call,
        skip=skip or match.skip,
        times=times,
        each=each or match.each,
    )


def _stream(call: Call, times: int | None = None, *, each: bool = True) -> Match:
    return Match(exec=True, call=call, times=times, each=each)


def _rule(name: str, match: Match, action: Action | None, answer: Answer, *, duration: str = "2s") -> Rule:
    return Rule(name=name, match=match, action=action, answer=answer, duration=duration)


_WAY = (
    _rule("nothing", Match(), None, whole()),
    Rule(name="https-proxy", match=Match(), action=None, answer=whole(), by_proxy=True),
    _rule("all-3-s-slow", Match(), Slow(pause_s=3.0), whole(within_s=180.0)),
    _rule("line-8k", Match(), Longest(line_bytes=8 * 1024), whole()),
    _rule("line-16k", Match(), Longest(line_bytes=16 * 1024), whole()),
    _rule("line-300", _EXEC, Longest(line_bytes=300), error(1, "414", "request line")),
    _rule("idle-8-s", _EXEC, Idle(quiet_s=8.0), whole(), duration="12s"),
    _rule("idle-30-s", _EXEC, Idle(quiet_s=30.0), whole(within_s=120.0), duration="33s"),
)

_READS = (
    _rule("read-429-retry-after-1", _times(_READ, 3), _says(429, "TooManyRequests", retry_after="1"), whole()),
    _rule("read-429-retry-after-60", _times(_READ, 1), _says(429, "TooManyRequests", retry_after="60"), whole()),
    _rule("read-500-twice", _times(_READ, 2), _says(500, "InternalError"), whole()),
    _rule("read-503-three-times", _times(_READ, 3), _html(503, "no healthy upstream"), whole()),
    _rule("read-reset-twice", _times(_READ, 2), Refuse(), whole()),
    _rule("read-half-once", _times(_READ, 1), Cut(after_bytes=100, end="close"), whole()),
    _rule("read-410-once", _times(_PODS, 1), _says(410, "Expired"), whole()),
    _rule("read-404-page-once", _times(_PODS, 1), _html(404), whole()),
    _rule("read-404-status-once", _times(_PODS, 1), _says(404, "NotFound"), whole()),
    _rule("read-404-page-always", _READ, _html(404), error(1, "404", "not as a Kubernetes API does")),
    _rule("read-302", _READ, _MOVED, error(1, "302", "log in")),
    _rule("read-login-page", _READ, _html(200, _LOGIN), error(1, "no Kubernetes API")),
    _rule("read-401-always", _READ, _says(401, "Unauthorized"), error(1, "does not accept the credentials")),
)

_WRITES = (
    _rule("create-409-once", _times(_CREATE, 1, each=True), _says(409, "Conflict"), whole()),
    _rule("create-429-once", _times(_CREATE, 1), _says(429, "TooManyRequests", retry_after="1"), whole()),
    _rule("create-504-once-done", _times(_CREATE, 1), _html(504, "gateway time-out"), whole()),
    _rule("create-reset-done", _times(_CREATE, 1), Refuse(done=True), whole()),
    _rule("create-500-always", _CREATE, _says(500, "InternalError"), error(1, "chaos says 500")),
    _rule("delete-404-page-3-times", _times(_DELETE, 3), _html(404), whole()),
    _rule("delete-404-status-3-times", _times(_DELETE, 3), _says(404, "NotFound"), whole()),
    _rule("delete-403-page-3-times", _times(_DELETE, 3), _html(403, "<h1>blocked by policy</h1>"), whole()),
    _rule("delete-404-page-always", _DELETE, _html(404), left(r"waiting for .*404")),
    _rule("delete-500-always", _DELETE, _says(500, "InternalError"), left(r"waiting for .*500")),
    _rule("delete-403-always", _DELETE, _says(403, "Forbidden"), left(within_s=30.0)),
    _rule("delete-429-three-times", _times(_DELETE, 3), _says(429, "TooManyRequests", retry_after="2"), whole()),
    _rule("delete-504-done", _times(_DELETE, 3), _says(504, "Timeout", done=True), whole()),
    _rule("delete-reset-done", _times(_DELETE, 3), Refuse(done=True), whole()),
)

_HANDSHAKES = (
    _rule("exec-429-retry-after-3", _times(_EXEC, 3), _says(429, "TooManyRequests", retry_after="3"), whole()),
    _rule("exec-503-twice", _times(_EXEC, 2, each=True), _html(503, "no healthy upstream"), whole()),
    _rule("exec-500-4-times", _times(_EXEC, 4), _says(500, "InternalError"), whole()),
    _rule("exec-409-once", _times(_EXEC, 1, each=True), _says(409, "Conflict"), whole()),
    _rule("exec-reset-5-times", _times(_EXEC, 5), Refuse(), whole()),
    _rule("exec-404-page-once", _times(_EXEC, 1, each=True), _html(404), whole()),
    _rule("exec-302", _EXEC, _MOVED, error(1, "302", "WebSocket")),
    _rule("exec-200-page", _EXEC, _html(200, _LOGIN), error(1, "200", "WebSocket")),
    _rule("exec-400-no-upgrade", _EXEC, _says(400, "BadRequest"), error(1, "chaos says 400", "WebSocket")),
    _rule("exec-403-status", _EXEC, _says(403, "Forbidden"), error(2, "chaos says 403", "pods/exec")),
    _rule("exec-403-page", _EXEC, _html(403, "<h1>blocked by policy</h1>"), error(1, "blocked by policy", "WebSocket")),
    _rule("exec-404-page", _EXEC, _html(404), error(1, "404", "WebSocket")),
    _rule("exec-401-always", _EXEC, _says(401, "Unauthorized"), error(1, "401|Unauthorized", "log in")),
    _rule("exec-503-always", _EXEC, _html(503, "no healthy upstream"), error(1, "no healthy upstream", "try again")),
)

_STREAMS = (
    _rule("look-cut-once", _stream("look", 1), Cut(after_bytes=2000), whole()),
    _rule("drops-cut-once", _stream("drops", 2), Cut(after_bytes=0), whole()),
    _rule("start-cut-once", _stream("start", 1), Cut(after_bytes=0), whole()),
    _rule("start-cut-in-the-middle-once", _stream("start", 1), Cut(after_bytes=40, end="close"), whole()),
    _rule("start-half-closed-once", _stream("start", 1), Cut(after_bytes=0, end="half-close"), whole()),
    _rule("start-stalls-once", _stream("start", 1), Stall(after_bytes=0, pause_s=35.0), whole(within_s=120.0)),
    _rule("start-success-at-half-once", _stream("start", 1), Halve(), whole()),
    _rule("stop-cut-once", _stream("stop", 1), Cut(after_bytes=0), whole()),
    _rule("stop-success-at-half-once", _stream("stop", 1), Halve(), whole()),
    _rule("stop-cut-always", _stream("stop"), Cut(after_bytes=0), gap("broke", "waiting for", within_s=120.0)),
    _rule("fetch-cut-once", _stream("fetch", 1), Cut(after_bytes=500), whole()),
    _rule("fetch-cut-always", _stream("fetch"), Cut(after_bytes=500), whole()),
    _rule("fetch-success-at-half-once", _stream("fetch", 1), Halve(), whole()),
    _rule("fetch-success-at-half-always", _stream("fetch"), Halve(), gap("could not be fetched whole")),
    _rule("fetch-byte-flipped-once", _stream("fetch", 1), Flip(), whole()),
    _rule("fetch-byte-flipped-always", _stream("fetch"), Flip(), gap("SHA-256")),
    _rule("fetch-stalls-30-s", _stream("fetch", 1), Stall(after_bytes=0, pause_s=30.0), whole(within_s=120.0)),
)

_ABSENCES = (
    _rule("away-6-s-at-spawn", _times(_CREATE, 1), Away(delay_s=0.1, for_s=6.0), whole()),
    _rule("away-6-s-in-capture", _stream("start", each=False), Away(delay_s=0.5, for_s=6.0), whole(), duration="9s"),
    _rule("away-10-s-over-stop", _stream("start", each=False), Away(delay_s=1.5, for_s=10.0), whole("waiting for the API")),
    _rule("away-10-s-at-fetch", _stream("fetch", each=False), Away(for_s=10.0), whole("waiting for the API")),
    _rule("away-10-s-at-removal", _DELETE, Away(for_s=10.0), whole("waiting for the API")),
    _rule("away-for-good-at-resolve", _times(_READ, 1), Away(), error(1, "cannot reach the API")),
    _rule("away-for-good-in-capture", _stream("start", each=False), Away(delay_s=0.5), left("waiting for the API", within_s=180.0)),
    _rule("away-for-good-at-removal", _DELETE, Away(), left("waiting for the API")),
)

_TOKENS = (
    Rule(name="token-file-renewed", match=_stream("start", each=False), action=Revoke(), answer=whole(), user="file"),
    Rule(name="token-plugin-renewed", match=_stream("start", each=False), action=Revoke(), answer=whole(), user="plugin"),
    Rule(
        name="token-plugin-fails-for-10-s",
        match=_stream("start", each=False),
        action=Revoke(fails_for_s=10.0),
        answer=whole("waiting for the API to answer .*plugin"),
        user="plugin",
    ),
    Rule(name="token-revoked", match=_stream("start", each=False), action=Revoke(), answer=left("Unauthorized", within_s=150.0)),
)

RULES: tuple[Rule, ...] = (*_WAY, *_READS, *_WRITES, *_HANDSHAKES, *_STREAMS, *_ABSENCES, *_TOKENS)
TENTH = ("delete-404-page-3-times", "exec-302", "start-cut-once", "fetch-byte-flipped-once", "away-10-s-over-stop", "token-plugin-renewed")
"""What runs with all other tests: one rule of each kind."""
