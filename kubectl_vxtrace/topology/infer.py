"""Flows, paths and the overlay of captures that somebody recorded by hand: all that the packets themselves say."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Basis, Direction, Endpoint, Flow, Hop, Overlay, Path, Role, ServiceRef, Tap, Vtep
from kubectl_vxtrace.model.recording import CaptureResult, Gap, Recording
from kubectl_vxtrace.topology.anchors import find_anchors
from kubectl_vxtrace.topology.channels import Channel, Channels, find_channels
from kubectl_vxtrace.topology.cni import backend_of
from kubectl_vxtrace.topology.hops import Hops, seen_by_channel
from kubectl_vxtrace.topology.places import Places, Sight, carried_at, find_places
from kubectl_vxtrace.topology.translations import find_masqueraded, find_translations
from kubectl_vxtrace.topology.underlay import find_underlay


def infer(recording: Recording, tables: Mapping[Tap, PacketTable], fabric: Set[Tap] = frozenset()) -> Recording:
    """Fill a recording's flows, paths and overlay from what its captures saw; the basis of the paths is `inferred`.

    Followed is what a pod tap saw, if another tap saw it as well or the tap's own pod asked; without pod taps everything that was
    encapsulated; where there is neither, what the pods were asked. A Service is learned from packets that reappear with another server. A
    client's packets that no other tap saw make a flow without server, with the servers of that port elsewhere as candidates.

    Args:
        recording: its captures say each tap's role; the rest is replaced.
        tables: what each tap saw.
        fabric: taps at switches between nodes.
    """
    roles = {capture.task.tap: capture.task.role for capture in recording.captures}
    sights = [Sight(tap=tap, role=roles[tap], table=table) for tap, table in tables.items() if tap in roles and tap not in fabric]
    between = [Sight(tap=tap, role=roles[tap], table=table) for tap, table in tables.items() if tap in fabric]
    unread = [capture for capture in recording.captures if capture.task.tap not in tables]
    evidence = _Evidence(sights, between, unread, recording.node_addresses)
    flows = tuple(replace(flow, id=number) for number, flow in enumerate(evidence.flows(), start=1))
    evidence.place_by_elimination(flows)
    flows = tuple(evidence.placed(flow) for flow in flows)
    paths = tuple(path for flow in flows for path in evidence.paths(flow))
    return replace(
        recording,
        flows=flows,
        paths=paths,
        overlay=evidence.overlay(),
        gaps=(*recording.gaps, *evidence.gaps),
        notes=(*recording.notes, *evidence.notes),
    )


class _Evidence:
    """Everything that the captures say, and what is concluded from it."""

    def __init__(
        self, sights: Sequence[Sight], between: Sequence[Sight], unread: Sequence[CaptureResult], addresses: Mapping[str, str]
    ) -> None:
        self._sights = sights
        self._between = between
        self._nodes = tuple(dict.fromkeys(sight.tap.node for sight in sights))
        carried = [each for sight in (*sights, *between) if sight.role is Role.UNDERLAY for each in carried_at(sight)]
        self._underlay = find_underlay(sights, carried, find_anchors(sights, carried), addresses)
        self._places: Places = find_places(sights, carried, self._underlay.address)
        self._node_of = dict(self._places.node_of)
        tables = [sight.table for sight in (*sights, *between)]
        channels = find_channels(tables)
        self._roles = {sight.tap: sight.role for sight in (*sights, *between)}
        self._seen = seen_by_channel((*sights, *between), channels)
        self._translations = self._translated(tables, channels)
        self._masqueraded = self._sent_on(tables, channels)
        self._translations.update(self._by_exclusion())
        self._hops = Hops(sights, between, unread, self._places, self._underlay, self._seen)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What would have been needed and was not recorded."""
        return self._hops.gaps

    @property
    def notes(self) -> tuple[str, ...]:
        """What was presumed."""
        return self._underlay.doubts

    def _translated(self, tables: Sequence[PacketTable], channels: Channels) -> dict[Channel, tuple[Channel, ...]]:
        """What Services were translated to. A translation is seen between a client's own tap and any other."""
        before = [at for at, sight in enumerate(self._sights) if sight.tap in self._places.pod_address]
        found = find_translations(tables, channels, before, range(len(tables)))
        return {channel: others for channel, others in found.items() if self._from_own_pod(channel) and not self._is_pod(channel.server)}

    def _sent_on(self, tables: Sequence[PacketTable], channels: Channels) -> frozenset[Channel]:
        """The channels that are a pod's traffic under another address (masqueraded): theirs are no clients. What such a pod asked a
        Service, or what went on with another port of the pod, is then known to be translated."""
        before = [at for at, sight in enumerate(self._sights) if sight.tap in self._places.pod_address]
        found = find_masqueraded(tables, channels, before, range(len(tables)))
        kept = {other: was for other, was in found.items() if self._from_own_pod(was) and not self._from_own_pod(other)}
        for other, was in kept.items():
            if (was.server, was.port) != (other.server, other.port) and was not in self._translations and not self._is_pod(was.server):
                self._translations[was] = (replace(other, client=was.client),)
        return frozenset(other for other, was in kept.items() if other.client != was.client)

    def _by_exclusion(self) -> dict[Channel, tuple[Channel, ...]]:
        """What a Service was translated to where no packet shows it by itself (UDP super-packets that are cut behind the pod).

        A pod's own interface sees all that the pod sends. What goes on elsewhere under its address and was never sent so is what it asked
        and nobody saw again: of several such Services the one with the same port, else any of them.
        """
        asked, orphans = defaultdict[tuple[str, str], list[Channel]](list), defaultdict[tuple[str, str], list[Channel]](list)
        translated = {other for others in self._translations.values() for other in others}
        clients = set(self._places.pod_address.values())
        for channel, seen in self._seen.items():
            ends = channel.protocol, channel.client
            if channel.client not in clients or channel in translated or channel in self._translations:
                continue
            if not self._from_own_pod(channel):
                orphans[ends].append(channel)
            elif len(seen) == 1 and not self._is_pod(channel.server):
                asked[ends].append(channel)
        found = {}
        for ends, channels in asked.items():
            for channel in channels:
                same_port = [other for other in orphans[ends] if other.port == channel.port]
                if others := same_port or orphans[ends]:
                    found[channel] = tuple(others)
        return found

    def _is_pod(self, address: str) -> bool:
        return address in self._node_of

    def _from_own_pod(self, channel: Channel) -> bool:
        """Whether a tap of the client itself saw the channel."""
        return any(self._places.pod_address.get(tap) == channel.client for tap in self._seen[channel])

    def flows(self) -> list[Flow]:
        """Flows in the order of their addresses, without doubles; their ids are still to be given."""
        found: dict[tuple[Channel, Channel | None], None] = {}
        translated = {other for others in self._translations.values() for other in others}
        for channel in sorted(
            list(self._followed()) or self._served(), key=lambda each: (each.protocol, each.client, each.server, each.port or 0)
        ):
            if channel in self._masqueraded:
                continue
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

    def _served(self) -> Iterable[Channel]:
        """Where nothing else is worth following, what the recorded pods were asked."""
        return [channel for channel, seen in self._seen.items() if any(self._places.pod_address.get(tap) == channel.server for tap in seen)]

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
        servers = {flow.server.address for flow in flows if flow.server is not None and self._hops.left_its_pod(flow)}
        unplaced = servers - set(self._node_of)
        told = {tap.node for tap in self._places.pod_address}
        silent = {sight.tap.node for sight in self._sights if sight.role == Role.POD} - told
        silent -= {self._node_of.get(end.address) for flow in flows for end in (flow.client, flow.server) if end is not None}
        if len(unplaced) == 1 and len(silent) == 1:
            self._node_of[unplaced.pop()] = silent.pop()

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
        steps, note = self._hops.steps(flow)
        ends = (flow.client.address, flow.server.address if flow.server is not None else None)
        made = []
        for direction, way, (sender, receiver) in ((Direction.REQUEST, steps, ends), (Direction.REPLY, steps[::-1], ends[::-1])):
            outer = self._places.outer_destinations(sender or "", receiver or "", way[0][1].node if way else None)
            hops = tuple(Hop(hop=number, role=role, tap=tap) for number, (role, tap) in enumerate(way, start=1))
            destination = max(outer, key=lambda address: (outer[address], address), default=None)
            made.append(Path(flow=flow.id, direction=direction, hops=hops, basis=Basis.INFERRED, outer_destination=destination, note=note))
        return made[0], made[1]

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
