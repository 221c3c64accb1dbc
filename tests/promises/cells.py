"""The kill matrix: which signals in which phase, and what is right."""

import signal
from dataclasses import dataclass

from tests.promises.held import Phase

ENDED = ("Failed", "Succeeded")
_ENDS_WITHIN_S, _STARTS_WITHIN_S = 75, 15
"""So long after the last call, or its start, a debug pod has ended by itself: a minute, its grace, and the kubelet's word to the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One signal or several in a row. `to_group`: the terminal sends it to every process of its foreground group."""

    name: str
    number: signal.Signals
    times: int = 1
    to_group: bool = False


INT = Blow(name="INT", number=signal.SIGINT, to_group=True)
INT2 = Blow(name="INT, INT", number=signal.SIGINT, times=2, to_group=True)
INT3 = Blow(name="INT, INT, INT", number=signal.SIGINT, times=3, to_group=True)
TERM = Blow(name="TERM", number=signal.SIGTERM)
HUP = Blow(name="HUP", number=signal.SIGHUP, to_group=True)
KILL = Blow(name="KILL", number=signal.SIGKILL)
BLOWS = (INT, INT2, INT3, TERM, HUP, KILL)

_MAY_BE_LEFT = "may be left"
_AT_ONCE = "ended at once"  # what the plugin says at the third signal

# From here on a first signal keeps what was captured; before, nothing is.
_KEEPS = tuple(Phase)[tuple(Phase).index(Phase.RUNNING) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One of the matrix."""

    phase: Phase
    blow: Blow

    @property
    def name(self) -> str:
        """`fetching: INT, INT`."""
        return f"{self.phase.value}: {self.blow.name}"

    @property
    def keeps(self) -> bool | None:
        """Whether a report and a bundle are due; None where either is right, since more than one signal says that they are not wanted."""
        if self.blow is KILL or self.phase not in _KEEPS:
            return False
        return True if self.blow.times == 1 else None

    @property
    def bound_s(self) -> float:
        """How long after the signal pods that nobody removes may run: one that is pending may start after it."""
        return _ENDS_WITHIN_S + (_STARTS_WITHIN_S if self.phase is Phase.PENDING else 0)

    @property
    def takes_a_minute(self) -> bool:
        """Whether nobody is left to remove the pods: after a SIGKILL, and after a third signal, which ends the plugin at once."""
        return self.blow in (KILL, INT3)


MATRIX = tuple(Cell(phase=phase, blow=blow) for phase in Phase for blow in BLOWS)
# What every run of CI goes through, on each place: one cell in ten, of each kind of signal that does not take a minute.
TENTH = (
    Cell(phase=Phase.RESOLVE, blow=INT2),
    Cell(phase=Phase.PENDING, blow=TERM),
    Cell(phase=Phase.LOOKING, blow=INT),
    Cell(phase=Phase.CAPTURING, blow=INT2),
    Cell(phase=Phase.FETCHING, blow=HUP),
    Cell(phase=Phase.CLEANING, blow=INT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a trace.

    Attributes:
        code: exit status; negative for the signal that ended it.
        report: the verdict on stdout, None where it printed nothing.
        bundle: whether there is one.
        files: what it left in its folder for temporary files.
        said: stderr.
        left: phases of its pods by name: when it had ended; where nobody removes them, when all had ended or the time was over.
        took_s: from the first signal to its end; where nobody removes its pods, to that of the last.
        session: its id, by which its pods are known.
    """

    code: int
    report: str | None
    bundle: bool
    files: tuple[str, ...]
    said: str
    left: dict[str, str]
    took_s: float
    session: str = ""


def wrong(cell: Cell, seen: Seen) -> list[str]:
    """What of it breaks the promise; nothing if all is right."""
    at_once = cell.blow is KILL or _AT_ONCE in seen.said
    due = _due(cell, seen)
    found = [] if seen.code == due else [f"exit {seen.code}, not {due}"]
    if "Traceback" in seen.said or "Exception ignored" in seen.said:
        found.append("a traceback on stderr")
    if cell.keeps is not None and cell.keeps != (seen.report is not None):
        found.append("no report" if cell.keeps else "a report")
    if seen.bundle != (seen.report is not None):
        found.append("a bundle without a report" if seen.bundle else "a report without its bundle")
    unsaid = [] if at_once else [name for name in seen.files if name not in seen.said]
    if unsaid:
        found.append(f"left without a word: {', '.join(unsaid)}")
    running = sorted(name for name, phase in seen.left.items() if phase not in ENDED)
    if running or (seen.left and not at_once):
        found.append(f"pods left: {', '.join(running or sorted(seen.left))}")
    return found


def _due(cell: Cell, seen: Seen) -> int:
    """The exit code by the contract."""
    if cell.blow is KILL:
        return -signal.SIGKILL
    # It cannot know what becomes of pods that are being removed: what it says may be left may be gone a moment later.
    return 5 if _AT_ONCE in seen.said and (seen.left or _MAY_BE_LEFT in seen.said) else 130
