"""Traces between nodes: each node's tunnel to each other one, from VXLAN device to VXLAN device."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Final

from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node
from kubectl_vxtrace.model.path import Endpoint, Flow, Overlay
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.model.request import Request, Target
from kubectl_vxtrace.topology.ends import in_one_version, node_endpoint
from kubectl_vxtrace.topology.search import find

COMMANDS: Final = frozenset({"node", "mesh"})
"""The commands whose ends are nodes."""


def node_flows(request: Request, snapshot: ClusterSnapshot) -> tuple[Flow, ...]:
    """Echoes from each of the nodes that a request means to each other one, numbered from 1; their addresses are the nodes' own until
    `between_tunnels` knows those of the VXLAN devices.

    `node` means two, `mesh` all of `snapshot`.

    Raises:
        UsageError: no such node, one node twice, fewer than two, or without an IP version that all have addresses of.
    """
    nodes = [_named(end, snapshot) for end in (request.source, request.target)] if request.command == "node" else snapshot.nodes
    if len({node.name for node in nodes}) < 2:
        if request.command == "node":
            raise UsageError("both ends are the same node", "name another one with --to")
        raise UsageError(f"{len(nodes)} nodes are meant, and it takes two to have a path", "kubectl get nodes --show-labels")
    ends = in_one_version(lambda version: [node_endpoint(node, version) for node in nodes], "kubectl get nodes -o wide")
    flows = (Flow(id=0, protocol="ICMP", client=client, server=server) for client, server in permutations(ends, 2))
    return tuple(replace(flow, id=number) for number, flow in enumerate(flows, start=1))


def _named(end: Target | None, snapshot: ClusterSnapshot) -> Node:
    if end is None:
        raise UsageError("the other node is not named", "name it with --to node/NAME")
    if end.kind not in (None, "node"):
        raise UsageError(f"{end.kind}/{end.name} is no node", "name a node: --to node/NAME")
    name = find(replace(end, kind="node"), snapshot, "", kinds=("node",), elsewhere=True).name
    return next(node for node in snapshot.nodes if node.name == name)


def between_tunnels(flows: Sequence[Flow], overlay: Overlay) -> tuple[tuple[Flow, ...], tuple[Gap, ...]]:
    """The flows between the addresses of the VXLAN devices, and the nodes that have none, whose flows are left out.

    Raises:
        CannotRunError: fewer than two nodes have one.
    """
    addresses = {vtep.node: vtep.address for vtep in overlay.vteps if vtep.address is not None}
    nodes = dict.fromkeys(end.node for flow in flows for end in (flow.client, flow.server) if end is not None and end.node is not None)
    gaps = tuple(Gap(node=node, reason="its VXLAN device has no address that is known") for node in nodes if node not in addresses)
    found: list[Flow] = []
    for flow in flows:
        client, server = flow.client, flow.server
        if server is not None and client.node in addresses and server.node in addresses:
            found.append(replace(flow, id=len(found) + 1, client=_at(client, addresses), server=_at(server, addresses)))
    if not found:
        raise CannotRunError(
            "the VXLAN devices of these nodes have no addresses of their own, which echoes could be sent between",
            "trace from a pod: kubectl vxtrace pod NAME --to TARGET",
        )
    return tuple(found), gaps


def _at(end: Endpoint, addresses: dict[str, str]) -> Endpoint:
    return replace(end, address=addresses[end.node or ""])
