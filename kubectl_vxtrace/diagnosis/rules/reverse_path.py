"""Flows that a client's pod sent with an address that is not its own: they count only where it is proven that its node drops such.

A pod that routes for others (a VPN or NAT gateway) sends such packets in good health, on ways that were not planned.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kubectl_vxtrace.diagnosis.evidence import node_facts
from kubectl_vxtrace.diagnosis.losses import AnySegment, Segment, SegmentKind
from kubectl_vxtrace.diagnosis.rules.droppers import Dropper, all_droppers, droppers_on
from kubectl_vxtrace.diagnosis.rules.purpose import Purpose, purpose_of
from kubectl_vxtrace.model.journeys import Case, OutcomeCode
from kubectl_vxtrace.model.packets import I32

REVERSE_PATH_COUNTER = "TcpExt.IPReversePathFilter"
"""What the kernel's own reverse path filter dropped (net/ipv4/fib_frontend.c)."""


def without_unproven(case: Case) -> Case:
    """`case` without the foreign flows of which a packet was seen behind the pod's interface, or for which no counter stands.

    The counter is that of a reverse path rule of the pod's node, or the kernel's own reverse path filter's, and must have grown by all
    such packets of the node together.
    """
    kept = {flow.id for flow in case.flows if not flow.foreign} | set(_proven(case))
    if len(kept) == len(case.flows) and not any(flow.foreign and flow.id not in kept for flow in case.recording.flows):
        return case
    known = {flow.id for flow in case.recording.flows if not flow.foreign} | kept
    recording = replace(
        case.recording,
        flows=tuple(flow for flow in case.recording.flows if flow.id in known),
        paths=tuple(path for path in case.recording.paths if path.flow in known),
    )
    return replace(
        case,
        recording=recording,
        paths=tuple(traced for traced in case.paths if traced.flow.id in kept),
        connections={flow: count for flow, count in case.connections.items() if flow in kept},
    )


def reverse_path_rules(case: Case, segment: AnySegment) -> Iterator[Dropper]:
    """The rules on a segment that drop what fails a reverse path check and whose counters grew."""
    for dropper in droppers_on(segment, all_droppers(case, segment.start.tap.node)):
        if purpose_of(dropper.rule) in (Purpose.WORKLOAD_SOURCE, Purpose.REVERSE_PATH) and dropper.growth.packets is not None:
            yield dropper


def addresses_of(case: Case, pod: str | None) -> tuple[str, ...]:
    """The addresses that the API has of a pod, of both families."""
    snapshot = case.recording.snapshot
    pods = snapshot.pods if snapshot is not None else ()
    return tuple(address for known in pods if known.full_name == pod for address in known.addresses)


def _proven(case: Case) -> Iterator[int]:
    """The foreign flows all of whose packets vanished right behind the pod's interface, where a counter holds all of these."""
    foreign = {flow.id for flow in case.flows if flow.foreign}
    gone: dict[int, tuple[Segment, int]] = {}
    for traced in case.paths:
        path, journey = traced.path, traced.journeys
        if path.flow not in foreign or len(path.hops) < 2:
            continue
        segment = Segment(kind=SegmentKind.FORWARD, start=path.hops[0], end=path.hops[1])
        if len(journey) and np.all((journey.outcome == OutcomeCode.LOST) & (journey.lost_from == 1) & (journey.lost_to == 2)):
            gone[path.flow] = segment, len(_frames(journey.row[:, 0]))
    for node in {segment.start.tap.node for segment, _ in gone.values()}:
        of_node = {flow: (segment, count) for flow, (segment, count) in gone.items() if segment.start.tap.node == node}
        total = sum(count for _, count in of_node.values())
        growths = [dropper.growth.packets or 0 for segment, _ in of_node.values() for dropper in reverse_path_rules(case, segment)]
        if max([*growths, node_facts.grown(case, node, REVERSE_PATH_COUNTER) or 0]) >= total:
            yield from of_node


def _frames(rows: I32) -> I32:
    """The frames of packets; a super-packet of several segments is one to the packet filter."""
    return np.unique(rows[rows >= 0]).astype(np.int32)
