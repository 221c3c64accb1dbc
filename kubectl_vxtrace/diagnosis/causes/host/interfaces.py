"""Is the interface up that should have seen the packets next?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.diagnosis.causes.host.next_hop import POD_UNREACHABLE
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_WORDS = {Role.UNDERLAY: "NIC", Role.BRIDGE: "bridge", Role.POD: "pod's interface", Role.VXLAN: "VXLAN device"}

_NO_LINK = "without a link"


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings about NICs and bridges (`unknown`: no cause stands for those) and pods' interfaces (`pod-unreachable`) that are down or
    have no link, because their other end is down.

    VXLAN devices are another check's. Only what both looks found down is named, and of a leg the first.
    """
    state = _state(case, segment)
    earlier = loss.segments[: loss.segments.index(segment)]
    if state is not None and not any(_state(case, before) for before in earlier):
        yield _down(case, loss, segment, state)


def _state(case: Case, segment: AnySegment) -> str | None:
    """What is wrong with the interface that should come next, None if it is up, not known, or a VXLAN device."""
    if segment.end is None or segment.end.role is Role.VXLAN:
        return None
    return node_facts.interface_state(case, segment.end) or (_NO_LINK if node_facts.without_link(case, segment.end) else None)


def _down(case: Case, loss: Loss, segment: Segment, state: str) -> Finding:
    end = segment.end
    what, node, interface = _WORDS[end.role], end.tap.node, end.tap.interface
    noun = direction_noun(loss.path.direction, loss.packets)
    does = "does" if loss.packets == 1 else "do"
    return error_finding(
        case,
        loss,
        POD_UNREACHABLE if end.role is Role.POD else UNKNOWN,
        Confidence.LIKELY,
        f"the {what} {interface} of {node} is {state}; {loss.packets} {noun} {does} not get past {place_text(segment.start)}",
        [Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(end)} is {state}, before and after the capture")],
        remediation=_remedy(node, interface, state),
        not_ruled_out=("an earlier drop on the same leg",) if len(loss.segments) > 1 else (),
    )


def _remedy(node: str, interface: str, state: str) -> str:
    look = f"On {node}: ip link show {interface}"
    if state == _NO_LINK:
        return f"{look}; its other end is down (for a pod: ip link show eth0 inside it). Delete the pod if its sandbox is broken."
    return f"{look}; find out who set it {state}, and set it up again (ip link set {interface} up)."
