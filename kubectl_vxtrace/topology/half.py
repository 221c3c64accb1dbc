"""One node's half of a path: its pod's interface, its bridge, its VXLAN device and its NIC, each as its own kernel names it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.facts import NodeFacts, RouteLookup
from kubectl_vxtrace.model.path import Endpoint, Role, Tap, Vtep
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.topology.cni import pod_interfaces
from kubectl_vxtrace.topology.kernel import (
    bridge_port,
    carries,
    describe,
    fdb_destination,
    host_route_device,
    is_bridge,
    leads_to_pod,
    lookup,
    neighbour_device,
    neighbour_mac,
    only_bridge,
    owner_of,
    pod_ends,
    recently_confirmed,
    unclaimed_ports,
    usable,
    vxlan_links,
)

Step = tuple[Role, Tap]

MOST_PORTS = 16
"""Of a bridge's ports, or of pods' interfaces, so many are watched at most where it is not known which one is the pod's."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What turns up while paths are planned; dictionaries keep the order and drop doubles."""

    gaps: dict[Gap, None] = field(default_factory=dict)
    watch: dict[tuple[Tap, Role], None] = field(default_factory=dict)
    unknown_nodes: dict[str, None] = field(default_factory=dict)
    unknown_addresses: dict[str, dict[str, None]] = field(default_factory=dict)

    def ask(self, node: str, address: str) -> None:
        """Note that `node` must still be asked for its route to `address`."""
        self.unknown_addresses.setdefault(node, {})[address] = None

    def blind(self, node: str, interface: str | None, reason: str) -> None:
        """Note that something of `node` cannot be seen."""
        self.gaps[Gap(node=node, interface=interface, reason=reason)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node of a path. `facts` is None where its kernel did not answer; `device` is the VXLAN device that it should have.

    `bridged` says whether pods hang on a bridge on the nodes that say so: those that do not are taken to be the same. `interfaces` are
    those of pods (`namespace/name`) that the network itself has named in the API.
    """

    name: str
    facts: NodeFacts | None
    vtep: Vtep | None
    node: Node | None
    device: str
    bridged: bool = False
    interfaces: Mapping[str, str] = field(default_factory=dict)

    @property
    def underlay(self) -> str | None:
        """The address that other nodes encapsulate to."""
        if self.vtep is not None and self.vtep.underlay_address is not None:
            return self.vtep.underlay_address
        return next(iter(self.addresses), None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All underlay addresses known of this node, those of the API first."""
        told = self.node.addresses if self.node is not None else ()
        tunnel = (self.vtep.underlay_address,) if self.vtep is not None and self.vtep.underlay_address else ()
        return tuple(dict.fromkeys((*told, *tunnel)))

    @property
    def tunnel_address(self) -> str | None:
        """The address of its VXLAN device in the overlay."""
        return self.vtep.address if self.vtep is not None else None

    def tap(self, interface: str) -> Tap:
        """A tap on this node; an empty `interface` is not known and cannot be captured."""
        return Tap(node=self.name, interface=interface)


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """How a node sends to a remote end: through its VXLAN device or bare, to which underlay address, out of which NIC."""

    tunnelled: bool
    steps: tuple[Step, ...]
    outer_destination: str | None = None


def pod_side(view: NodeView, end: Endpoint, ledger: Ledger, notes: list[str]) -> tuple[Step, ...]:
    """The steps between a pod and its node's routing, outward: its interface, and its bridge if it has one.

    A step whose interface is not known stays, with an empty interface: the path is never shorter than it should be.
    """
    if end.host_network:
        return ()
    if view.facts is None:
        bridge = ((Role.BRIDGE, view.tap("")),) if view.bridged else ()
        return ((Role.POD, view.tap("")), *bridge)
    device = _local_device(view, view.facts, end, ledger, notes)
    if not device or not is_bridge(view.facts, device):
        if not device:
            _watch_every_pod(view, view.facts, ledger)
            ledger.blind(view.name, "", f"the interface of {end.pod or end.address} is not known")
        return ((Role.POD, view.tap(device)),)
    return ((Role.POD, view.tap(_port(view, view.facts, end, device, ledger))), (Role.BRIDGE, view.tap(device)))


def _port(view: NodeView, facts: NodeFacts, end: Endpoint, bridge: str, ledger: Ledger) -> str:
    """The bridge's port of a pod, empty if the node does not know it; every port that it may be is then watched, up to a limit.

    What the pod's own namespace names as its other end is it, on the bridge or not. A bridge forgets what it learned behind a port that
    loses its link at once, else after five minutes (bridge(8), ageing_time). So if the pod answered a short while ago and its MAC address
    is forgotten, its port is one without a link.
    """
    mac = neighbour_mac(facts, end.address, bridge)
    named = facts.host_end(end.address)
    port = named.name if named is not None else bridge_port(facts, mac, bridge) if mac is not None else None
    if port is not None:
        return port
    possible = unclaimed_ports(facts, bridge, end.address)
    fallen = [each for each in possible if not carries(facts, each)] if recently_confirmed(facts, end.address, bridge) else []
    if len(possible) == 1 or len(fallen) == 1:
        return (fallen or possible)[0]
    if len(possible) <= MOST_PORTS:
        ledger.watch.update(dict.fromkeys((view.tap(each), Role.POD) for each in possible))
    what = f"no neighbour entry for {end.address} on {bridge}" if mac is None else f"no port of {bridge} has learned {mac}"
    ledger.blind(view.name, "", f"the interface of {end.pod or end.address} is not known: {what}")
    return ""


def _watch_every_pod(view: NodeView, facts: NodeFacts, ledger: Ledger) -> None:
    """Where programs lead to pods, no table names a pod's interface, but its packets do."""
    possible = pod_ends(facts) if facts.is_steered else ()
    if len(possible) <= MOST_PORTS:
        ledger.watch.update(dict.fromkeys((view.tap(link.name), Role.POD) for link in possible))


def _local_device(view: NodeView, facts: NodeFacts, end: Endpoint, ledger: Ledger, notes: list[str]) -> str:
    """The interface that leads to a pod of this node, empty if nothing names it."""
    named = facts.link(view.interfaces.get(end.pod or "", ""))
    if named is not None:
        return named.name
    answer = lookup(facts, end.address)
    if answer is None:
        ledger.ask(view.name, end.address)
        device = host_route_device(facts, end.address)
        if device is not None:
            return device
    elif answer.device is not None and leads_to_pod(facts, answer, view.addresses):
        return answer.device
    elif not facts.is_steered:
        notes.append(f"{view.name} has no route to its own pod {end.address}: {describe(answer)}")
    computed = pod_interfaces(end.pod) if end.pod is not None else ()
    found = facts.host_end(end.address) or next((link for link in map(facts.link, computed) if link is not None), None)
    if found is not None:
        return found.master if found.master is not None and is_bridge(facts, found.master) else found.name
    if facts.is_steered:
        return neighbour_device(facts, end.address) or ""
    # a bridge that is down has no routes, and yet nothing else leads to the pods
    return (only_bridge(facts) or "") if view.bridged else ""


def egress(view: NodeView, local: str, remote: str, peer: NodeView | None, ledger: Ledger, notes: list[str]) -> Egress:
    """How `view` sends from `local` to `remote`, an end on `peer` (None: on no known node).

    Where the kernel names no VXLAN device and the packet is not meant to go bare, the VXLAN device stays in the path and the
    disagreement goes to `notes`: a missing route is a fault to be shown, not a shorter path.
    """
    if view.facts is None:
        return Egress(tunnelled=True, steps=((Role.VXLAN, view.tap(view.device)), (Role.UNDERLAY, view.tap(""))))
    answer = lookup(view.facts, remote, source=local)
    if answer is None:
        ledger.ask(view.name, remote)
    tunnels = {link.name for link in vxlan_links(view.facts)}
    if view.facts.is_steered and not _leaves_bare(view.facts, answer, remote, peer):
        exit_nic = nic(view, peer.underlay if peer is not None else None, peer, ledger, notes)
        return Egress(tunnelled=True, steps=((Role.VXLAN, view.tap(view.device)), (Role.UNDERLAY, view.tap(exit_nic))))
    if answer is not None and answer.device is not None and usable(answer) and answer.device not in tunnels:
        if _meant_bare(answer, remote, peer):
            return Egress(tunnelled=False, steps=((Role.UNDERLAY, view.tap(answer.device)),))
        notes.append(f"{view.name} does not send {remote} to its VXLAN device: {describe(answer)}")
        _watch(view, [answer.device], ledger)
    elif answer is not None and not usable(answer):
        notes.append(f"{view.name} has no route to {remote}: {describe(answer)}")
    device = answer.device if answer is not None and answer.device in tunnels else view.device
    gateway = (
        answer.gateway or remote if answer is not None and answer.device in tunnels else (peer.tunnel_address if peer is not None else None)
    )
    outer = _outer_destination(view, view.facts, device or "", gateway, peer, notes)
    towards = outer or (peer.underlay if peer is not None else None)
    exit_nic = nic(view, towards, peer, ledger, notes)
    return Egress(
        tunnelled=True, steps=((Role.VXLAN, view.tap(device or "")), (Role.UNDERLAY, view.tap(exit_nic))), outer_destination=outer
    )


def _leaves_bare(facts: NodeFacts, answer: RouteLookup | None, remote: str, peer: NodeView | None) -> bool:
    """Whether a node whose programs steer what pods send has a route past them that is meant to be one: not to a pod elsewhere that the
    kernel would hand to these programs too."""
    if answer is None or not usable(answer):
        return False
    link = facts.link(answer.device or "")
    return link is not None and link.peer is None and link.vxlan is None and _meant_bare(answer, remote, peer)


def _meant_bare(answer: RouteLookup, remote: str, peer: NodeView | None) -> bool:
    """Whether a route past the VXLAN device is meant: to a node's own address, to a peer in the same subnet, out of the cluster."""
    return peer is None or remote in peer.addresses or (answer.gateway is not None and answer.gateway in peer.addresses)


def _outer_destination(
    view: NodeView, facts: NodeFacts, device: str, gateway: str | None, peer: NodeView | None, notes: list[str]
) -> str | None:
    """The underlay address that the node's neighbour and forwarding entries lead to, None where one is missing."""
    if facts.link(device) is None:
        notes.append(f"{view.name} has no VXLAN device {device}")
        return None
    if gateway is None:
        return None
    mac = neighbour_mac(facts, gateway, device)
    if mac is None:
        notes.append(f"{view.name} has no neighbour entry for {gateway} on {device}")
        return None
    outer = fdb_destination(facts, mac, device)
    if outer is None:
        notes.append(f"{view.name} has no forwarding entry for {mac} on {device}")
    elif peer is not None and outer not in peer.addresses:
        notes.append(
            f"{view.name} encapsulates to {outer}, which is no address of {peer.name} ({', '.join(peer.addresses) or 'none known'})"
        )
    return outer


def nic(view: NodeView, towards: str | None, peer: NodeView | None, ledger: Ledger, notes: list[str]) -> str:
    """The NIC of a node that answered: the device of its kernel's route to `towards`, empty if nothing names it.

    Other NICs that own the VTEP's address, or that the kernel would use to one of the peer's addresses, are to be watched as well.
    """
    facts = view.facts
    if facts is None:
        return ""
    local = view.vtep.underlay_address if view.vtep is not None else None
    answer = lookup(facts, towards, source=local) if towards is not None else None
    if towards is not None and answer is None:
        ledger.ask(view.name, towards)
    tunnels = {link.name for link in vxlan_links(facts)}
    routed = answer.device if answer is not None and usable(answer) and answer.device not in ("lo", *tunnels) else None
    if answer is not None and routed is None:
        notes.append(f"{view.name} has no way to {towards} on the underlay: {describe(answer)}")
    owners = [owner_of(facts, address) for address in ((local,) if local is not None else ()) + view.addresses]
    vxlan = facts.link(view.device)
    parent = vxlan.vxlan.device if vxlan is not None and vxlan.vxlan is not None else None
    found = next((device for device in (routed, parent, *owners) if device), "")
    if not found:
        ledger.blind(view.name, "", f"the NIC towards {towards or 'the other node'} is not known")
    hops = [lookup(facts, address) for address in (peer.addresses if peer is not None else ())]
    others = [*owners[:1], *(hop.device for hop in hops if hop is not None and usable(hop))]
    _watch(view, (device for device in others if device not in (found, "lo", *tunnels)), ledger)
    return found


def _watch(view: NodeView, devices: Iterable[str | None], ledger: Ledger) -> None:
    for device in devices:
        if device and device != "lo":
            ledger.watch[(view.tap(device), Role.UNDERLAY)] = None
