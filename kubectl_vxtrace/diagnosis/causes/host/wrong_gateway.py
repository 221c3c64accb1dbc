"""Does the sender's route lead to the VTEP of the node on which the pod runs?"""

from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_vxtrace.diagnosis.ends import home_of, receivers, senders
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence import routes as ways
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import frames_between
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.facts import RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Vtep
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Misrouting:
    """A route for a pod of `home` whose gateway is the VTEP of another node. `always`: in all looks."""

    answer: RouteLookup
    home: str
    owner: Vtep
    always: bool


def check(case: Case) -> Iterator[Finding]:
    """Findings `duplicate-pod-cidr` where that node takes the pod's block for its own, else `route-missing`, for packets that left the
    sender's VXLAN device and did not come to the pod's node."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            found = misrouting(case, trouble, stretch)
            if found is not None:
                yield _finding(case, trouble, stretch, found)
                break


def misrouting(case: Case, trouble: Trouble, stretch: Stretch) -> Misrouting | None:
    """The wrong route behind packets that were lost from the sender's VXLAN device on, None if its route is not to blame."""
    if stretch.place not in (Place.ENCAPSULATE, Place.WIRE):
        return None
    node = stretch.start.tap.node
    for target in receivers(trouble):
        home = home_of(trouble, target)
        if home is None or home == node:
            continue
        answers = ways.answers(case, node, target, senders(trouble))
        owners = [_owner(case, answer.gateway) for answer in answers]
        wrong = [(answer, owner) for answer, owner in zip(answers, owners, strict=True) if owner is not None and owner.node != home]
        if wrong:
            return Misrouting(answer=wrong[-1][0], home=home, owner=wrong[-1][1], always=len(wrong) == len(answers))
    return None


def _owner(case: Case, gateway: str | None) -> Vtep | None:
    return next((vtep for vtep in case.recording.overlay.vteps if gateway is not None and vtep.address == gateway), None)


def _finding(case: Case, trouble: Trouble, stretch: Stretch, found: Misrouting) -> Finding:
    node, target, owner = stretch.start.tap.node, found.answer.destination, found.owner
    claims = ways.claims(case, target)
    text = f"{node} on the way to {target}: {ways.answer_text(found.answer)}, the VTEP of {owner.node}; the pod runs on {found.home}"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=text)]
    proofs += [
        Evidence(kind=EvidenceKind.CONFIG, text=f"{name} takes the block of {target} for its own: {claims[name]}")
        for name in (owner.node, found.home)
        if name in claims
    ]
    sent = [header for header in encapsulations(case, trouble, stretch.start) if header.destination == owner.underlay_address]
    if sent:
        text = f"{sent[0].frames} of them left {place_text(stretch.start)} for {owner.underlay_address}, an address of {owner.node}"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text))
    for one in frames_between(case, owner.node, senders(trouble), (target,)):
        text = f"{one.count} x {one.text} at {one.tap.node}/{one.tap.interface}, the wrong node"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=one.frames))
    peer = nodes.vtep(case, found.home)
    gateway = peer.address if peer is not None and peer.address is not None else f"the VTEP of {found.home}"
    look = f"Look on {node}: ip route get {target}; on {owner.node} and {found.home}: ip route | grep blackhole; calicoctl ipam check. "
    return explain(
        case,
        trouble,
        "duplicate-pod-cidr" if {owner.node, found.home} <= claims.keys() else "route-missing",
        Confidence.CERTAIN if found.always and sent else Confidence.LIKELY,
        f"{node} sends packets for {target}, a pod of {found.home}, to {owner.node}",
        proofs,
        remediation=f"{look}Mend: the route of {node} belongs to {gateway}; give the block to one node, restart the agents of the others.",
    )
