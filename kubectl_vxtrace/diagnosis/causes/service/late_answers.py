"""Do answers come while somebody still waits for them?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import is_one_of
from kubectl_vxtrace.diagnosis.judgement import SOONEST_GIVEN_UP_NS
from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.kernel_drops import DROP_WITHIN_NS
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

LATE_ANSWER = Cause(
    slug="late-answer",
    remediation=(
        "Compare the latencies of the legs in the report: the slow one is where the time goes. If all are short, the server itself is "
        "slow: look at its load, its CPU limit and what it asks in turn."
    ),
    source="RFC 1122, 4.1.3.1 (port unreachable); resolv.conf(5), timeout; kubernetes/kubernetes issue 56903",
    beyond_packets=True,
)
CAUSES = (LATE_ANSWER,)

_PORT_UNREACHABLE = (3 << 8 | 3, 1 << 8 | 4)
"""Type and code in ICMP (RFC 792) and ICMPv6 (RFC 4443, 3.1)."""

_NS = 1_000_000_000


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `late-answer`: replies that came to the client, which said by an ICMP error that nobody waited for them any more."""
    for replies in case.paths:
        requests = case.traced(replies.flow.id, Direction.REQUEST)
        if replies.path.direction is Direction.REPLY and replies.flow.protocol == "UDP" and requests is not None and replies.path.hops:
            yield from _late(case, requests, replies)


def _late(case: Case, requests: TracedPath, replies: TracedPath) -> Iterator[Finding]:
    hop, index = replies.path.hops[-1], len(replies.path.hops) - 1
    table = case.tables.get(hop.tap)
    if table is None or not requests.path.hops or requests.path.hops[0].tap != hop.tap:
        return
    rows = replies.journeys.row[:, index]
    seen = np.flatnonzero(rows >= 0)
    refused_ns = _refused_ns(table, replies.flow.client.address)
    which = seen[table.time_ns[rows[seen]] >= refused_ns[table.conversation[rows[seen]]] - DROP_WITHIN_NS]
    waited_ns = _waited_ns(table, requests, replies, which, index)
    is_late = waited_ns >= SOONEST_GIVEN_UP_NS
    which, waited_s = which[is_late], waited_ns[is_late] / _NS
    if not len(which):
        return
    noun = direction_noun(Direction.REPLY, len(which))
    yield Finding(
        cause=LATE_ANSWER.slug,
        confidence=Confidence.CERTAIN,
        severity=Severity.WARNING,
        packets=len(which),
        summary=(
            f"{len(which)} {noun} reached the client when nobody waited for them any more, {waited_s.min():.1f} to {waited_s.max():.1f} s "
            "after the question"
        ),
        flow=replies.flow.id,
        direction=Direction.REPLY,
        evidence=(
            Evidence(
                kind=EvidenceKind.PACKETS,
                text=f"{len(which)} {noun} at {place_text(hop)}, answered by the client with ICMP port unreachable",
                frames=frame_refs(case, hop.tap, rows[which].astype(np.int32)),
            ),
        ),
        remediation=LATE_ANSWER.remediation,
    )


def _refused_ns(table: PacketTable, client: str) -> NDArray[np.int64]:
    """For each conversation when the client itself first answered something of it with port unreachable, else the end of time."""
    quotes = table.icmp_quotes
    error = table.conversation[quotes.row]
    is_icmp = np.isin(table.conversations.protocol[error], (IpProtocol.ICMP, IpProtocol.ICMPV6))
    by_client = is_one_of(table.conversations.source, [client])[error]
    chosen = is_icmp & by_client & np.isin(table.flags[quotes.row], _PORT_UNREACHABLE)
    first_ns = np.full(len(table.conversations), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first_ns, quotes.conversation[chosen], table.time_ns[quotes.row[chosen]])
    return first_ns


def _waited_ns(table: PacketTable, requests: TracedPath, replies: TracedPath, which: NDArray[np.intp], index: int) -> NDArray[np.int64]:
    """How long after the first request of its port each of these replies came; no time where that request was not seen."""
    asked = np.flatnonzero(requests.journeys.row[:, 0] >= 0)
    ports, times_ns = requests.journeys.client_port[asked], table.time_ns[requests.journeys.row[asked, 0]]
    first_ns = np.full(1 << 16, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first_ns, ports, times_ns)
    came_ns, since_ns = table.time_ns[replies.journeys.row[which, index]], first_ns[replies.journeys.client_port[which]]
    return np.where(since_ns <= came_ns, came_ns - since_ns, np.int64(0))
