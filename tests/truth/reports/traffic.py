"""The processes that a row runs in the lab: servers, and the client whose answers are counted."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.datapath import servers, tools
from tests.datapath.records import Lab
from tests.truth import words
from tests.truth.reports import steps

COUNTING = ("ask", "questions")
PATIENCE_S = 8.0  # for what happens to a random part of the questions
_PAUSE_S = 0.2
_BETWEEN_S = 0.4  # a server listens before its client asks
_END_S = 3.0


class Answers:
    """What became of the client's questions, as it writes them down (programs/ask.py)."""

    def __init__(self, stats: Path) -> None:
        self._stats = stats

    def now(self) -> tuple[int, int]:
        """How many were answered so far, and how many were not."""
        try:
            counts = json.loads(self._stats.read_text())
        except FileNotFoundError:
            return 0, 0
        return counts["answered"], counts["refused"] + counts["silent"]

    def become(self, wanted: str, before: tuple[int, int]) -> str | None:
        """Wait until so many are answered of those asked since `before`; what there is instead, None if it is so.

        Args:
            wanted: "none", "part", "all"; "some" for any that is answered, "bad" for any that is not.
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            answered, not_answered = (now - then for now, then in zip(self.now(), before, strict=True))
            holds = {
                "none": answered == 0 and not_answered > 0,
                "part": answered > 0 and not_answered > 0,
                "all": answered > 0 and not_answered == 0,
                "some": answered > 0,
                "bad": not_answered > 0,
            }
            if holds[wanted]:
                return None
            if time.monotonic() > until:
                return f"{answered} answered, {not_answered} not"
            time.sleep(_PAUSE_S)


@contextmanager
def running(lab: Lab, lines: Sequence[str], folder: Path) -> Iterator[Answers]:
    """These programs, one after the other, while the context lasts.

    Raises:
        LabError: there is no such place.
    """
    stats = folder / "answers.json"
    stats.unlink(missing_ok=True)
    with ExitStack() as stack:
        for number, line in enumerate(lines):
            place, text = steps.place_and_text(lab, line)
            log = stack.enter_context((folder / f"traffic-{number}.log").open("wb"))
            process = subprocess.Popen(
                tools.inside(words.namespace(lab, place), _command(text, stats)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(_end, process)
            time.sleep(_BETWEEN_S)
        yield Answers(stats)


def _command(text: str, stats: Path) -> list[str]:
    name, *arguments = shlex.split(text) if not text.startswith("sh ") else ("sh", text.removeprefix("sh "))
    if name == "sh":
        return ["bash", "-c", *arguments]
    counted = ["--stats", str(stats)] if name in COUNTING else []
    return servers.program(name, *arguments, *counted)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            continue
        return
