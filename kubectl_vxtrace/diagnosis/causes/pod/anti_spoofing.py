"""Does the client's pod send what was asked for from an address that is not its own?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubectl_vxtrace.diagnosis.case import LossCase
from kubectl_vxtrace.diagnosis.cause import Cause
from kubectl_vxtrace.diagnosis.causes.host.forwarding import RP_FILTER
from kubectl_vxtrace.diagnosis.drop_reasons import Stage
from kubectl_vxtrace.diagnosis.evidence.lost_packets import address_texts, frame_refs, place_text
from kubectl_vxtrace.diagnosis.evidence.off_path import is_one_of
from kubectl_vxtrace.diagnosis.losses import AnySegment, OpenSegment, Segment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper
from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, purpose_of
from kubectl_vxtrace.diagnosis.rules.reverse_path import addresses_of, reverse_path_rules
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import I32, Kind, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Role, Tap
from kubectl_vxtrace.model.report import Confidence, Evidence, EvidenceKind, Finding, Severity

WORKLOAD_ANTI_SPOOFING = Cause(
    slug="workload-anti-spoofing",
    remediation=(
        "Find out why the pod sends from an address that is not its own (a second interface, an address added by hand, a VPN in the pod)."
    ),
    source="projectcalico/calico felix/rules/static.go, issue 4630",
    admitted=True,
    stage=Stage.PREROUTING,
)
CAUSES = (WORKLOAD_ANTI_SPOOFING,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """Packets to the asked ends that came out of a pod's interface with other sources than the pod's addresses."""

    tap: Tap
    rows: I32
    sources: tuple[str, ...]
    target: str


def check_case(case: LossCase) -> Iterator[Finding]:
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
        if sent is None:
            continue
        behind: AnySegment = OpenSegment(kind=SegmentKind.FORWARD, start=first)
        if len(path.hops) > 1:
            behind = Segment(kind=SegmentKind.FORWARD, start=first, end=path.hops[1])
        yield from _findings(case, flow, sent, behind)


def _foreign(case: Case, flow: Flow, first: Hop) -> _Sent | None:
    table = case.tables.get(first.tap)
    if table is None or not len(table.conversations):
        return None
    own = {flow.client.address, *addresses_of(case, flow.client.pod)}
    asked = _asked(case, flow) - own
    own |= {seen.client.address for seen in case.flows if seen.foreign}
    conversations = table.conversations
    foreign = is_one_of(conversations.destination, asked) & ~is_one_of(conversations.source, own | asked)
    rows = np.flatnonzero(np.isin(table.conversation, np.flatnonzero(foreign)) & (table.kind == Kind.IP)).astype(np.int32)
    if not len(rows):
        return None
    numbers = table.conversation[rows]
    target = address_text(conversations.destination[numbers[0]])
    return _Sent(tap=first.tap, rows=rows, sources=address_texts(conversations.source[numbers]), target=target)


def _asked(case: Case, flow: Flow) -> frozenset[str]:
    """What the client asks: services, and backends that may be asked directly."""
    same = [planned for planned in case.recording.flows if planned.client.address == flow.client.address]
    services = (planned.service.address for planned in same if planned.service is not None and planned.service.address is not None)
    servers = (end.address for planned in same for end in (planned.server, *planned.candidates) if end is not None)
    return frozenset((*services, *servers))


def _findings(case: Case, flow: Flow, sent: _Sent, segment: AnySegment) -> Iterator[Finding]:
    for dropper in reverse_path_rules(case, segment):
        if (dropper.growth.packets or 0) >= len(sent.rows):
            yield _finding(case, flow, sent, segment, dropper)
            return


def _finding(case: Case, flow: Flow, sent: _Sent, segment: AnySegment, dropper: Dropper) -> Finding:
    cause = WORKLOAD_ANTI_SPOOFING if purpose_of(dropper.rule) is Purpose.WORKLOAD_SOURCE else RP_FILTER
    count, shown = len(sent.rows), ", ".join(sent.sources[:3])
    pod = flow.client.pod or flow.client.address
    packets = f"{count} packets {shown} > {sent.target} at {place_text(segment.start)}; the pod's address is {flow.client.address}"
    counter = (
        f"the counter of the rule {dropper.rule.text} in chain {dropper.rule.chain} on {sent.tap.node} grew by {dropper.growth.packets}"
    )
    return Finding(
        cause=cause.slug,
        confidence=Confidence.CERTAIN if dropper.growth.exact and dropper.growth.packets == count else Confidence.LIKELY,
        severity=Severity.WARNING,
        packets=count,
        summary=f"{pod} sends from {shown}, which is not its address, and {sent.tap.node} drops what fails its reverse path check",
        direction=Direction.REQUEST,
        evidence=(
            Evidence(kind=EvidenceKind.PACKETS, text=packets, frames=frame_refs(case, sent.tap, sent.rows)),
            Evidence(kind=EvidenceKind.COUNTER, text=counter),
        ),
        remediation=cause.remediation,
        not_ruled_out=("other packets that the same rule took: behind the pod's interface nothing looks out for that source",),
    )
