"""The parts of the report that only restate what was recorded and matched."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kubectl_vxtrace.diagnosis.evidence.off_path import strayed, vanished_astray
from kubectl_vxtrace.diagnosis.losses import is_unanswered
from kubectl_vxtrace.model.journeys import Case, OutcomeCode, ShownJourney, TracedPath
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Direction, Endpoint, Flow, Overlay, Path, Tap
from kubectl_vxtrace.model.protocol import rfc3339
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Recording
from kubectl_vxtrace.model.report import (
    Blind,
    CaptureLine,
    CleanupReport,
    Completeness,
    DirectionReport,
    EndpointReport,
    FlowReport,
    HopCount,
    OverlayDevice,
    OverlayReport,
    PacketLine,
    ServiceReport,
    SightingReport,
    Verdict,
)

_VERDICTS = {
    OutcomeCode.DELIVERED: Verdict.DELIVERED,
    OutcomeCode.UNDETERMINED: Verdict.UNDETERMINED,
    OutcomeCode.REJECTED: Verdict.REJECTED,
    OutcomeCode.LOST: Verdict.LOST,
    OutcomeCode.DROPPED: Verdict.DROPPED,
}


def flow_reports(case: Case) -> tuple[FlowReport, ...]:
    """One report for each flow of the case, whose outcomes are settled; both directions, the request first."""
    return tuple(
        FlowReport(
            id=flow.id,
            protocol=flow.protocol,
            connections=case.connections.get(flow.id, 0),
            client=_endpoint(flow.client),
            server=None if flow.server is None else _endpoint(flow.server),
            candidates=tuple(_endpoint(candidate) for candidate in flow.candidates),
            service=_service(flow),
            directions=tuple(_direction(case, flow, direction) for direction in (Direction.REQUEST, Direction.REPLY)),
        )
        for flow in case.flows
    )


def _direction(case: Case, flow: Flow, direction: Direction) -> DirectionReport:
    traced = case.traced(flow.id, direction)
    if traced is None:
        return DirectionReport(direction=direction, verdict=Verdict.NOT_APPLICABLE, hops=(), legs=())
    return DirectionReport(direction=direction, verdict=_direction_verdict(case, traced), hops=traced.hops, legs=traced.legs)


def _direction_verdict(case: Case, traced: TracedPath) -> Verdict:
    """The worst of a direction's packets. Without a packet: unanswered, lost or unknowable (its first hop is blind, or a clock of the path
    was set, so that what was seen may not count) where the requests went another way, or no traffic."""
    path, journey = traced.path, traced.journeys
    if not path.hops:
        return Verdict.NOT_APPLICABLE
    if len(journey):
        return _VERDICTS[OutcomeCode(int(np.max(journey.outcome)))]
    if path.direction is Direction.REPLY:
        request = case.traced(traced.flow.id, Direction.REQUEST)
        if request is not None and is_unanswered(case, request):
            return Verdict.UNANSWERED
    first = next((count for count in traced.hops if count.expected), None)
    if vanished_astray(case, traced.flow):
        return Verdict.LOST if path.direction is Direction.REQUEST else Verdict.NO_TRAFFIC
    is_alive = (first is None or first.witness) and not _was_set(case, path)
    return Verdict.NO_TRAFFIC if is_alive and not strayed(case, traced.flow) else Verdict.UNDETERMINED


def _was_set(case: Case, path: Path) -> bool:
    """Whether a clock of the path was set while captures ran."""
    return not {clock.node for clock in case.clocks if clock.stepped}.isdisjoint(hop.tap.node for hop in path.hops)


def _endpoint(end: Endpoint) -> EndpointReport:
    return EndpointReport(address=end.address, port=end.port, pod=end.pod, node=end.node)


def _service(flow: Flow) -> ServiceReport | None:
    if flow.service is None:
        return None
    return ServiceReport(address=flow.service.address, port=flow.service.port, name=flow.service.name)


def overlay_report(overlay: Overlay) -> OverlayReport:
    """The overlay as the report shows it."""
    devices = tuple(
        OverlayDevice(
            node=vtep.node,
            interface=vtep.interface or None,
            vni=vtep.vni,
            port=vtep.port,
            mtu=vtep.mtu_bytes,
            address=vtep.address,
            underlay_address=vtep.underlay_address,
        )
        for vtep in overlay.vteps
    )
    return OverlayReport(backend=overlay.backend, devices=devices)


def completeness(case: Case) -> Completeness:
    """What could not be seen: blind hops, captures that are no witnesses, gaps, an early end.

    Where only files were given, a gap that names no node is knowledge that only the cluster has: it is said, and hides nothing.
    """
    recording = case.recording
    blind = dict.fromkeys(_blind(case))
    files_only = _is_files_only(recording)
    known = {Blind(node=gap.node, interface=gap.interface, reason=gap.reason) for gap in recording.gaps if files_only and gap.node is None}
    return Completeness(complete=not set(blind) - known, blind=tuple(blind))


def _is_files_only(recording: Recording) -> bool:
    """Whether it is made of captures alone, without what the cluster said."""
    return recording.request is None and recording.snapshot is None


def _blind(case: Case) -> Iterator[Blind]:
    recording = case.recording
    named: set[tuple[str, str | None]] = set()
    # Why a whole node could not be seen says more than that its interfaces are not known.
    for gap in recording.gaps:
        if gap.node is not None and gap.interface is None and (gap.node, None) not in named:
            named.add((gap.node, None))
            yield Blind(node=gap.node, interface=None, reason=gap.reason)
    for count in (count for traced in case.paths for count in traced.hops):
        if not count.witness and (count.node, count.interface or None) not in named:
            named.add((count.node, count.interface or None))
            yield _blind_hop(count)
    for capture in recording.captures:
        place = capture.task.tap.node, capture.task.tap.interface or None
        reason = _capture_reason(capture)
        if reason is not None and place not in named:
            named.add(place)
            yield Blind(node=place[0], interface=place[1], reason=reason)
    for gap in recording.gaps:
        if gap.node is None or (gap.node, gap.interface) not in named:
            yield Blind(node=gap.node, interface=gap.interface, reason=gap.reason)
    for clock in case.clocks:
        if clock.stepped:
            yield Blind(node=clock.node, interface=None, reason="its clock was set while captures ran: not all that it saw has its time")
    if not _is_files_only(recording):  # of files alone it is said which node has none
        for traced in case.paths:
            yield from _unseen_end(traced)
    if recording.interrupted:
        yield Blind(node=None, interface=None, reason="the trace was interrupted")


def _unseen_end(traced: TracedPath) -> Iterator[Blind]:
    """The receiver of a path that ends before its node, unless answers showed that all packets arrived."""
    end, path = traced.path.receiver(traced.flow), traced.path
    if end is None or not path.hops or path.ends_at_receiver(traced.flow):
        return
    if np.any(traced.journeys.outcome == OutcomeCode.UNDETERMINED):
        last = path.hops[-1].tap
        where = f"{last.node}/{last.interface}" if last.interface else last.node
        yield Blind(node=None, interface=None, reason=f"nothing was captured at {end.address}, to which packets went on after {where}")


def _blind_hop(count: HopCount) -> Blind:
    return Blind(node=count.node, interface=count.interface or None, reason=count.reason or "its capture is not complete")


def _capture_reason(capture: CaptureResult) -> str | None:
    """Why a capture cannot testify, None if it can."""
    if capture.status in (CaptureStatus.FAILED, CaptureStatus.PARTIAL):
        return capture.reason or f"the capture is {capture.status.value}"
    if capture.dropped_by_kernel:
        return f"the kernel dropped {capture.dropped_by_kernel} packets at the capture"
    return None


def capture_lines(recording: Recording) -> tuple[CaptureLine, ...]:
    """One line for each capture, in the order of their ids."""
    return tuple(
        CaptureLine(
            id=capture.task.id,
            node=capture.task.tap.node,
            interface=capture.task.tap.interface or None,
            filter=capture.task.filter,
            argv=capture.task.argv or None,
            started=None if capture.started_ns is None else rfc3339(capture.started_ns),
            stopped=None if capture.stopped_ns is None else rfc3339(capture.stopped_ns),
            snaplen=capture.task.snaplen_bytes,
            received=capture.received,
            captured=capture.captured,
            dropped_by_kernel=capture.dropped_by_kernel,
            file=capture.file,
            bytes=capture.size_bytes,
            sha256=capture.sha256,
        )
        for capture in sorted(recording.captures, key=lambda capture: capture.task.id)
    )


def cleanup_report(recording: Recording) -> CleanupReport | None:
    """Whether the debug pods are gone, None if no debug pod was created."""
    if recording.cleanup is None:
        return None
    return CleanupReport(state=recording.cleanup.state, left=recording.cleanup.left)


def packet_lines(picked: Sequence[ShownJourney], tables: Mapping[Tap, PacketTable], summaries: Sequence[str]) -> tuple[PacketLine, ...]:
    """One line for each packet that is listed, numbered from 1: what it is, what became of it, and which frame of which hop it was when.

    Args:
        picked: the packets, in the order of the list.
        tables: the captures in which their frames stand.
        summaries: what each of them is, in the same order.
    """
    return tuple(
        PacketLine(
            id=number,
            flow=journey.flow,
            direction=journey.direction,
            client_port=journey.client_port,
            summary=summary,
            outcome=journey.outcome,
            sightings=tuple(_sighting(hop, tables[tap], row) for hop, tap, row in journey.sightings),
        )
        for number, (journey, summary) in enumerate(zip(picked, summaries, strict=True), start=1)
    )


def _sighting(hop: int, table: PacketTable, row: int) -> SightingReport:
    return SightingReport(hop=hop, time=rfc3339(int(table.time_ns[row])), frame=int(table.frame[row]))
