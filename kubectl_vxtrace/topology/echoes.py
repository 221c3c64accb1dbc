"""Echoes between the ends of flows, where sizes are tried and no application is followed."""

from collections.abc import Sequence
from dataclasses import replace

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.path import Endpoint, Flow


def echo_flows(flows: Sequence[Flow]) -> tuple[Flow, ...]:
    """Flows of echoes from each client to its servers, one on each node, numbered from 1; a Service's own address answers none.

    Raises:
        UsageError: no server is known.
    """
    ends: dict[tuple[str, str], tuple[Endpoint, Endpoint]] = {}
    for flow in flows:
        for server in (flow.server,) if flow.server is not None else flow.candidates:
            pair = (replace(flow.client, port=None), replace(server, port=None))
            ends.setdefault((flow.client.address, server.node or server.address), pair)
    if not ends:
        raise UsageError("no address is known that echoes could be sent to", "name a pod or a node with --to")
    return tuple(
        Flow(id=number, protocol="ICMP", client=client, server=server) for number, (client, server) in enumerate(ends.values(), start=1)
    )
