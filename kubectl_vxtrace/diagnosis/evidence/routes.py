"""What a node's routing says of an address: the kernel's own answers, and the lines of the tables behind them."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind
from kubectl_vxtrace.model.facts import NodeFacts, Route, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Role, Vtep

Network = IPv4Network | IPv6Network

# Types of routes that take packets away (ip-route(8)), with what the kernel does to them.
REFUSING = {"blackhole": "silently", "unreachable": "with host unreachable", "prohibit": "with prohibited"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongGateway:
    """A route for a pod of `home` whose gateway is the VTEP of another node. `always`: in all looks."""

    answer: RouteLookup
    home: str
    owner: Vtep
    always: bool


def local_lookup(facts: NodeFacts, address: str) -> RouteLookup | None:
    """The node's answer for `address` as for a packet of its own; neither forwarding nor reverse path filtering has a say in it."""
    return next((lookup for lookup in facts.lookups if lookup.destination == address and lookup.source is None), None)


def forwarded_lookup(facts: NodeFacts, address: str, sources: Sequence[str]) -> RouteLookup | None:
    """The node's answer for `address` as for a packet from one of `sources` that it forwards."""
    lookups = (lookup for lookup in facts.lookups if lookup.destination == address and lookup.input is not None)
    return next((lookup for lookup in lookups if lookup.source in sources), None)


def answers(case: Case, node: str, address: str, sources: Sequence[str]) -> tuple[RouteLookup, ...]:
    """What each look at `node` says of the way to `address`, the earlier first; looks that were not asked are left out.

    The answer for a forwarded packet, since rules of policy routing may ask where it comes from. Where the kernel refused that, the
    one for its own packets: the refusal may be for another reason than the route (forwarding is off, the reverse path filter).
    """
    lookups = []
    for facts in node_facts.looks(case, node):
        own, forwarded = local_lookup(facts, address), forwarded_lookup(facts, address, sources)
        answer = own if forwarded is None or (forwarded.error is not None and own is not None) else forwarded
        if answer is not None:
            lookups.append(answer)
    return tuple(lookups)


def lines_for(facts: NodeFacts, address: str) -> tuple[Route, ...]:
    """The lines of all tables but `local` and `broadcast` ones that cover `address`, the narrowest first."""
    covering = [
        (network.prefixlen, route)
        for route in facts.routes
        if route.type not in ("local", "broadcast", "multicast", "anycast")
        and (network := network_of(route.destination, address)) is not None
        and ip_address(address) in network
    ]
    return tuple(route for _, route in sorted(covering, key=lambda pair: -pair[0]))


def network_of(destination: str, address: str) -> Network | None:
    """The network of a route's destination, `default` in the family of `address`; None where it is no network of that family."""
    version = 6 if ":" in address else 4
    try:
        network: Network = ip_network(("::/0" if version == 6 else "0.0.0.0/0") if destination == "default" else destination, strict=False)
    except ValueError:
        return None
    return network if network.version == version else None


def line_text(route: Route) -> str:
    """A line of a routing table in iproute2's words."""
    words = [] if route.type == "unicast" else [route.type]
    words.append(route.destination)
    words += ["via", route.gateway] if route.gateway is not None else []
    words += ["dev", route.device] if route.device is not None else []
    words += ["table", route.table] if route.table is not None else []
    return " ".join(words)


def answer_text(answer: RouteLookup) -> str:
    """A kernel's answer in words."""
    if answer.error is not None:
        return f"the kernel says: {answer.error}"
    if answer.type != "unicast":
        return f"{answer.type} route"
    via = f"via {answer.gateway} " if answer.gateway is not None else ""
    return f"{via}dev {answer.device}"


def is_refused(answer: RouteLookup) -> bool:
    """Whether no packet can take that way."""
    return answer.error is not None or answer.type in REFUSING or answer.device is None


def block_owners(case: Case, address: str) -> dict[str, str]:
    """The nodes whose kernels treat the block of `address` as their own, each with the line of its routing table that says so.

    That is a blackhole for a block (Calico's mark of an own block), or the network that a bridge of pods is directly in; a bridge that is
    none of the CNI's (docker0) claims nothing. The API's podCIDRs say nothing: Calico does not keep to them.
    """
    owners: dict[str, str] = {}
    bridges = {capture.task.tap.interface for capture in case.recording.captures if capture.task.role is Role.BRIDGE}
    for facts in (*case.recording.after, *case.recording.before):
        line = next((route for route in lines_for(facts, address) if _is_own_block(route, address, bridges)), None)
        if line is not None:
            owners.setdefault(facts.node, line_text(line))
    return owners


def _is_own_block(route: Route, address: str, bridges: Container[str]) -> bool:
    network = network_of(route.destination, address)
    if network is None or network.prefixlen in (0, network.max_prefixlen):
        return False
    if route.type == "blackhole":
        return True
    return route.gateway is None and route.device in bridges


def wrong_gateway(case: Case, loss: Loss, segment: AnySegment) -> WrongGateway | None:
    """The wrong route behind packets that were lost from the sender's VXLAN device on, None if its route is not to blame."""
    if segment.kind not in (SegmentKind.ENCAPSULATE, SegmentKind.WIRE):
        return None
    node = segment.start.tap.node
    for target in loss.receivers:
        home = loss.home_of(target)
        if home is None or home == node:
            continue
        told = answers(case, node, target, loss.senders)
        owners = [_owner(case, answer.gateway) for answer in told]
        wrong = [(answer, owner) for answer, owner in zip(told, owners, strict=True) if owner is not None and owner.node != home]
        if wrong:
            return WrongGateway(answer=wrong[-1][0], home=home, owner=wrong[-1][1], always=len(wrong) == len(told))
    return None


def _owner(case: Case, gateway: str | None) -> Vtep | None:
    return next((vtep for vtep in case.recording.overlay.vteps if gateway is not None and vtep.address == gateway), None)
