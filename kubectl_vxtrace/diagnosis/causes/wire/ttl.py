"""Does the outer packet live long enough to get to the other node?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence.answers import expired_outer_answers
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Finding

OUTER_TTL_EXPIRED = Cause(
    slug="outer-ttl-expired",
    remediation=(
        "Look on {node}: ip -d link show {device} (ttl); traceroute -n -U -p {port} {peer}: {router} is where it ends. Fix: ip link set "
        "{device} type vxlan ttl 64, and find what made the device with less; if the nodes are that far apart, or packets go in circles "
        "between routers, the routes of {router}."
    ),
    source="RFC 791, 3.1 and RFC 1812, 5.3.1 (time to live); RFC 792; Linux drivers/net/vxlan/vxlan_core.c (vxlan_xmit_one); ip-link(8)",
)
CAUSES = (OUTER_TTL_EXPIRED,)


def check(case: LossCase, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `outer-ttl-expired`: a router between the nodes says that it dropped encapsulated packets for their time to live.

    Routers send such errors at a limited rate (RFC 1812, 4.3.2.8): where none of the packets arrived, one that quotes some speaks for all.
    """
    errors = expired_outer_answers(case, loss, case.losses)
    headers = encapsulations(case, loss, segment.start)
    if not errors or not headers:
        return
    sender, router = segment.start.tap.node, errors[0].source
    device = next((hop.tap.interface for hop in loss.path.hops if hop.role is Role.VXLAN and hop.tap.node == sender), "") or "DEVICE"
    noun, peer = direction_noun(loss.path.direction, loss.packets), headers[0].destination
    yield error_finding(
        case,
        loss,
        OUTER_TTL_EXPIRED,
        Confidence.LIKELY if loss.arrived else Confidence.CERTAIN,
        f"{loss.packets} encapsulated {noun} from {sender} to {peer} ended at {router}: their outer time to live was used up",
        [error.evidence("time to live exceeded") for error in errors],
        remediation=OUTER_TTL_EXPIRED.remedy(node=sender, device=device, port=headers[0].port, peer=peer, router=router),
        not_ruled_out=(f"another loss for those that no error quotes: {loss.arrived} got through",) if loss.arrived else (),
    )
