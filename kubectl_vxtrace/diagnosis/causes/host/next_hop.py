"""Does the node know the link address of the next hop, and where the forwarding table sends it?"""

from collections.abc import Callable, Iterator

from kubectl_vxtrace.diagnosis.ends import home_of, receivers
from kubectl_vxtrace.diagnosis.evidence import node_facts as nodes
from kubectl_vxtrace.diagnosis.evidence.lost_packets import arp_questions, frame_refs, icmp_answers, place_text
from kubectl_vxtrace.diagnosis.finding import explain
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble, troubles
from kubectl_vxtrace.model.facts import Neighbour, NodeFacts, RouteLookup
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.path import Hop
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding

# RFC 792: host unreachable. RFC 4443, 3.1: address unreachable.
_HOST_UNREACHABLE = frozenset({(3, 1), (1, 3)})
# The destination of everything that has no entry of its own (bridge(8), vxlan).
_DEFAULT_ENTRY = "00:00:00:00:00:00"


def check(case: Case) -> Iterator[Finding]:
    """Findings `neighbour-missing` (next hop on the VXLAN device), `pod-unreachable` (the pod itself) and `fdb-missing`."""
    for trouble in troubles(case):
        for stretch in trouble.stretches:
            if stretch.place is Place.FORWARD and stretch.end is not None:
                yield from _neighbour(case, trouble, stretch.end)
        stretch_out = trouble.stretch(Place.ENCAPSULATE)
        if stretch_out is not None:
            yield from _fdb(case, trouble, stretch_out)


def _gateways(case: Case, trouble: Trouble, device: Hop) -> tuple[str, ...]:
    """The next hops on `device` that the node's kernel named for the packets' destinations."""
    targets = receivers(trouble)
    found = {
        lookup.gateway or lookup.destination: None
        for facts in nodes.looks(case, device.tap.node)
        for lookup in facts.lookups
        if lookup.destination in targets and lookup.device == device.tap.interface and _belongs(trouble, lookup, device)
    }
    return tuple(found)


def _belongs(trouble: Trouble, lookup: RouteLookup, device: Hop) -> bool:
    """Whether a next hop may be where the lookup has it: on a VXLAN device, a gateway, or a pod of the node itself. A pod of another node
    is not behind this one's bridge, and the neighbour that nobody answers for is not what is wrong."""
    if nodes.is_vxlan(device) or lookup.gateway is not None:
        return True
    return home_of(trouble, lookup.destination) in (None, device.tap.node)


def _entry(facts: NodeFacts, address: str, device: str) -> Neighbour | None:
    """The usable neighbour entry of an address, or None: a failed or unfinished one is none."""
    return next(
        (
            entry
            for entry in facts.neighbours
            if (entry.address, entry.device) == (address, device) and entry.mac is not None and "FAILED" not in entry.states
        ),
        None,
    )


def _looks_without(case: Case, node: str, question: str, present: Callable[[NodeFacts], bool]) -> tuple[int, int]:
    """In how many looks something was missing, of how many that could tell."""
    looks = [facts for facts in nodes.looks(case, node) if nodes.answered(facts, question)]
    return sum(not present(facts) for facts in looks), len(looks)


def _neighbour(case: Case, trouble: Trouble, device: Hop) -> Iterator[Finding]:
    node, interface = device.tap.node, device.tap.interface
    for gateway in _gateways(case, trouble, device):

        def present(facts: NodeFacts, gateway: str = gateway) -> bool:
            return _entry(facts, gateway, interface) is not None

        missing, looked = _looks_without(case, node, "neighbours", present)
        if not missing:
            continue
        proofs, witnessed = _unresolved(case, trouble, device, gateway)
        if not witnessed and (missing < looked or not (nodes.is_vxlan(device) or _tried(case, gateway, device))):
            continue
        certain = witnessed and missing == looked
        yield _unknown_next_hop(case, trouble, device, gateway, certain=certain, witnessed=witnessed, proofs=proofs)


def _tried(case: Case, address: str, device: Hop) -> bool:
    """Whether the node has asked for an address in vain. A pod that no packet was for has no entry either, and nothing is wrong with it."""
    looks = nodes.looks(case, device.tap.node)
    entries = (entry for facts in looks for entry in facts.neighbours if (entry.address, entry.device) == (address, device.tap.interface))
    return any({"FAILED", "INCOMPLETE"}.intersection(entry.states) for entry in entries)


def _unresolved(case: Case, trouble: Trouble, device: Hop, gateway: str) -> tuple[list[Evidence], bool]:
    """What the captures say of an address that cannot be resolved, and whether they show it at all."""
    proofs = []
    asked, told = arp_questions(case, device.tap, gateway)
    if len(asked) and not told:
        text = f"{len(asked)} x ARP who-has {gateway} at {place_text(device)}, never answered"
        proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=frame_refs(case, device.tap, asked)))
    for answer in icmp_answers(case, trouble):
        if (answer.type, answer.code) in _HOST_UNREACHABLE:
            text = f"{answer.count} x {answer.text} (host unreachable), seen at {place_text(answer.hop)}"
            proofs.append(Evidence(kind=EvidenceKind.PACKETS, text=text, frames=answer.frames))
    return proofs, bool(proofs)


def _unknown_next_hop(
    case: Case, trouble: Trouble, device: Hop, gateway: str, *, certain: bool, witnessed: bool, proofs: list[Evidence]
) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    last = nodes.looks(case, node)[-1]
    states = next((entry.states for entry in last.neighbours if (entry.address, entry.device) == (gateway, interface)), ())
    state = f"is {', '.join(states)}" if states else "does not exist"
    config = Evidence(kind=EvidenceKind.CONFIG, text=f"the neighbour entry of {gateway} on {place_text(device)} {state}")
    overlay = nodes.is_vxlan(device)
    confidence = Confidence.CERTAIN if certain else Confidence.LIKELY if witnessed else Confidence.POSSIBLE
    what = "the remote VTEP" if overlay else "the pod"
    return explain(
        case,
        trouble,
        "neighbour-missing" if overlay else "pod-unreachable",
        confidence,
        f"{node} does not know the MAC address of {what} {gateway} on {interface}",
        [config, *proofs],
        not_ruled_out=() if witnessed else (f"an earlier drop on {node}: nobody was seen asking for {gateway}",),
    )


def _fdb(case: Case, trouble: Trouble, stretch: Stretch) -> Iterator[Finding]:
    device = stretch.start
    node, interface = device.tap.node, device.tap.interface
    dropped = nodes.link_grown(case, node, interface, "tx.dropped")
    for mac in _next_macs(case, trouble, device):

        def present(facts: NodeFacts, mac: str = mac) -> bool:
            return any(entry.device == interface and entry.mac.lower() in (mac, _DEFAULT_ENTRY) for entry in facts.fdb)

        missing, looked = _looks_without(case, node, "fdb", present)
        confidence = _fdb_confidence(missing, looked, dropped, trouble.packets)
        if confidence is not None:
            yield _no_fdb_entry(case, trouble, device, mac, confidence, dropped)


def _next_macs(case: Case, trouble: Trouble, device: Hop) -> tuple[str, ...]:
    """The MAC addresses to which the node sends the packets: those of the neighbours that the routes name."""
    found: dict[str, None] = {}
    for gateway in _gateways(case, trouble, device):
        for facts in nodes.looks(case, device.tap.node):
            entry = _entry(facts, gateway, device.tap.interface)
            if entry is not None and entry.mac is not None:
                found[entry.mac.lower()] = None
    return tuple(found)


def _fdb_confidence(missing: int, looked: int, dropped: int | None, packets: int) -> Confidence | None:
    """None: not the cause. `tx dropped` of a VXLAN device always grows a little (IPv6 multicast): alone it says nothing."""
    if not missing or dropped == 0:
        return None
    if dropped is None:
        return Confidence.LIKELY if missing == looked else Confidence.POSSIBLE
    if dropped < packets:
        return Confidence.POSSIBLE
    return Confidence.CERTAIN if missing == looked else Confidence.LIKELY


def _no_fdb_entry(case: Case, trouble: Trouble, device: Hop, mac: str, confidence: Confidence, dropped: int | None) -> Finding:
    node, interface = device.tap.node, device.tap.interface
    config = f"{place_text(device)} has no forwarding entry for {mac}, and no default destination"
    proofs = [Evidence(kind=EvidenceKind.CONFIG, text=config)]
    if dropped is not None:
        counter = f"tx.dropped of {interface} grew by {dropped}; {trouble.packets} packets were lost"
        proofs.append(Evidence(kind=EvidenceKind.COUNTER, text=counter))
    return explain(
        case,
        trouble,
        "fdb-missing",
        confidence,
        f"{node} has no forwarding entry for the remote VTEP {mac} on {interface}",
        proofs,
        packets=min(trouble.packets, dropped) if dropped is not None else None,
    )
