"""Has anybody the address that was asked?"""

from collections.abc import Iterator

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.answers import icmp_answers, unresolved
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames
from kubectl_vxtrace.diagnosis.evidence.owners import all_pods_listed, is_nobodys
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind, leads_to_pod
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Direction, Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Leg, Severity

NOT_A_POD = Cause(
    slug="not-a-pod",
    remediation=(
        "Look: kubectl get pods,nodes,services -A -o wide | grep -w {address}. If the pod is gone, find where the client has its address "
        "from (a DNS answer or connection that it kept, a configured address) and let it ask the Service's name. If the address is to lie "
        "outside the cluster, look beyond {node}: ip route get {address}, and whoever is next there."
    ),
    source="absence from the API's pods, nodes and Services; Linux net/ipv4/route.c (the node's own routes decide where it goes)",
)
CAUSES = (NOT_A_POD,)


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `not-a-pod` for requests to an address that nobody has: they vanished on the node that its block leads to, or something
    outside refused them."""
    if loss.path.direction is not Direction.REQUEST or not is_nobodys(case, loss.flow) or loss.kind is not LossKind.VANISHED:
        return
    is_outside = loss.flow.server is not None and loss.flow.server.node is None and segment.end is None
    if not is_outside and not (leads_to_pod(segment) and segment.start.tap.node == loss.home_of(loss.receivers[0])):
        return
    node, address = segment.start.tap.node, loss.receivers[0]
    answer = _way(case, node, address, loss.senders)
    where = f"{node} lets it go {_next(answer)}" if answer is not None else f"{node} let it go at {place_text(segment.start)}"
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        NOT_A_POD,
        Confidence.CERTAIN if all_pods_listed(case) else Confidence.LIKELY,
        f"{_nobody(case, address)}: {loss.packets} {noun} came as far as {place_text(segment.start)}, and {where}",
        list(_proofs(case, loss, segment.start, answer)),
        remediation=NOT_A_POD.remedy(address=address, node=node),
        not_ruled_out=() if all_pods_listed(case) else ("a pod in a namespace that may not be listed",),
    )


def check_case(case: LossCase) -> Iterator[Finding]:
    """The same as a warning, where requests left the cluster for such an address and what became of them is not known."""
    losing = {loss.flow.id for loss in case.losses}
    for traced in case.paths:
        if traced.path.direction is not Direction.REQUEST or not traced.path.hops or not is_nobodys(case, traced.flow):
            continue
        open_ = np.flatnonzero(traced.journeys.outcome == OutcomeCode.UNDETERMINED)
        if len(open_) and traced.flow.id not in losing and not traced.path.ends_at_receiver(traced.flow):
            yield _left(case, traced, int(traced.journeys.weight_packets[open_].sum()))


def _left(case: Case, traced: TracedPath, packets: int) -> Finding:
    server, last = traced.flow.server, traced.path.hops[-1]
    address = server.address if server is not None else ""
    node = last.tap.node
    answer = _way(case, node, address, (traced.flow.client.address,))
    rows = traced.journeys.row[:, -1]
    noun = direction_noun(Direction.REQUEST, packets)
    return Finding(
        cause=NOT_A_POD.slug,
        confidence=Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=packets,
        summary=f"{_nobody(case, address)}, it lies outside: {node} let {packets} {noun} go at {place_text(last)}"
        f"{f', {_next(answer)}' if answer is not None else ''}, and no answer came back",
        flow=traced.flow.id,
        direction=Direction.REQUEST,
        leg=Leg(from_=last.hop, to=None),
        evidence=(
            Evidence(
                kind=EvidenceKind.PACKETS,
                text=f"{packets} {noun} last seen at {place_text(last)}",
                frames=frame_refs(case, last.tap, rows[rows >= 0]),
            ),
            *([Evidence(kind=EvidenceKind.CONFIG, text=_way_text(node, answer))] if answer is not None else []),
        ),
        remediation=NOT_A_POD.remedy(address=address, node=node),
    )


def _nobody(case: Case, address: str) -> str:
    listed = "" if all_pods_listed(case) else " of the namespaces that may be read"
    return f"no pod, node or Service{listed} has the address {address}"


def _way(case: Case, node: str, address: str, senders: tuple[str, ...]) -> RouteLookup | None:
    return next(iter(routes.answers(case, node, address, senders)[-1:]), None)


def _next(answer: RouteLookup) -> str:
    """Where a node sends what it has for the address."""
    if routes.is_refused(answer):
        return f"nowhere ({routes.answer_text(answer)})"
    return f"out of {answer.device} to {answer.gateway}" if answer.gateway is not None else f"out of {answer.device}, where it asks for it"


def _way_text(node: str, answer: RouteLookup) -> str:
    return f"{node} on the way to {answer.destination}: {routes.answer_text(answer)}"


def _proofs(case: Case, loss: Loss, start: Hop, answer: RouteLookup | None) -> Iterator[Evidence]:
    node, address = start.tap.node, loss.receivers[0]
    snapshot = case.recording.snapshot
    if snapshot is not None:
        counted = f"{len(snapshot.pods)} pods, {len(snapshot.nodes)} nodes and {len(snapshot.services)} Services"
        yield Evidence(kind=EvidenceKind.CONFIG, text=f"none of the {counted} that the API listed has {address}")
    if answer is not None:
        yield Evidence(kind=EvidenceKind.CONFIG, text=_way_text(node, answer))
        lines = routes.lines_for(node_facts.looks(case, node)[-1], address)
        if lines:
            yield Evidence(kind=EvidenceKind.CONFIG, text=f"the narrowest route of {node} that covers it: {routes.line_text(lines[0])}")
    for frames in bare_frames(case, node, loss.senders, loss.receivers):
        yield frames.evidence(", sent on without encapsulation")
    for hop in loss.path.hops:
        if hop.role is Role.BRIDGE and hop.tap.node == node:
            yield from unresolved(case, hop, address)
    for error in icmp_answers(case, loss):
        yield error.evidence()
