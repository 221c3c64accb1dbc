"""Is the receiver's VXLAN device up, and does it listen to what the frames carry: port and VNI?"""

from collections.abc import Iterator, Sequence

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import PORT_UNREACHABLE, icmp_answers
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, encapsulations, minimum_counter_growth, place_text
from kubectl_vxtrace.diagnosis.evidence.outer_headers import Encapsulation, udp_counter
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import Loss, Segment
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

VXLAN_DEVICE_DOWN = Cause(
    slug="vxlan-device-down",
    remediation="Set the device up (ip link set DEVICE up) and restart the network agent of that node; its log says why it went down.",
    source="projectcalico/calico issue 4468",
    admitted=True,
)
VXLAN_PORT_MISMATCH = Cause(
    slug="vxlan-port-mismatch",
    remediation=(
        "Give all nodes the same port. With Calico the environment variable FELIX_VXLANPORT of the DaemonSet beats vxlanPort of the "
        "FelixConfiguration: change both."
    ),
    source="projectcalico/calico issue 10692; RFC 1122, 4.1.3.1",
    admitted=True,
    stage=Stage.TRANSPORT,
)
VNI_MISMATCH = Cause(
    slug="vni-mismatch",
    remediation="Give all nodes the same VNI (ip -d link shows it) and restart the network agent of the odd one.",
    source="Linux drivers/net/vxlan/vxlan_core.c, vxlan_rcv; k3s-io/k3s issue 9295",
    stage=Stage.TUNNEL_IN,
)
CAUSES = (
    VXLAN_DEVICE_DOWN,
    VXLAN_PORT_MISMATCH,
    VNI_MISMATCH,
)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `vxlan-device-down`, `vxlan-port-mismatch` and `vni-mismatch` at the receiver's device."""
    device = segment.end
    state = node_facts.interface_state(case, device)
    headers = encapsulations(case, loss, segment.start) or encapsulations(case, loss, loss.start)
    if state is not None:
        yield _device_down(case, loss, device, state, headers)
        return
    carried_ports = {header.port for header in headers}
    carried_vnis = {header.vni for header in headers}
    ports, vnis = node_facts.device_ports(case, device), node_facts.device_vnis(case, device)
    if ports and carried_ports and not ports & carried_ports:
        yield _port_mismatch(case, loss, device, headers, ports)
    elif vnis and carried_vnis and not vnis & carried_vnis and not _taken_elsewhere(case, device, carried_vnis):
        yield _vni_mismatch(case, loss, device, headers, vnis)


def _taken_elsewhere(case: Case, device: Hop, vnis: set[int]) -> bool:
    """Whether another VXLAN device of the node has one of the VNIs: the packets then are not without a receiver."""
    return any(
        link.name != device.tap.interface and link.vxlan is not None and link.vxlan.vni in vnis
        for facts in node_facts.looks(case, device.tap.node)
        for link in facts.links
    )


def _device_down(case: Case, loss: Loss, device: Hop, state: str, headers: Sequence[Encapsulation]) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    confidence, proofs = _by_no_ports(case, loss, node, headers)
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(device)} is {state}, so that nothing listens for its VXLAN packets")
    summary = f"the VXLAN device {interface} of {node} is {state}"
    return error_finding(case, loss, VXLAN_DEVICE_DOWN, confidence, summary, [config, *proofs])


def check_sender(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `vxlan-device-down` at the device into which the sender should route the packets."""
    device = segment.end
    state = node_facts.interface_state(case, device) if device.role is Role.VXLAN else None
    if state is None:
        return
    node = device.tap.node
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"{place_text(device)} is {state}, and the routes through it are gone with it")
    no_route = node_facts.grown(case, node, "IpExt.InNoRoutes")
    proofs = [config]
    if no_route is not None and no_route >= loss.packets:
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"IpExt.InNoRoutes of {node} grew by {no_route}"))
    summary = f"the VXLAN device {device.tap.interface} of {node} is {state}"
    yield error_finding(case, loss, VXLAN_DEVICE_DOWN, Confidence.CERTAIN if len(proofs) > 1 else Confidence.LIKELY, summary, proofs)


def _port_mismatch(case: Case, loss: Loss, device: Hop, headers: Sequence[Encapsulation], ports: frozenset[int]) -> Finding:
    node = device.tap.node
    confidence, proofs = _by_no_ports(case, loss, node, headers)
    sent, heard = _numbers({header.port for header in headers}), _numbers(ports)
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"the frames go to UDP port {sent}; {place_text(device)} listens on {heard}")
    return error_finding(
        case,
        loss,
        VXLAN_PORT_MISMATCH,
        confidence,
        f"VXLAN goes to UDP port {sent}, but {node} listens on {heard}",
        [config, *proofs],
    )


def _by_no_ports(case: Case, loss: Loss, node: str, headers: Sequence[Encapsulation]) -> tuple[Confidence, list[Evidence]]:
    """How sure `nothing listens on the port` is: the kernel counts such packets, and answers some of them."""
    counter = udp_counter(headers, "NoPorts")
    growth = node_facts.grown(case, node, counter)
    proofs = [answer.evidence("port unreachable") for answer in icmp_answers(case, loss) if answer.is_one_of(PORT_UNREACHABLE)]
    if growth is None:
        return Confidence.LIKELY, proofs
    proofs.insert(0, Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {growth}; {loss.packets} packets were lost"))
    return Confidence.CERTAIN if growth >= loss.packets else Confidence.POSSIBLE, proofs


def _vni_mismatch(case: Case, loss: Loss, device: Hop, headers: Sequence[Encapsulation], vnis: frozenset[int]) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    sent, known = _numbers({header.vni for header in headers}), _numbers(vnis)
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=f"the frames carry VNI {sent}; {place_text(device)} has VNI {known}")]
    counter = udp_counter(headers, "InDatagrams")
    taken = node_facts.grown(case, node, counter)
    received = node_facts.link_grown(case, node, interface, "rx.packets")
    confidence = Confidence.LIKELY
    if taken is not None:
        confidence = Confidence.CERTAIN if taken >= minimum_counter_growth(loss) else Confidence.POSSIBLE
        device_text = "" if received is None else f", rx.packets of {interface} by {received}"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=f"{counter} of {node} grew by {taken}{device_text}"))
    noun = direction_noun(loss.path.direction, loss.packets)
    summary = f"{loss.packets} {noun} carry VNI {sent}, but {place_text(device)} has VNI {known}"
    return error_finding(case, loss, VNI_MISMATCH, confidence, summary, proofs)


def _numbers(values: set[int] | frozenset[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
