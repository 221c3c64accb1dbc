"""What can be said of the nodes' clocks, and when all captures ran.

crossings      bounds from packets that cross between two nodes
estimate       those and clock readings together: each node's clock
drift_bounds   where a clock can be between bounds, and where it was stepped
offsets        what follows for times of two nodes
window         the common window of all captures
"""

from collections.abc import Mapping, Sequence

from kubectl_vxtrace.journeys.clock.crossings import offset_samples
from kubectl_vxtrace.journeys.clock.estimate import Samples, clocks_of
from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.clock.window import Window, capture_spans, window_of
from kubectl_vxtrace.journeys.records import CandidatePath
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording


def related_clocks(recording: Recording, paths: Sequence[CandidatePath], tables: Mapping[Tap, PacketTable]) -> Clocks:
    """Every captured node's clock against the client's node."""
    nodes = sorted({tap.node for tap in tables})
    client_nodes = [flow.client.node for flow in recording.flows if flow.client.node]
    reference = client_nodes[0] if client_nodes else (nodes[0] if nodes else "")
    samples: dict[str, Samples] = {}
    for path in paths:
        for node in {hop.tap.node for hop in path.frames.path.hops} - {reference}:
            samples[node] = samples.get(node, Samples()).with_(offset_samples(path.frames, node, reference))
    return clocks_of(reference, nodes, samples, (*recording.before, *recording.after), _ran_ns(recording, reference, tables))


def _ran_ns(recording: Recording, reference: str, tables: Mapping[Tap, PacketTable]) -> tuple[int, int]:
    """From when to when the reference node's captures ran: as they say, else from its first frame to its last, else from any node's."""
    of_reference = [capture for capture in recording.captures if capture.task.tap.node == reference]
    times = [time_ns for capture in of_reference for time_ns in (capture.started_ns, capture.stopped_ns) if time_ns is not None]
    for some in ([table for tap, table in tables.items() if tap.node == reference], tables.values()):
        if not times:
            times = [int(bound) for table in some if len(table) for bound in (table.time_ns.min(), table.time_ns.max())]
    return min(times, default=0), max(times, default=0)


def common_window(
    recording: Recording, tables: Mapping[Tap, PacketTable], clocks: Clocks, paths: Sequence[CandidatePath], traced: frozenset[Tap]
) -> Window | None:
    """When all captures ran, on each node's clock. `traced`: taps that saw packets of the flows."""
    nodes = sorted({tap.node for tap in tables} | {hop.tap.node for path in paths for hop in path.frames.path.hops})
    return window_of(capture_spans(recording.captures, tables, traced), clocks, nodes)
