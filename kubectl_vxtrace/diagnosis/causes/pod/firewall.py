"""Did a packet filter inside a pod's own network namespace take what came to it?"""

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
    """Finding `pod-firewall`: requests came to the server's last hop and nothing answered, or the client's TCP never acknowledged what came
    to its own; and for each the node's kernel dropped a packet by a packet filter right behind that. The tap of a pod's interface is the
    last of the node's own places: what drops there is the pod's.
    """
    if loss.kind is LossKind.REFUSED or not is_inside_pod(loss):
        return
    receiver = loss.path.receiver(loss.flow)
    node, pod = segment.start.tap.node, receiver.pod if receiver is not None else None
    match = next((match for match in match_kernel_drops(case, loss, reasons=_REASONS) if match.node == node), None)
    if match is None:
        return
    counted = sum(dropper.growth.packets or 0 for dropper in case.droppers.get(node, ()))
    doubts = [f"drops of other packets: rules of {node} itself counted {counted}"] if counted >= match.packets else []
    noun = direction_noun(loss.path.direction, loss.packets)
    or_answers = " or the answers to them" if loss.kind is LossKind.SILENT else ""
    yield error_finding(
        case,
        loss,
        POD_FIREWALL,
        Confidence.LIKELY,
        f"a packet filter inside the pod's own network namespace, behind {place_text(segment.start)}, dropped {loss.packets} {noun}"
        f"{or_answers}",
        [match.evidence],
        remediation=POD_FIREWALL.remedy(pod=pod or "the pod", node=node),
        not_ruled_out=doubts,
    )
