"""Do packets come back another way than they went?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.segment_packets import own_packets_passed
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind, Segment, SegmentKind
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Direction, Flow, Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

ASYMMETRIC_RETURN = Cause(
    slug="asymmetric-return",
    remediation=(
        "Look: ip route get CLIENT on the server's node against ip route get SERVER on the client's. Fix: give both nodes the same rule "
        "for encapsulation (IPPool vxlanMode, flannel DirectRouting, the subnet masks of the nodes)."
    ),
    source="flannel-io/flannel issue 1394; RFC 3704",
    admitted=True,
    is_circumstance=True,
)
CAUSES = (ASYMMETRIC_RETURN,)


_ANY = "a drop on the way that would have hit encapsulated packets as well"
_ALL_BARE = "an underlay that carries packets of pods in neither direction (the cloud's anti-spoofing, a firewall)"


def check(case: Case, loss: Loss) -> Iterator[Finding]:
    """Findings `asymmetric-return`, for packets that were lost on the way without encapsulation."""
    bare = bare_path(case, loss.flow)
    if bare is None or loss.traced is not bare or loss.kind is not LossKind.VANISHED:
        return
    passed = list(_refused_bare(case, loss))
    sure, doubt = (Confidence.LIKELY, _ALL_BARE) if passed else (Confidence.POSSIBLE, _ANY)
    proofs = [*_proofs(case, bare), *passed]
    yield error_finding(case, loss, ASYMMETRIC_RETURN, sure, _summary(bare), proofs, not_ruled_out=(doubt,))


def check_case(case: LossCase) -> Iterator[Finding]:
    """The same as an info, where packets go without encapsulation in one direction and none of them is lost."""
    for flow in case.flows:
        bare = bare_path(case, flow)
        if bare is None or not len(bare.journeys):
            continue
        if any(loss.traced is bare and loss.kind is LossKind.VANISHED for loss in case.losses):
            continue
        yield Finding(
            cause=ASYMMETRIC_RETURN.slug,
            confidence=Confidence.CERTAIN,
            severity=Severity.INFO,
            packets=len(bare.journeys),
            summary=_summary(bare),
            flow=flow.id,
            direction=bare.path.direction,
            evidence=tuple(_proofs(case, bare)),
            remediation=ASYMMETRIC_RETURN.remediation,
        )


def _summary(bare: TracedPath) -> str:
    client, server = bare.flow.client.address, bare.flow.server.address if bare.flow.server is not None else None
    noun = "replies" if bare.path.direction is Direction.REPLY else "requests"
    return f"{noun} between {client} and {server} go without encapsulation, the other direction with it"


def _proofs(case: Case, bare: TracedPath) -> Iterator[Evidence]:
    yield from _both_ways(case, bare.flow)
    yield from _bare_sightings(case, bare)


def bare_path(case: Case, flow: Flow) -> TracedPath | None:
    """The bare path of a flow between pods of two nodes whose other direction is encapsulated; None where that is not so."""
    directions = {traced.path.direction: traced for traced in case.paths if traced.flow.id == flow.id and traced.path.hops}
    if len(directions) < len(Direction) or flow.client.host_network or flow.server is None or flow.server.host_network:
        return None
    bare = [traced for traced in directions.values() if not _is_tunnelled(traced.path)]
    return bare[0] if len(bare) == 1 and all(_crosses(traced.path) for traced in directions.values()) else None


def _refused_bare(case: Case, loss: Loss) -> Iterator[Evidence]:
    """A proof that the wire carries what the sending node sends in its own name, where it carried none of the bare packets."""
    segment = loss.segment(SegmentKind.WIRE)
    some = bool((loss.traced.journeys.outcome == OutcomeCode.DELIVERED).any()) or loss.answered > 0
    if some or not isinstance(segment, Segment):
        return
    passed = own_packets_passed(case, segment)
    if passed:
        text = f"{passed} packets from the node's own address arrived at {place_text(segment.end)} in the same time, none of the bare ones"
        yield Evidence(kind=EvidenceKind.PACKETS, text=text)


def _is_tunnelled(path: Path) -> bool:
    return any(hop.role is Role.VXLAN for hop in path.hops)


def _crosses(path: Path) -> bool:
    return len({hop.tap.node for hop in path.hops}) > 1


def _both_ways(case: Case, flow: Flow) -> Iterator[Evidence]:
    """The routes of both nodes side by side."""
    ends = (flow.client, flow.server)
    for here, there in (ends, ends[::-1]):
        if here is None or there is None or here.node is None:
            continue
        answers = routes.answers(case, here.node, there.address, (here.address,))
        if answers:
            yield Evidence(kind=EvidenceKind.CONFIG, text=f"{here.node} on the way to {there.address}: {routes.answer_text(answers[-1])}")


def _bare_sightings(case: Case, traced: TracedPath) -> Iterator[Evidence]:
    path, journey = traced.path, traced.journeys
    for hop in path.hops:
        rows = journey.row[:, hop.hop - 1]
        rows = rows[rows >= 0]
        if hop.role is Role.UNDERLAY and len(rows):
            text = f"{len(rows)} {direction_noun(path.direction, len(rows))} bare at {place_text(hop)}"
            yield Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows))
