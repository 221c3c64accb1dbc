"""Do packets go round in a circle, or come back another way than they went?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.ends import receivers, senders
from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence import routes as ways
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import Loop, loops
from kubectl_vxtrace.diagnosis.evidence.segment_packets import own_packets_passed
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Kind, Place, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Direction, Flow, Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

_ANY = "a drop on the way that would have hit encapsulated packets as well"
_ALL_BARE = "an underlay that carries packets of pods in neither direction (the cloud's anti-spoofing, a firewall)"


def check(case: Case) -> Iterator[Finding]:
    """Findings `routing-loop`, and `asymmetric-return`: an info, or an error where packets were lost on the way without encapsulation."""
    found = list(troubles(case))
    for trouble in found:
        if trouble.kind is Kind.VANISHED and (circles := list(loops(case, trouble))):
            yield _looping(case, trouble, max(circles, key=lambda loop: (loop.packets, loop.times)))
    for flow in case.flows:
        yield from _asymmetric(case, flow, found)


def _looping(case: Case, trouble: Trouble, loop: Loop) -> Finding:
    noun = direction_noun(trouble.path.direction, loop.packets)
    seen = f"{loop.packets} {noun} passed {place_text(loop.hop)} again and again, one of them {loop.times} times"
    text = f"{seen}, its time to live falling from {loop.highest} to {loop.lowest}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=loop.frames), *_sent_back(case, trouble)]
    touched = dict.fromkeys(hop.tap.node for hop in trouble.path.hops)
    for node in touched:
        growth = nodes.grown(case, node, "Ip.InHdrErrors")
        if growth is not None and growth >= trouble.packets:
            text = f"Ip.InHdrErrors of {node} grew by {growth}: time to live exceeded; {trouble.packets} packets were lost"
            proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    target = receivers(trouble)[0]
    look = "; ".join(f"on {node}: ip route get {target}" for node in touched)
    return explain(
        case,
        trouble,
        "routing-loop",
        Confidence.CERTAIN if loop.packets >= trouble.packets else Confidence.LIKELY,
        f"{loop.packets} {noun} went round in a circle between {' and '.join(touched)}",
        proofs,
        remediation=f"Look: {look}. {CAUSES['routing-loop'].remediation}",
        packets=min(loop.packets, trouble.packets),
    )


def _sent_back(case: Case, trouble: Trouble) -> Iterator[Evidence]:
    """What each node on the path answers for the packets' destination, side by side."""
    for target in receivers(trouble):
        said = []
        for node in dict.fromkeys(hop.tap.node for hop in trouble.path.hops):
            answers = ways.answers(case, node, target, senders(trouble))
            said += [f"{node} sends it {ways.answer_text(answers[-1])}"] if answers else []
        if said:
            yield Evidence(kind=EvidenceKind.CONFIG, text=f"the way to {target}: {'; '.join(said)}")


def _asymmetric(case: Case, flow: Flow, found: Sequence[Trouble]) -> Iterator[Finding]:
    traced = bare_way(case, flow)
    if traced is None or flow.server is None or not len(traced.journeys):
        return
    bare = traced.path.direction
    proofs = [*_both_ways(case, flow), *_bare_sightings(case, traced)]
    summary = f"{'replies' if bare is Direction.REPLY else 'requests'} between {flow.client.address} and {flow.server.address} go without"
    summary += " encapsulation, the other direction with it"
    hurt = [trouble for trouble in found if trouble.traced is traced and trouble.kind is Kind.VANISHED]
    for trouble in hurt:
        passed = list(_refused_bare(case, trouble))
        sure, doubt = (Confidence.LIKELY, _ALL_BARE) if passed else (Confidence.POSSIBLE, _ANY)
        yield explain(case, trouble, "asymmetric-return", sure, summary, [*proofs, *passed], not_ruled_out=(doubt,))
    if not hurt:
        yield Finding(
            cause="asymmetric-return",
            confidence=Confidence.CERTAIN,
            severity=Severity.INFO,
            packets=len(traced.journeys),
            summary=summary,
            flow=flow.id,
            direction=bare,
            evidence=tuple(proofs),
            remediation=CAUSES["asymmetric-return"].remediation,
        )


def bare_way(case: Case, flow: Flow) -> TracedPath | None:
    """The bare path of a flow between pods of two nodes whose other direction is encapsulated; None where that is not so."""
    ways_of = {traced.path.direction: traced for traced in case.paths if traced.flow.id == flow.id and traced.path.hops}
    if len(ways_of) < len(Direction) or flow.client.host_network or flow.server is None or flow.server.host_network:
        return None
    bare = [traced for traced in ways_of.values() if not _is_tunnelled(traced.path)]
    return bare[0] if len(bare) == 1 and all(_crosses(traced.path) for traced in ways_of.values()) else None


def _refused_bare(case: Case, trouble: Trouble) -> Iterator[Evidence]:
    """A proof that the wire carries what the sending node sends in its own name, where it carried none of the bare packets."""
    stretch = trouble.stretch(Place.WIRE)
    some = bool((trouble.traced.journeys.outcome == OutcomeCode.DELIVERED).any()) or trouble.answered > 0
    passed = own_packets_passed(case, stretch) if stretch is not None and not some else 0
    if stretch is not None and stretch.end is not None and passed:
        text = f"{passed} packets from the node's own address arrived at {place_text(stretch.end)} in the same time, none of the bare ones"
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
        answers = ways.answers(case, here.node, there.address, (here.address,))
        if answers:
            yield Evidence(kind=EvidenceKind.CONFIG, text=f"{here.node} on the way to {there.address}: {ways.answer_text(answers[-1])}")


def _bare_sightings(case: Case, traced: TracedPath) -> Iterator[Evidence]:
    path, journey = traced.path, traced.journeys
    for hop in path.hops:
        rows = journey.row[:, hop.hop - 1]
        rows = rows[rows >= 0]
        if hop.role is Role.UNDERLAY and len(rows):
            text = f"{len(rows)} {direction_noun(path.direction, len(rows))} bare at {place_text(hop)}"
            yield Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows))
