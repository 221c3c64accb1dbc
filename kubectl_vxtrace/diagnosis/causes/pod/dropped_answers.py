"""Did the client's pod take the answers that came to its interface?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.causes.server.full_sockets import POD_OVERFLOWS, SOCKET_OVERFLOW
from kubectl_vxtrace.diagnosis.evidence.inside_pods import OF_SENT, InsidePod, inside_pod
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.diagnosis.judgement import FEW_PACKETS
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

_FULL = (
    "The network delivered: the client's program does not read its UDP socket fast enough. Look in its pod: nstat -az UdpRcvbufErrors; "
    "ss -lnum (Recv-Q; skmem: rb, d). Fix: read in a thread of its own, a larger SO_RCVBUF and net.core.rmem_max, a higher CPU limit."
)
_COUNTED = "The network delivered as far as the pod's interface. Look in its network namespace: nstat -az; ip route; iptables-save -c."


def check_case(case: LossCase) -> Iterator[Finding]:
    """Warnings about datagrams that came to the client's interface, and that its pod's kernel did not hand on: `socket-overflow` where a
    socket had no room for them, `unknown` with the counter that says why else. TCP tells of itself what it got.
    """
    for replies in case.paths:
        inside = _inside(case, replies)
        if inside is not None:
            yield from _of_flow(case, replies, inside)


def _inside(case: Case, replies: TracedPath) -> InsidePod | None:
    """What was seen inside the client's pod; None where these are no datagrams to one."""
    path, flow = replies.path, replies.flow
    if path.direction is not Direction.REPLY or flow.protocol != "UDP" or not path.hops or not path.ends_at_receiver(flow):
        return None
    return None if flow.client.host_network else inside_pod(case, path.hops[-1].tap.node, flow.client.address)


def _came(replies: TracedPath) -> I32:
    """Which replies came to the client's interface."""
    journeys = replies.journeys
    if not len(journeys):
        return np.zeros(0, dtype=np.int32)
    return np.flatnonzero((journeys.outcome == OutcomeCode.DELIVERED) & (journeys.row[:, -1] >= 0)).astype(np.int32)


def _of_flow(case: Case, replies: TracedPath, inside: InsidePod) -> Iterator[Finding]:
    """By the drops of the flow's own sockets; else by counters that account for all datagrams that came to the pod in this trace."""
    which, by_port = _came(replies), inside.drops_by_port()
    drops = sum(by_port.get(port, 0) for port in np.unique(replies.journeys.client_port[which]).tolist())
    if drops:
        text = f"UDP sockets of the flow's client ports had no room for {drops} packets"
        yield _finding(case, replies, which, min(drops, len(which)), text, is_full=True)
        return
    client = replies.flow.client.address
    least = sum(len(_came(other)) for other in case.paths if _inside(case, other) is not None and other.flow.client.address == client)
    if not len(which) or least < FEW_PACKETS:
        return
    counters = POD_OVERFLOWS["UDP"]
    growth = inside.grown_together(counters) - sum(by_port.values())
    if growth >= least:
        names = " and ".join(counter for counter in counters if inside.grown(counter))
        yield _finding(case, replies, which, len(which), f"{names} inside the pod grew by {growth}", is_full=True)
        return
    for counter, grown, meaning in inside.reasons("UDP", least):
        if not meaning.startswith(OF_SENT):
            yield _finding(case, replies, which, len(which), f"{counter} inside the pod grew by {grown}: {meaning}", is_full=False)
            return


def _finding(case: Case, replies: TracedPath, which: I32, packets: int, text: str, *, is_full: bool) -> Finding:
    hop, client = replies.path.hops[-1], replies.flow.client
    noun = direction_noun(Direction.REPLY, len(which))
    cause, rows = SOCKET_OVERFLOW if is_full else UNKNOWN, replies.journeys.row[which, -1].astype(np.int32)
    what = "its socket had no room for all of them" if is_full else "its kernel seems to have dropped them"
    return Finding(
        cause=cause.slug,
        confidence=Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=packets,
        summary=f"{len(which)} {noun} came to the interface of {client.pod or client.address}, and {what}: {text}",
        flow=replies.flow.id,
        direction=Direction.REPLY,
        evidence=(
            Evidence(kind=EvidenceKind.PACKETS, text=f"{len(which)} {noun} at {place_text(hop)}", frames=frame_refs(case, hop.tap, rows)),
            Evidence(kind=EvidenceKind.COUNTER, text=text),
        ),
        remediation=_FULL if is_full else _COUNTED,
        not_ruled_out=("other traffic of the pod, which the counter counts as well",) if "inside the pod" in text else (),
    )
