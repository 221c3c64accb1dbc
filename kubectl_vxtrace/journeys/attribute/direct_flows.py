"""What a client asks backends of a traced Service directly: flows of their own beside those through the Service."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook, client_addresses
from kubectl_vxtrace.journeys.attribute.conversations import sent_conversations
from kubectl_vxtrace.journeys.attribute.groups import PROTOCOLS
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path, Role, Tap
from kubectl_vxtrace.model.recording import Recording

Asked = tuple[int, bytes, int]
"""What a client sends to: protocol number, address of 16 bytes, port."""


def with_direct_flows(recording: Recording, tables: Mapping[Tap, PacketTable]) -> Recording:
    """`recording` with a flow without Service for each backend of a planned Service to which the client's own interface saw requests.

    Where that interface is blind, or the client has none of its own (the host's network), the two look alike everywhere. What a pod asks
    of itself directly never comes to its interface: packets there from its address to its address are those that its node sent back to it.
    """
    planned = {_ends(flow, flow.server) for flow in recording.flows if not _through_service(flow) and flow.server is not None}
    asked: dict[tuple[Tap, str], frozenset[Asked]] = {}
    number = max((flow.id for flow in recording.flows), default=0) + 1
    flows: list[Flow] = []
    paths: list[Path] = []
    for flow in recording.flows:
        of_flow = [path for path in recording.paths if path.flow == flow.id]
        tap, server = _own_tap(of_flow), flow.server
        if not _through_service(flow) or server is None or server.address == flow.client.address or tap is None or tap not in tables:
            continue
        if _ends(flow, server) in planned or _ends(flow, replace(server, port=None)) in planned:
            continue
        if (tap, flow.client.address) not in asked:
            asked[tap, flow.client.address] = _asked(tables[tap], AddressBook(client_addresses(recording, flow.client)))
        if any((protocol, packed_address(server.address), server.port) in asked[tap, flow.client.address] for protocol in _numbers(flow)):
            planned.add(_ends(flow, server))
            flows.append(replace(flow, id=number, service=None))
            paths += (replace(path, flow=number, hops=_direct_hops(flow, path)) for path in of_flow)
            number += 1
    return replace(recording, flows=(*recording.flows, *flows), paths=(*recording.paths, *paths)) if flows else recording


def _through_service(flow: Flow) -> bool:
    """Whether the flow's requests are addressed to a Service; a headless one has no address."""
    return flow.service is not None and flow.service.address is not None


def _numbers(flow: Flow) -> tuple[int, ...]:
    return PROTOCOLS.get(flow.protocol, ())


def _ends(flow: Flow, server: Endpoint) -> tuple[str, str, str, int | None]:
    return flow.protocol, flow.client.address, server.address, server.port


def _own_tap(paths: Sequence[Path]) -> Tap | None:
    """The client's own interface, where the request's path begins there."""
    hops = (path.hops[0] for path in paths if path.direction is Direction.REQUEST and path.hops)
    return next((hop.tap for hop in hops if hop.role is Role.POD), None)


def _asked(table: PacketTable, clients: AddressBook) -> frozenset[Asked]:
    """Everything that a client sent to, as its own interface saw it."""
    conversations = table.conversations
    used = np.flatnonzero(sent_conversations(table))
    used = used[clients.numbers(conversations.source[used]) != UNKNOWN]
    ends = zip(
        conversations.protocol[used].tolist(),
        map(bytes, conversations.destination[used]),
        conversations.destination_port[used].tolist(),
        strict=True,
    )
    return frozenset(ends)


def _direct_hops(flow: Flow, path: Path) -> tuple[Hop, ...]:
    """The hops without a Service: on one node a bridge hands packets from port to port, and its own interface sees none of them."""
    server = flow.server
    if server is None or server.node is None or server.node != flow.client.node:
        return path.hops
    return tuple(replace(hop, hop=number) for number, hop in enumerate((hop for hop in path.hops if hop.role is not Role.BRIDGE), 1))
