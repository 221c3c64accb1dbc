"""When a capture has seen enough: what is counted on the nodes meanwhile, and what follows from that.

A trace of automatic duration ends when its answer is clear: packets came through both ways on every backend and none is missing, or some
are missing and a late answer would have come. Whatever cannot be counted so (ends in a node's own network, super-packets, translated
sources) is never clear, and is captured for the whole time. The verdict is not drawn from these counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kubectl_vxtrace.capture import bpf
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Path, Role
from kubectl_vxtrace.model.recording import CaptureTask

ENOUGH_PACKETS: Final = 20
"""So many of each direction are enough for all backends of a target together: a loss of one packet in seven shows in 95 of 100 traces."""

EACH_BACKEND: Final = 4
"""Of these on every backend, so that none is missed."""

IN_FLIGHT: Final = 2
"""So many may be between two taps, or not yet written, when they are counted one after the other."""

MISSING_PACKETS: Final = 5
"""From so many on packets that are missing at the other end are no longer on their way."""

LATE_ANSWER_S: Final = 6.0
"""What is missing for so long is not late: resolvers wait 5 s before they ask again (resolv.conf(5))."""

LEAST_S: Final = 2.0
"""Nothing is clear before."""


class Place(StrEnum):
    """What is counted: requests at the client and at the server, replies at the server and at the client."""

    ASKED = "asked"
    ARRIVED = "arrived"
    ANSWERED = "answered"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How many packets of a capture a filter picks. target: a number for what was asked; backend: of its server, None at the client."""

    task: CaptureTask
    place: Place
    target: int
    backend: str | None
    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What to count. targets: of each whether every request is answered by a packet (UDP, ICMP)."""

    counted: tuple[Question, ...]
    targets: tuple[bool, ...]


def questions(flows: Sequence[Flow], paths: Sequence[Path], tasks: Sequence[CaptureTask]) -> Questions | None:
    """What to count for the flows; None where some flow cannot be counted at both of its ends, or is not told from another at one."""
    by_tap = {task.tap: task for task in tasks if task.argv}
    there = {path.flow: path for path in paths if path.direction is Direction.REQUEST}
    together: dict[tuple[object, ...], list[Flow]] = {}
    for flow in flows:
        together.setdefault((flow.protocol, flow.client.address, flow.service or flow.server), []).append(flow)
    counted: list[Question] = []
    for target, alike in enumerate(together.values()):
        for flow in alike:
            path = there.get(flow.id)
            if path is None or not path.hops or flow.server is None or not path.ends_at_receiver(flow):
                return None
            ends = (path.hops[0], path.hops[-1])
            if len(path.hops) < 2 or any(hop.role not in (Role.POD, Role.BRIDGE) or hop.tap not in by_tap for hop in ends):
                return None
            client, server = (by_tap[hop.tap] for hop in ends)
            if flow is alike[0]:
                counted += _at_client(client, target, alike)
            counted += _at_server(server, target, flow, flow.server)
    servers = [(one.filter, one.task) for one in counted if one.backend is not None]
    if len(set(servers)) < len(servers):
        return None
    return Questions(counted=tuple(counted), targets=tuple(alike[0].protocol != "TCP" for alike in together.values())) if counted else None


def _at_client(task: CaptureTask, target: int, flows: Sequence[Flow]) -> list[Question]:
    client, service, server = flows[0].client.address, flows[0].service, flows[0].server
    if service is not None and service.address is not None:
        addresses, port = [service.address], service.port
    else:
        addresses, port = [flow.server.address for flow in flows if flow.server is not None], server.port if server is not None else None
    ends = (client, addresses, flows[0].protocol, port)
    return [
        Question(task=task, place=Place.ASKED, target=target, backend=None, filter=bpf.asking(*ends)),
        Question(task=task, place=Place.BACK, target=target, backend=None, filter=bpf.answering(*ends)),
    ]


def _at_server(task: CaptureTask, target: int, flow: Flow, server: Endpoint) -> list[Question]:
    ends = (flow.client.address, [server.address], flow.protocol, server.port)
    return [
        Question(task=task, place=Place.ARRIVED, target=target, backend=server.address, filter=bpf.asking(*ends)),
        Question(task=task, place=Place.ANSWERED, target=target, backend=server.address, filter=bpf.answering(*ends)),
    ]


@dataclass(slots=True)
class Enough:
    """Judges counts as they come, one after the other.

    Args:
        asked: what is counted.
    """

    asked: Questions
    _first: Mapping[int, int] = field(default_factory=dict)
    _missing_since_s: float | None = None
    _gaps_before: tuple[int, ...] | None = None

    @property
    def is_near(self) -> bool:
        """Whether the last count was whole, and the next one may be the last."""
        return self._gaps_before is not None

    def after(self, elapsed_s: float, counts: Mapping[int, int]) -> str | None:
        """Why the capture may end, as a sentence goes on after "ended after 3.2 s: "; None while it may not.

        Args:
            elapsed_s: since the captures began.
            counts: by the question's place in `asked.counted`; where some are missing nothing is judged.
        """
        if len(counts) < len(self.asked.counted):
            return None
        if elapsed_s < LEAST_S:
            # Captures do not begin in one moment: what one has seen before another listened is missing nowhere.
            self._first = self._first or dict(counts)
            return None
        used = [target for target in range(len(self.asked.targets)) if any(self._sum(place, target, counts) for place in Place)]
        whole = bool(used) and all(self._is_whole(target, counts) for target in used)
        gaps = tuple(gap for target in range(len(self.asked.targets)) for gap in self._gaps(target, counts)) if whole else None
        # A second time: what is in flight at one count has come at the next, and what is lost has not.
        before, self._gaps_before = self._gaps_before, gaps
        if before is not None and gaps is not None and all(min(pair) <= 0 for pair in zip(before, gaps, strict=True)):
            return self._told(counts)
        missing, what = max((self._missing(target, counts) for target in used), default=(0, ""))
        if missing < MISSING_PACKETS:
            self._missing_since_s = None
        elif self._missing_since_s is None:
            self._missing_since_s = elapsed_s
        elif elapsed_s - self._missing_since_s >= LATE_ANSWER_S:
            return f"{missing} {what} for {LATE_ANSWER_S:g} s"
        return None

    def _sum(self, place: Place, target: int, counts: Mapping[int, int]) -> int:
        return sum(self._each(place, target, counts))

    def _each(self, place: Place, target: int, counts: Mapping[int, int]) -> list[int]:
        return [counts[number] for number, one in enumerate(self.asked.counted) if (one.place, one.target) == (place, target)]

    def _is_whole(self, target: int, counts: Mapping[int, int]) -> bool:
        asked, arrived, answered, back = (self._sum(place, target, counts) for place in Place)
        least = min(self._each(Place.ARRIVED, target, counts) + self._each(Place.ANSWERED, target, counts))
        apart = max(map(abs, self._gaps(target, counts)))
        return min(asked, arrived, answered, back) >= ENOUGH_PACKETS and least >= EACH_BACKEND and apart <= IN_FLIGHT

    def _since_first(self, target: int, counts: Mapping[int, int]) -> list[int]:
        """What came to the four places since all of them were counted first."""
        new = {number: count - self._first.get(number, 0) for number, count in counts.items()}
        return [self._sum(place, target, new) for place in Place]

    def _gaps(self, target: int, counts: Mapping[int, int]) -> tuple[int, ...]:
        """How many packets fewer the second place of each pair has seen; below 0 where it was counted later."""
        asked, arrived, answered, back = self._since_first(target, counts)
        return (asked - arrived, answered - back, *((arrived - answered,) if self.asked.targets[target] else ()))

    def _missing(self, target: int, counts: Mapping[int, int]) -> tuple[int, str]:
        """How many packets fewer were counted at a place than at the one before, where most, and what these are. They need not be lost: a
        source that was translated is counted at one place only."""
        asked, arrived, answered, back = self._since_first(target, counts)
        return max(
            (asked - arrived, "requests were not counted at the servers"),
            (arrived if answered == 0 else 0, "requests were not answered"),
            (answered - back, "replies were not counted at the client"),
        )

    def _told(self, counts: Mapping[int, int]) -> str:
        requests, replies = (
            sum(self._sum(place, target, counts) for target in range(len(self.asked.targets))) for place in (Place.ARRIVED, Place.BACK)
        )
        backends = len({one.backend for one in self.asked.counted if one.backend is not None})
        every = f"on each of {backends} backends" if backends > 1 else "and none is missing"
        return f"{requests} requests and {replies} replies came through {every}; for a fault that is rarer: --duration 2m"
