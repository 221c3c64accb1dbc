"""Do packets go round in a circle?"""

from collections.abc import Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.loops import Loop, loops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, LossKind
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

ROUTING_LOOP = Cause(
    slug="routing-loop",
    remediation=(
        "Look: ip route get POD on both nodes. Fix the one that should own the block: see duplicate-pod-cidr and pod-route-missing; a "
        "blackhole route for a node's own block ends such loops."
    ),
    source="RFC 791, section 3.1 (time to live); RFC 792; Linux net/ipv4/ip_forward.c",
    admitted=True,
    stage=Stage.FORWARD,
)
CAUSES = (ROUTING_LOOP,)


def check(case: Case, loss: Loss) -> Iterator[Finding]:
    """Findings `routing-loop`."""
    circles = list(loops(case, loss)) if loss.kind is LossKind.VANISHED else []
    if circles:
        yield _looping(case, loss, max(circles, key=lambda loop: (loop.packets, loop.times)))


def _looping(case: Case, loss: Loss, loop: Loop) -> Finding:
    noun = direction_noun(loss.path.direction, loop.packets)
    seen = f"{loop.packets} {noun} passed {place_text(loop.hop)} again and again, one of them {loop.times} times"
    text = f"{seen}, its time to live falling from {loop.highest} to {loop.lowest}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=loop.frames), *_sent_back(case, loss)]
    touched = dict.fromkeys(hop.tap.node for hop in loss.path.hops)
    for node in touched:
        growth = node_facts.grown(case, node, "Ip.InHdrErrors")
        if growth is not None and growth >= loss.packets:
            text = f"Ip.InHdrErrors of {node} grew by {growth}: time to live exceeded; {loss.packets} packets were lost"
            proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=text))
    target = loss.receivers[0]
    look = "; ".join(f"on {node}: ip route get {target}" for node in touched)
    return replace(
        error_finding(
            case,
            loss,
            ROUTING_LOOP,
            Confidence.CERTAIN if loop.packets >= loss.packets else Confidence.LIKELY,
            f"{loop.packets} {noun} went round in a circle between {' and '.join(touched)}",
            proofs,
            remediation=f"Look: {look}. {ROUTING_LOOP.remediation}",
        ),
        packets=min(loop.packets, loss.packets),
    )


def _sent_back(case: Case, loss: Loss) -> Iterator[Evidence]:
    """What each node on the path answers for the packets' destination, side by side."""
    for target in loss.receivers:
        said = []
        for node in dict.fromkeys(hop.tap.node for hop in loss.path.hops):
            answers = routes.answers(case, node, target, loss.senders)
            said += [f"{node} sends it {routes.answer_text(answers[-1])}"] if answers else []
        if said:
            yield Evidence(kind=EvidenceKind.CONFIG, text=f"the way to {target}: {'; '.join(said)}")
