"""Is the receiver's VXLAN device up, and does it listen to what the frames carry: port and VNI?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.ends import frames_taken
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import IcmpAnswer, direction_noun, encapsulations, icmp_answers, place_text
from kubectl_vxtrace.diagnosis.evidence.outer_headers import Encapsulation, udp_counter
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792: port unreachable. RFC 4443, 3.1: the same in ICMPv6.
_PORT_UNREACHABLE = frozenset({(3, 3), (1, 4)})


def check(case: Case) -> Iterator[Finding]:
    """Findings `vxlan-device-down`, `vxlan-port-mismatch` and `vni-mismatch`; at most one for each trouble."""
    for trouble in troubles(case):
        stretch = trouble.stretch(Place.DECAPSULATE)
        if stretch is not None and stretch.end is not None:
            yield from _receiving(case, trouble, stretch, stretch.end)
        for stretch in trouble.stretches:
            if stretch.place is Place.FORWARD and stretch.end is not None and nodes.is_vxlan(stretch.end):
                yield from _sending(case, trouble, stretch.end)


def _receiving(case: Case, trouble: Trouble, stretch: Stretch, device: Hop) -> Iterator[Finding]:
    state = nodes.interface_state(case, device)
    headers = encapsulations(case, trouble, stretch.start) or encapsulations(case, trouble, trouble.start)
    if state is not None:
        yield _device_down(case, trouble, device, state, headers)
        return
    carried_ports = {header.port for header in headers}
    carried_vnis = {header.vni for header in headers}
    ports, vnis = nodes.device_ports(case, device), nodes.device_vnis(case, device)
    if ports and carried_ports and not ports & carried_ports:
        yield _port_mismatch(case, trouble, device, headers, ports)
    elif vnis and carried_vnis and not vnis & carried_vnis and not _taken_elsewhere(case, device, carried_vnis):
        yield _vni_mismatch(case, trouble, device, headers, vnis)


def _taken_elsewhere(case: Case, device: Hop, vnis: set[int]) -> bool:
    """Whether another VXLAN device of the node has one of the VNIs: the packets then are not without a receiver."""
    return any(
        link.name != device.tap.interface and link.vxlan is not None and link.vxlan.vni in vnis
        for facts in nodes.looks(case, device.tap.node)
        for link in facts.links
    )


def _device_down(case: Case, trouble: Trouble, device: Hop, state: str, headers: Sequence[Encapsulation]) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    confidence, proofs = _by_no_ports(case, trouble, node, headers)
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(device)} is {state}, so that nothing listens for its VXLAN packets")
    summary = f"the VXLAN device {interface} of {node} is {state}"
    return explain(case, trouble, "vxlan-device-down", confidence, summary, [config, *proofs])


def _sending(case: Case, trouble: Trouble, device: Hop) -> Iterator[Finding]:
    state = nodes.interface_state(case, device)
    if state is None:
        return
    node = device.tap.node
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(device)} is {state}, and the routes through it are gone with it")
    no_route = nodes.grown(case, node, "IpExt.InNoRoutes")
    proofs = [config]
    if no_route is not None and no_route >= trouble.packets:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"IpExt.InNoRoutes of {node} grew by {no_route}"))
    summary = f"the VXLAN device {device.tap.interface} of {node} is {state}"
    yield explain(case, trouble, "vxlan-device-down", Confidence.CERTAIN if len(proofs) > 1 else Confidence.LIKELY, summary, proofs)


def _port_mismatch(case: Case, trouble: Trouble, device: Hop, headers: Sequence[Encapsulation], ports: frozenset[int]) -> Finding:
    node = device.tap.node
    confidence, proofs = _by_no_ports(case, trouble, node, headers)
    sent, heard = _numbers({header.port for header in headers}), _numbers(ports)
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"the frames go to UDP port {sent}; {place_text(device)} listens on {heard}")
    return explain(
        case,
        trouble,
        "vxlan-port-mismatch",
        confidence,
        f"VXLAN goes to UDP port {sent}, but {node} listens on {heard}",
        [config, *proofs],
    )


def _by_no_ports(case: Case, trouble: Trouble, node: str, headers: Sequence[Encapsulation]) -> tuple[Confidence, list[Evidence]]:
    """How sure `nobody listens on the port` is: the kernel counts such packets, and answers some of them."""
    counter = udp_counter(headers, "NoPorts")
    growth = nodes.grown(case, node, counter)
    proofs = [_icmp(answer) for answer in icmp_answers(case, trouble) if (answer.type, answer.code) in _PORT_UNREACHABLE]
    if growth is None:
        return Confidence.LIKELY, proofs
    proofs.insert(0, Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {growth}; {trouble.packets} packets were lost"))
    return Confidence.CERTAIN if growth >= trouble.packets else Confidence.POSSIBLE, proofs


def _icmp(answer: IcmpAnswer) -> Evidence:
    text = f"{answer.count} x {answer.text} (port unreachable), seen at {place_text(answer.hop)}"
    return Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames)


def _vni_mismatch(case: Case, trouble: Trouble, device: Hop, headers: Sequence[Encapsulation], vnis: frozenset[int]) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    sent, known = _numbers({header.vni for header in headers}), _numbers(vnis)
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"the frames carry VNI {sent}; {place_text(device)} has VNI {known}")]
    counter = udp_counter(headers, "InDatagrams")
    taken = nodes.grown(case, node, counter)
    received = nodes.link_grown(case, node, interface, "rx.packets")
    confidence = Confidence.LIKELY
    if taken is not None:
        confidence = Confidence.CERTAIN if taken >= frames_taken(trouble) else Confidence.POSSIBLE
        device_text = "" if received is None else f", rx.packets of {interface} by {received}"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {taken}{device_text}"))
    noun = direction_noun(trouble.path.direction, trouble.packets)
    summary = f"{trouble.packets} {noun} carry VNI {sent}, but {place_text(device)} has VNI {known}"
    return explain(case, trouble, "vni-mismatch", confidence, summary, proofs)


def _numbers(values: set[int] | frozenset[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
