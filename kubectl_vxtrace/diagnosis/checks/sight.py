"""What could not be seen, and what was seen where it was not expected."""

from collections.abc import Iterator

from kubectl_vxtrace.diagnosis.causes import CAUSES
from kubectl_vxtrace.model.journeys import Case, JourneyTable, OutcomeCode
from kubectl_vxtrace.model.path import Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, HopCount, Severity


def check(case: Case) -> Iterator[Finding]:
    """Warnings `capture-blind`, one for each blind interface, and one `info` for each unexpected sighting."""
    warned: set[tuple[str, str | None]] = set()
    for path, journey, counts in zip(case.paths, case.journeys, case.hops, strict=True):
        for count in counts:
            if not count.expected:
                if (count.frames or count.packets) and not (count.role is Role.BRIDGE and _is_switched(path, journey, count.node)):
                    yield _unexpected(path.flow, count)
            elif not count.witness and (count.node, count.interface) not in warned:
                warned.add((count.node, count.interface))
                yield _blind(count)


def _is_switched(path: Path, journey: JourneyTable, node: str) -> bool:
    """Whether a path lies on one node and loses nothing: its bridge may hand some packets up to the node and get them back.

    br_netfilter does so with a translated packet while the node does not know the MAC address behind the new destination
    (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish_bridge).
    """
    return all(hop.tap.node == node for hop in path.hops) and not (journey.outcome >= OutcomeCode.REJECTED).any()


def _blind(count: HopCount) -> Finding:
    reason = count.reason or "its capture is not complete"
    return Finding(
        cause="capture-blind",
        confidence=Confidence.CERTAIN,
        severity=Severity.WARNING,
        packets=0,
        summary=f"{_place(count)} cannot testify: {reason}",
        evidence=(Evidence(kind=EvidenceKind.ABSENCE, text=reason),),
        remediation=CAUSES["capture-blind"].remediation,
    )


def _unexpected(flow: int, count: HopCount) -> Finding:
    packets = count.packets or count.frames
    seen = f" as {count.tuple}" if count.tuple else ""
    return Finding(
        cause="unknown",
        confidence=Confidence.CERTAIN,
        severity=Severity.INFO,
        packets=packets,
        summary=f"{packets} packets of the flow were seen at {_place(count)}{seen}, where the path does not lead",
        flow=flow,
        evidence=(Evidence(kind=EvidenceKind.PACKETS, text=f"{packets} packets at {_place(count)}{seen}"),),
    )


def _place(count: HopCount) -> str:
    return f"{count.node}/{count.interface or count.role}"
