"""Replies to a node's own address: they go from NIC to NIC, as no block of pods has it and so no route leads it into the tunnel."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.attribute.conversations import sent_conversations
from kubectl_vxtrace.journeys.attribute.groups import PROTOCOLS
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Flow, Path, Role, Tap
from kubectl_vxtrace.model.recording import Recording


def with_bare_replies(recording: Recording, tables: Mapping[Tap, PacketTable]) -> Recording:
    """`recording`, in which the reply of a flow has no VXLAN hop where all that the server sent to the client's node had its own address.

    A client in its node's network asks a pod with the address of the VXLAN device, by the route or by masquerade, and is planned so. One
    whose packets keep the node's address is answered there. Where the server's own interface saw both, or nothing, the plan stands.
    """
    flows = {flow.id: flow for flow in recording.flows}
    paths = tuple(_bare(path) if _is_answered_bare(recording, flows[path.flow], path, tables) else path for path in recording.paths)
    return replace(recording, paths=paths) if paths != recording.paths else recording


def _bare(path: Path) -> Path:
    hops = (hop for hop in path.hops if hop.role is not Role.VXLAN)
    return replace(path, hops=tuple(replace(hop, hop=number) for number, hop in enumerate(hops, 1)), outer_destination=None)


def _is_answered_bare(recording: Recording, flow: Flow, path: Path, tables: Mapping[Tap, PacketTable]) -> bool:
    vteps = [vtep for vtep in recording.overlay.vteps if vtep.node == flow.client.node]
    is_planned = path.direction is Direction.REPLY and flow.client.host_network and any(hop.role is Role.VXLAN for hop in path.hops)
    if not is_planned or not vteps or flow.server is None or path.hops[0].role is not Role.POD or path.hops[0].tap not in tables:
        return False
    in_tunnel = {vtep.address for vtep in vteps if vtep.address}
    nodes = recording.snapshot.nodes if recording.snapshot is not None else ()
    in_api = {address for node in nodes if node.name == flow.client.node for address in node.addresses}
    own = {*in_api, *(vtep.underlay_address for vtep in vteps if vtep.underlay_address)} - in_tunnel
    conversations = tables[path.hops[0].tap].conversations
    of_server = np.isin(conversations.protocol, PROTOCOLS.get(flow.protocol, ()))
    of_server &= AddressBook([flow.server.address]).numbers(conversations.source) != UNKNOWN
    of_server &= sent_conversations(tables[path.hops[0].tap])
    if flow.server.port is not None and flow.protocol != "ICMP":
        of_server &= conversations.source_port == flow.server.port
    to_tunnel, to_node = (
        bool((AddressBook(sorted(addresses)).numbers(conversations.destination[of_server]) != UNKNOWN).any())
        for addresses in (in_tunnel, own)
    )
    return to_node and not to_tunnel
