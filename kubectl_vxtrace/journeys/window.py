"""The common window: when all captures ran, in each node's own clock."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from kubectl_vxtrace.journeys.clocks import Clocks, Interval
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus

MARGIN_NS = 1_000_000_000
"""Taken off the window's end: packets under way when captures stop, and a tcpdump's last frames."""
STAGGER_NS = 250_000_000
"""Within this, tcpdumps that one command stops on several nodes end one after the other (up to 0.13 s were measured on a busy machine)."""


LIVELY_FRAMES = 10
"""A file with fewer frames, and none of the traced flows, does not say when its capture began: it was quiet there (an ARP request now and
then)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """When the capture at a tap ran, in its node's clock.

    presumed: from its first frame to its last. quiet: its first frame does not say when it began.
    """

    tap: Tap
    start_ns: int
    end_ns: int
    presumed: bool = False
    quiet: bool = False

    @property
    def node(self) -> str:
        """Its node."""
        return self.tap.node


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The common window: start and end per node, in that node's clock, both included.

    last_ns: only where files are presumed to have run together: by node, then by tap, the last frame of the tap's file, on the clock of
    the node.
    """

    start_ns: Mapping[str, int]
    end_ns: Mapping[str, int]
    last_ns: Mapping[str, Mapping[Tap, int]] = field(default_factory=dict)


def stretches_of(captures: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable], traced: Set[Tap]) -> tuple[Stretch, ...]:
    """When the captures ran that bear on the window: those that ran until we stopped them, else files of others.

    A capture that ended by itself is no witness and does not shorten the window for those that are. `traced`: taps that saw packets of
    the flows.
    """
    timed, presumed = [], []
    for capture in captures:
        table = tables.get(capture.task.tap)
        if capture.status is CaptureStatus.COMPLETE and capture.started_ns is not None and capture.stopped_ns is not None:
            end = capture.stopped_ns
            if capture.cut_off and table is not None and len(table):
                end = min(end, int(table.time_ns.max()))
            timed.append(Stretch(tap=capture.task.tap, start_ns=capture.started_ns, end_ns=end))
        elif capture.status in (CaptureStatus.PRESUMED, CaptureStatus.COMPLETE) and table is not None and len(table):
            times = table.time_ns
            tap = capture.task.tap
            quiet = tap not in traced and len(table) < LIVELY_FRAMES
            presumed.append(Stretch(tap=tap, start_ns=int(times.min()), end_ns=int(times.max()), presumed=True, quiet=quiet))
    return tuple(timed or presumed)


def window_of(stretches: Sequence[Stretch], clocks: Clocks, nodes: Sequence[str]) -> Window | None:
    """The common window, None where nothing says when anything ran.

    Timed captures: from the latest start to the earliest stop, less what the clocks leave open, less a second at the end. Presumed
    ones: from the latest first frame to the latest last frame, clocks joined by the middle of their bounds; the first frame of a quiet
    file says nothing.
    """
    if not stretches:
        return None
    telling = [one for one in stretches if not one.quiet] or stretches
    return Window(
        start_ns={node: max(_on(node, one, clocks)[0] for one in _placed(telling, clocks, node)) for node in nodes},
        end_ns={node: _end(node, stretches, clocks) for node in nodes},
        last_ns={node: {one.tap: _on(node, one, clocks)[1] for one in stretches} for node in nodes} if stretches[0].presumed else {},
    )


def _placed(stretches: Sequence[Stretch], clocks: Clocks, node: str) -> Sequence[Stretch]:
    """The captures that can be placed on a node's clock: of timed ones those whose clock anything relates to it."""
    placed = [one for one in stretches if one.presumed or clocks.offset(node, one.node) != Interval()]
    return placed or stretches


def _on(node: str, stretch: Stretch, clocks: Clocks) -> tuple[int, int]:
    """Start and end of a capture on a node's clock: the latest start and the earliest end that are possible, unless presumed."""
    begin, end = clocks.offset_at_begin(node, stretch.node), clocks.offset_at_end(node, stretch.node)
    late = clocks.middle_at_begin_ns(node, stretch.node) if stretch.presumed or begin.high is None else begin.high
    early = clocks.middle_at_end_ns(node, stretch.node) if stretch.presumed or end.low is None else end.low
    return stretch.start_ns + late, stretch.end_ns + early


def _end(node: str, stretches: Sequence[Stretch], clocks: Clocks) -> int:
    ends = [_on(node, one, clocks)[1] for one in _placed(stretches, clocks, node)]
    return max(ends) if stretches[0].presumed else min(ends) - MARGIN_NS
