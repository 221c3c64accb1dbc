"""Frames between two addresses where a flow's path does not lead: bare on a NIC, or on a node that has no part in it."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, U8, Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Role, Tap
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, FrameRef, HopCount

# A single one may still be on its way when the captures end.
ENOUGH_ASTRAY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPathFrames:
    """Frames of a tap between two addresses: how many, with which addresses, and the first of them."""

    tap: Tap
    count: int
    text: str
    frames: tuple[FrameRef, ...]

    def evidence(self, remark: str = "") -> Evidence:
        """The frames as a proof; `remark` says what is wrong with them."""
        text = f"{self.count} x {self.text} at {self.tap.node}/{self.tap.interface}{remark}"
        return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=self.frames)


def bare_frames(case: Case, node: str, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[OffPathFrames]:
    """Unencapsulated frames from one of `sources` to one of `destinations` on the NICs of `node`, one for each NIC that saw any."""
    yield from _frames(case, node, {Role.UNDERLAY}, sources, destinations)


def frames_between(case: Case, node: str, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[OffPathFrames]:
    """The same on its NICs and VXLAN devices: what leaves the node, encapsulated or not."""
    yield from _frames(case, node, {Role.UNDERLAY, Role.VXLAN}, sources, destinations)


def sent_back(case: Case, tap: Tap, address: str) -> OffPathFrames | None:
    """Frames at a pod's interface from its address to its address: the pod itself would not send such there; None if there are none."""
    table = case.tables.get(tap)
    if table is None:
        return None
    rows = np.flatnonzero(_between(table, (address,), (address,)) & (table.tunnel < 0) & (table.kind == Kind.IP)).astype(np.int32)
    if not len(rows):
        return None
    return OffPathFrames(tap=tap, count=len(rows), text=f"{address} > {address}", frames=frame_refs(case, tap, rows))


def strayed(case: Case, flow: Flow) -> tuple[HopCount, ...]:
    """Where requests of a flow were seen of which no hop of its path saw any; empty where one did, or nobody saw any."""
    requests = case.traced(flow.id, Direction.REQUEST)
    if requests is None or len(requests.journeys):
        return ()
    return tuple(count for count in requests.hops if not count.expected and count.packets)


def vanished_astray(case: Case, flow: Flow) -> bool:
    """Whether such requests never came to the server: its own interface, a witness, saw none of them."""
    requests, packets = case.traced(flow.id, Direction.REQUEST), sum(count.packets for count in strayed(case, flow))
    if requests is None or packets < ENOUGH_ASTRAY or not requests.path.ends_at_receiver(flow):
        return False
    last = requests.hop_count(len(requests.path.hops))
    return last is not None and last.witness and not last.packets


def _frames(case: Case, node: str, roles: Container[Role], sources: Sequence[str], destinations: Sequence[str]) -> Iterator[OffPathFrames]:
    for tap in sorted({capture.task.tap for capture in case.recording.captures if capture.task.role in roles}):
        table = case.tables.get(tap)
        if table is None or tap.node != node:
            continue
        rows = np.flatnonzero(_between(table, sources, destinations) & (table.tunnel < 0) & (table.kind == Kind.IP)).astype(np.int32)
        if len(rows):
            conversation = table.conversation[rows[0]]
            source, destination = table.conversations.source[conversation], table.conversations.destination[conversation]
            text = f"{address_text(source)} > {address_text(destination)}"
            yield OffPathFrames(tap=tap, count=len(rows), text=text, frames=frame_refs(case, tap, rows))


def _between(table: PacketTable, sources: Sequence[str], destinations: Sequence[str]) -> NDArray[np.bool_]:
    between = is_one_of(table.conversations.source, sources) & is_one_of(table.conversations.destination, destinations)
    rows = np.zeros(len(table), dtype=np.bool_)
    known = table.conversation >= 0
    rows[known] = between[table.conversation[known]]
    return rows


def come_from(case: Case, tap: Tap, rows: I32, address: str) -> bool:
    """Whether those frames of a tap all come from `address`."""
    table = case.tables.get(tap)
    return table is not None and bool(is_one_of(table.conversations.source[table.conversation[rows]], (address,)).all())


def is_one_of(addresses: U8, wanted: Iterable[str]) -> NDArray[np.bool_]:
    """Which of n addresses of 16 bytes, shape (n, 16), are among the `wanted`; text that is no address is left out."""
    among = np.zeros(len(addresses), dtype=np.bool_)
    for text in wanted:
        packed = packed_address(text)
        if packed is not None:
            among |= (addresses == np.frombuffer(packed, dtype=np.uint8)).all(axis=1)
    return among
