"""The common window: when all captures ran, in each node's own clock."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from kubectl_vxtrace.journeys.clock.offsets import Clocks, Interval
from kubectl_vxtrace.journeys.judgement import LIVELY_FRAMES, WINDOW_MARGIN_NS
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSpan:
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
    the node. over: of these taps those whose files end before the window begins, so that they show nothing of it; not those of files that
    are quiet anyway.
    """

    start_ns: Mapping[str, int]
    end_ns: Mapping[str, int]
    last_ns: Mapping[str, Mapping[Tap, int]] = field(default_factory=dict)
    over: frozenset[Tap] = frozenset()

    def to_first_stop(self) -> "Window":
        """The same until the first capture stopped, with what may have been under way then; itself where nobody stopped the captures."""
        if self.last_ns:
            return self
        return replace(self, end_ns={node: end_ns + WINDOW_MARGIN_NS for node, end_ns in self.end_ns.items()})


def capture_spans(captures: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable], traced: Set[Tap]) -> tuple[CaptureSpan, ...]:
    """When the captures ran that bear on the window: those that ran until we stopped them, else files of others.

    A capture that ended by itself is no witness and does not shorten the window for those that are. `traced`: taps that saw packets of
    the flows.
    """
    timed, presumed = [], []
    for capture in captures:
        table = tables.get(capture.task.tap)
        ran = capture.status in (CaptureStatus.COMPLETE, CaptureStatus.PRESUMED)
        if ran and capture.started_ns is not None and capture.stopped_ns is not None:
            end = capture.stopped_ns
            if capture.cut_off and table is not None and len(table):
                end = min(end, int(table.time_ns.max()))
            timed.append(CaptureSpan(tap=capture.task.tap, start_ns=capture.started_ns, end_ns=end))
        elif capture.status in (CaptureStatus.PRESUMED, CaptureStatus.COMPLETE) and table is not None and len(table):
            times = table.time_ns
            tap = capture.task.tap
            quiet = tap not in traced and len(table) < LIVELY_FRAMES
            presumed.append(CaptureSpan(tap=tap, start_ns=int(times.min()), end_ns=int(times.max()), presumed=True, quiet=quiet))
    return tuple(timed or presumed)


def window_of(spans: Sequence[CaptureSpan], clocks: Clocks, nodes: Sequence[str]) -> Window | None:
    """The common window, None where nothing says when anything ran.

    Timed captures: from the latest start to the earliest stop, less what the clocks leave open, less a second at the end. Presumed
    ones: from the latest first frame to the latest last frame, clocks joined by the middle of their bounds; the first frame of a quiet
    file says nothing.
    """
    if not spans:
        return None
    telling = [span for span in spans if not span.quiet] or spans
    start_ns = {node: max(_on(node, span, clocks)[0] for span in _related(telling, clocks, node)) for node in nodes}
    presumed = [span for span in spans if span.presumed]
    return Window(
        start_ns=start_ns,
        end_ns={node: _end(node, spans, clocks) for node in nodes},
        last_ns={node: {span.tap: _on(node, span, clocks)[1] for span in presumed} for node in nodes} if presumed else {},
        over=frozenset(span.tap for span in presumed if not span.quiet and span.end_ns < start_ns.get(span.node, span.end_ns)),
    )


def _related(spans: Sequence[CaptureSpan], clocks: Clocks, node: str) -> Sequence[CaptureSpan]:
    """The captures whose times can be put on a node's clock: of timed ones those whose clock anything relates to it."""
    related = [span for span in spans if span.presumed or clocks.offset(node, span.node) != Interval()]
    return related or spans


def _on(node: str, span: CaptureSpan, clocks: Clocks) -> tuple[int, int]:
    """Start and end of a capture on a node's clock: the latest start and the earliest end that are possible, unless presumed.

    Where a clock was stepped nothing says whether a capture began or ended before that.
    """
    begin, end = clocks.offset_at_begin(node, span.node), clocks.offset_at_end(node, span.node)
    if (step := clocks.step_ns(node)) and node == span.node:
        begin = end = Interval(-step, step)
    elif step or clocks.step_ns(span.node):
        begin = end = clocks.offset(node, span.node)
    late = clocks.middle_at_begin_ns(node, span.node) if span.presumed or begin.high is None else begin.high
    early = clocks.middle_at_end_ns(node, span.node) if span.presumed or end.low is None else end.low
    return span.start_ns + late, span.end_ns + early


def _end(node: str, spans: Sequence[CaptureSpan], clocks: Clocks) -> int:
    ends = [_on(node, span, clocks)[1] for span in _related(spans, clocks, node)]
    return max(ends) if spans[0].presumed else min(ends) - WINDOW_MARGIN_NS
