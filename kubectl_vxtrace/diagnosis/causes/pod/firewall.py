"""Did a packet filter inside the server's own network namespace take the requests?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import match_kernel_drops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.evidence.places_to_look import is_inside_pod
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind
from kubectl_vxtrace.model.report import Confidence, Finding

POD_FIREWALL = Cause(
    slug="pod-firewall",
    remediation=(
        "Look in the network namespace of {pod} on {node} (nsenter --net=/proc/PID/ns/net, or kubectl debug with --profile=netadmin): "
        "iptables-save -c; nft list ruleset. Fix what writes those rules: a sidecar or init container (Istio, Linkerd, a VPN client as "
        "Tailscale), a firewall in the image. Rules of the node and policies have no say there."
    ),
    source="tailscale/tailscale issue 19876; Linux net/netfilter/core.c (nf_hook_slow)",
)
CAUSES = (POD_FIREWALL,)

_REASONS = ("NETFILTER_DROP",)


def check(case: LossCase, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Finding `pod-firewall`: requests came to the server's last hop, nothing answered, and for each the node's kernel dropped a packet by
    a packet filter right behind that. The tap of a pod's interface is the last of the node's own places: what drops there is the pod's.
    """
    if loss.kind is not LossKind.SILENT or not is_inside_pod(loss):
        return
    node, pod = segment.start.tap.node, loss.flow.server.pod if loss.flow.server is not None else None
    match = next((match for match in match_kernel_drops(case, loss, reasons=_REASONS) if match.node == node), None)
    if match is None:
        return
    counted = sum(dropper.growth.packets or 0 for dropper in case.droppers.get(node, ()))
    doubts = [f"drops of other packets: rules of {node} itself counted {counted}"] if counted >= match.packets else []
    noun = direction_noun(loss.path.direction, loss.packets)
    yield error_finding(
        case,
        loss,
        POD_FIREWALL,
        Confidence.LIKELY,
        f"a packet filter inside the pod's own network namespace, behind {place_text(segment.start)}, dropped {loss.packets} {noun} or the "
        "answers to them",
        [match.evidence],
        remediation=POD_FIREWALL.remedy(pod=pod or "the pod", node=node),
        not_ruled_out=doubts,
    )
