"""Does the client's pod send what was asked for from an address that is not its own?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis.entries import CAUSES
from kubectl_vxtrace.diagnosis.evidence.lost_packets import frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import is_one_of
from kubectl_vxtrace.diagnosis.losses import Place, Stretch
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper
from kubectl_vxtrace.diagnosis.rules.reverse_path import addresses_of, reverse_path_rules
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, Kind, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Role, Tap
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """Packets to the asked ends that came out of a pod's interface with other sources than the pod's addresses."""

    tap: Tap
    rows: I32
    sources: tuple[str, ...]
    target: str


def check(case: Case) -> Iterator[Finding]:
    """Warnings `workload-anti-spoofing` and `rp-filter`, for packets of the client's pod that bear a source that is not its own, where the
    counter of a reverse path rule of its node grew by as many.

    That is where behind the pod's interface nothing looks out for them, so that nothing is said to be lost. Where something does, they are
    a flow of their own.
    """
    seen: set[Tap] = set()
    for path in case.recording.paths:
        flow = next((flow for flow in case.recording.flows if flow.id == path.flow), None)
        if flow is None or flow.foreign or path.direction is not Direction.REQUEST or not path.hops or path.hops[0].tap in seen:
            continue
        first = path.hops[0]
        seen.add(first.tap)
        if first.role is not Role.POD or flow.client.host_network:
            continue
        sent = _foreign(case, flow, first)
        after = path.hops[1] if len(path.hops) > 1 else None
        if sent is not None:
            yield from _findings(case, flow, sent, Stretch(place=Place.FORWARD, start=first, end=after))


def _foreign(case: Case, flow: Flow, first: Hop) -> _Sent | None:
    table = case.tables.get(first.tap)
    if table is None or not len(table.conversations):
        return None
    own = {flow.client.address, *addresses_of(case, flow.client.pod)}
    asked = _asked(case, flow) - own
    own |= {one.client.address for one in case.flows if one.foreign}
    small = table.conversations
    foreign = is_one_of(small.destination, asked) & ~is_one_of(small.source, own | asked)
    rows = np.flatnonzero(np.isin(table.conversation, np.flatnonzero(foreign)) & (table.kind == Kind.IP)).astype(np.int32)
    if not len(rows):
        return None
    talks = table.conversation[rows]
    sources = tuple(address_text(raw) for raw in np.unique(small.source[talks], axis=0))
    return _Sent(tap=first.tap, rows=rows, sources=sources, target=address_text(small.destination[talks[0]]))


def _asked(case: Case, flow: Flow) -> frozenset[str]:
    """What the client asks: services, and backends that may be asked directly."""
    mine = [one for one in case.recording.flows if one.client.address == flow.client.address]
    services = (one.service.address for one in mine if one.service is not None and one.service.address is not None)
    servers = (end.address for one in mine for end in (one.server, *one.candidates) if end is not None)
    return frozenset((*services, *servers))


def _findings(case: Case, flow: Flow, sent: _Sent, stretch: Stretch) -> Iterator[Finding]:
    for dropper, cause in reverse_path_rules(case, stretch):
        if (dropper.growth.packets or 0) >= len(sent.rows):
            yield _finding(case, flow, sent, stretch, dropper, cause)
            return


def _finding(case: Case, flow: Flow, sent: _Sent, stretch: Stretch, dropper: Dropper, cause: str) -> Finding:
    count, shown = len(sent.rows), ", ".join(sent.sources[:3])
    pod = flow.client.pod or flow.client.address
    packets = f"{count} packets {shown} > {sent.target} at {place_text(stretch.start)}; the pod's address is {flow.client.address}"
    counter = (
        f"the counter of the rule {dropper.rule.text} in chain {dropper.rule.chain} on {sent.tap.node} grew by {dropper.growth.packets}"
    )
    return Finding(
        cause=cause,
        confidence=Confidence.CERTAIN if dropper.growth.exact and dropper.growth.packets == count else Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=count,
        summary=f"{pod} sends from {shown}, which is not its address, and {sent.tap.node} drops what fails its reverse path check",
        direction=Direction.REQUEST,
        evidence=(
            Evidence(kind=EvidenceKind.PACKETS, text=packets, frames=frame_refs(case, sent.tap, sent.rows)),
            Evidence(kind=EvidenceKind.COUNTER, text=counter),
        ),
        remediation=CAUSES[cause].remediation,
        not_ruled_out=("other packets that the same rule took: behind the pod's interface nothing looks out for that source",),
    )
