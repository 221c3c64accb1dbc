"""Flows, paths and the overlay of captures that somebody recorded by hand: all that the packets themselves say."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Basis, Direction, Endpoint, Flow, Hop, Overlay, Path, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.recording import Gap, Recording
from kubectl_vxtrace.topology.channels import Channel, Channels, find_channels
from kubectl_vxtrace.topology.cni import backend_of
from kubectl_vxtrace.topology.places import Places, Sight, find_places
from kubectl_vxtrace.topology.translations import find_translations

_ROLE_WORDS = {Role.POD: "pod's interface", Role.BRIDGE: "bridge", Role.VXLAN: "VXLAN device", Role.UNDERLAY: "NIC"}


def infer(recording: Recording, tables: dict[Tap, PacketTable]) -> Recording:
    """Fill a recording's flows, paths and overlay from what its captures saw; the basis of the paths is `inferred`.

    Followed is what a pod tap saw, if another tap saw it as well or the tap's own pod asked; without pod taps everything that was
    encapsulated. A Service is learned from packets that reappear with another server. A client's packets that no other tap saw make a
    flow without server, with the servers of that port elsewhere as candidates.

    Args:
        recording: its captures say each tap's role; the rest is replaced.
        tables: what each tap saw.
    """
    roles = {capture.task.tap: capture.task.role for capture in recording.captures}
    sights = [Sight(tap=tap, role=roles[tap], table=table) for tap, table in tables.items() if tap in roles]
    evidence = _Evidence(sights)
    flows = tuple(replace(flow, id=number) for number, flow in enumerate(evidence.flows(), start=1))
    evidence.place_by_elimination(flows)
    flows = tuple(evidence.placed(flow) for flow in flows)
    paths = tuple(path for flow in flows for path in evidence.paths(flow))
    return replace(recording, flows=flows, paths=paths, overlay=evidence.overlay(), gaps=(*recording.gaps, *evidence.gaps))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Frames of one channel at one tap, how many of them the client sent, and how many were encapsulated."""

    frames: int
    requests: int
    tunnelled: int


class _Evidence:
    """Everything that the captures say, and what is concluded from it."""

    def __init__(self, sights: Sequence[Sight]) -> None:
        self._sights = sights
        self._nodes = tuple(dict.fromkeys(sight.tap.node for sight in sights))
        self._places: Places = find_places(sights)
        self._node_of = dict(self._places.node_of)
        tables = [sight.table for sight in sights]
        channels = find_channels(tables)
        self._roles = {sight.tap: sight.role for sight in sights}
        self._seen = _by_channel(sights, channels)
        self._translations = self._translated(tables, channels)
        self._gaps: dict[Gap, None] = {}

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What would have been needed and was not recorded."""
        return tuple(self._gaps)

    def _translated(self, tables: Sequence[PacketTable], channels: Channels) -> dict[Channel, tuple[Channel, ...]]:
        """What Services were translated to. A translation is seen between a client's own tap and any other."""
        before = [at for at, sight in enumerate(self._sights) if sight.tap in self._places.pod_address]
        found = find_translations(tables, channels, before, range(len(tables)))
        return {channel: others for channel, others in found.items() if self._from_own_pod(channel) and not self._is_pod(channel.server)}

    def _is_pod(self, address: str) -> bool:
        return address in self._node_of

    def _from_own_pod(self, channel: Channel) -> bool:
        """Whether a tap of the client itself saw the channel."""
        return any(self._places.pod_address.get(tap) == channel.client for tap in self._seen[channel])

    def flows(self) -> list[Flow]:
        """Flows in the order of their addresses, without doubles; their ids are still to be given."""
        found: dict[tuple[Channel, Channel | None], None] = {}
        translated = {other for others in self._translations.values() for other in others}
        for channel in sorted(self._followed(), key=lambda each: (each.protocol, each.client, each.server, each.port or 0)):
            if channel in self._translations:
                found.update(dict.fromkeys((channel, other) for other in sorted(self._translations[channel], key=str)))
            elif channel not in translated or self._from_own_pod(channel):
                found[channel, channel if self._is_known_server(channel) else None] = None
        return [self._flow(asked, server) for asked, server in found]

    def _followed(self) -> Iterable[Channel]:
        """Channels worth following."""
        at_pods = set(self._places.pod_address)
        for channel, seen in self._seen.items():
            if not at_pods:
                if any(each.tunnelled for each in seen.values()) or any(self._roles[tap] == Role.VXLAN for tap in seen):
                    yield channel
            elif at_pods.intersection(seen) and (len(seen) > 1 or self._from_own_pod(channel)):
                yield channel

    def _is_known_server(self, channel: Channel) -> bool:
        """Whether the address that the client used is the server's own: a pod's, or seen at another tap, or all was answered from it."""
        seen = self._seen[channel]
        elsewhere = any(self._places.pod_address.get(tap) != channel.client for tap in seen)
        return self._is_pod(channel.server) or elsewhere or all(2 * each.requests <= each.frames for each in seen.values())

    def _flow(self, asked: Channel, server: Channel | None) -> Flow:
        service = None if asked == server else ServiceRef(address=asked.server, port=asked.port)
        return Flow(
            id=0,
            protocol=asked.protocol,
            client=Endpoint(address=asked.client),
            service=service,
            server=Endpoint(address=server.server, port=server.port) if server is not None else None,
            candidates=self._candidates(asked) if server is None else (),
        )

    def _candidates(self, asked: Channel) -> tuple[Endpoint, ...]:
        """Servers that other clients of the same Service reached, or that answer on its port behind a pod tap."""
        ends: dict[tuple[str, int | None], None] = {}
        for channel, others in self._translations.items():
            if (channel.protocol, channel.server, channel.port) == (asked.protocol, asked.server, asked.port):
                ends.update(dict.fromkeys((other.server, other.port) for other in others))
        local = set(self._places.pod_address.values()) - {asked.client}
        for channel in self._seen:
            if channel.server in local and (channel.protocol, channel.port) == (asked.protocol, asked.port):
                ends[channel.server, channel.port] = None
        return tuple(Endpoint(address=address, port=port) for address, port in sorted(ends, key=str))

    def place_by_elimination(self, flows: Sequence[Flow]) -> None:
        """One server whose place nothing tells, and one node whose pod tap saw nothing: they belong together."""
        servers = {flow.server.address for flow in flows if flow.server is not None and self._left_its_pod(flow)}
        unplaced = servers - set(self._node_of)
        told = {tap.node for tap in self._places.pod_address}
        silent = {sight.tap.node for sight in self._sights if sight.role == Role.POD} - told
        silent -= {self._node_of.get(end.address) for flow in flows for end in (flow.client, flow.server) if end is not None}
        if len(unplaced) == 1 and len(silent) == 1:
            self._node_of[unplaced.pop()] = silent.pop()

    def _left_its_pod(self, flow: Flow) -> bool:
        """Whether any tap but the client's own saw the flow."""
        return any(self._places.pod_address.get(tap) != flow.client.address for tap in self._of_flow(flow))

    def placed(self, flow: Flow) -> Flow:
        """The flow with the nodes of its ends."""
        return replace(
            flow,
            client=self._at(flow.client),
            server=self._at(flow.server) if flow.server is not None else None,
            candidates=tuple(self._at(end) for end in flow.candidates),
        )

    def _at(self, end: Endpoint) -> Endpoint:
        return replace(end, node=self._node_of.get(end.address))

    def paths(self, flow: Flow) -> tuple[Path, Path]:
        """Request and reply: the same hops both ways."""
        steps, note = self._steps(flow)
        ends = (flow.client.address, flow.server.address if flow.server is not None else None)
        made = []
        for direction, way, (sender, receiver) in ((Direction.REQUEST, steps, ends), (Direction.REPLY, steps[::-1], ends[::-1])):
            outer = self._places.outer_destinations(sender or "", receiver or "", way[0][1].node if way else None)
            hops = tuple(Hop(hop=number, role=role, tap=tap) for number, (role, tap) in enumerate(way, start=1))
            destination = max(outer, key=lambda address: (outer[address], address), default=None)
            made.append(Path(flow=flow.id, direction=direction, hops=hops, basis=Basis.INFERRED, outer_destination=destination, note=note))
        return made[0], made[1]

    def _steps(self, flow: Flow) -> tuple[list[tuple[Role, Tap]], str | None]:
        client, server = flow.client, flow.server
        near = self._half(client.node, client.address, flow) if client.node is not None else []
        if server is None:
            return near if self._is_bound_elsewhere(flow) else near[:1], "nothing beyond these hops names the backend"
        if near and server.node is None and not self._left_its_pod(flow):
            return near[:1], "answered, and no other capture saw it: it may not have left the node"
        if client.node is not None and client.node == server.node:
            return [near[0], *self._half(server.node, server.address, flow)[:1]], None
        if server.node is not None:
            far = self._half(server.node, server.address, flow)
            return [*near, *far[::-1]], None if near else f"nothing recorded says where {client.address} is"
        return [*near, *self._unrecorded(server.address)], f"nothing recorded says where {server.address} is"

    def _is_bound_elsewhere(self, flow: Flow) -> bool:
        """Whether packets without a named backend must leave the node: all candidates are elsewhere.

        Where no capture names a candidate, the pods whose interfaces were recorded stand for them: nobody records a pod without cause.
        """
        nodes = {end.node for end in flow.candidates}
        if not nodes:
            own = {tap for tap, address in self._places.pod_address.items() if address == flow.client.address}
            nodes = {sight.tap.node for sight in self._sights if sight.role == Role.POD and sight.tap not in own}
        return bool(nodes) and not nodes & {None, flow.client.node}

    def _unrecorded(self, address: str) -> list[tuple[Role, Tap]]:
        """Blind hops of a node of which there is no capture; it is called by its underlay address where that was seen."""
        outer = [each.destination for each in self._places.carried if each.inner_destination == address]
        node = outer[0] if outer else f"node of {address}"
        self._gaps[Gap(node=node, reason="no capture of this node was given")] = None
        return [(role, Tap(node=node, interface="")) for role in (Role.UNDERLAY, Role.VXLAN, Role.POD)]

    def _half(self, node: str, address: str, flow: Flow) -> list[tuple[Role, Tap]]:
        """A node's hops, outward from the pod. A bridge is a hop where one was recorded, the VXLAN device unless all packets went bare."""
        roles = [Role.POD, Role.BRIDGE, Role.VXLAN, Role.UNDERLAY]
        recorded = {sight.role for sight in self._sights if sight.tap.node == node}
        if Role.BRIDGE not in recorded:
            roles.remove(Role.BRIDGE)
        if self._went_bare(flow):
            roles.remove(Role.VXLAN)
        return [(role, self._tap(node, role, address, flow)) for role in roles]

    def _tap(self, node: str, role: Role, address: str, flow: Flow) -> Tap:
        """The capture of a role on a node: the pod's own, or the one that saw most of the flow; a blind tap where there is none."""
        taps = [sight.tap for sight in self._sights if sight.tap.node == node and sight.role == role]
        if role == Role.POD:
            own = [tap for tap in taps if self._places.pod_address.get(tap) == address]
            silent = [tap for tap in taps if tap not in self._places.pod_address]
            taps = own or (silent if len(silent) == 1 else [])
        if not taps:
            self._gaps[Gap(node=node, interface="", reason=f"no capture of the {_ROLE_WORDS[role]} was given ({address})")] = None
            return Tap(node=node, interface="")
        seen = self._of_flow(flow)
        return max(taps, key=lambda tap: seen[tap].frames if tap in seen else 0)

    def _of_flow(self, flow: Flow) -> Mapping[Tap, _Seen]:
        if flow.server is None:
            return {}
        channel = Channel(protocol=flow.protocol, client=flow.client.address, server=flow.server.address, port=flow.server.port)
        return self._seen.get(channel, {})

    def _went_bare(self, flow: Flow) -> bool:
        """Whether NICs of both nodes saw the flow without encapsulation, and nothing saw it with: then it is meant to go so."""
        seen = self._of_flow(flow)
        bare = {tap.node for tap, each in seen.items() if self._roles[tap] == Role.UNDERLAY and not each.tunnelled}
        wrapped = any(each.tunnelled for each in seen.values()) or any(self._roles[tap] == Role.VXLAN for tap in seen)
        return len(bare) > 1 and not wrapped

    def overlay(self) -> Overlay:
        """VTEPs as the encapsulated packets describe them: those that a node's NIC sent from the node's own underlay address."""
        vteps = tuple(self._vtep(node) for node in self._nodes)
        ports = Counter((vtep.port, vtep.vni) for vtep in vteps if vtep.vni is not None)
        port, vni = max(ports, key=lambda each: ports[each], default=(None, None))
        named = [vtep.interface for vtep in vteps if vtep.interface]
        known = bool(named) or vni is not None
        return Overlay(backend=backend_of(named[0] if named else None, port, vni) if known else None, vteps=vteps)

    def _vtep(self, node: str) -> Vtep:
        tap = next((sight.tap for sight in self._sights if sight.tap.node == node and sight.role == Role.VXLAN), None)
        own = self._places.underlay.get(node)
        sent: Counter[tuple[str, int, int]] = Counter()
        for each in self._places.carried:
            if each.source == own and own is not None:
                sent[each.mac, each.vni, each.port] += each.frames
        mac, vni, port = max(sent, key=lambda each: sent[each], default=(None, None, None))
        return Vtep(node=node, interface=tap.interface if tap is not None else "", underlay_address=own, mac=mac, vni=vni, port=port)


def _by_channel(sights: Sequence[Sight], channels: Channels) -> dict[Channel, dict[Tap, _Seen]]:
    """For each channel the taps that saw it."""
    found: dict[Channel, dict[Tap, _Seen]] = {channel: {} for channel in channels.channels}
    for at, sight in enumerate(sights):
        frames = channels.counts(at)
        requests = channels.counts(at, channels.row_forward[at])
        tunnelled = channels.counts(at, sight.table.tunnel >= 0)
        for number in frames.nonzero()[0]:
            found[channels.channels[number]][sight.tap] = _Seen(
                frames=int(frames[number]), requests=int(requests[number]), tunnelled=int(tunnelled[number])
            )
    return found
