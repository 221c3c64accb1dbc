"""Pods that never get as far as to send: they ask for the link-layer address of their next hop, and nobody answers."""

from collections.abc import Collection, Iterator, Sequence
from itertools import count

import numpy as np

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.judge.counted import in_window
from kubectl_vxtrace.model.address import address_after, packed_address, unique
from kubectl_vxtrace.model.journeys import JourneyTable, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Hop, Path, Role
from kubectl_vxtrace.model.protocol import ARP, NEIGHBOUR_DISCOVERY
from kubectl_vxtrace.model.report import HopCount, LegTally

_LINK_LOCAL = ("169.254.", "fe80:")
"""RFC 3927, RFC 4291. No pod asks such an address for itself: it is the gateway that Calico gives every pod (Calico's FAQ)."""


def asked_in_vain(context: Context, sending: Collection[str], first_id: int) -> Iterator[TracedPath]:
    """What clients that are not `sending` ask their next hop (RFC 826; RFC 4861, 7.2), as flows of their own that are lost behind the
    first hop: of each address that nobody answers for in the whole capture, though the tap would have seen it.

    Only for what leads to the asked ends: a gateway of the pod, or such an end itself. The flows have ids from `first_id` on.
    """
    recording = context.recording
    by_id = {flow.id: flow for flow in recording.flows}
    paths = [path for path in recording.paths if path.flow in by_id and path.direction is Direction.REQUEST and path.hops]
    numbers = count(first_id)
    told = set(sending)
    for path in paths:
        client, hop = by_id[path.flow].client, path.hops[0]
        if client.address in told or client.host_network or hop.role is not Role.POD or not context.testimony_of(hop.tap).witness:
            continue
        told.add(client.address)
        wanted = _leading_to_ends(context, [flow for flow in by_id.values() if flow.client.address == client.address], hop)
        for address, rows in _unanswered(context.tables.get(hop.tap), client.address).items():
            rows = rows[in_window(context.window, hop.tap.node, context.tables[hop.tap].time_ns[rows])]
            if len(rows) and (address in wanted or address.startswith(_LINK_LOCAL)):
                flow = _flow(next(numbers), client, address)
                yield _lost(context, Path(flow=flow.id, direction=Direction.REQUEST, hops=(hop,), basis=path.basis), flow, rows)


def _leading_to_ends(context: Context, flows: Sequence[Flow], hop: Hop) -> set[str]:
    """The ends that are asked for, and the addresses of the client's node, one of which is its pods' gateway where they have a bridge.

    A bridge that is gone has none any more: flannel gives it the first address of the node's network, whose own is the VXLAN device's
    (flannel's backend/vxlan; the CNI plug-in host-local takes the first one for the gateway).
    """
    ends = [end for flow in flows for end in (flow.server, *flow.candidates) if end is not None]
    looks = (*context.recording.before, *context.recording.after)
    links = [link for facts in looks if facts.node == hop.tap.node for link in facts.links]
    vteps = [vtep.address for vtep in context.recording.overlay.vteps if vtep.node == hop.tap.node]
    bridges = unique(address_after(address) for address in vteps if address is not None)
    return {end.address for end in ends} | {address for link in links for address in link.addresses} | set(bridges)


def _unanswered(table: PacketTable | None, client: str) -> dict[str, I32]:
    """Rows of the client's questions by the address that is asked for, where no frame of the file answers for that."""
    packed = packed_address(client)
    if table is None or packed is None:
        return {}
    messages, asker = table.neighbours, np.frombuffer(packed, dtype=np.uint8)
    conversation = table.conversation[messages.row]
    is_own = (conversation >= 0) & (table.conversations.source[np.maximum(conversation, 0)] == asker).all(axis=1)
    # An announcement (RFC 5227, 3) and a probe for a duplicate ask for the own address.
    is_question = is_own & ~messages.answer & ~(messages.address == asker).all(axis=1)
    rows: dict[str, I32] = {}
    for raw in np.unique(messages.address[is_question], axis=0):
        about = (messages.address == raw).all(axis=1)
        if not (about & messages.answer).any():
            rows[address_text(raw)] = messages.row[about & is_question].astype(np.int32)
    return rows


def _flow(number: int, client: Endpoint, address: str) -> Flow:
    protocol = NEIGHBOUR_DISCOVERY if ":" in address else ARP
    return Flow(id=number, protocol=protocol, client=client, candidates=(Endpoint(address=address),))


def _lost(context: Context, path: Path, flow: Flow, rows: I32) -> TracedPath:
    hop, asked = path.hops[0], len(rows)
    testimony, table = context.testimony_of(hop.tap), context.tables[hop.tap]
    journeys = JourneyTable(
        path=path,
        row=rows.reshape(-1, 1),
        outcome=np.full(asked, OutcomeCode.LOST, dtype=np.uint8),
        lost_from=np.ones(asked, dtype=np.int32),
        lost_to=np.zeros(asked, dtype=np.int32),
        weight_packets=np.ones(asked, dtype=np.int32),
        client_port=np.zeros(asked, dtype=np.int32),
        time_ns=table.time_ns[rows],
    )
    seen = HopCount(
        hop=1,
        role=hop.role,
        node=hop.tap.node,
        interface=hop.tap.interface or None,
        capture=testimony.capture,
        packets=asked,
        frames=asked,
        control=max(context.frames_in_window.get(hop.tap, 0) - asked, 0),
        tuple=f"{flow.client.address} > {flow.candidates[0].address}",
    )
    leg = LegTally(from_=1, to=None, sent=asked, arrived=0, lost=asked)
    return TracedPath(flow=flow, path=path, journeys=journeys, hops=(seen,), legs=(leg,))
