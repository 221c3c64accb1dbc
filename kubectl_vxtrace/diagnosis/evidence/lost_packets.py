"""The packets of a loss in the captures: where they were seen last, with which frames and headers, and who did not see them."""

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.outer_headers import Encapsulation, outer_headers
from kubectl_vxtrace.diagnosis.losses import Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, U8, Conversations, address_text
from kubectl_vxtrace.model.path import Direction, Hop, Tap
from kubectl_vxtrace.model.report import Evidence, EvidenceKind, FrameRef

_MOST_FRAMES = 5


def place_text(hop: Hop) -> str:
    """`node/interface` of a hop; its role where only a file's name is known."""
    return f"{hop.tap.node}/{hop.tap.interface or hop.role}"


def direction_noun(direction: Direction, packets: int) -> str:
    """`request`, `requests`, `reply` or `replies`."""
    if packets == 1:
        return direction.value
    return "requests" if direction is Direction.REQUEST else "replies"


def rows_at(loss: Loss, hop: Hop) -> I32:
    """Rows of the hop's PacketTable that are sightings of the loss's packets there."""
    rows = loss.traced.journeys.row[loss.rows, hop.hop - 1]
    return np.unique(rows[rows >= 0]).astype(np.int32)


def minimum_counter_growth(loss: Loss) -> int:
    """The least that a counter of the kernel must have grown by: it counts a super-packet of several segments (GSO, GRO) once."""
    frames = len(rows_at(loss, loss.start))
    return min(loss.packets, frames) if frames else loss.packets


def conversations_at(case: Case, loss: Loss, hop: Hop) -> Conversations:
    """The conversations of the loss's packets as `hop` saw them, each once; none where nothing was seen of them there."""
    table = case.tables.get(hop.tap)
    if table is None:
        none, ports = np.zeros((0, 16), dtype=np.uint8), np.zeros(0, dtype=np.uint16)
        return Conversations(protocol=np.zeros(0, dtype=np.uint8), source=none, destination=none, source_port=ports, destination_port=ports)
    numbers = np.unique(table.conversation[rows_at(loss, hop)])
    numbers = numbers[numbers >= 0]
    ends = table.conversations
    return Conversations(
        protocol=ends.protocol[numbers],
        source=ends.source[numbers],
        destination=ends.destination[numbers],
        source_port=ends.source_port[numbers],
        destination_port=ends.destination_port[numbers],
    )


def address_texts(raw: U8) -> tuple[str, ...]:
    """The different ones of n packed addresses, shape (n, 16), as text, in the order of their bytes."""
    return tuple(address_text(address) for address in np.unique(raw, axis=0))


def encapsulations(case: Case, loss: Loss, hop: Hop) -> tuple[Encapsulation, ...]:
    """The outer headers of the loss's packets as `hop` saw them, the most frequent first."""
    table = case.tables.get(hop.tap)
    return () if table is None else outer_headers(table, rows_at(loss, hop))


def frame_refs(case: Case, tap: Tap, rows: I32) -> tuple[FrameRef, ...]:
    """The first few of `rows` as a reader opens them in Wireshark."""
    capture = next((capture.task.id for capture in case.recording.captures if capture.task.tap == tap), None)
    table = case.tables.get(tap)
    if capture is None or table is None:
        return ()
    return tuple(FrameRef(capture=capture, frame=int(table.frame[row])) for row in rows[:_MOST_FRAMES])


def last_seen(case: Case, loss: Loss) -> Evidence:
    """Where the packets were seen last, with their frames."""
    noun = direction_noun(loss.path.direction, loss.packets)
    return Evidence(
        kind=EvidenceKind.PACKETS,
        text=f"{loss.packets} {noun} last seen at hop {loss.start.hop}, {place_text(loss.start)}",
        frames=frame_refs(case, loss.start.tap, rows_at(loss, loss.start)),
    )


def not_seen(loss: Loss) -> tuple[Evidence, ...]:
    """What the next witness says, if there is one."""
    if loss.end is None:
        return ()
    count = loss.traced.hop_count(loss.end.hop)
    if count is None:
        return ()
    text = f"none of them at hop {loss.end.hop}, {place_text(loss.end)}"
    if count.reason is not None:
        text += f" ({count.reason})"
    elif loss.presumed:
        text += " (its file has no closing numbers and is presumed complete)"
    else:
        text += f"; its capture is complete and holds {count.control} other packets"
    return (Evidence(kind=EvidenceKind.ABSENCE, text=text),)
