"""What the packets of a loss look like to the packet filter at one segment."""

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, conversations_at, encapsulations
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, SegmentKind
from kubectl_vxtrace.diagnosis.rules.fit import Traits
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Direction, Hop, Role


def traits(case: Case, loss: Loss, segment: AnySegment) -> Traits:
    """The traits of the packets at `segment`: of the outer packet beside the NIC, of the inner one elsewhere."""
    if segment.kind in (SegmentKind.ENCAPSULATE, SegmentKind.DECAPSULATE):
        return _outer(case, loss, segment)
    return _inner(case, loss, segment)


def _outer(case: Case, loss: Loss, segment: AnySegment) -> Traits:
    sending = segment.kind is SegmentKind.ENCAPSULATE
    headers = encapsulations(case, loss, segment.start) or encapsulations(case, loss, loss.start)
    sources = {header.source for header in headers}
    destinations = {header.destination for header in headers}
    ports = {header.port for header in headers}
    if not headers:
        sender = next((hop for hop in loss.path.hops if hop.role is Role.VXLAN), None)
        end = node_facts.vtep(case, sender.tap.node) if sender is not None else None
        sources = {end.underlay_address} if end is not None and end.underlay_address is not None else set()
        ports = set(node_facts.device_ports(case, sender)) if sender is not None else set()
        destinations = {loss.path.outer_destination} if loss.path.outer_destination is not None else set()
    return Traits(
        protocol="udp",
        sources=frozenset(sources),
        destinations=frozenset(destinations),
        destination_ports=frozenset(ports),
        inputs=frozenset() if sending else _interface(segment.start),
        outputs=_interface(segment.end) if sending else frozenset(),
    )


def _inner(case: Case, loss: Loss, segment: AnySegment) -> Traits:
    """Both ends with every address and port that translation gives them: which of them a rule sees depends on its hook."""
    flow = loss.flow
    client, client_ports = {flow.client.address}, set[int]()
    ends = [end for end in (flow.server, *flow.candidates) if end is not None]
    servers = {end.address for end in ends}
    server_ports = {end.port for end in ends if end.port is not None}
    if flow.service is not None:
        servers |= {flow.service.address} if flow.service.address is not None else set()
        server_ports |= {flow.service.port} if flow.service.port is not None else set()
    outputs = _interface(segment.end)
    if loss.onward is not None:
        servers |= set(loss.onward.addresses)
        server_ports |= {port for _, port in loss.onward.targets if port is not None}
        outputs = frozenset(loss.onward.devices)
    request = loss.path.direction is Direction.REQUEST
    seen = conversations_at(case, loss, loss.start)
    sources, destinations = (client, servers) if request else (servers, client)
    source_ports, destination_ports = (client_ports, server_ports) if request else (server_ports, client_ports)
    sources |= set(address_texts(seen.source))
    destinations |= set(address_texts(seen.destination))
    source_ports |= set(seen.source_port.tolist())
    destination_ports |= set(seen.destination_port.tolist())
    has_ports = flow.protocol != "ICMP"
    return Traits(
        protocol=flow.protocol.lower(),
        sources=frozenset(sources),
        destinations=frozenset(destinations),
        source_ports=frozenset(source_ports) if has_ports else frozenset(),
        destination_ports=frozenset(destination_ports) if has_ports else frozenset(),
        inputs=_interface(segment.start),
        outputs=outputs,
    )


def _interface(hop: Hop | None) -> frozenset[str]:
    """The hop's interface; nothing where it is not known."""
    return frozenset({hop.tap.interface}) - {""} if hop is not None else frozenset()
