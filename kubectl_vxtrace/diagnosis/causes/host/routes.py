"""Do the nodes' routing tables lead the packets to the next hop?"""

from collections.abc import Callable, Iterator

from kubectl_vxtrace.diagnosis.ends import frames_taken, home_of, is_routed, is_towards_pod, receivers, senders
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence import routes as ways
from kubectl_vxtrace.diagnosis.evidence.lost_packets import arp_questions, frame_refs, icmp_answers, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import bare_frames, loops
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792 and RFC 4443, 3.1: no route, host unreachable (an `unreachable` route), prohibited (a `prohibit` route).
_NO_WAY = frozenset({(3, 0), (3, 1), (3, 13), (1, 0), (1, 1), (1, 3)})
# Drops beside the routing table: the reverse path filter, and packets that are not forwarded.
_OTHER_DROPS = ("TcpExt.IPReversePathFilter", "Ip.InAddrErrors")
_NO_ROUTE_COUNTERS = {4: "IpExt.InNoRoutes", 6: "Ip6InNoRoutes"}


def check(case: Case) -> Iterator[Finding]:
    """Findings `route-missing` (towards another node), `pod-route-missing` (to a pod of the node itself) and `duplicate-pod-cidr`.

    Packets that go round in a circle met routes, only not the right ones: they are another check's.
    """
    for trouble in troubles(case):
        if any(loops(case, trouble)):
            continue
        for stretch in trouble.stretches:
            if stretch.place is Place.FORWARD and not _is_device_gone(case, stretch):
                yield from _at(case, trouble, stretch)


def _is_device_gone(case: Case, stretch: Stretch) -> bool:
    """Whether the interface that should come next is down, absent or without a link: its routes are gone because of that."""
    return stretch.end is not None and (nodes.interface_state(case, stretch.end) is not None or nodes.without_link(case, stretch.end))


def _at(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    node = stretch.start.tap.node
    for target in receivers(trouble):
        found = ways.answers(case, node, target, senders(trouble))
        astray = _leads_astray if is_routed(stretch) else _stays(trouble, target)
        wrong = [answer for answer in found if astray(case, stretch, answer)]
        if wrong:
            yield _finding(case, trouble, stretch, wrong[-1], always=len(wrong) == len(found))


def _leads_astray(case: Case, stretch: Stretch, answer: RouteLookup) -> bool:
    """Whether the kernel's answer is another than the next hop asks for. An address of the node itself is another check's."""
    if answer.type == "local":
        return False
    if ways.is_refused(answer):
        return True
    if stretch.end is not None:
        return bool(stretch.end.tap.interface) and answer.device != stretch.end.tap.interface
    return not any(_is_vxlan(facts, answer.device) for facts in nodes.looks(case, stretch.start.tap.node))


def _stays(trouble: Trouble, target: str) -> Callable[[Case, Stretch, RouteLookup], bool]:
    """Whether the node would send what is for a pod of another node to the bridge that it comes from.

    With br_netfilter the bridge then switches it and does not hand it up (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish).
    """
    home = home_of(trouble, target)

    def stays(_: Case, stretch: Stretch, answer: RouteLookup) -> bool:
        bridge = next((hop for hop in (stretch.start, stretch.end) if hop is not None and hop.role is Role.BRIDGE), None)
        elsewhere = home is not None and home != stretch.start.tap.node
        return elsewhere and bridge is not None and answer.gateway is None and answer.device == bridge.tap.interface

    return stays


def _finding(case: Case, trouble: Trouble, stretch: Stretch, answer: RouteLookup, *, always: bool) -> Finding:
    node, target = stretch.start.tap.node, answer.destination
    owners = _rival_claims(case, trouble, node, target)
    cause = "duplicate-pod-cidr" if owners else "pod-route-missing" if is_towards_pod(stretch.end) else "route-missing"
    proofs, witnessed = _witnesses(case, trouble, stretch, answer)
    config = [Evidence(kind=EvidenceKind.CONFIG, text=text) for text in (*_tables(case, node, answer, stretch), *owners)]
    confidence = Confidence.CERTAIN if always and witnessed else Confidence.LIKELY if always or witnessed else Confidence.POSSIBLE
    return explain(
        case,
        trouble,
        cause,
        confidence,
        _summary(cause, node, target, stretch, answer),
        [*config, *proofs],
        remediation=_remedy(case, trouble, stretch, cause, answer),
        not_ruled_out=() if witnessed else (f"an earlier drop on {node}: nothing but the routing table speaks of it",),
    )


def _rival_claims(case: Case, trouble: Trouble, node: str, target: str) -> tuple[str, ...]:
    """Where `node` takes the block of another node's pod for its own, while that node does so as well: both claims."""
    home = home_of(trouble, target)
    found = ways.claims(case, target)
    if home is None or home == node or not {home, node} <= found.keys():
        return ()
    return tuple(f"{name} takes the block of {target} for its own: {found[name]}" for name in (home, node))


def _tables(case: Case, node: str, answer: RouteLookup, stretch: Stretch) -> Iterator[str]:
    """What the node answers, the line behind that, and for comparison a line of the table that leads to another node's block."""
    named = stretch.end.tap.interface if stretch.end is not None else None
    wanted = f", not {named}" if named and answer.device not in (None, named) else ""
    yield f"{node} on the way to {answer.destination}: {ways.answer_text(answer)}{wanted}"
    last = nodes.looks(case, node)[-1]
    lines = ways.lines_for(last, answer.destination) if nodes.answered(last, "routes") else ()
    if lines:
        yield f"the narrowest route of {node} that covers it: {ways.line_text(lines[0])}"
    if not is_towards_pod(stretch.end):
        others = [route for route in last.routes if _is_vxlan(last, route.device) and route.gateway is not None]
        if others:
            yield f"{node} has routes to other nodes' pods: {'; '.join(ways.line_text(route) for route in others[:3])}"


def _is_vxlan(facts: NodeFacts, device: str | None) -> bool:
    link = facts.link(device) if device is not None else None
    return link is not None and link.vxlan is not None


def _witnesses(case: Case, trouble: Trouble, stretch: Stretch, answer: RouteLookup) -> tuple[list[Evidence], bool]:
    """What shows that the packets met that route, and whether it accounts for all of them."""
    node, taken = stretch.start.tap.node, frames_taken(trouble)
    proofs, full = [], False
    counter = _NO_ROUTE_COUNTERS[6 if ":" in answer.destination else 4]
    growth = nodes.grown(case, node, counter)
    if growth is not None and growth >= taken:
        proofs.append(
            Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {growth}; {trouble.packets} packets were lost")
        )
        full = True
    for error in icmp_answers(case, trouble):
        if (error.type, error.code) in _NO_WAY:
            text = f"{error.count} x {error.text}, seen at {place_text(error.hop)}"
            proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=error.frames))
            full = full or error.count >= taken
    bare = list(bare_frames(case, node, senders(trouble), receivers(trouble)))
    for one in bare:
        text = f"{one.count} x {one.text} at {one.tap.node}/{one.tap.interface}, without encapsulation"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=one.frames))
    full = full or sum(one.count for one in bare) >= taken
    for bridge in [hop for hop in (stretch.start, stretch.end) if hop is not None and hop.role is Role.BRIDGE]:
        asked, told = arp_questions(case, bridge.tap, answer.destination)
        if len(asked) and not told:
            text = f"{len(asked)} x ARP who-has {answer.destination} at {place_text(bridge)}, never answered"
            proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, bridge.tap, asked)))
            full = full or answer.device == bridge.tap.interface
    taking = _taking_line(case, node, answer)
    if not full and taking is not None:
        text = f"{taking} takes packets {ways.REFUSING[taking.split()[0]]}; no counter of {node} speaks of another drop"
        full = not any(nodes.grown(case, node, name) for name in _OTHER_DROPS)
        proofs += [Evidence(kind=EvidenceKind.ABSENCE, text=text)] if full else []
    return proofs, full


def _taking_line(case: Case, node: str, answer: RouteLookup) -> str | None:
    """The narrowest line of the table if it is one that takes packets away."""
    if answer.error is None:
        return None
    lines = ways.lines_for(nodes.looks(case, node)[-1], answer.destination)
    return ways.line_text(lines[0]) if lines and lines[0].type in ways.REFUSING else None


def _summary(cause: str, node: str, target: str, stretch: Stretch, answer: RouteLookup) -> str:
    if cause == "duplicate-pod-cidr":
        return f"{node} takes the block of {target}, a pod of another node, for its own"
    what = "its own pod" if cause == "pod-route-missing" else "the pod"
    if ways.is_refused(answer):
        return f"{node} has no route to {what} {target} ({ways.answer_text(answer)})"
    wanted = stretch.end.tap.interface if stretch.end is not None else "the VXLAN device"
    return f"{node} sends packets for {what} {target} {ways.answer_text(answer)}, not to {wanted}"


def _remedy(case: Case, trouble: Trouble, stretch: Stretch, cause: str, answer: RouteLookup) -> str | None:
    """The command to look, and the one that mends it for now; None leaves the cause's own words."""
    node, target = stretch.start.tap.node, answer.destination
    look = f"Look on {node}: ip route get {target} from {senders(trouble)[0]} iif {stretch.start.tap.interface or 'INTERFACE'}; "
    if cause == "duplicate-pod-cidr":
        return None
    if cause == "pod-route-missing":
        device = stretch.end.tap.interface if stretch.end is not None else "INTERFACE"
        kind = "the pod's bridge" if stretch.end is not None and stretch.end.role is Role.BRIDGE else "the pod's interface"
        return (
            f"{look}ip route; ip link show {device} ({kind}). Mend: ip route add {target} dev {device} scope link, or delete the pod so "
            f"that its network is made anew; then find who removed the route (log of the CNI and of systemd-networkd)."
        )
    home = home_of(trouble, target)
    vtep = nodes.vtep(case, home) if home is not None else None
    own = nodes.vtep(case, node)
    mend = "restart the network agent of the node"
    if vtep is not None and vtep.address is not None and own is not None:
        line = ways.claims(case, target).get(home or "")
        block = next((word for word in (line or "").split() if "/" in word), f"{target}/32")
        mend = f"ip route replace {block} via {vtep.address} dev {own.interface} onlink, or {mend}"
    return f"{look}ip route show table all. Mend: {mend}; keep systemd-networkd and NetworkManager from removing foreign routes."
