"""The common window: when all captures ran, in each node's own clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubectl_vxtrace.journeys.clocks import Clocks
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus

MARGIN_NS = 1_000_000_000
"""Taken off the window's end: packets under way when captures stop, and a tcpdump's last frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """When one capture ran, in its node's clock."""

    node: str
    start_ns: int
    end_ns: int
    presumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The common window: start and end per node, in that node's clock, both included."""

    start_ns: Mapping[str, int]
    end_ns: Mapping[str, int]


def stretches_of(captures: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable]) -> tuple[Stretch, ...]:
    """When the captures ran that bear on the window: those that ran until we stopped them, else files of others.

    A capture that ended by itself is no witness and does not shorten the window for those that are.
    """
    timed, presumed = [], []
    for capture in captures:
        table = tables.get(capture.task.tap)
        if capture.status is CaptureStatus.COMPLETE and capture.started_ns is not None and capture.stopped_ns is not None:
            end = capture.stopped_ns
            if (capture.received or 0) > (capture.captured or 0) and table is not None and len(table):
                end = min(end, int(table.time_ns.max()))
            timed.append(Stretch(node=capture.task.tap.node, start_ns=capture.started_ns, end_ns=end))
        elif capture.status in (CaptureStatus.PRESUMED, CaptureStatus.COMPLETE) and table is not None and len(table):
            times = table.time_ns
            presumed.append(Stretch(node=capture.task.tap.node, start_ns=int(times.min()), end_ns=int(times.max()), presumed=True))
    return tuple(timed or presumed)


def window_of(stretches: Sequence[Stretch], clocks: Clocks, nodes: Sequence[str]) -> Window | None:
    """The common window, None where nothing says when anything ran.

    Timed captures: from the latest start to the earliest stop, less what the clocks leave open, less a second at the end. Presumed
    ones: from the latest first frame to the latest last frame, clocks joined by the middle of their bounds.
    """
    if not stretches:
        return None
    presumed = any(stretch.presumed for stretch in stretches)
    start, end = {}, {}
    for node in nodes:
        starts, ends = [], []
        for one in stretches:
            offset = clocks.offset(node, one.node)
            middle = offset.middle_ns
            late = middle if presumed or offset.high is None else offset.high
            early = middle if presumed or offset.low is None else offset.low
            starts.append(one.start_ns + late)
            ends.append(one.end_ns + (middle if presumed else early))
        start[node] = max(starts)
        end[node] = max(ends) if presumed else min(ends) - MARGIN_NS
    return Window(start_ns=start, end_ns=end)
