"""Does the Service have a backend?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.evidence import IcmpAnswer, icmp_answers, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.trouble import Kind, Trouble, troubles
from kubectl_vxtrace.model.cluster import Service
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792: port unreachable, kube-proxy's REJECT. RFC 4443, 3.1: the same in ICMPv6.
_PORT_UNREACHABLE = frozenset({(3, 3), (1, 4)})


def check(case: Case) -> Iterator[Finding]:
    """Findings `no-endpoints`: packets to a Service that the client's own node refused at the first hop, no backend being named."""
    for trouble in troubles(case):
        first = trouble.kind is Kind.VANISHED and trouble.path.direction is Direction.REQUEST and trouble.leg.from_ == 1
        if not first or trouble.flow.server is not None or trouble.flow.service is None:
            continue
        refusals = [answer for answer in icmp_answers(case, trouble) if (answer.type, answer.code) in _PORT_UNREACHABLE]
        service = _service(case, trouble)
        ready = None if service is None else [backend for backend in service.backends if backend.ready]
        if refusals and not ready:
            yield _no_endpoints(case, trouble, refusals[0], known=ready is not None)


def _service(case: Case, trouble: Trouble) -> Service | None:
    snapshot, reference = case.recording.snapshot, trouble.flow.service
    if snapshot is None or reference is None:
        return None
    return next(
        (
            service
            for service in snapshot.services
            if service.full_name == reference.name or (reference.address is not None and reference.address in service.addresses)
        ),
        None,
    )


def _no_endpoints(case: Case, trouble: Trouble, answer: IcmpAnswer, *, known: bool) -> Finding:
    service = trouble.flow.service
    name = (service.name or service.address if service is not None else None) or "the Service"
    text = f"{answer.count} x {answer.text} (port unreachable), seen at {place_text(answer.hop)}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames)]
    if known:
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=f"the API names no ready endpoint of {name}"))
    confidence = Confidence.CERTAIN if known else Confidence.LIKELY
    return explain(
        case, trouble, "no-endpoints", confidence, f"{name} has no endpoints: {trouble.start.tap.node} refuses its packets", proofs
    )
