"""What the captures hold between the two ends that were asked about, and what the client sent instead, where nothing could be followed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs
from kubectl_vxtrace.diagnosis.evidence.off_path import is_one_of
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import U8, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Tap
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, FrameRef


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFrames:
    """Frames of a tap that go between the ends, in any form: how many, which addresses most of them bear, and the first of them."""

    tap: Tap
    count: int
    text: str
    frames: tuple[FrameRef, ...]

    def evidence(self) -> Evidence:
        """The frames as a proof."""
        return Evidence(kind=EvidenceKind.PACKETS, text=f"{self.count} x {self.text} at {self.place}", frames=self.frames)

    @property
    def place(self) -> str:
        """`node/interface`; the file's name where only that is known."""
        return f"{self.tap.node}/{self.tap.interface or self.tap.place}"


def clients_of(case: Case) -> tuple[str, ...]:
    """The addresses of the clients that were asked about."""
    return unique(flow.client.address for flow in case.recording.flows)


def targets_of(case: Case) -> tuple[str, ...]:
    """The addresses of what was asked for: Services, their backends."""
    flows = case.recording.flows
    ends = (end.address for flow in flows for end in (flow.server, *flow.candidates) if end is not None)
    return unique((*(flow.service.address for flow in flows if flow.service is not None), *ends))


def frames_of_ends(case: Case) -> Iterator[EndFrames]:
    """At each tap the frames between a client and what was asked for, inside a tunnel or not; also those that only carry packets between
    these."""
    clients, targets = clients_of(case), targets_of(case)
    for tap in sorted(case.tables):
        table = case.tables[tap]
        rows = np.flatnonzero(_inner(table, clients, targets) | _outer(table, clients, targets)).astype(np.int32)
        if len(rows):
            yield EndFrames(tap=tap, count=len(rows), text=_most_frequent(table, rows), frames=frame_refs(case, tap, rows))


def sent_instead(case: Case) -> EndFrames | None:
    """What the clients' own interfaces saw the clients send most, None if they sent no IP packet at all."""
    firsts = {path.hops[0].tap for path in case.recording.paths if path.direction is Direction.REQUEST and path.hops}
    clients, most = clients_of(case), None
    for tap in sorted(firsts & case.tables.keys()):
        table = case.tables[tap]
        known = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0))
        sent = known[is_one_of(table.conversations.source, clients)[table.conversation[known]]].astype(np.int32)
        if len(sent) and (most is None or len(sent) > most.count):
            most = EndFrames(tap=tap, count=len(sent), text=_most_frequent(table, sent), frames=frame_refs(case, tap, sent))
    return most


def _inner(table: PacketTable, clients: Sequence[str], targets: Sequence[str]) -> NDArray[np.bool_]:
    between = _between(table.conversations.source, table.conversations.destination, clients, targets)
    # -1, none, is the index of what is appended
    return np.asarray(np.append(between, False)[table.conversation] & (table.kind == Kind.IP))


def _outer(table: PacketTable, clients: Sequence[str], targets: Sequence[str]) -> NDArray[np.bool_]:
    between = _between(table.tunnels.source, table.tunnels.destination, clients, targets)
    return np.asarray(np.append(between, False)[table.tunnel], dtype=np.bool_)


def _between(source: U8, destination: U8, clients: Sequence[str], targets: Sequence[str]) -> NDArray[np.bool_]:
    forth = is_one_of(source, clients) & is_one_of(destination, targets)
    return np.asarray(forth | (is_one_of(source, targets) & is_one_of(destination, clients)))


def _most_frequent(table: PacketTable, rows: NDArray[np.int32]) -> str:
    conversation = int(np.argmax(np.bincount(table.conversation[rows])))
    ends = (table.conversations.source[conversation], table.conversations.destination[conversation])
    return " > ".join(address_text(raw) for raw in ends)
