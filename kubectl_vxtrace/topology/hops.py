"""The hops of flows that only captures show: which tap a flow passes on which node, and which of them nobody recorded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kubectl_vxtrace.model.path import Flow, Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, Gap
from kubectl_vxtrace.topology.channels import Channel, Channels
from kubectl_vxtrace.topology.places import Places, Sight
from kubectl_vxtrace.topology.placing import ROLE_WORDS
from kubectl_vxtrace.topology.underlay import Underlay

Step = tuple[Role, Tap]
_NONE_GIVEN: Final = "no capture of this node was given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Frames of one channel at one tap, how many of them the client sent, and how many were encapsulated."""

    frames: int
    requests: int
    tunnelled: int


class Hops:
    """The taps on the way of each flow. `gaps` says what would have been needed and was not recorded, of the flows that were asked for."""

    def __init__(
        self,
        sights: Sequence[Sight],
        between: Sequence[Sight],
        unread: Sequence[CaptureResult],
        places: Places,
        underlay: Underlay,
        seen: Mapping[Channel, Mapping[Tap, Seen]],
    ) -> None:
        self._sights = sights
        self._between = between
        self._unread = unread
        self._places = places
        self._underlay = underlay
        self._seen = seen
        self._roles = {sight.tap: sight.role for sight in (*sights, *between)}
        self._unknown: dict[str, str] = {}
        self._missing: defaultdict[str, dict[str, None]] = defaultdict(dict)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What would have been needed and was not recorded, or cannot be read: one for each node."""
        return tuple(Gap(node=node, reason=reason) for node, reason in (*self._unknown.items(), *self._lacks()))

    def _lacks(self) -> Iterator[tuple[str, str]]:
        captured = {tap.node for tap in self._roles} | {capture.task.tap.node for capture in self._unread}
        for node, missing in self._missing.items():
            if node not in captured:
                yield node, _NONE_GIVEN
                continue
            unread = [f"{capture.reason}" for capture in self._unread if capture.task.tap.node == node]
            yield node, "; ".join([f"no capture was given of {' and '.join(missing)}", *unread])

    def left_its_pod(self, flow: Flow) -> bool:
        """Whether any tap but the client's own saw the flow."""
        return self._seen_away_from(flow, flow.client.address)

    def _seen_away_from(self, flow: Flow, address: str) -> bool:
        return any(self._places.pod_address.get(tap) != address for tap in self._of_flow(flow))

    def steps(self, flow: Flow) -> tuple[list[Step], str | None]:
        """The steps of a request, and what is not known about them."""
        client, server = flow.client, flow.server
        near = self._half(client.node, client.address, flow) if client.node is not None else []
        if server is None:
            return near if self._is_bound_elsewhere(flow) else near[:1], "nothing beyond these hops names the backend"
        if near and server.node is None and not self.left_its_pod(flow):
            return near[:1], "answered, and no other capture saw it: it may not have left the node"
        if client.node is not None and client.node == server.node:
            return [near[0], *self._half(server.node, server.address, flow)[:1]], None
        if server.node is not None and client.node is None and not self._seen_away_from(flow, server.address):
            own = self._half(server.node, server.address, flow)[:1]
            return own, f"nothing recorded says where {client.address} is, and no other capture saw it: it may be on the same node"
        unknown = [end.address for end in (client, server) if end.node is None]
        far = self._half(server.node, server.address, flow) if server.node is not None else self._unrecorded(server.address, client.node)
        note = f"nothing recorded says where {' and '.join(unknown)} is" if unknown else None
        return [*(near or self._unrecorded(client.address, server.node)), *self._switches(flow), *far[::-1]], note

    def _switches(self, flow: Flow) -> list[Step]:
        """Captures between the nodes that saw the flow, or other packets between the two ends: the way leads past them.

        A NIC of which nothing tells whether it is the one node's or the other's is somewhere between both as well.
        """
        ends = {flow.client.address, flow.server.address if flow.server is not None else None}
        seen = {tap for channel, taps in self._seen.items() if {channel.client, channel.server} == ends for tap in taps}
        found = [sight.tap for sight in self._between if sight.tap in seen]
        placed = {flow.client.node, flow.server.node if flow.server is not None else None}
        nics = [tap for tap in seen if tap.node in self._underlay.open and tap.node not in placed and self._roles[tap] is Role.UNDERLAY]
        found += nics if len(nics) == 1 else []
        # One that is called after a node is next to it.
        found.sort(key=lambda tap: (tap.node != flow.client.node, flow.server is not None and tap.node == flow.server.node))
        return [(Role.UNDERLAY, tap) for tap in found]

    def _is_bound_elsewhere(self, flow: Flow) -> bool:
        """Whether packets without a named backend must leave the node: all candidates are elsewhere.

        Where no capture names a candidate, the pods whose interfaces were recorded stand for them: nobody records a pod without cause.
        """
        nodes = {end.node for end in flow.candidates}
        if not nodes:
            own = {tap for tap, address in self._places.pod_address.items() if address == flow.client.address}
            nodes = {sight.tap.node for sight in self._sights if sight.role == Role.POD and sight.tap not in own}
        return bool(nodes) and not nodes & {None, flow.client.node}

    def _unrecorded(self, address: str, other_end: str | None) -> list[Step]:
        """Blind hops of a node of which no capture is known, outward from the pod; it is called by its underlay address if known.

        other_end: the node of the flow's other end, which it is not.
        """
        outer = [each.source for each in self._places.carried if each.inner_source == address]
        outer += [each.destination for each in self._places.carried if each.inner_destination == address]
        node = outer[0] if outer else f"node of {address}"
        self._unknown[node] = self._why_unknown(address, outer[0] if outer else None, other_end)
        return [(role, _nobodys(node, role)) for role in (Role.POD, Role.VXLAN, Role.UNDERLAY)]

    def _why_unknown(self, address: str, outer: str | None, other_end: str | None) -> str:
        """Why a node has no hops that were captured: none of them is known to be it, or there are none."""
        possible = [node for node, of in self._underlay.open.items() if node != other_end and (outer is None or outer in of)]
        if not possible:
            return _NONE_GIVEN
        who = outer or address
        return f"nothing tells whether {who} is {' or '.join(sorted(possible))}: say so with --node {min(possible)}={outer or 'ADDRESS'}"

    def _half(self, node: str, address: str, flow: Flow) -> list[Step]:
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
            return self._blind(node, role, address)
        seen = self._of_flow(flow)
        return max(taps, key=lambda tap: seen[tap].frames if tap in seen else 0)

    def _blind(self, node: str, role: Role, address: str) -> Tap:
        """The tap of a capture that cannot be read, or one that stands for a capture that nobody made."""
        unread = [capture.task.tap for capture in self._unread if (capture.task.tap.node, capture.task.role) == (node, role)]
        if len(unread) == 1:
            return unread[0]
        self._missing[node][f"the interface of pod {address}" if role is Role.POD else f"the {ROLE_WORDS[role]}"] = None
        return _nobodys(node, role)

    def _of_flow(self, flow: Flow) -> Mapping[Tap, Seen]:
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


def _nobodys(node: str, role: Role) -> Tap:
    """The tap that stands for a capture that nobody made; each role has its own, as one tap is one hop."""
    return Tap(node=node, interface="", place=role.value)


def seen_by_channel(sights: Sequence[Sight], channels: Channels) -> dict[Channel, dict[Tap, Seen]]:
    """For each channel the taps that saw it."""
    found: dict[Channel, dict[Tap, Seen]] = {channel: {} for channel in channels.channels}
    for at, sight in enumerate(sights):
        frames = channels.counts(at)
        requests = channels.counts(at, channels.row_forward[at])
        tunnelled = channels.counts(at, sight.table.tunnel >= 0)
        for number in frames.nonzero()[0]:
            found[channels.channels[number]][sight.tap] = Seen(
                frames=int(frames[number]), requests=int(requests[number]), tunnelled=int(tunnelled[number])
            )
    return found
