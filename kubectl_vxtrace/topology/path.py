"""The hops that packets of a flow should take, both ways: each node's half from its own kernel, joined by the nodes' names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Basis, Direction, Endpoint, Flow, Hop, Overlay, Path, Role, Tap
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.topology.cni import BRIDGES, has_bridge
from kubectl_vxtrace.topology.half import Egress, Ledger, NodeView, Step, egress, nic, pod_side
from kubectl_vxtrace.topology.kernel import hears, is_bridge, lookup, owner_of, vxlan_links

_BRIDGE_FILTER: Final = "net.bridge.bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPlan:
    """Expected paths, two for each flow (request, reply), and what else to capture or to ask.

    `watch`: further taps, which may see packets that go astray. `gaps`: what cannot be seen. `unknown_nodes`: nodes that a forwarding
    table names and that have no debug pod. `unknown_addresses`: by node, addresses whose route it was not asked for.
    """

    paths: tuple[Path, ...]
    watch: tuple[tuple[Tap, Role], ...]
    gaps: tuple[Gap, ...]
    unknown_nodes: tuple[str, ...]
    unknown_addresses: dict[str, tuple[str, ...]]


def plan_paths(flows: Sequence[Flow], overlay: Overlay, facts: Sequence[NodeFacts], snapshot: ClusterSnapshot | None) -> PathPlan:
    """Plan the request's and the reply's path of every flow.

    Between nodes a path has 6 hops (pod, VXLAN device, NIC, and back), 8 with bridges; an end in the host's network has no pod hop, and a
    route that is meant to go bare no VXLAN hop. On one node it has 2 (4 where a bridge hands packets to the node's routing). Missing
    routes, neighbours or forwarding entries never shorten it: they stand in `note`. Hops of a node that did not answer have an empty
    interface or the overlay's device name, and the path's basis is `api`.
    """
    planner = _Planner(flows, overlay, facts, snapshot)
    paths = tuple(path for flow in flows for path in planner.plan(flow))
    ledger = planner.ledger
    expected = {hop.tap for path in paths for hop in path.hops}
    return PathPlan(
        paths=paths,
        watch=tuple((tap, role) for tap, role in ledger.watch if tap not in expected),
        gaps=tuple(ledger.gaps),
        unknown_nodes=tuple(ledger.unknown_nodes),
        unknown_addresses={node: tuple(addresses) for node, addresses in ledger.unknown_addresses.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One direction as planned: its steps in order, and what stood out."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    outer_destination: str | None = None


def _shared_prefix(ways: Sequence[tuple[Step, ...]]) -> tuple[Step, ...]:
    """The steps that all ways begin with."""
    shared: list[Step] = []
    for steps in zip(*ways, strict=False):
        if len(set(steps)) > 1:
            break
        shared.append(steps[0])
    return tuple(shared)


class _Planner:
    """Plans paths over one set of nodes."""

    def __init__(self, flows: Sequence[Flow], overlay: Overlay, facts: Sequence[NodeFacts], snapshot: ClusterSnapshot | None) -> None:
        self.ledger = Ledger()
        self._facts = {each.node: each for each in facts if each.links}
        self._silent = {each.node: each for each in facts if not each.links}
        self._overlay = overlay
        self._nodes = {node.name: node for node in snapshot.nodes} if snapshot is not None else {}
        self._interfaces = snapshot.pod_interfaces if snapshot is not None else {}
        names = [vtep.interface for vtep in overlay.vteps]
        self._device = max(names, key=names.count, default="")
        self._bridged = self._pods_hang_on_bridges(flows)

    def plan(self, flow: Flow) -> tuple[Path, Path]:
        """The two paths of a flow."""
        if flow.server is not None:
            request = self._way(flow, flow.client, flow.server, request=True)
            reply = self._way(flow, flow.server, flow.client, request=False)
            return self._path(flow, Direction.REQUEST, request), self._path(flow, Direction.REPLY, reply)
        why = "the backend is not known; these hops are common to all candidates" if flow.candidates else "no backend is known"
        notes: list[str] = [why]
        steps = self._shared_steps(flow) if flow.candidates else self._pod_side(flow.client, notes)
        shared = _Way(steps=steps, notes=tuple(notes))
        back = _Way(steps=steps[::-1], notes=tuple(notes))
        return self._path(flow, Direction.REQUEST, shared), self._path(flow, Direction.REPLY, back)

    def _shared_steps(self, flow: Flow) -> tuple[Step, ...]:
        """The steps to all candidates of a flow that begin alike. One of a node stands for the others; what is missing on the nodes of
        backends that nobody asked for is no gap."""
        ledger, self.ledger = self.ledger, Ledger()
        one_of_node = {candidate.node: candidate for candidate in flow.candidates}
        ways = [self._way(flow, flow.client, candidate, request=True).steps for candidate in one_of_node.values()]
        self.ledger = ledger
        return _shared_prefix(ways)

    def _path(self, flow: Flow, direction: Direction, way: _Way) -> Path:
        hops = tuple(Hop(hop=number, role=role, tap=tap) for number, (role, tap) in enumerate(way.steps, start=1))
        answered = all(hop.tap.node in self._facts for hop in hops)
        return Path(
            flow=flow.id,
            direction=direction,
            hops=hops,
            basis=Basis.KERNEL if answered else Basis.API,
            outer_destination=way.outer_destination,
            note="; ".join(dict.fromkeys(way.notes)) or None,
        )

    def _view(self, name: str) -> NodeView:
        facts = self._facts.get(name)
        vtep = next((vtep for vtep in self._overlay.vteps if vtep.node == name), None)
        if facts is None:
            self.ledger.blind(name, None, self._why_silent(name))
        return NodeView(
            name=name,
            facts=facts,
            vtep=vtep,
            node=self._nodes.get(name),
            device=vtep.interface if vtep is not None else self._device,
            bridged=self._bridged,
            interfaces=self._interfaces,
        )

    def _why_silent(self, name: str) -> str:
        silent = self._silent.get(name)
        if silent is None:
            return "no debug pod ran on this node: its hops come from the API and are blind"
        reasons = "; ".join(dict.fromkeys(silent.absent.values()))
        return f"this node did not answer{f' ({reasons})' if reasons else ''}: its hops come from the API and are blind"

    def _pods_hang_on_bridges(self, flows: Sequence[Flow]) -> bool:
        """Whether a node that answered leads to its own pods by a bridge; silent ones and those without a route are taken to."""
        asked = [
            (self._facts.get(end.node or ""), end)
            for flow in flows
            for end in (flow.client, flow.server, *flow.candidates)
            if end is not None
        ]
        answers = [(facts, lookup(facts, end.address)) for facts, end in asked if facts is not None and not end.host_network]
        devices = [(facts, answer.device) for facts, answer in answers if answer is not None and answer.device is not None]
        if devices:
            return any(is_bridge(facts, device) for facts, device in devices)
        if self._facts:
            return any(is_bridge(facts, bridge) for facts in self._facts.values() for bridge in BRIDGES)
        # What the network usually does is all there is to go by where no node was asked.
        return has_bridge(self._overlay.backend)

    def _pod_side(self, end: Endpoint, notes: list[str]) -> tuple[Step, ...]:
        return pod_side(self._view(end.node), end, self.ledger, notes) if end.node is not None else ()

    def _way(self, flow: Flow, sender: Endpoint, receiver: Endpoint, *, request: bool) -> _Way:
        """One direction from `sender` to `receiver`."""
        notes: list[str] = []
        inner = self._pod_side(sender, notes)
        if sender.node is not None and sender.node == receiver.node:
            return self._same_node(flow, sender, receiver, inner, notes, request=request)
        far = self._pod_side(receiver, notes)[::-1]
        out = self._leave(sender, receiver, notes, request=request)
        into = self._arrive(sender, receiver, notes, out)
        if sender.node is None or receiver.node is None:
            notes.append(f"{(sender if sender.node is None else receiver).address} is on no known node: the path ends at the NIC")
        return _Way(steps=(*inner, *out.steps, *into, *far), notes=tuple(notes), outer_destination=out.outer_destination)

    def _same_node(
        self, flow: Flow, sender: Endpoint, receiver: Endpoint, inner: tuple[Step, ...], notes: list[str], *, request: bool
    ) -> _Way:
        if sender.host_network and receiver.host_network and sender.node is not None:
            self.ledger.blind(
                sender.node, "lo", "both ends are in the node's own network: what goes between them passes no captured interface"
            )
        if sender.address == receiver.address:
            notes.append("the Service sends the pod back to itself: it has one interface and nothing to compare")
            return _Way(steps=inner[:1], notes=tuple(notes))
        far = self._pod_side(receiver, notes)[::-1]
        bridges = {tap for role, tap in (*inner, *far) if role == Role.BRIDGE}
        if len(bridges) == 1 and inner and far and not (request and self._routed_on_bridge(flow)):
            notes.append("the bridge switches these packets between its ports: they do not pass its own interface")
            inner, far = inner[:1], far[-1:]
        return _Way(steps=(*inner, *far), notes=tuple(notes))

    def _routed_on_bridge(self, flow: Flow) -> bool:
        """Whether packets between two ports of a bridge go up to the node's routing.

        Only those to a ClusterIP do, and only where the bridge does not translate them itself: with br_netfilter a packet whose new
        destination is behind the same bridge is switched (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish).
        """
        facts = self._facts.get(flow.client.node or "")
        switched = facts is not None and facts.sysctls.get(_BRIDGE_FILTER, "").strip() == "1"
        return flow.service is not None and flow.service.address is not None and not switched

    def _leave(self, sender: Endpoint, receiver: Endpoint, notes: list[str], *, request: bool) -> Egress:
        """The sender's half, its pod aside."""
        if sender.node is None:
            return Egress(tunnelled=self._sends_tunnelled(receiver, sender), steps=())
        view = self._view(sender.node)
        peer = self._view(receiver.node) if receiver.node is not None else None
        server = receiver if request else sender
        if server.host_network and peer is not None and server.address != (peer if request else view).tunnel_address:
            return self._leave_bare(view, peer, notes)
        if view.facts is None and peer is not None and peer.facts is not None and not self._sends_tunnelled(receiver, sender):
            return Egress(tunnelled=False, steps=((Role.UNDERLAY, view.tap("")),))
        destination = receiver.address
        if sender.host_network:
            notes.append(f"packets of {view.name} itself carry the address of its VXLAN device as their source")
        if receiver.host_network and peer is not None and peer.tunnel_address is not None:
            destination = peer.tunnel_address
        out = egress(view, sender.address, destination, peer, self.ledger, notes)
        self._follow_astray(out.outer_destination, peer)
        return out

    def _leave_bare(self, view: NodeView, peer: NodeView, notes: list[str]) -> Egress:
        """To and from a server in the host's network packets go bare; a reply that nobody had masqueraded may still be encapsulated."""
        for each in (view, peer):
            self.ledger.watch[(each.tap(each.device), Role.VXLAN)] = None
        return Egress(tunnelled=False, steps=((Role.UNDERLAY, view.tap(nic(view, peer.underlay, peer, self.ledger, notes))),))

    def _sends_tunnelled(self, sender: Endpoint, receiver: Endpoint) -> bool:
        """Whether `sender`'s node encapsulates towards `receiver`: the other direction's answer, where this one's is not to be had."""
        view = self._view(sender.node) if sender.node is not None else None
        if view is None or view.facts is None:
            return True
        peer = self._view(receiver.node) if receiver.node is not None else None
        return egress(view, sender.address, receiver.address, peer, Ledger(), []).tunnelled

    def _arrive(self, sender: Endpoint, receiver: Endpoint, notes: list[str], out: Egress) -> tuple[Step, ...]:
        """The receiver's half, its pod aside: the NIC of its own route back, and its VXLAN device, of several the one that hears what the
        sender's says."""
        if receiver.node is None:
            return ()
        view = self._view(receiver.node)
        peer = self._view(sender.node) if sender.node is not None else None
        towards = peer.underlay if peer is not None else sender.address
        entry = nic(view, towards, peer, self.ledger, notes)
        if out.tunnelled and view.vtep is None and view.facts is not None:
            notes.append(f"{view.name} has no VXLAN device")
        device: tuple[Step, ...] = ((Role.VXLAN, view.tap(self._way_in(view, out))),) if out.tunnelled else ()
        return ((Role.UNDERLAY, view.tap(entry)), *device)

    def _way_in(self, view: NodeView, out: Egress) -> str:
        """The VXLAN device of a node that takes what the last steps `out` of its peer send; the one it should have, where no other does."""
        tap = next((tap for role, tap in out.steps if role is Role.VXLAN), None)
        sending = self._facts[tap.node].link(tap.interface) if tap is not None and tap.node in self._facts else None
        if sending is None or view.facts is None:
            return view.device
        devices = sorted(vxlan_links(view.facts), key=lambda link: link.name != view.device)
        return next((link.name for link in devices if hears(link, sending)), view.device)

    def _follow_astray(self, outer: str | None, peer: NodeView | None) -> None:
        """Where a forwarding table names another node than it should, that node's NIC is watched."""
        if outer is None or (peer is not None and outer in peer.addresses):
            return
        for name in (*self._nodes, *(vtep.node for vtep in self._overlay.vteps)):
            node, vtep = self._nodes.get(name), next((vtep for vtep in self._overlay.vteps if vtep.node == name), None)
            if (node is None or outer not in node.addresses) and (vtep is None or vtep.underlay_address != outer):
                continue
            facts = self._facts.get(name)
            if facts is None:
                self.ledger.unknown_nodes[name] = None
            elif (interface := owner_of(facts, outer)) is not None:
                self.ledger.watch[(Tap(node=name, interface=interface), Role.UNDERLAY)] = None
