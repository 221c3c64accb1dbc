"""Whether what a row says is true of the lab now: by tcpdump, by counters, by what tools print, by what the client counted."""

import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.datapath import tools
from tests.datapath.records import Lab
from tests.truth import words
from tests.truth.reports import steps
from tests.truth.reports.traffic import Answers

WINDOW_S = 3.0
_PACKETS = 3


class _Watch:
    """tcpdump on one device, for one filter."""

    def __init__(self, lab: Lab, line: str) -> None:
        kind, _, rest = line.partition(" ")
        where, _, text = rest.partition(": ")
        place, _, device = words.filled(lab, where).partition("/")
        self._wanted = kind == "seen"
        self._line = line
        argv = ["tcpdump", "-nn", "-l", "-p", "-c", str(_PACKETS), "-i", device, words.filled(lab, text)]
        self._process = subprocess.Popen(
            tools.inside(words.namespace(lab, place), argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.terminate()

    def ended(self) -> str | None:
        """Stop it; what is not as wanted."""
        self.stop()
        seen, said = self._process.communicate()
        packets = seen.strip().splitlines()
        if "listening on" not in said:
            return f"{self._line}: tcpdump: {said.strip()[-200:]}"
        if bool(packets) == self._wanted:
            return None
        return f"{self._line}: " + (f"there is: {packets[0][:160]}" if packets else "there is none")


def not_true(lab: Lab, lines: Sequence[str], answers: Answers) -> list[str]:
    """The lines that do not hold, each with what was found instead; all are looked at in the same window.

    Raises:
        LabError: a command that counts or says something failed.
    """
    before = answers.now()
    with ExitStack() as stack:
        watches = [_Watch(lab, line) for line in lines if line.startswith(("seen ", "unseen "))]
        for watch in watches:
            stack.callback(watch.stop)
        counts = {line: _number(lab, line) for line in lines if line.startswith("counts ")}
        time.sleep(WINDOW_S)
        found = [watch.ended() for watch in watches]
    for line, then in counts.items():
        found.append(None if _number(lab, line) > then else f"{line}: it does not grow")
    for line in lines:
        if line.startswith("says "):
            found.append(_said(lab, line))
        elif line.startswith("answers "):
            instead = answers.become(line.removeprefix("answers "), before)
            found.append(f"{line}: {instead}" if instead else None)
    return [text for text in found if text is not None]


def _number(lab: Lab, line: str) -> int:
    """The sum of all numbers that a command prints: what it names by number stays the same, what it counts grows."""
    place, command = steps.place_and_text(lab, line.removeprefix("counts "))
    return sum(int(number) for number in re.findall(r"\d+", steps.bash(lab, place, command)))


def _said(lab: Lab, line: str) -> str | None:
    place, text = steps.place_and_text(lab, line.removeprefix("says "))
    command, _, pattern = text.rpartition(" ~ ")
    printed = steps.bash(lab, place, command, check=False)
    return None if re.search(pattern, printed, re.MULTILINE) else f"{line}: it says: {printed.strip()[:200]}"
