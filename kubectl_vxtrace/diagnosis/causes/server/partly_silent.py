"""Does a server that answers leave some questions without an answer?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.causes.server.endpoint import SERVER_SILENT
from kubectl_vxtrace.diagnosis.causes.server.full_sockets import SOCKET_OVERFLOW, lacked_room
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.judgement import FEW_PACKETS, SOONEST_GIVEN_UP_NS
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import answered
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_SYN
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `server-silent`: questions, or the first packets of TCP connections, that came to the server's last hop, of which that hop
    saw no answer, while it saw answers to others of the same flow; `socket-overflow` where the server's pod had no room for as many."""
    for requests in case.paths:
        replies = case.traced(requests.flow.id, Direction.REPLY)
        is_asked = requests.path.direction is Direction.REQUEST
        if is_asked and requests.path.ends_at_receiver(requests.flow) and replies is not None and len(replies.journeys):
            yield from _partly(case, requests, replies)


def _partly(case: LossCase, requests: TracedPath, replies: TracedPath) -> Iterator[Finding]:
    last, first = requests.path.hops[-1], replies.path.hops[0]
    table, count, server = case.tables.get(last.tap), replies.hop_count(1), requests.flow.server
    if table is None or first.tap != last.tap or count is None or not count.witness or server is None:
        return
    came = np.flatnonzero((requests.journeys.outcome == OutcomeCode.DELIVERED) & (requests.journeys.row[:, -1] >= 0))
    if not len(came):
        return
    rows = requests.journeys.row[came, -1]
    rows = rows[table.time_ns[rows] <= table.time_ns.max() - SOONEST_GIVEN_UP_NS]
    is_tcp = requests.flow.protocol == "TCP"
    if is_tcp:
        opening = rows[(table.flags[rows] & (TCP_SYN | TCP_ACK)) == TCP_SYN]
        # A SYN that was repeated is one question.
        rows = opening[np.unique(table.conversation[opening], return_index=True)[1]]
    silent = rows[~answered(table, rows)]
    if not FEW_PACKETS <= len(silent) < len(rows):
        return
    where, good, what = host_port(server.address, server.port), len(rows) - len(silent), "connections" if is_tcp else "questions"
    full = lacked_room(case, last.tap, requests.flow, len(silent))
    cause = SERVER_SILENT if full is None else SOCKET_OVERFLOW
    absence = f"{len(silent)} {what} at {place_text(last)}, and no answer there to any of them within a second"
    proofs = [Evidence(kind=EvidenceKind.ABSENCE, text=absence, frames=frame_refs(case, last.tap, silent.astype(np.int32)))]
    if full is not None:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=full.text))
    yield Finding(
        cause=cause.slug,
        confidence=Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=len(silent),
        summary=f"{where} answered {good} of {len(rows)} {what}; the others came to its last hop, and "
        + ("nothing came back" if full is None else f"its socket had no room for as many: {full.text}"),
        flow=requests.flow.id,
        direction=Direction.REQUEST,
        evidence=tuple(proofs),
        remediation=cause.remediation,
    )
