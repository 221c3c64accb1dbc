"""Packets of a flow that were seen where its path does not lead: evidence of what is wrong with it, a note where nothing is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kubectl_vxtrace.diagnosis.causes.capture.unexplained import UNKNOWN
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.path import Path, Role
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, HopCount, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighting:
    """An unexpected sighting of a path's packets."""

    path: Path
    packets: int
    place: str
    seen: str

    @property
    def text(self) -> str:
        return f"{self.packets} packets at {self.place}{self.seen}"


def with_off_path_sightings(case: Case, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """`findings`, the best first, with every unexpected sighting: as evidence of the first error about its flow and direction that does not
    name that place already; where there is no such error, as an `info` of its own behind the others."""
    more: dict[int, list[str]] = {}
    notes = []
    for sighting in _sightings(case):
        wrong = [index for index, finding in enumerate(findings) if _is_wrong(finding, sighting.path)]
        if not wrong:
            notes.append(_note(sighting))
        elif not any(_names(findings[index], sighting.place) for index in wrong):
            more.setdefault(wrong[0], []).append(sighting.text)
    with_proofs = [_with_proof(finding, more.get(index, ())) for index, finding in enumerate(findings)]
    return (*with_proofs, *notes)


def _with_proof(finding: Finding, texts: Sequence[str]) -> Finding:
    if not texts:
        return finding
    proof = Evidence(kind=EvidenceKind.PACKETS, text=f"seen where the path does not lead: {'; '.join(texts)}")
    return replace(finding, evidence=(*finding.evidence, proof))


def _sightings(case: Case) -> Iterator[_Sighting]:
    for traced in case.paths:
        for count in traced.hops:
            packets = count.packets or count.frames
            if not count.expected and packets and not (count.role is Role.BRIDGE and _is_bridged(traced, count.node)):
                seen = f" as {count.tuple}" if count.tuple else ""
                yield _Sighting(path=traced.path, packets=packets, place=_place(count), seen=seen)


def _is_bridged(traced: TracedPath, node: str) -> bool:
    """Whether a path lies on one node and loses nothing: its bridge may hand some packets up to the node and get them back.

    br_netfilter does so with a translated packet while the node does not know the MAC address behind the new destination
    (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing_finish_bridge).
    """
    return all(hop.tap.node == node for hop in traced.path.hops) and not (traced.journeys.outcome >= OutcomeCode.REJECTED).any()


def _place(count: HopCount) -> str:
    return f"{count.node}/{count.interface or count.role}"


def _is_wrong(finding: Finding, path: Path) -> bool:
    return finding.severity is Severity.ERROR and (finding.flow, finding.direction) == (path.flow, path.direction)


def _names(finding: Finding, place: str) -> bool:
    """Whether the packets that a finding cites were seen at that place."""
    return any(proof.kind is EvidenceKind.PACKETS and place in proof.text.replace(",", " ").split() for proof in finding.evidence)


def _note(sighting: _Sighting) -> Finding:
    return Finding(
        cause=UNKNOWN.slug,
        confidence=Confidence.CERTAIN,
        severity=Severity.INFO,
        packets=sighting.packets,
        summary=f"{sighting.packets} packets of the flow were seen at {sighting.place}{sighting.seen}, where the path does not lead",
        flow=sighting.path.flow,
        direction=sighting.path.direction,
        evidence=(Evidence(kind=EvidenceKind.PACKETS, text=sighting.text),),
    )
