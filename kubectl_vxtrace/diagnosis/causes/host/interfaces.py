"""Is the interface up that should have seen the packets next?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

_WORDS = {Role.UNDERLAY: "NIC", Role.BRIDGE: "bridge", Role.POD: "pod's interface", Role.VXLAN: "VXLAN device"}

_NO_LINK = "without a link"


def check(case: Case) -> Iterator[Finding]:
    """Findings about NICs and bridges (`unknown`: no cause stands for those) and pods' interfaces (`pod-unreachable`) that are down or
    have no link, because their other end is down.

    VXLAN devices are another check's. Only what both looks found down is named.
    """
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.end is None or stretch.end.role is Role.VXLAN:
                continue
            state = nodes.interface_state(case, stretch.end) or (_NO_LINK if nodes.without_link(case, stretch.end) else None)
            if state is not None:
                yield _down(case, trouble, stretch, stretch.end, state)
                break


def _down(case: Case, trouble: Trouble, stretch: Stretch, end: Hop, state: str) -> Finding:
    what, node, interface = _WORDS[end.role], end.tap.node, end.tap.interface
    noun = direction_noun(trouble.path.direction, trouble.packets)
    does = "does" if trouble.packets == 1 else "do"
    return explain(
        case,
        trouble,
        "pod-unreachable" if end.role is Role.POD else "unknown",
        Confidence.LIKELY,
        f"the {what} {interface} of {node} is {state}; {trouble.packets} {noun} {does} not get past {place_text(stretch.start)}",
        [Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(end)} is {state}, before and after the capture")],
        remediation=_remedy(node, interface, state),
        not_ruled_out=("an earlier drop on the same leg",) if len(trouble.stretches) > 1 else (),
    )


def _remedy(node: str, interface: str, state: str) -> str:
    look = f"On {node}: ip link show {interface}"
    if state == _NO_LINK:
        return f"{look}; its other end is down (for a pod: ip link show eth0 inside it). Delete the pod if its sandbox is broken."
    return f"{look}; find out who set it {state}, and set it up again (ip link set {interface} up)."
