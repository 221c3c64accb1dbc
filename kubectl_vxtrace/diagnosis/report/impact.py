"""How much of the traffic is hurt: total, partial, recovered or none."""

from bisect import bisect_right

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.off_path import vanished_astray
from kubectl_vxtrace.diagnosis.losses import is_unanswered
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, I64, PacketTable
from kubectl_vxtrace.model.path import Direction, Flow
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_FIN, TCP_SYN
from kubectl_vxtrace.model.report import Impact


def impact(case: Case) -> Impact:
    """How much of the case's traffic is hurt.

    none: no packet was lost or rejected and no flow is unanswered. recovered: every lost packet is a TCP segment that arrived in another
    copy. total: nothing arrives in some direction, so that no exchange can be complete, in each flow of the form that is hurt: through a
    Service, or straight to servers. Direct talk that is healthy makes a dead Service no better. partial: the rest.
    """
    hurt = [traced for traced in case.paths if _is_hurt(case, traced)]
    if not hurt:
        return Impact.NONE
    if all(_is_recovered(case, traced) for traced in hurt):
        return Impact.RECOVERED
    forms = {_form(traced.flow) for traced in hurt}
    broken = {traced.flow.id for traced in case.paths if _nothing_arrives(case, traced)}
    return Impact.TOTAL if broken >= {traced.flow.id for traced in case.paths if _form(traced.flow) in forms} else Impact.PARTIAL


def _form(flow: Flow) -> str | None:
    """The address of the Service that is asked, None of what goes straight to a server."""
    return flow.service.address if flow.service is not None else None


def _is_hurt(case: Case, traced: TracedPath) -> bool:
    return bool(np.any(traced.journeys.outcome >= OutcomeCode.REJECTED)) or is_unanswered(case, traced) or _is_astray(case, traced)


def _is_astray(case: Case, traced: TracedPath) -> bool:
    return traced.path.direction is Direction.REQUEST and vanished_astray(case, traced.flow)


def _nothing_arrives(case: Case, traced: TracedPath) -> bool:
    outcome = traced.journeys.outcome
    if is_unanswered(case, traced) or _is_astray(case, traced):
        return True
    return bool(np.any(outcome >= OutcomeCode.REJECTED)) and not np.any(outcome == OutcomeCode.DELIVERED)


def _is_recovered(case: Case, traced: TracedPath) -> bool:
    """Whether every lost packet of a TCP path arrived in another copy.

    A segment with data, SYN or FIN: delivered segments of its connection cover its sequence numbers. A pure ACK: a delivered
    segment acknowledges as much or more.
    """
    journey = traced.journeys
    lost = journey.outcome >= OutcomeCode.LOST
    if traced.flow.protocol != "TCP" or np.any(journey.outcome == OutcomeCode.REJECTED) or not lost.any():
        return False
    delivered = journey.outcome == OutcomeCode.DELIVERED
    for port in np.unique(journey.client_port[lost]):
        of_port = journey.client_port == port
        gone, arrived = _segments(case, traced, of_port & lost), _segments(case, traced, of_port & delivered)
        if not len(arrived) or not _covered(gone, arrived):
            return False
    return True


def _segments(case: Case, traced: TracedPath, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> I64:
    """One row (first sequence number, length in the sequence space, acknowledged number or -1) for each packet, at its last sighting."""
    rows = traced.journeys.row[np.flatnonzero(mask)]
    hops = rows.shape[1]
    last = hops - 1 - np.argmax(rows[:, ::-1] >= 0, axis=1)
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for hop in np.unique(last):
        table = case.tables.get(traced.path.hops[hop].tap)
        seen = rows[last == hop, hop]
        if table is not None:
            parts.append(_columns(table, seen[seen >= 0].astype(np.int32)))
    return np.concatenate(parts)


def _columns(table: PacketTable, rows: I32) -> I64:
    flags = table.flags[rows]
    # SYN and FIN take one number of the sequence space each (RFC 9293, 3.4).
    length = table.payload_bytes[rows].astype(np.int64) + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0)
    ack = np.where((flags & TCP_ACK) != 0, table.ack[rows].astype(np.int64), -1)
    return np.stack([table.seq[rows].astype(np.int64), length, ack], axis=1)


def _covered(gone: I64, arrived: I64) -> bool:
    """Whether the arrived segments make up for all that are gone; numbers are compared modulo 2^32 (RFC 9293, 3.4)."""
    base = int(arrived[0, 0])
    starts, ends = _merged(_spans(arrived, base))
    for low, high in _spans(gone, base):
        position = bisect_right(starts, low) - 1
        if position < 0 or ends[position] < high:
            return False
    lost = gone[(gone[:, 1] == 0) & (gone[:, 2] >= 0), 2]
    acknowledged = arrived[arrived[:, 2] >= 0, 2]
    if not len(lost):
        return True
    start = int(lost[0])
    return bool(len(acknowledged)) and int(_signed(acknowledged - start).max()) >= int(_signed(lost - start).max())


def _spans(segments: I64, base: int) -> list[tuple[int, int]]:
    """Half-open spans of the sequence space that the segments fill, relative to `base`, in order."""
    filling = segments[segments[:, 1] > 0]
    low = _signed(filling[:, 0] - base)
    return sorted(zip(low.tolist(), (low + filling[:, 1]).tolist(), strict=True))


def _merged(spans: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends of the spans' union."""
    starts: list[int] = []
    ends: list[int] = []
    for low, high in spans:
        if ends and low <= ends[-1]:
            ends[-1] = max(ends[-1], high)
        else:
            starts.append(low)
            ends.append(high)
    return starts, ends


def _signed(difference: I64) -> I64:
    return (difference + 2**31) % 2**32 - 2**31
