"""Do the nodes' routing tables lead the packets to the next hop?"""

from collections.abc import Callable, Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.policy_route import POLICY_ROUTE
from kubectl_vxtrace.diagnosis.causes.host.policy_route import remedy as policy_route_remedy
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.answers import HOST_UNREACHABLE, icmp_answers, unresolved
from kubectl_vxtrace.diagnosis.evidence.diversions import Diversion, diversion, refusal
from kubectl_vxtrace.diagnosis.evidence.loops import loops
from kubectl_vxtrace.diagnosis.evidence.lost_packets import minimum_counter_growth
from kubectl_vxtrace.diagnosis.evidence.node_addresses import is_node_address
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames
from kubectl_vxtrace.diagnosis.evidence.owners import is_nobodys
from kubectl_vxtrace.diagnosis.evidence.pod_devices import ForeignInterface, foreign_interface, lacks_device
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, is_routed, leads_to_pod
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

ROUTE_MISSING = Cause(
    slug="route-missing",
    remediation=(
        "Look on {node}: ip route get {pod} from {source} iif {device}; ip route show table all. Fix: {fix}; keep systemd-networkd and "
        "NetworkManager from removing foreign routes."
    ),
    source="cilium/cilium issue 18706; flatcar/Flatcar issue 620; systemd/systemd issue 25451; Linux net/ipv4/route.c (ip_error)",
    admitted=True,
    stage=Stage.ROUTE_INPUT,
    of_table=True,
)
POD_ROUTE_MISSING = Cause(
    slug="pod-route-missing",
    remediation=(
        "Look on the pod's node: ip route get POD says 'Invalid argument'; ip link show of its cali interface. Fix: ip link set "
        "INTERFACE up, restart calico-node; delete the pod if its interface is gone."
    ),
    source="projectcalico/calico issues 1406, 2612, 4471; Linux net/ipv4/route.c (ip_error: EINVAL is silent)",
    admitted=True,
    stage=Stage.ROUTE_INPUT,
    of_table=True,
)
DUPLICATE_POD_CIDR = Cause(
    slug="duplicate-pod-cidr",
    remediation=(
        "Look: kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR; calicoctl ipam check; kubectl get "
        "blockaffinities. Find which of the two is right first: the IPAM (Calico) or the Node's podCIDR (flannel) names one owner. On the "
        "other, restart the network agent, so that it takes a block of its own; pods there that have addresses of this one are made anew."
    ),
    source="projectcalico/calico issues 6001, 12257; flannel-io/flannel issues 805, 1549",
    stage=Stage.ROUTE_INPUT,
    of_table=True,
)
CAUSES = (
    ROUTE_MISSING,
    POD_ROUTE_MISSING,
    DUPLICATE_POD_CIDR,
)


# What to do where the node has lost the route to a pod of its own.
_OWN_POD = (
    "Look on {node}: ip route get {pod} from {source} iif {coming_in}; ip route; ip link show {device} ({kind}). Fix: ip route add "
    "{pod} dev {device} scope link, or delete the pod so that its network is made anew; then find who removed the route (log of the CNI "
    "and of systemd-networkd)."
)
# What to do where it leads to another pod's interface.
_FOREIGN = (
    "Look on {node}: ip route get {pod}; ip -d link show {own}. Fix: ip route replace {pod} dev {own} scope link, or restart the network "
    "agent of the node, which writes the route anew; then find what wrote the one by {taken} (a pod that had the address before, a second "
    "CNI). No pod is to be deleted for it."
)
# RFC 792 and RFC 4443, 3.1: no route, host unreachable (an `unreachable` route), prohibited (a `prohibit` route).
_NO_WAY = frozenset({(3, 0), (3, 1), (3, 13), (1, 0), (1, 1), (1, 3)})
# Drops beside the routing table: the reverse path filter, and packets that are not forwarded.
_OTHER_DROPS = ("TcpExt.IPReversePathFilter", "Ip.InAddrErrors")
_NO_ROUTE_COUNTERS = {4: "IpExt.InNoRoutes", 6: "Ip6InNoRoutes"}


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `route-missing` (towards another node), `pod-route-missing` (to a pod of the node itself) and `duplicate-pod-cidr`.

    Packets that go round in a circle met routes, only not the right ones: they are another check's.
    """
    if _is_device_gone(case, segment) or lacks_device(case, loss, segment) or any(loops(case, loss)):
        return
    if leads_to_pod(segment) and is_nobodys(case, loss.flow):
        return  # no pod is there that a route could lead to
    foreign = foreign_interface(case, loss, segment)
    if foreign is not None:
        yield _foreign(case, loss, segment, foreign)
        return
    node = segment.start.tap.node
    into_tunnel = segment.end is not None and segment.end.role is Role.VXLAN
    for target in loss.receivers:
        if into_tunnel and is_node_address(case, target):
            continue  # it is a tunnel's outer address: led into the tunnel, nothing would come to that node any more
        answers = routes.answers(case, node, target, loss.senders)
        at_home = segment.end is None and loss.home_of(target) == node
        leads_off_path = _is_refused if at_home else _leads_off_path if is_routed(segment) else _stays(loss, target)
        wrong = [answer for answer in answers if leads_off_path(case, segment, answer)]
        # Where programs steer packets, none of a healthy node's routes leads along the path: only what shows that they met one counts.
        if wrong and (_witnesses(case, loss, segment, wrong[-1])[0] or not node_facts.is_steered(case, node)):
            yield _finding(case, loss, segment, wrong[-1], always=len(wrong) == len(answers))


def _foreign(case: Case, loss: Loss, segment: AnySegment, foreign: ForeignInterface) -> Finding:
    """The route to the pod leads to the interface of another one."""
    node, target = segment.start.tap.node, foreign.address
    asked = unresolved(case, segment.end, target) if segment.end is not None else ()
    errors = [error.evidence("host unreachable") for error in icmp_answers(case, loss) if error.is_one_of(HOST_UNREACHABLE)]
    whose = f", to which {node} leads {', '.join(foreign.others)} as well" if foreign.others else ""
    config = f"{node} on the way to {target}: dev {foreign.taken}{whose}; the interface whose other end has {target} is {foreign.own}"
    witnessed = bool(asked or errors)
    return error_finding(
        case,
        loss,
        POD_ROUTE_MISSING,
        Confidence.CERTAIN if foreign.always and witnessed else Confidence.LIKELY,
        f"the route of {node} to its own pod {target} leads to {foreign.taken}, another pod's interface; the pod's is {foreign.own}",
        [Evidence(kind=EvidenceKind.CONFIG, text=config), *asked, *errors],
        remediation=_FOREIGN.format(node=node, pod=target, taken=foreign.taken, own=foreign.own),
        not_ruled_out=() if witnessed else (f"an earlier drop on {node}: nothing but the routing table speaks of it",),
    )


def _is_device_gone(case: Case, segment: AnySegment) -> bool:
    """Whether the interface that should come next is down, absent or without a link: its routes are gone because of that."""
    return segment.end is not None and (
        node_facts.interface_state(case, segment.end) is not None or node_facts.without_link(case, segment.end)
    )


def _is_refused(_: Case, __: AnySegment, answer: RouteLookup) -> bool:
    """Whether the node takes away what is for a pod of its own, for which any of its interfaces may be right."""
    return answer.type != "local" and routes.is_refused(answer)


def _leads_off_path(case: Case, segment: AnySegment, answer: RouteLookup) -> bool:
    """Whether the kernel's answer is another than the next hop asks for. An address of the node itself is another check's."""
    if answer.type == "local":
        return False
    if routes.is_refused(answer):
        return True
    if segment.end is not None:
        return bool(segment.end.tap.interface) and answer.device != segment.end.tap.interface
    return not any(_is_vxlan(facts, answer.device) for facts in node_facts.looks(case, segment.start.tap.node))


def _stays(loss: Loss, target: str) -> Callable[[Case, AnySegment, RouteLookup], bool]:
    """Whether the node would send what is for a pod of another node to the bridge that it comes from.

    With br_netfilter the bridge then switches it and does not hand it up (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish).
    """
    home = loss.home_of(target)

    def stays(_: Case, segment: AnySegment, answer: RouteLookup) -> bool:
        bridge = next((hop for hop in (segment.start, segment.end) if hop is not None and hop.role is Role.BRIDGE), None)
        elsewhere = home is not None and home != segment.start.tap.node
        return elsewhere and bridge is not None and answer.gateway is None and answer.device == bridge.tap.interface

    return stays


def _finding(case: Case, loss: Loss, segment: AnySegment, answer: RouteLookup, *, always: bool) -> Finding:
    node, target = segment.start.tap.node, answer.destination
    owners = _rival_claims(case, loss, node, target)
    refused = refusal(case, loss, segment, target) if routes.is_refused(answer) else None
    diverted = None if owners else refused or diversion(case, answer, node, loss.senders)
    cause = _cause(segment, diverted, shared=bool(owners))
    proofs, witnessed = _witnesses(case, loss, segment, answer)
    config = [
        Evidence(kind=EvidenceKind.CONFIG, text=text)
        for text in (*_tables(case, node, answer, segment), *owners, *(diverted.texts if diverted is not None else ()))
    ]
    confidence = Confidence.CERTAIN if always and witnessed else Confidence.LIKELY if always or witnessed else Confidence.POSSIBLE
    return error_finding(
        case,
        loss,
        cause,
        confidence,
        _summary(cause, node, target, segment, answer) + (f": {diverted.reason}" if diverted is not None else ""),
        [*config, *proofs],
        remediation=(
            _remedy(case, loss, segment, cause, answer) if diverted is None else policy_route_remedy(diverted, target, loss.senders[0])
        ),
        not_ruled_out=() if witnessed else (f"an earlier drop on {node}: nothing but the routing table speaks of it",),
    )


def _cause(segment: AnySegment, diverted: Diversion | None, *, shared: bool) -> Cause:
    """Which cause a wrong answer is; `shared`: two nodes take the block for their own."""
    if shared:
        return DUPLICATE_POD_CIDR
    if diverted is not None:
        return POLICY_ROUTE
    return POD_ROUTE_MISSING if leads_to_pod(segment) else ROUTE_MISSING


def _rival_claims(case: Case, loss: Loss, node: str, target: str) -> tuple[str, ...]:
    """Where `node` takes the block of another node's pod for its own, while that node does so as well: both claims."""
    home = loss.home_of(target)
    owners = routes.block_owners(case, target)
    if home is None or home == node or not {home, node} <= owners.keys():
        return ()
    return tuple(f"{name} takes the block of {target} for its own: {owners[name]}" for name in (home, node))


def _tables(case: Case, node: str, answer: RouteLookup, segment: AnySegment) -> Iterator[str]:
    """What the node answers, the line behind that, and for comparison a line of the table that leads to another node's block."""
    named = segment.end.tap.interface if segment.end is not None else None
    wanted = f", not {named}" if named and answer.device not in (None, named) else ""
    yield f"{node} on the way to {answer.destination}: {routes.answer_text(answer)}{wanted}"
    last = node_facts.looks(case, node)[-1]
    lines = routes.lines_for(last, answer.destination) if node_facts.answered(last, "routes") else ()
    if lines:
        yield f"the narrowest route of {node} that covers it: {routes.line_text(lines[0])}"
    if not leads_to_pod(segment):
        others = [route for route in last.routes if _is_vxlan(last, route.device) and route.gateway is not None]
        if others:
            yield f"{node} has routes to other nodes' pods: {'; '.join(routes.line_text(route) for route in others[:3])}"


def _is_vxlan(facts: NodeFacts, device: str | None) -> bool:
    link = facts.link(device) if device is not None else None
    return link is not None and link.vxlan is not None


def _witnesses(case: Case, loss: Loss, segment: AnySegment, answer: RouteLookup) -> tuple[list[Evidence], bool]:
    """What shows that the packets met that route, and whether it accounts for all of them."""
    node, taken = segment.start.tap.node, minimum_counter_growth(loss)
    counter = _NO_ROUTE_COUNTERS[6 if ":" in answer.destination else 4]
    growth = node_facts.grown(case, node, counter)
    counted = growth is not None and growth >= taken
    errors = [error for error in icmp_answers(case, loss) if error.is_one_of(_NO_WAY)]
    bare = list(bare_frames(case, node, loss.senders, loss.receivers))
    bridges = [hop for hop in (segment.start, segment.end) if hop is not None and hop.role is Role.BRIDGE]
    asked = {bridge: unresolved(case, bridge, answer.destination) for bridge in bridges}
    text = f"{counter} of {node} grew by {growth}; {loss.packets} packets were lost"
    proofs = [
        *([Evidence(kind=EvidenceKind.COUNTER, text=text)] if counted else []),
        *(error.evidence() for error in errors),
        *(frames.evidence(", without encapsulation") for frames in bare),
        *(proof for proofs in asked.values() for proof in proofs),
    ]
    full = (
        counted
        or any(error.count >= taken for error in errors)
        or sum(frames.count for frames in bare) >= taken
        or any(proofs and answer.device == bridge.tap.interface for bridge, proofs in asked.items())
    )
    taking = _taking_line(case, node, answer)
    if not full and taking is not None and not any(node_facts.grown(case, node, name) for name in _OTHER_DROPS):
        text = f"{taking} takes packets {routes.REFUSING[taking.split()[0]]}; no counter of {node} speaks of another drop"
        return [*proofs, Evidence(kind=EvidenceKind.ABSENCE, text=text)], True
    return proofs, full


def _taking_line(case: Case, node: str, answer: RouteLookup) -> str | None:
    """The narrowest line of the table if it is one that takes packets away."""
    if answer.error is None:
        return None
    lines = routes.lines_for(node_facts.looks(case, node)[-1], answer.destination)
    return routes.line_text(lines[0]) if lines and lines[0].type in routes.REFUSING else None


def _summary(cause: Cause, node: str, target: str, segment: AnySegment, answer: RouteLookup) -> str:
    if cause is DUPLICATE_POD_CIDR:
        return f"{node} takes the block of {target}, a pod of another node, for its own"
    what = "its own pod" if cause is POD_ROUTE_MISSING else "the pod"
    if routes.is_refused(answer):
        return f"{node} has no route to {what} {target} ({routes.answer_text(answer)})"
    wanted = segment.end.tap.interface if segment.end is not None else "the VXLAN device"
    return f"{node} sends packets for {what} {target} {routes.answer_text(answer)}, not to {wanted}"


def _remedy(case: Case, loss: Loss, segment: AnySegment, cause: Cause, answer: RouteLookup) -> str | None:
    """The command to look, and the one that fixes it for now; None leaves the cause's own words."""
    node, target, source = segment.start.tap.node, answer.destination, loss.senders[0]
    coming_in = segment.start.tap.interface or "INTERFACE"
    if cause is DUPLICATE_POD_CIDR:
        return None
    if cause is POD_ROUTE_MISSING:
        device = segment.end.tap.interface if segment.end is not None else "INTERFACE"
        kind = "the pod's bridge" if segment.end is not None and segment.end.role is Role.BRIDGE else "the pod's interface"
        return _OWN_POD.format(node=node, pod=target, source=source, coming_in=coming_in, device=device, kind=kind)
    home = loss.home_of(target)
    vtep = node_facts.vtep(case, home) if home is not None else None
    own = node_facts.vtep(case, node)
    fix = "restart the network agent of the node"
    if vtep is not None and vtep.address is not None and own is not None:
        line = routes.block_owners(case, target).get(home or "")
        block = next((word for word in (line or "").split() if "/" in word), f"{target}/32")
        fix = f"ip route replace {block} via {vtep.address} dev {own.interface} onlink, or {fix}"
    return ROUTE_MISSING.remedy(node=node, pod=target, source=source, device=coming_in, fix=fix)
