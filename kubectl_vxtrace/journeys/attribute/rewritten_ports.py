"""Connections that went on with another client port: what NAT does on the client's node where another connection has the port."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kubectl_vxtrace.journeys.attribute.attribution import Attribution
from kubectl_vxtrace.journeys.attribute.clients import clients_of, with_new_port
from kubectl_vxtrace.journeys.records import ANY_PORT, Candidate, FlowFrames
from kubectl_vxtrace.model.journeys import PortRewriting
from kubectl_vxtrace.model.path import Tap


def rewritten_ports(
    attribution: Attribution, frames_of: Mapping[Tap, FlowFrames], candidates: Sequence[Candidate]
) -> tuple[PortRewriting, ...]:
    """The flows' connections of which frames have the client's own address and another port than it used, in order of flows and ports."""
    in_conntrack = {
        (connection.entry.original_source, connection.entry.original_source_port, connection.entry.reply_destination_port)
        for connection in attribution.connections
        if connection.node is not None and connection.entry.reply_destination == connection.entry.original_source
    }
    found: dict[PortRewriting, None] = {}
    for group, planned, server_port, client_port, seen_port in sorted(set(_seen(attribution, frames_of))):
        flows = (
            each.flow for each in candidates if (each.group, each.planned) == (group, planned) and each.port in (ANY_PORT, server_port)
        )
        for flow in flows:
            known = (flow.client.address, client_port, seen_port) in in_conntrack
            found[PortRewriting(flow=flow.id, client_port=client_port, seen_port=seen_port, in_conntrack=known)] = None
    return tuple(sorted(found, key=lambda each: (each.flow, each.client_port, each.seen_port)))


def _seen(attribution: Attribution, frames_of: Mapping[Tap, FlowFrames]) -> Iterator[tuple[int, ...]]:
    """Group, planned flow, server's port, client's port, and that port as it was seen."""
    for client in clients_of(attribution.groups):
        for tap, frames in frames_of.items():
            if tap not in client.own_taps:
                of_tap = attribution.tables[tap], attribution.ends[tap], attribution.memberships[tap]
                moved, port = with_new_port(*of_tap, frames, client)
                columns = (moved.group, moved.planned, moved.server_port, moved.client_port, port)
                yield from map(tuple, np.unique(np.stack(columns, axis=1), axis=0).tolist())
