"""What the packets of a trouble look like to the packet filter at one stretch."""

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import encapsulations, rows_at
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble
from kubectl_vxtrace.diagnosis.rules.fit import Traits
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import U8, address_text
from kubectl_vxtrace.model.path import Direction, Hop, Role


def traits(case: Case, trouble: Trouble, stretch: Stretch) -> Traits:
    """The traits of the packets at `stretch`: of the outer packet beside the NIC, of the inner one elsewhere."""
    if stretch.place in (Place.ENCAPSULATE, Place.DECAPSULATE):
        return _outer(case, trouble, stretch)
    return _inner(case, trouble, stretch)


def _outer(case: Case, trouble: Trouble, stretch: Stretch) -> Traits:
    sending = stretch.place is Place.ENCAPSULATE
    headers = encapsulations(case, trouble, stretch.start) or encapsulations(case, trouble, trouble.start)
    sources = {header.source for header in headers}
    destinations = {header.destination for header in headers}
    ports = {header.port for header in headers}
    if not headers:
        sender = next((hop for hop in trouble.path.hops if hop.role is Role.VXLAN), None)
        end = nodes.vtep(case, sender.tap.node) if sender is not None else None
        sources = {end.underlay_address} if end is not None and end.underlay_address is not None else set()
        ports = set(nodes.device_ports(case, sender)) if sender is not None else set()
        destinations = {trouble.path.outer_destination} if trouble.path.outer_destination is not None else set()
    return Traits(
        protocol="udp",
        sources=frozenset(sources),
        destinations=frozenset(destinations),
        destination_ports=frozenset(ports),
        inputs=frozenset() if sending else _interface(stretch.start),
        outputs=_interface(stretch.end) if sending else frozenset(),
    )


def _inner(case: Case, trouble: Trouble, stretch: Stretch) -> Traits:
    """Both ends with every address and port that translation gives them: which of them a rule sees depends on its hook."""
    flow = trouble.flow
    client, client_ports = {flow.client.address}, set[int]()
    ends = [end for end in (flow.server, *flow.candidates) if end is not None]
    servers = {end.address for end in ends}
    server_ports = {end.port for end in ends if end.port is not None}
    if flow.service is not None:
        servers |= {flow.service.address} if flow.service.address is not None else set()
        server_ports |= {flow.service.port} if flow.service.port is not None else set()
    request = trouble.path.direction is Direction.REQUEST
    table = case.tables.get(trouble.start.tap)
    if table is not None:
        talk = table.conversation[rows_at(trouble, trouble.start)]
        talk = np.unique(talk[talk >= 0])
        small = table.conversations
        senders, receivers = (client, servers) if request else (servers, client)
        senders |= _texts(small.source[talk])
        receivers |= _texts(small.destination[talk])
        sending, receiving = (client_ports, server_ports) if request else (server_ports, client_ports)
        sending |= set(small.source_port[talk].tolist())
        receiving |= set(small.destination_port[talk].tolist())
    has_ports = flow.protocol != "ICMP"
    sources, destinations = (client, servers) if request else (servers, client)
    source_ports, destination_ports = (client_ports, server_ports) if request else (server_ports, client_ports)
    return Traits(
        protocol=flow.protocol.lower(),
        sources=frozenset(sources),
        destinations=frozenset(destinations),
        source_ports=frozenset(source_ports) if has_ports else frozenset(),
        destination_ports=frozenset(destination_ports) if has_ports else frozenset(),
        inputs=_interface(stretch.start),
        outputs=_interface(stretch.end),
    )


def _texts(raw: U8) -> set[str]:
    return {address_text(address) for address in np.unique(raw, axis=0)}


def _interface(hop: Hop | None) -> frozenset[str]:
    """The hop's interface; nothing where it is not known."""
    return frozenset({hop.tap.interface}) - {""} if hop is not None else frozenset()
