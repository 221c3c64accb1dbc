"""What packets that cross between two nodes say of their clocks."""

import numpy as np

from kubectl_vxtrace.journeys.clock.drift_bounds import above, below
from kubectl_vxtrace.journeys.clock.estimate import Samples
from kubectl_vxtrace.journeys.records import PathFrames
from kubectl_vxtrace.model.packets import I64


def offset_samples(frames: PathFrames, node: str, reference: str) -> Samples:
    """What packets that cross between a node and the reference on this path say of `node`'s clock minus `reference`'s.

    Only packets that are unique at both hops and were not merged there.
    """
    hops = frames.path.hops
    for at in range(len(hops) - 1):
        ends = hops[at].tap.node, hops[at + 1].tap.node
        if ends not in ((node, reference), (reference, node)):
            continue
        before, after = _nearest_with_frames(frames, at, -1), _nearest_with_frames(frames, at + 1, 1)
        if before is None or after is None:
            continue
        departed_ns, arrived_ns = _crossings(frames, before, after)
        if len(departed_ns):
            took_ns = arrived_ns - departed_ns
            bounds = above(departed_ns, took_ns) if ends[1] == node else below(arrived_ns, -took_ns)
            return Samples(bounds=bounds, count=len(departed_ns))
    return Samples()


def _nearest_with_frames(frames: PathFrames, at: int, step: int) -> int | None:
    """The hop with frames that is nearest to `at` on its node, going by `step`."""
    hops = frames.path.hops
    node = hops[at].tap.node
    while 0 <= at < len(hops) and hops[at].tap.node == node:
        if len(frames.hops[at]):
            return at
        at += step
    return None


def _crossings(frames: PathFrames, before: int, after: int) -> tuple[I64, I64]:
    """When each packet that is alone at both hops, and not part of a larger frame, was seen at the one and at the other."""
    size = max(int(frames.packets[hop].key.max(initial=-1)) for hop in (before, after)) + 1
    alone_at, time_at = [], []
    for hop in (before, after):
        packets = frames.packets[hop]
        held = np.bincount(packets.frame, minlength=len(frames.hops[hop]))
        single = (held == 1) & (frames.hops[hop].payload_bytes <= frames.largest_bytes)
        times_ns, alone = np.zeros(size, dtype=np.int64), np.bincount(packets.key, minlength=size) == 1
        times_ns[packets.key] = packets.time_ns
        alone[packets.key[~single[packets.frame]]] = False
        alone_at.append(alone)
        time_at.append(times_ns)
    both = np.flatnonzero(alone_at[0] & alone_at[1])
    return time_at[0][both], time_at[1][both]
