"""Does the sender's VXLAN device know behind which node the remote VTEP is?"""

from collections.abc import Iterator
from dataclasses import replace

from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.evidence.lost_packets import place_text
from kubectl_vxtrace.diagnosis.evidence.neighbours import looks_without, next_hops, usable_entry
from kubectl_vxtrace.diagnosis.finding import error_finding
from kubectl_vxtrace.diagnosis.losses import AnySegment, Loss
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

FDB_MISSING = Cause(
    slug="fdb-missing",
    remediation=(
        "Restart the network agent of the sending node, which writes these entries; a flapping entry asks for an upgrade of Calico past "
        "3.28.2."
    ),
    source="projectcalico/calico issues 9450, 7281; Linux vxlan_xmit",
    admitted=True,
    of_table=True,
)
CAUSES = (FDB_MISSING,)


# The destination of everything that has no entry of its own (bridge(8), vxlan).
_DEFAULT_ENTRY = "00:00:00:00:00:00"


def check(case: Case, loss: Loss, segment: AnySegment) -> Iterator[Finding]:
    """Findings `fdb-missing`."""
    device = segment.start
    node, interface = device.tap.node, device.tap.interface
    dropped = node_facts.link_grown(case, node, interface, "tx.dropped")
    for mac in _next_macs(case, loss, device):

        def present(facts: NodeFacts, mac: str = mac) -> bool:
            return any(entry.device == interface and entry.mac.lower() in (mac, _DEFAULT_ENTRY) for entry in facts.fdb)

        missing, looked = looks_without(case, node, "fdb", present)
        confidence = _fdb_confidence(missing, looked, dropped, loss.packets)
        if confidence is not None:
            yield _no_fdb_entry(case, loss, device, mac, confidence, dropped)


def _next_macs(case: Case, loss: Loss, device: Hop) -> tuple[str, ...]:
    """The MAC addresses to which the node sends the packets: those of the neighbours that the routes name."""
    macs: dict[str, None] = {}
    for gateway in next_hops(case, loss, device):
        for facts in node_facts.looks(case, device.tap.node):
            entry = usable_entry(facts, gateway, device.tap.interface)
            if entry is not None and entry.mac is not None:
                macs[entry.mac.lower()] = None
    return tuple(macs)


def _fdb_confidence(missing: int, looked: int, dropped: int | None, packets: int) -> Confidence | None:
    """None: not the cause. `tx dropped` of a VXLAN device always grows a little (IPv6 multicast): alone it says nothing."""
    if not missing or dropped == 0:
        return None
    if dropped is None:
        return Confidence.LIKELY if missing == looked else Confidence.POSSIBLE
    if dropped < packets:
        return Confidence.POSSIBLE
    return Confidence.CERTAIN if missing == looked else Confidence.LIKELY


def _no_fdb_entry(case: Case, loss: Loss, device: Hop, mac: str, confidence: Confidence, dropped: int | None) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    config = f"{place_text(device)} has no forwarding entry for {mac}, and no default destination"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config)]
    if dropped is not None:
        counter = f"tx.dropped of {interface} grew by {dropped}; {loss.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=counter))
    return replace(
        error_finding(
            case,
            loss,
            FDB_MISSING,
            confidence,
            f"{node} has no forwarding entry for the remote VTEP {mac} on {interface}",
            proofs,
        ),
        packets=min(loss.packets, dropped) if dropped is not None else loss.packets,
    )
