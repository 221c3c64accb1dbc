"""What a recorded case is, and how its packets are made to die."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.datapath import tools
from tests.datapath.records import Lab
from tests.truth.cases import Switch, Truth

Facts = dict[str, Any]
Edit = Callable[[str, bool, int, Facts], None]
SENDER, RECEIVER, NIC = "ada-ec-1", "ada-ec-2", "ens4"
WIRE = (f"{SENDER}/underlay", f"{RECEIVER}/underlay")
TABLE = "recorded"


def as_it_was(node: str, after: bool, lost: int, facts: Facts) -> None:
    """The node says of itself what it said."""


def silent(node: str, after: bool, lost: int) -> dict[str, str]:
    """No tool says anything else than it did."""
    return {}


def untouched(folder: Path) -> None:
    """The folder is as it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One case.

    Attributes:
        title: what is wrong.
        truth: what a right report says.
        backend: on whose shape of nodes it is recorded.
        breaking: makes the packets die, while the context lasts.
        edit: changes what one node has said; it is given the node's name, whether this was after the capture, how many packets are lost,
            and the parsed answers.
        said: by question, what a node's tools print where `edit` has changed what was read from it, for the raw answers.
        rework: changes the folder's other files (captures, recording.json); runs before `edit`.
        traffic, switches: what is asked beside the standing questions, and faults of the lab that are on, as in Case.
    """

    title: str
    truth: Truth
    backend: str = "calico"
    breaking: Callable[[Lab], AbstractContextManager[None]] = lambda _: nullcontext()
    edit: Edit = as_it_was
    said: Callable[[str, bool, int], dict[str, str]] = silent
    rework: Callable[[Path], None] = untouched
    traffic: tuple[tuple[str, ...], ...] = ()
    switches: tuple[Switch, ...] = ()


def table(netns: str, family: str, chain: str) -> AbstractContextManager[None]:
    """A table of nft with one chain, while the context lasts."""

    @contextmanager
    def made() -> Iterator[None]:
        fresh = f"table {family} {TABLE} {{ }}\ndelete table {family} {TABLE}\n"
        tools.run_inside(netns, ["nft", "-f", "-"], text=f"{fresh}table {family} {TABLE} {{ {chain} }}\n")
        try:
            yield
        finally:
            tools.run_inside(netns, ["nft", "-f", "-"], text=fresh)

    return made()


def without_table(facts: Facts) -> None:
    """The node does not know of our table: on a real one something else took the packets."""
    facts["rules"] = [rule for rule in facts["rules"] if rule["table"].split()[-1] != TABLE]
