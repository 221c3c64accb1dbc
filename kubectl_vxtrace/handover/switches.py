"""Captures that were made at switches between the nodes of a trace: hops between the two NICs, on the paths that they saw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kubectl_vxtrace.handover import read_loose
from kubectl_vxtrace.handover.interfaces import Capture, captures_in
from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Role, Tap
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, Gap, Recording


def with_switches(recording: Recording, tables: Mapping[Tap, PacketTable]) -> tuple[Recording, dict[Tap, PacketTable]]:
    """The recording of a trace, and what its captures saw, with its loose files as captures at switches.

    Such a capture is a hop of a path that leads from one node's NIC to another's, if it saw any packet of that flow in that direction:
    nobody says what its filter let through, nor whether all ways lead past it. It ran from its first frame to its last, and nothing
    beyond that is said of any packet. Files that cannot be read are gaps.
    """
    given, unread = read_loose(recording.loose)
    found = dict(tables)
    gaps = [Gap(node=file.node, reason=f"{file.name} cannot be read: {file.failure}") for file in unread]
    results: list[CaptureResult] = []
    notes: list[str] = []
    paths = recording.paths
    for number, capture in enumerate(captures_in(given), start=max((each.task.id for each in recording.captures), default=0) + 1):
        result = _result(capture, number)
        passed = {(path.flow, path.direction) for path in paths if _saw(capture.table, path, recording.flows)}
        left = {(path.flow, path.direction) for path in paths if _left(path, recording.flows, tables)}
        notes += [_unseen(capture, *one) for one in sorted(left - passed)]
        if passed:
            results.append(result)
            found[result.task.tap] = replace(capture.table, tap=result.task.tap)
            paths = tuple(_led_past(path, result.task.tap) if (path.flow, path.direction) in passed else path for path in paths)
    return (
        replace(
            recording,
            captures=(*recording.captures, *results),
            paths=paths,
            gaps=(*recording.gaps, *gaps),
            notes=(*recording.notes, *notes),
        ),
        found,
    )


def _result(capture: Capture, number: int) -> CaptureResult:
    """The capture, by an empty file without times."""
    handed, times = capture.handed, capture.table.time_ns
    tap = Tap(node=handed.node or handed.name, interface="", place=handed.name)
    return CaptureResult(
        task=CaptureTask(id=number, tap=tap, role=Role.UNDERLAY, file=capture.files[0].name),
        status=CaptureStatus.PRESUMED,
        started_ns=int(times.min()) if len(times) else None,
        stopped_ns=int(times.max()) if len(times) else None,
        file=capture.files[0].path,
        further_files=tuple(file.path for file in capture.files[1:]),
        size_bytes=sum(Path(file.path).stat().st_size for file in capture.files),
    )


def _saw(table: PacketTable, path: HopPath, flows: Sequence[Flow]) -> bool:
    """Whether the path crosses between two nodes, and `table` holds a packet of its flow in its direction."""
    flow = next(flow for flow in flows if flow.id == path.flow)
    if _crossing(path) is None or flow.server is None:
        return False
    ends = (flow.client.address, flow.server.address)
    wanted = ends if path.direction is Direction.REQUEST else ends[::-1]
    conversations = table.conversations
    pairs = zip(conversations.source, conversations.destination, strict=True)
    return any((address_text(source), address_text(destination)) == wanted for source, destination in pairs)


def _left(path: HopPath, flows: Sequence[Flow], tables: Mapping[Tap, PacketTable]) -> bool:
    """Whether the sender's NIC saw the flow in that direction."""
    at = _crossing(path)
    table = tables.get(path.hops[at - 1].tap) if at is not None else None
    return table is not None and _saw(table, path, flows)


def _crossing(path: HopPath) -> int | None:
    """The index of the first hop behind the network between two nodes; None for a path that does not cross it."""
    legs = enumerate(pairwise(path.hops), start=1)
    return next((at for at, (one, other) in legs if {one.role, other.role} == {Role.UNDERLAY} and one.tap.node != other.tap.node), None)


def _led_past(path: HopPath, tap: Tap) -> HopPath:
    """The path with one hop more, before the receiver's NIC."""
    at = _crossing(path)
    # Behind switches that stand there already: they are in the order in which they were given.
    while at is not None and at + 1 < len(path.hops) and path.hops[at + 1].role is Role.UNDERLAY:
        at += 1
    hops = (*path.hops[:at], Hop(hop=0, role=Role.UNDERLAY, tap=tap), *path.hops[at:])
    return replace(path, hops=tuple(replace(hop, hop=number) for number, hop in enumerate(hops, start=1)))


def _unseen(capture: Capture, flow: int, direction: Direction) -> str:
    """What is said of a capture that shows nothing of what a NIC sent."""
    which = "requests" if direction is Direction.REQUEST else "replies"
    return f"{capture.handed.name} shows no {which} of flow {flow}: they were lost before it, took another way, or its filter left them out"
