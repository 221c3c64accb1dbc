"""Is the receiver's VXLAN device up, and does it listen to what the frames carry, port and VNI; and if not, which end is wrong?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.policy_route import POLICY_ROUTE, remedy
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts, routes
from kubectl_vxtrace.diagnosis.evidence.answers import PORT_UNREACHABLE, icmp_answers
from kubectl_vxtrace.diagnosis.evidence.diversions import Diversion, tunnel_diversion
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

# Where the sender has both of two networks' devices and its routes do not say which one is meant.
_TWO_NETWORKS = (
    "Find out first which of the two networks is meant: {node} has both of their devices, {taken} and {fitting}. Look there: ip -d link "
    "show type vxlan; ip route get {target}; ip route. Then restart the network agent of the node that is not in it yet; change no port."
)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `vxlan-device-down`, `vxlan-port-mismatch` and `vni-mismatch` at the receiver's device, and `policy-route` where the
    sender has another device that the receiver would hear."""
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
        mismatch = _port_mismatch(case, loss, device, headers, ports)
    elif vnis and carried_vnis and not vnis & carried_vnis and not _taken_elsewhere(case, device, carried_vnis):
        mismatch = _vni_mismatch(case, loss, device, headers, vnis)
    else:
        return
    fitting = _fitting_device(case, loss, ports, vnis)
    yield mismatch if fitting is None else _wrong_device(case, loss, mismatch, *fitting)


def _fitting_device(case: Case, loss: Loss, ports: frozenset[int], vnis: frozenset[int]) -> tuple[Hop, str] | None:
    """The VXLAN device by which the packets left, and another one of that node that has the receiver's port and VNI; None if none has."""
    taken = next((hop for hop in loss.path.hops[: loss.leg.from_] if node_facts.is_vxlan(hop)), None)
    looks = node_facts.looks(case, taken.tap.node) if taken is not None else ()
    if taken is None or not looks:
        return None
    others = (link for link in looks[-1].links if link.name != taken.tap.interface and link.vxlan is not None and not link.vxlan.external)
    fitting = (link.name for link in others if link.vxlan is not None and link.vxlan.port in ports and link.vxlan.vni in vnis)
    name = next(fitting, None)
    return None if name is None else (taken, name)


def _wrong_device(case: Case, loss: Loss, mismatch: Finding, taken: Hop, fitting: str) -> Finding:
    """The sender has a device that the receiver would hear, so that the ports and VNIs of the network are none to change: its route to the
    other device is wrong, finding `policy-route`. Where no route says so, both devices are named, and no setting is."""
    node, target = taken.tap.node, loss.receivers[0]
    text = f"{node} has another VXLAN device, {fitting}, with the port and the VNI of the receiver; the packets left by {place_text(taken)}"
    device = Evidence(kind=EvidenceKind.CONFIG, text=text)
    diverted = tunnel_diversion(case, node, taken.tap.interface, fitting, target, loss.senders)
    if diverted is None:
        return replace(
            mismatch,
            confidence=Confidence.POSSIBLE if mismatch.confidence is Confidence.POSSIBLE else Confidence.LIKELY,
            evidence=(*mismatch.evidence, device),
            not_ruled_out=(*mismatch.not_ruled_out, f"a route of {node} that should lead to {fitting}"),
            remediation=_TWO_NETWORKS.format(node=node, target=target, taken=taken.tap.interface, fitting=fitting),
        )
    texts = [f"{node} on the way to {target}: {routes.answer_text(diverted.answer)}", *diverted.texts]
    if diverted.otherwise is not None:
        texts.append(f"the line that is taken without it: {routes.line_text(diverted.otherwise)}")
    noun, receiver = direction_noun(loss.path.direction, loss.packets), loss.path.hops[-1].tap.node
    # That UDP took the packets is no word of the kernel that it dropped them; that nothing listened is one.
    proofs = (proof for proof in mismatch.evidence if mismatch.cause == VXLAN_PORT_MISMATCH.slug or proof.kind is not EvidenceKind.COUNTER)
    return replace(
        mismatch,
        cause=POLICY_ROUTE.slug,
        summary=f"{node} sends {loss.packets} {noun} for {target} by {taken.tap.interface}, which {receiver} does not hear, and not by "
        f"{fitting}, which it does: {diverted.reason}",
        evidence=(*proofs, device, *(Evidence(kind=EvidenceKind.CONFIG, text=text) for text in texts)),
        remediation=remedy(diverted, target, loss.senders[0], _route_anew(case, loss, diverted, fitting)),
    )


def _route_anew(case: Case, loss: Loss, diverted: Diversion, fitting: str) -> str | None:
    """What makes the right route where none is behind the wrong one; None where one is: then it is enough to take the wrong one away."""
    if diverted.otherwise is not None:
        return None
    gateway = node_facts.vtep(case, loss.path.hops[-1].tap.node)
    agent = f"restart the network agent of {diverted.node}, which makes the route by {fitting}"
    if diverted.line is None or gateway is None or gateway.address is None:
        return agent
    return f"{agent}; until then: ip route replace {diverted.line.destination} via {gateway.address} dev {fitting} onlink"


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
