"""What a synthesised case is, how its packets are made to die, and how many of them do."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.datapath import tools
from tests.datapath.records import Lab
from tests.truth.cases import Switch, Truth

Facts = dict[str, Any]
Counter = Callable[[], int]  # how many packets have died so far, by a counter of the kernel
Edit = Callable[[str, bool, int, Facts], None]
SENDER, RECEIVER, NIC = "ada-ec-1", "ada-ec-2", "ens4"
WIRE = (f"{SENDER}/underlay", f"{RECEIVER}/underlay")
TABLE = "synthesised"


def as_it_was(node: str, after: bool, lost: int, facts: Facts) -> None:
    """The node says of itself what it said."""


def silent(node: str, after: bool, lost: int) -> dict[str, str]:
    """No tool says anything else than it did."""
    return {}


def untouched(folder: Path) -> None:
    """The folder is as it was written."""


def nothing_dies(lab: Lab) -> AbstractContextManager[Counter]:
    """No packet."""
    return nullcontext(lambda: 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesised:
    """One case.

    Attributes:
        title: what is wrong.
        truth: what a right report says.
        backend: on whose shape of nodes it is traced.
        breaking: makes the packets die, while the context lasts, and counts them.
        edit: changes what one node has said; it is given the node's name, whether this was after the capture, how many packets died between
            its two answers, and the parsed answers.
        said: by question, what a node's tools print where `edit` has changed what was read from it, for the raw answers.
        rework: changes the folder's other files (captures, recording.json); runs before `edit`.
        traffic, switches: what is asked beside the standing questions, and faults of the lab that are on, as in Case.
    """

    title: str
    truth: Truth
    backend: str = "calico"
    breaking: Callable[[Lab], AbstractContextManager[Counter]] = nothing_dies
    edit: Edit = as_it_was
    said: Callable[[str, bool, int], dict[str, str]] = silent
    rework: Callable[[Path], None] = untouched
    traffic: tuple[tuple[str, ...], ...] = ()
    switches: tuple[Switch, ...] = ()


DROP = "counter name dropped drop"  # the end of a rule in a table's chain


def table(netns: str, family: str, chain: str) -> AbstractContextManager[Counter]:
    """A table of nft with one chain, whose rules end with `DROP`, while the context lasts."""
    listing = ["nft", "-j", "list", "counters", "table", family, TABLE]

    def dropped() -> int:
        entries = json.loads(tools.run_inside(netns, listing).stdout)["nftables"]
        return sum(int(entry["counter"]["packets"]) for entry in entries if "counter" in entry)

    @contextmanager
    def made() -> Iterator[Counter]:
        fresh = f"table {family} {TABLE} {{ }}\ndelete table {family} {TABLE}\n"
        text = f"{fresh}table {family} {TABLE} {{ counter dropped {{ }}; {chain} }}\n"
        tools.run_inside(netns, ["nft", "-f", "-"], text=text)
        try:
            yield dropped
        finally:
            tools.run_inside(netns, ["nft", "-f", "-"], text=fresh)

    return made()


class Dying:
    """How many packets had died when: a counter, read again and again while the context lasts."""

    PAUSE_S = 0.05

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._readings: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Dying":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.wait(self.PAUSE_S):
            self._readings.append((time.time_ns(), self._counter()))

    def between(self, begin_ns: int, end_ns: int) -> int:
        """How many died from one time to another, both since the epoch, as exactly as the readings are."""
        counts = [count for at_ns, count in self._readings if begin_ns <= at_ns <= end_ns]
        return counts[-1] - counts[0] if counts else 0


def without_table(facts: Facts) -> None:
    """The node does not know of our table: on a real one something else took the packets."""
    facts["rules"] = [rule for rule in facts["rules"] if rule["table"].split()[-1] != TABLE]
