"""Does the pod's interface hang where its node leads packets to?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import routes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames
from kubectl_vxtrace.diagnosis.evidence.pod_devices import missing_devices
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
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
    looks = missing_devices(case, loss, segment)
    missing = [text for text in looks if text is not None]
    if pod is None or not missing:
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
        remediation=POD_DEVICE_MISSING.remedy(node=node, pod=pod.address, name=pod.pod or pod.address),
        not_ruled_out=(f"an earlier drop on {node} as well",),
    )
