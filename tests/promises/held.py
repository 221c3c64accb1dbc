"""`python -m tests.promises.held PHASE SESSION MARK ARGUMENTS...`: the plugin, slowed in one phase so that a signal can be aimed at it.

When the phase begins, the file descriptor MARK is told so and closed. Until it ends, each request to the API and each exec takes longer;
the plugin waits for them where it always does. Nothing of this is in the product.
"""

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from types import ModuleType
from typing import Any

SLOWED_S = 0.4
"""What each request and exec takes more, and the phases that have none. Signals come within less."""
_FIRST_TO_WAIT_S = 30.0


class Phase(StrEnum):
    """What the plugin is at. The order is that of a trace."""

    RESOLVE = "resolve"
    PREFLIGHT = "preflight"
    PENDING = "pending"
    RUNNING = "running"
    LOOKING = "looking"
    CAPTURING = "capturing"
    STOPPING = "stopping"
    FETCHING = "fetching"
    ANALYSING = "analysing"
    CLEANING = "cleaning"


class _Hold:
    """Whether the phase is on, and who is told."""

    def __init__(self, mark: int) -> None:
        self._mark: int | None = mark
        self._on = threading.Event()

    def begins(self) -> None:
        """The phase begins; only its first time is told."""
        self._on.set()
        if self._mark is not None:
            os.write(self._mark, b"\n")
            os.close(self._mark)
            self._mark = None

    def ends(self) -> None:
        self._on.clear()

    def slowed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What goes to the API takes longer while the phase is on."""

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if self._on.is_set():
                time.sleep(SLOWED_S)
            return function(*arguments, **named)

        return call

    def phase(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function is the phase."""

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self.begins()
            try:
                return function(*arguments, **named)
            finally:
                self.ends()

        return call

    def pause(self) -> None:
        """A phase that asks nobody."""
        self.begins()
        time.sleep(SLOWED_S)
        self.ends()


def _wrap(owner: type | ModuleType, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, wrapper(getattr(owner, name)))


def _after(hold: _Hold) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The phase begins when the function has returned."""

    def wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            hold.pause()
            return result

        return call

    return wrapper


def _before(hold: _Hold) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The phase begins when the function is called, and asks nobody."""

    def wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            hold.pause()
            return function(*arguments, **named)

        return call

    return wrapper


def _cleaning(hold: _Hold) -> None:
    """The clean-up runs beside the analysis: it is a phase of its own when that is done."""
    from kubectl_vxtrace.commands import delivery
    from kubectl_vxtrace.kube.debugpod import DebugPods

    analysed = threading.Event()

    def then(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return function(*arguments, **named)
            finally:
                analysed.set()

        return call

    def waiting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            analysed.wait(_FIRST_TO_WAIT_S)
            return hold.phase(function)(*arguments, **named)

        return call

    _wrap(delivery, "examined", then)
    _wrap(DebugPods, "delete", waiting)


def _hold(phase: Phase, hold: _Hold) -> None:
    from kubectl_vxtrace import prepare, trace
    from kubectl_vxtrace.capture.session import CaptureSession
    from kubectl_vxtrace.commands import delivery
    from kubectl_vxtrace.kube import nodes, preflight, rest
    from kubectl_vxtrace.kube.debugpod import DebugPods

    _wrap(rest.Api, "send", hold.slowed)
    _wrap(nodes, "execute", hold.slowed)
    match phase:
        case Phase.RESOLVE:
            _wrap(prepare, "resolved", hold.phase)
        case Phase.PREFLIGHT:
            _wrap(preflight, "check", hold.phase)
        case Phase.PENDING:
            _wrap(DebugPods, "_await", hold.phase)
        case Phase.RUNNING:
            _wrap(trace.Trace, "_spawn", _after(hold))
        case Phase.LOOKING:
            _wrap(trace, "look", hold.phase)
        case Phase.CAPTURING:
            _wrap(CaptureSession, "wait", hold.phase)
        case Phase.STOPPING:
            _wrap(CaptureSession, "stop", hold.phase)
        case Phase.FETCHING:
            _wrap(CaptureSession, "collect", hold.phase)
        case Phase.ANALYSING:
            _wrap(delivery, "examined", _before(hold))
        case Phase.CLEANING:
            _cleaning(hold)


def main() -> None:
    """Run the plugin; ends the process as it does."""
    phase, session, mark, *arguments = sys.argv[1:]
    from kubectl_vxtrace.__main__ import main as plugin

    setattr(secrets, "token_hex", lambda _bytes=None: session)  # noqa: B010  its type has no room for a replacement
    _hold(Phase(phase), _Hold(int(mark)))
    sys.argv[1:] = arguments
    plugin()


if __name__ == "__main__":
    main()
