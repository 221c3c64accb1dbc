"""Does the pod's interface hang where its node leads packets to?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames
from kubectl_vxtrace.diagnosis.evidence.owners import host_end
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, leads_to_pod
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

POD_DEVICE_MISSING = Cause(
    slug="pod-device-missing",
    remediation=(
        "Look on {node}: ip route get {pod}; bridge link; ip link show type veth. Fix: let the CNI make the pod's network anew, by "
        "deleting {name} once its controller can make another; where a bridge is gone, all pods of {node} need that. Then find what "
        "took the device away (a node's network manager, a second CNI, an uninstall script)."
    ),
    source="k3s-io/k3s issue 9558; containernetworking/plugins plugins/main/bridge (makes the bridge only when a pod is added)",
)
CAUSES = (POD_DEVICE_MISSING,)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `pod-device-missing` where no interface of the node leads to the pod: it has none, its bridge is gone, or its veth hangs on
    no bridge although the route leads to one."""
    pod, node = _receiver(loss), segment.start.tap.node
    if pod is None or pod.pod is None or pod.host_network or node != pod.node or not leads_to_pod(segment):
        return
    missing = _missing(case, segment, pod)
    if missing is None:
        return
    told = routes.answers(case, node, pod.address, loss.senders)
    wrong = [answer for answer in told if routes.is_refused(answer) or answer.gateway is not None]
    seen = list(bare_frames(case, node, loss.senders, loss.receivers))
    sure = (len(wrong) == len(told) and bool(told)) or segment.start.role is Role.BRIDGE
    full = sum(frames.count for frames in seen) >= minimum_counter_growth(loss)
    proofs = (
        [Evidence(kind=EvidenceKind.CONFIG, text=f"{node} on the way to {pod.address}: {routes.answer_text(told[-1])}")] if told else []
    )
    noun = direction_noun(loss.path.direction, loss.packets)
    way = f", and {node} has no route to its own pod {pod.address} ({routes.answer_text(wrong[-1])})" if wrong else ""
    yield error_finding(
        case,
        loss,
        POD_DEVICE_MISSING,
        Confidence.CERTAIN if sure and full else Confidence.LIKELY,
        f"{missing}{way}: {loss.packets} {noun} got no further than {place_text(segment.start)}",
        [
            Evidence(kind=EvidenceKind.CONFIG, text=missing),
            *proofs,
            *(frames.evidence(", sent on without encapsulation") for frames in seen),
        ],
        remediation=POD_DEVICE_MISSING.remedy(node=node, pod=pod.address, name=pod.pod),
        not_ruled_out=() if full else (f"an earlier drop on {node}",),
    )


def _receiver(loss: Loss) -> Endpoint | None:
    return loss.path.receiver(loss.flow)


def _missing(case: Case, segment: Segment, pod: Endpoint) -> str | None:
    """What is not there, by the last look at the node; None where the pod's interface hangs as it should, or nothing names it."""
    node = segment.start.tap.node
    last = next(iter(node_facts.looks(case, node)[-1:]), None)
    if last is None or not node_facts.answered(last, "links"):
        return None
    veth = host_end(case, node, pod.address)
    cni = next((each for each in case.recording.cnis if each.backend == case.recording.overlay.backend), None)
    bridge = cni.bridge if cni is not None else None
    if bridge is not None and last.link(bridge) is None:
        hangs = (
            f"{veth.name} of {pod.pod} hangs on no bridge" if veth is not None and veth.master is None else f"{pod.pod} hangs on nothing"
        )
        return f"the bridge {bridge} of {node} is gone: {hangs}"
    routed = next((answer.device for answer in last.lookups if answer.destination == pod.address and answer.source is None), None)
    link = last.link(routed) if routed is not None else None
    if veth is not None and link is not None and link.kind == "bridge" and veth.master != link.name:
        return f"{veth.name}, the interface of {pod.pod}, is no port of {link.name}, to which {node} sends what is for the pod"
    if veth is None and not segment.end.tap.interface and segment.end.tap.place == pod.address:
        return f"{node} has no interface that leads to {pod.pod}"
    return None
