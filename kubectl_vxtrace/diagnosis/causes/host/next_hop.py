"""Does the node know the link address of the next hop?"""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.answers import HOST_UNREACHABLE, icmp_answers, unresolved
from kubectl_vxtrace.diagnosis.evidence.frame_macs import destination_macs
from kubectl_vxtrace.diagnosis.evidence.kernel_drops import kernel_drop_evidence
from kubectl_vxtrace.diagnosis.evidence.lost_packets import direction_noun, frame_refs, place_text, rows_at
from kubectl_vxtrace.diagnosis.evidence.neighbours import looks_without, next_hops, usable_entry
from kubectl_vxtrace.diagnosis.evidence.owners import is_nobodys, pod_interfaces
from kubectl_vxtrace.diagnosis.evidence.pod_devices import foreign_interface, lacks_device
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss, LossKind, Segment, leads_to_pod
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

NEIGHBOUR_MISSING = Cause(
    slug="neighbour-missing",
    remediation="Restart the network agent of the sending node, which writes these entries.",
    source="projectcalico/calico issue 9450; RFC 1122, 2.3.2.2",
    stage=Stage.NEIGHBOUR,
    of_table=True,
)
POD_UNREACHABLE = Cause(
    slug="pod-unreachable",
    remediation="Check that the pod runs on that node and that its eth0 is up; delete the pod if its sandbox is broken.",
    source="RFC 826; RFC 1122, 2.3.2.2",
    # No stage: an interface that is down takes its routes with it, and a bridge drops what is for a port without a link.
    of_table=True,
)
CAUSES = (
    NEIGHBOUR_MISSING,
    POD_UNREACHABLE,
)


def check(case: Case, loss: Loss, segment: Segment) -> Iterator[Finding]:
    """Findings `neighbour-missing` (next hop on the VXLAN device) and `pod-unreachable` (the pod itself); what leaves by a NIC is for
    neither."""
    device = segment.end
    node, interface = device.tap.node, device.tap.interface
    if device.role is Role.UNDERLAY:
        return
    if leads_to_pod(segment) and (lacks_device(case, loss, segment) or is_nobodys(case, loss.flow)):
        return  # nobody is there that could answer
    if foreign_interface(case, loss, segment) is not None:
        return  # who should answer is behind another interface
    for gateway in next_hops(case, loss, device):

        def present(facts: NodeFacts, gateway: str = gateway) -> bool:
            return usable_entry(facts, gateway, interface) is not None

        missing, looked = looks_without(case, node, "neighbours", present)
        if not missing:
            continue
        proofs = _unresolved(case, loss, device, gateway)
        if not proofs and (missing < looked or not (node_facts.is_vxlan(device) or _tried(case, gateway, device))):
            continue
        yield _unknown_next_hop(case, loss, device, gateway, always=missing == looked, proofs=proofs)


def check_mac(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `pod-unreachable`: packets came to the pod's own interface for a MAC address that no interface of the pod has."""
    hop, receiver = segment.start, loss.path.receiver(loss.flow)
    if loss.kind is not LossKind.VANISHED or loss.leg.to is not None or hop.role is not Role.POD or receiver is None:
        return
    node, sent = hop.tap.node, destination_macs(case, loss, hop)
    looks = node_facts.looks(case, node)
    own = sorted({each.mac.lower() for facts in looks for each in pod_interfaces(facts, receiver.address) if each.mac is not None})
    if not own or not sent or sent & set(own):
        return
    macs, pod = ", ".join(sorted(sent)), receiver.pod or receiver.address
    entries = (entry for facts in reversed(looks) for entry in facts.neighbours if entry.address == receiver.address)
    entry = next((entry for entry in entries if entry.mac is not None and entry.mac.lower() in sent), None)
    text = f"at {place_text(hop)} the frames are for {macs}; the pod has {', '.join(own)}"
    proofs = [Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, hop.tap, rows_at(loss, hop)))]
    if entry is not None:
        states = f" ({', '.join(entry.states)})" if entry.states else ""
        config = f"neighbour entry of {node}: {entry.address} lladdr {entry.mac} on {entry.device}{states}"
        proofs.append(Evidence(kind=EvidenceKind.CONFIG, text=config))
    noun = direction_noun(loss.path.direction, loss.packets)
    device = entry.device if entry is not None else "DEVICE"
    yield error_finding(
        case,
        loss,
        POD_UNREACHABLE,
        Confidence.CERTAIN if entry is not None else Confidence.LIKELY,
        f"{node} sends {loss.packets} {noun} for {pod} to the MAC address {macs}, which the pod does not have: its kernel takes them for "
        "somebody else's",
        [*proofs, *kernel_drop_evidence(case, loss, hop, ("OTHERHOST",))],
        remediation=(
            f"Look on {node}: ip neigh show to {receiver.address}; arping -c 3 -I {device} {receiver.address} (who answers has it). "
            f"Fix: where the entry is PERMANENT, ip neigh del {receiver.address} dev {device}; else find the pod or machine "
            "that answers for the address as well."
        ),
    )


def _tried(case: Case, address: str, device: Hop) -> bool:
    """Whether the node has asked for an address in vain. A pod that no packet was for has no entry either, and nothing is wrong with it."""
    looks = node_facts.looks(case, device.tap.node)
    entries = (entry for facts in looks for entry in facts.neighbours if (entry.address, entry.device) == (address, device.tap.interface))
    return any({"FAILED", "INCOMPLETE"}.intersection(entry.states) for entry in entries)


def _unresolved(case: Case, loss: Loss, device: Hop, gateway: str) -> list[Evidence]:
    """What the captures say of an address that cannot be resolved; nothing if they do not show it."""
    told = [answer.evidence("host unreachable") for answer in icmp_answers(case, loss) if answer.is_one_of(HOST_UNREACHABLE)]
    return [*unresolved(case, device, gateway), *told]


def _unknown_next_hop(case: Case, loss: Loss, device: Hop, gateway: str, *, always: bool, proofs: list[Evidence]) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    last = node_facts.looks(case, node)[-1]
    states = next((entry.states for entry in last.neighbours if (entry.address, entry.device) == (gateway, interface)), ())
    state = f"is {', '.join(states)}" if states else "does not exist"
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"the neighbour entry of {gateway} on {place_text(device)} {state}")
    overlay = node_facts.is_vxlan(device)
    confidence = Confidence.CERTAIN if proofs and always else Confidence.LIKELY if proofs else Confidence.POSSIBLE
    what = "the remote VTEP" if overlay else "the pod"
    return error_finding(
        case,
        loss,
        NEIGHBOUR_MISSING if overlay else POD_UNREACHABLE,
        confidence,
        f"{node} does not know the MAC address of {what} {gateway} on {interface}",
        [config, *proofs],
        not_ruled_out=() if proofs else (f"an earlier drop on {node}: no ARP request for {gateway} was seen",),
    )
