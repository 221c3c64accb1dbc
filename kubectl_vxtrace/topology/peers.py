"""Whom a pod talks to, by what passed its interface for a while: whom it asks, and who asks it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

import numpy as np

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Service
from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Endpoint, Flow
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.ends import first_of, node_at, node_endpoint, pod_at, pod_endpoint, version_of
from kubectl_vxtrace.topology.forms import backends_of
from kubectl_vxtrace.topology.resolve import flow_nodes, flows_to

MOST_PEERS: Final = 8
"""So many exchanges are followed, those with most packets first."""

_PROTOCOLS: Final[dict[int, str]] = {IpProtocol.TCP: "TCP", IpProtocol.UDP: "UDP", IpProtocol.ICMP: "ICMP", IpProtocol.ICMPV6: "ICMP"}

_Side = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An exchange: who asks whom. `port` is the server's, None for ICMP; `packets` are those of both directions."""

    protocol: str
    client: str
    server: str
    port: int | None
    packets: int

    @property
    def text(self) -> str:
        """`10.244.1.3 > 10.96.0.10:53/UDP`."""
        return f"{self.client} > {self.server}{f':{self.port}' if self.port is not None else ''}/{self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What becomes of the peers of a pod: the flows to follow, and in sentences what is not followed and why."""

    flows: tuple[Flow, ...]
    notes: tuple[str, ...]


def peers_of(table: PacketTable, address: str, snapshot: ClusterSnapshot) -> tuple[Peer, ...]:
    """The exchanges of the pod with `address`, those with most packets first.

    The server is the side whose address and port are a Service's or an endpoint's; else the one whose port has several partners; else the
    one with the lower port. Of ICMP it is the side that was asked first.
    """
    talks = [_Talk(table, number, count) for number, count in _counts(table)]
    mine = [talk for talk in talks if talk.protocol and address in (talk.source[0], talk.destination[0]) and talk.is_unicast]
    roles = _Roles(mine, snapshot)
    found: Counter[tuple[str, str, str, int | None]] = Counter()
    for talk in mine:
        client, server = roles.of(talk)
        found[talk.protocol, client[0], server[0], server[1] if talk.protocol != "ICMP" else None] += talk.packets
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0][:3], item[0][3] or 0))
    return tuple(Peer(protocol=key[0], client=key[1], server=key[2], port=key[3], packets=packets) for key, packets in ordered)


class _Roles:
    """Which side of a conversation asks, and which answers."""

    def __init__(self, talks: Sequence["_Talk"], snapshot: ClusterSnapshot) -> None:
        self._known = _known_servers(snapshot)
        self._partners: defaultdict[tuple[str, _Side], set[_Side]] = defaultdict(set)
        self._first: dict[frozenset[_Side], _Side] = {}
        for talk in talks:
            self._partners[talk.protocol, talk.source].add(talk.destination)
            self._partners[talk.protocol, talk.destination].add(talk.source)
            self._first.setdefault(frozenset((talk.source, talk.destination)), talk.source)

    def of(self, talk: "_Talk") -> tuple[_Side, _Side]:
        """The client's side and the server's."""
        sides = (talk.source, talk.destination)
        if talk.protocol == "ICMP":
            client = self._first[frozenset(sides)]
            return client, talk.destination if client == talk.source else talk.source
        server = max(sides, key=lambda side: self._rank(talk.protocol, side))
        return talk.destination if server == talk.source else talk.source, server

    def _rank(self, protocol: str, side: _Side) -> tuple[bool, int, int]:
        return (protocol, *side) in self._known, len(self._partners[protocol, side]), -side[1]


class _Talk:
    """A conversation in one direction."""

    def __init__(self, table: PacketTable, number: int, packets: int) -> None:
        of = table.conversations
        self.protocol = _PROTOCOLS.get(int(of.protocol[number]), "")
        self.source = (address_text(of.source[number]), int(of.source_port[number]))
        self.destination = (address_text(of.destination[number]), int(of.destination_port[number]))
        self.packets = packets
        self.is_unicast = not ip_address(self.destination[0]).is_multicast


def _counts(table: PacketTable) -> list[tuple[int, int]]:
    """The conversations of a capture in the order in which they were first seen, each with its packets; neighbour discovery is none."""
    rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0))
    rows = np.setdiff1d(rows, table.neighbours.row, assume_unique=True)
    numbers, first, counts = np.unique(table.conversation[rows], return_index=True, return_counts=True)
    return [(int(numbers[at]), int(counts[at])) for at in np.argsort(first, kind="stable")]


def _known_servers(snapshot: ClusterSnapshot) -> set[tuple[str, str, int]]:
    """Protocol, address and port at which Services and what stands behind them are asked."""
    known = set()
    for service in snapshot.services:
        for address in (*service.addresses, *service.external_addresses):
            known |= {(port.protocol, address, port.port) for port in service.ports}
        known |= {(backend.protocol, backend.address, backend.port) for backend in service.backends}
    return known


def followed(peers: Sequence[Peer], client: Endpoint, snapshot: ClusterSnapshot, most_nodes: int) -> Followed:
    """The flows of a pod's peers on other nodes, as far as `most_nodes` nodes allow; numbered from 1.

    What stays on the pod's node, or goes to somebody who is in no cluster's list, crosses no overlay: it is said and not followed.
    """
    return _chosen([(peer, *_flows_of(peer, client, snapshot)) for peer in peers], most_nodes)


def clients_followed(peers: Sequence[Peer], service: Service, snapshot: ClusterSnapshot, most_nodes: int) -> Followed:
    """The flows of those who ask a Service's backends: of each client through the Service to all backends; else as `followed`."""
    asked: dict[tuple[str, Target], Peer] = {}
    for peer in peers:
        target = _asked_of(service, peer)
        if target is not None:
            known = asked.setdefault((peer.client, target), replace(peer, packets=0))
            asked[peer.client, target] = replace(known, packets=known.packets + peer.packets)
    ranked = sorted(asked.items(), key=lambda item: -item[1].packets)
    return _chosen([(peer, *_flows_to(client, target, snapshot)) for (client, target), peer in ranked], most_nodes)


def _asked_of(service: Service, peer: Peer) -> Target | None:
    """What of a Service somebody asks who asks a backend so; None where the Service does not lead there."""
    for port in service.ports:
        if any((each.address, each.port, each.protocol) == (peer.server, peer.port, peer.protocol) for each in backends_of(service, port)):
            address = first_of(service.addresses, version_of(peer.server) or 0)
            if address is not None:
                return Target(address=address, port=port.port, protocol=port.protocol)
            return Target(address=peer.server, port=peer.port, protocol=peer.protocol)
    return None


def _chosen(candidates: Sequence[tuple[Peer, list[Flow], str | None]], most_nodes: int) -> Followed:
    """Of exchanges, each with its flows or why there are none, as many as nodes and our own bound allow."""
    flows: dict[Flow, None] = {}
    notes: list[str] = []
    taken = 0
    for peer, found, without in candidates:
        why = without
        more = [flow for flow in found if flow not in flows]
        if why is None and taken == MOST_PEERS:
            why = f"more than {MOST_PEERS} exchanges are not followed at once"
        if why is None and len(flow_nodes((*flows, *more))) > most_nodes:
            why = f"it would take more nodes than --max-nodes {most_nodes}"
        if why is None and flows and version_of(more[0].client.address) != version_of(next(iter(flows)).client.address):
            why = "IPv4 and IPv6 are not followed at once; name the other end by its address"
        if why is not None:
            notes.append(f"{peer.text} ({peer.packets} packets were heard) is not followed: {why}")
            continue
        taken += 1
        flows.update(dict.fromkeys(more))
    numbered = tuple(replace(flow, id=number) for number, flow in enumerate(flows, start=1))
    return Followed(flows=numbered, notes=tuple(notes))


def _flows_of(peer: Peer, pod: Endpoint, snapshot: ClusterSnapshot) -> tuple[list[Flow], str | None]:
    """The flows of one exchange of a pod, or why there are none."""
    target = Target(address=peer.server, port=peer.port, protocol=peer.protocol)
    return _flows_to(pod if peer.client == pod.address else peer.client, target, snapshot)


def _flows_to(asking: Endpoint | str, target: Target, snapshot: ClusterSnapshot) -> tuple[list[Flow], str | None]:
    """The flows from an end, or from whoever has an address, to a target by its address; or why there are none."""
    address = target.address or ""
    try:
        client = _end_at(asking, snapshot) if isinstance(asking, str) else asking
        if client is None:
            return [], f"{asking} is no pod and no node"
        found = flows_to(client, target, snapshot)
    except UsageError as error:
        return [], error.message
    servers = [server for flow in found for server in (flow.server, *flow.candidates) if server is not None]
    if not any(server.node is not None for server in servers):
        return [], f"{address} is outside the cluster" if servers else "nothing stands behind it"
    if all(server.node == client.node for server in servers):
        return [], "both ends are on one node"
    return found, None


def _end_at(address: str, snapshot: ClusterSnapshot) -> Endpoint | None:
    """The pod or node with that address."""
    version = version_of(address) or 0
    if (pod := pod_at(address, snapshot)) is not None:
        return pod_endpoint(pod, version)
    node = node_at(address, snapshot)
    return node_endpoint(node, version) if node is not None else None
