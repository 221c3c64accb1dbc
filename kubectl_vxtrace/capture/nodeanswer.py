"""What the capture scripts of a node answer: one clock reading, and a record for each capture."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from enum import StrEnum

from kubectl_vxtrace.capture.asking import stream_is_lost
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer

_HEAD = re.compile(rb"vxtrace-capture 1 (\d{19})((?: -[A-Za-z-]+(?:=[a-z]+)?| root)*)\n")


class State(StrEnum):
    """What a script says of one capture; see start.sh, poll.sh and stop.sh."""

    LISTENING = "listening"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    FULL = "full"
    STOPPED = "stopped"
    KILLED = "killed"
    NOSPACE = "nospace"
    NONE = "none"
    FILTER = "filter"
    REFUSED = "refused"


_RECORD = re.compile(
    rb"(\d{1,9}) ("
    + b"|".join(state.encode() for state in State)
    + rb") (up|down|absent|unknown) (\d{1,12}|-) ([0-9a-f]{64}|-) (\d{1,9})\n"
)


# What could not be asked was tried for as long as that is of use, and what failed would fail again.
_FINAL = (AnswerStatus.ABSENT, AnswerStatus.FAILED)


class Device(StrEnum):
    """What the node says of a capture's interface."""

    UP = "up"
    DOWN = "down"
    ABSENT = "absent"
    UNKNOWN = "unknown"

    @property
    def gone(self) -> bool:
        """Whether nothing can pass it."""
        return self in (Device.DOWN, Device.ABSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One capture. `number` is a size in bytes or a count of packets, `said` what tcpdump wrote to stderr."""

    state: State
    device: Device = Device.UNKNOWN
    number: int | None = None
    sha256: str | None = None
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node's answer. `node_ns` is its clock; record 0 speaks for the whole node.

    `reason`: why there is no whole answer. `is_lost`: it was lost on its way, so that asking again is of use.
    """

    node_ns: int | None = None
    options: tuple[str, ...] = ()
    records: dict[int, Record] = field(default_factory=dict)
    reason: str | None = None
    is_lost: bool = False

    def tells_of(self, captures: Set[int]) -> bool:
        """Whether it says of each of these captures, by their ids, or of the whole node, what became of it."""
        return 0 in self.records or captures <= self.records.keys()


def read_report(answer: NodeAnswer) -> NodeReport:
    """The report in an answer. Never raises: what is not as the scripts write it ends up in `reason`."""
    head = _HEAD.match(answer.stdout)
    if head is None:
        return NodeReport(reason=_why(answer), is_lost=answer.status not in _FINAL)
    records, whole = _records(answer.stdout, head.end())
    # What was cut between two records looks whole.
    whole = whole and not stream_is_lost(answer)
    return NodeReport(
        node_ns=int(head[1]),
        options=tuple(head[2].decode("ascii").split()),
        records=records,
        reason=None if whole else "the node's answer ended early",
        is_lost=not whole,
    )


def _records(raw: bytes, position: int) -> tuple[dict[int, Record], bool]:
    records: dict[int, Record] = {}
    while position < len(raw):
        match = _RECORD.match(raw, position)
        if match is None:
            return records, False
        number, state, device, size, digest, length = (str(group, "ascii") for group in match.groups())
        end = match.end() + int(length)
        if raw[end : end + 1] != b"\n":
            return records, False
        records[int(number)] = Record(
            state=State(state),
            device=Device(device),
            number=int(size) if size != "-" else None,
            sha256=digest if digest != "-" else None,
            said=raw[match.end() : end].decode("utf-8", "replace"),
        )
        position = end + 1
    return records, True


def _why(answer: NodeAnswer) -> str:
    if answer.reason:
        return answer.reason
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    if said:
        return said[0]
    if answer.status is AnswerStatus.TIMEOUT:
        return "the node did not answer in time"
    return f"the node gave no answer ({answer.status}, exit code {answer.exit_code})"
