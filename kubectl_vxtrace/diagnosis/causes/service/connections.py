"""Do connections stay where they were translated to, and are replies translated back?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.off_path import come_from
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.journeys import Case, TracedPath
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.protocol import TCP_ACK, TCP_RST, TCP_SYN
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

CONNECTION_BROKEN = Cause(
    slug="connection-broken",
    remediation=(
        "Look on the client's node: conntrack -L --orig-dst SERVICE during the trouble; conntrack -E -e DESTROY shows which entries go. "
        "Fix what does it: an agent that runs conntrack -D, a time-out shorter than the connection is idle "
        "(net.netfilter.nf_conntrack_tcp_timeout_established), a full table, NOTRACK rules in the raw table for one direction only."
    ),
    source="moby/moby issue 29655; kubernetes/kubernetes issue 74839; Linux nf_conntrack-sysctl.rst (nf_conntrack_tcp_loose)",
    beyond_packets=True,
)
CAUSES = (CONNECTION_BROKEN,)


def check(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `connection-broken` for replies that came to the client's interface under the backend's address: they were not translated
    back, so that the socket that asked the Service does not take them."""
    service, server = loss.flow.service, loss.flow.server
    if loss.path.direction is not Direction.REPLY or loss.leg.to is not None or loss.leg.from_ != len(loss.path.hops):
        return
    if service is None or server is None or service.address is None:
        return
    rows = rows_at(loss, segment.start)
    if not come_from(case, segment.start.tap, rows, server.address):
        return
    noun = direction_noun(Direction.REPLY, loss.packets)
    text = f"{len(rows)} {noun} at {place_text(segment.start)} come from {server.address}, not from {service.address}"
    yield error_finding(
        case,
        loss,
        CONNECTION_BROKEN,
        Confidence.LIKELY,
        f"{loss.packets} {noun} reach the client from {server.address} instead of the Service's {service.address}: not translated back",
        [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, segment.start.tap, rows))],
        not_ruled_out=("another way back than the requests took, past the node that translates",),
    )


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings `connection-broken`: connections in the middle of which a server said RST and nothing else, for it knows nothing of them.

    One that other losses on the way to its node have starved is no news, unless its packets went to another server before.
    """
    starved = {loss.flow.server.node for loss in case.losses if loss.flow.server is not None}
    for requests in case.paths:
        replies, server = case.traced(requests.flow.id, Direction.REPLY), requests.flow.server
        if requests.path.direction is Direction.REQUEST and replies is not None and requests.flow.protocol == "TCP" and server is not None:
            yield from _unknown_to_server(case, requests, replies, is_starved=server.node in starved)


def _unknown_to_server(case: Case, requests: TracedPath, replies: TracedPath, *, is_starved: bool) -> Iterator[Finding]:
    asked, answered = _flags(case, requests), _flags(case, replies)
    opened = requests.journeys.client_port[(asked & (TCP_SYN | TCP_ACK)) == TCP_SYN]
    is_reset = (answered & TCP_RST) != 0
    other = replies.journeys.client_port[~is_reset]
    ports = np.setdiff1d(replies.journeys.client_port[is_reset], np.concatenate([opened, other]))
    ports = np.intersect1d(ports, requests.journeys.client_port)
    flow, server = requests.flow, requests.flow.server
    if not len(ports) or server is None:
        return
    rows = np.flatnonzero(is_reset & np.isin(replies.journeys.client_port, ports))
    seen = replies.journeys.row[rows]
    hop = int(np.flatnonzero((seen >= 0).any(axis=0))[-1])
    tap = replies.path.hops[hop]
    frames = np.unique(seen[seen[:, hop] >= 0, hop]).astype(np.int32)
    where = f"to {flow.service.name or flow.service.address} " if flow.service is not None else ""
    before = _other_backends(case, requests, ports)
    if is_starved and not before:
        return
    text = f"{len(frames)} x TCP RST from {server.address} at {place_text(tap)}, to packets of connections that it has not seen begin"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, tap.tap, frames))]
    if before:
        ports_text = ", ".join(map(str, ports[:5].tolist()))
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=f"client port {ports_text}: before that with {', '.join(before)}"))
    moved = f"; until then their packets went to {', '.join(before)}, so that the translation was forgotten or made anew" if before else ""
    yield Finding(
        cause=CONNECTION_BROKEN.slug,
        confidence=Confidence.LIKELY if before else Confidence.POSSIBLE,
        severity=Severity.WARNING,
        packets=len(rows),
        summary=f"{len(ports)} connections {where}were reset (RST) in the middle by {server.address}, which does not know them{moved}",
        flow=flow.id,
        direction=Direction.REPLY,
        evidence=tuple(proofs),
        remediation=CONNECTION_BROKEN.remediation,
    )


def _flags(case: Case, traced: TracedPath) -> NDArray[np.uint16]:
    """The TCP flags of each packet, where it was seen first."""
    flags = np.zeros(len(traced.journeys), dtype=np.uint16)
    for index in reversed(range(len(traced.path.hops))):
        table = case.tables.get(traced.path.hops[index].tap)
        row: I32 = traced.journeys.row[:, index]
        if table is not None:
            flags[row >= 0] = table.flags[row[row >= 0]]
    return flags


def _other_backends(case: Case, requests: TracedPath, ports: NDArray[np.int32]) -> tuple[str, ...]:
    """Other servers of the same Service with which the client talked from those ports."""
    flow = requests.flow
    return tuple(
        host_port(traced.flow.server.address, traced.flow.server.port)
        for traced in case.paths
        if traced.path.direction is Direction.REQUEST
        and traced.flow.id != flow.id
        and traced.flow.server is not None
        and flow.service is not None
        and (traced.flow.client.address, traced.flow.service) == (flow.client.address, flow.service)
        and np.isin(traced.journeys.client_port, ports).any()
    )
