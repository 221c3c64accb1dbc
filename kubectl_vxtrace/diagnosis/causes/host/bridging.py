"""Do replies come back under the Service's address?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.off_path import come_from
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

BRIDGE_NETFILTER_OFF = Cause(
    slug="bridge-netfilter-off",
    remediation=(
        "Look: sysctl net.bridge.bridge-nf-call-iptables. Fix: modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 "
        "(and -ip6tables), and both in /etc/modules-load.d and /etc/sysctl.d."
    ),
    source="kubernetes/kubernetes issue 20475; cloudnativelabs/kube-router issues 151, 189; Linux ip-sysctl.rst (bridge-nf-call-iptables)",
)
CAUSES = (BRIDGE_NETFILTER_OFF,)


_SETTING = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}


def check(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `bridge-netfilter-off`: replies that a bridge brought to the client's interface under the backend's address, which no socket
    there takes."""
    if loss.path.direction is Direction.REPLY and loss.leg.to is None and _is_bridged(case, loss.flow, loss.path):
        yield from _untranslated(case, loss, segment.start)


def _is_bridged(case: Case, flow: Flow, path: Path) -> bool:
    """Whether both ends are pods of one node that hang on a bridge."""
    touched = {hop.tap.node for hop in path.hops}
    if len(touched) != 1 or flow.server is None or flow.service is None or flow.service.address is None:
        return False
    if any(hop.role is Role.BRIDGE for hop in path.hops):
        return True
    looks = node_facts.looks(case, path.hops[0].tap.node)
    names = {hop.tap.interface for hop in path.hops}
    masters = {link.master for facts in looks[-1:] for link in facts.links if link.name in names}
    return len(masters) == 1 and None not in masters


def _untranslated(case: Case, loss: Loss, last: Hop) -> Iterator[Finding]:
    flow, node = loss.flow, last.tap.node
    rows = rows_at(loss, last)
    name = _SETTING[6 if ":" in flow.client.address else 4]
    values = {facts.sysctls.get(name, "absent") for facts in node_facts.looks(case, node) if node_facts.answered(facts, "sysctls")}
    if not len(rows) or flow.server is None or flow.service is None or "1" in values:
        return
    if not come_from(case, last.tap, rows, flow.server.address):
        return
    noun = direction_noun(Direction.REPLY, len(rows))
    text = f"{len(rows)} {noun} at {place_text(last)} come from {flow.server.address}, not from {flow.service.address}"
    state = "no such setting: br_netfilter is not loaded" if "absent" in values else f"{name} = 0"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, last.tap, rows))]
    proofs += [Evidence(kind=EvidenceKind.CONFIG, text=f"{node}: {state}")] if values else []
    yield error_finding(
        case,
        loss,
        BRIDGE_NETFILTER_OFF,
        Confidence.CERTAIN if values else Confidence.LIKELY,
        f"{len(rows)} {noun} reach the client from {flow.server.address} instead of the Service's {flow.service.address}",
        proofs,
    )
