"""Every form in which a Service leads to backends: its ClusterIP, its external addresses, its node port on the client's own node."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Service, ServicePort
from kubectl_vxtrace.model.path import Endpoint, Flow, ServiceRef
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.ends import backend_endpoint, first_of, version_of


def through_services(client: Endpoint, servers: Sequence[Endpoint], target: Target, snapshot: ClusterSnapshot) -> Iterator[Flow]:
    """Flows through each Service that leads to some of `servers`; ids are still to be given.

    One for each form, port and server, where `target` names neither another port of the server nor another protocol. A Service that leads
    elsewhere as well gives one more without server, whose `candidates` are all its backends: for packets of which nothing tells where
    they went.
    """
    asked = {server.address for server in servers if server.address != client.address}
    for service in sorted(snapshot.services, key=lambda service: service.full_name):
        for port in service.ports:
            candidates = servers_of(service, port, snapshot, version_of(client.address))
            named = [end for end in candidates if end.address in asked and target.port in (None, end.port)]
            if not named or target.protocol not in (None, port.protocol):
                continue
            for form in forms(service, port, client, snapshot):
                flow = Flow(id=0, protocol=port.protocol, client=client, service=form)
                yield from (replace(flow, server=server) for server in named)
                if len(named) < len(candidates):
                    yield replace(flow, candidates=candidates)


def forms(service: Service, port: ServicePort, client: Endpoint, snapshot: ClusterSnapshot) -> Iterator[ServiceRef]:
    """The addresses and ports at which `client` may ask a port of a Service, and which its own node translates.

    Another node's address is translated there, behind the wire, so that its node port is none of these (kube-proxy's KUBE-NODEPORTS:
    `--dst-type LOCAL`).
    """
    if service.type == "ExternalName":
        return
    version = version_of(client.address) or 4
    for address in (first_of(service.addresses, version), *service.external_addresses):
        if address is not None and version_of(address) == version:
            yield ServiceRef(address=address, port=port.port, name=service.full_name)
    own = first_of(next((node.addresses for node in snapshot.nodes if node.name == client.node), ()), version)
    if port.node_port is not None and own is not None:
        yield ServiceRef(address=own, port=port.node_port, name=service.full_name)


def servers_of(service: Service, port: ServicePort, snapshot: ClusterSnapshot, version: int | None) -> tuple[Endpoint, ...]:
    """The ends of an IP version that a Service leads to on a port: the ready ones; all if none is ready (as kube-proxy then sends nothing,
    any may be what was meant)."""
    usable = [backend for backend in backends_of(service, port) if version_of(backend.address) == version]
    ends = (backend_endpoint(backend, service, snapshot) for backend in [each for each in usable if each.ready] or usable)
    # EndpointSlices have no order, and lists of them come in another each time: the same trace is to read the same.
    return tuple(sorted(ends, key=lambda server: (server.node or "", server.address)))


def backends_of(service: Service, port: ServicePort) -> tuple[Backend, ...]:
    """What stands behind a port, ready or not."""
    return tuple(each for each in service.backends if (each.port_name or "") == (port.name or "") and each.protocol == port.protocol)
