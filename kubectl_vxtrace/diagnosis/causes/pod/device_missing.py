"""Does the pod's interface hang where its node leads packets to?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames
from kubectl_vxtrace.diagnosis.evidence.owners import host_end
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment, leads_to_pod
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Endpoint, Tap
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

# Before the capture and after it: what both found was so all the time.
_LOOKS = 2


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `pod-device-missing` where no interface of the node leads to the pod: it has none, its bridge is gone, or its veth hangs on
    no bridge although the route leads to one."""
    pod, node = loss.path.receiver(loss.flow), segment.start.tap.node
    if pod is None or pod.pod is None or pod.host_network or node != pod.node or not leads_to_pod(segment):
        return
    looks = [facts for facts in node_facts.looks(case, node) if node_facts.answered(facts, "links")]
    missing = [text for facts in looks if (text := _missing(case, facts, segment, pod)) is not None]
    if not missing:
        return
    told = routes.answers(case, node, pod.address, loss.senders)
    way = f", and {node} on the way to its own pod {pod.address}: {routes.answer_text(told[-1])}" if told else ""
    noun = direction_noun(loss.path.direction, loss.packets)
    bare = bare_frames(case, node, loss.senders, loss.receivers)
    yield error_finding(
        case,
        loss,
        POD_DEVICE_MISSING,
        Confidence.CERTAIN if len(missing) == len(looks) == _LOOKS else Confidence.LIKELY,
        f"{missing[-1]}; {node} has no way to its own pod: {loss.packets} {noun} got no further than {place_text(segment.start)}",
        [
            Evidence(kind=EvidenceKind.CONFIG, text=f"{missing[-1]}{way}"),
            *(frames.evidence(", sent on without encapsulation") for frames in bare),
        ],
        remediation=POD_DEVICE_MISSING.remedy(node=node, pod=pod.address, name=pod.pod),
        not_ruled_out=(f"an earlier drop on {node} as well",),
    )


def _missing(case: Case, facts: NodeFacts, segment: Segment, pod: Endpoint) -> str | None:
    """What is not there by one look at the node; None where the pod's interface hangs as it should, or nothing names it."""
    veth = host_end(facts, pod.address)
    cni = next((each for each in case.recording.cnis if each.backend == case.recording.overlay.backend), None)
    bridge = cni.bridge if cni is not None else None
    if bridge is not None and facts.link(bridge) is None:
        what = f"{veth.name} of {pod.pod}" if veth is not None else pod.pod
        return f"the bridge {bridge} of {facts.node} is gone: {what} hangs on no bridge"
    answer = routes.local_lookup(facts, pod.address)
    routed = facts.link(answer.device) if answer is not None and answer.device is not None else None
    if veth is not None and routed is not None and routed.kind == "bridge" and veth.master != routed.name:
        return f"{veth.name}, the interface of {pod.pod}, is no port of {routed.name}, to which {facts.node} sends what is for the pod"
    if veth is None and segment.end.tap == Tap(node=facts.node, interface="", place=pod.address):
        return f"{facts.node} has no interface that leads to {pod.pod}"
    return None
