"""Packets that a program hands to a pod past the tap of its interface: not seen there, and not dropped either.

bpf_redirect_peer (Linux 5.10, net/core/filter.c) puts a packet at the pod's own end of its veth, so that no tap of the node sees it go in.
Nothing but the kernel can say that such a packet was not dropped instead: its log of drops names each one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.witness.programs import hops_behind, passage_of
from kubectl_vxtrace.model.facts import KernelDrop
from kubectl_vxtrace.model.kernel_drops import DROP_WITHIN_NS
from kubectl_vxtrace.model.path import Hop, Role
from kubectl_vxtrace.model.report import PAST_TAP


def handed_past(
    context: Context, hops: Sequence[Hop], packets: Trajectories, is_counted: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], str | None]:
    """Which of the packets that count a program has handed to the pod at the end of a path, past the tap there, and why that did not see
    them.

    Such are the packets that were seen last where a program takes them that alone knows their way (a VXLAN device in metadata mode), one
    hop before the pod's on the same node, of which the pod's interface saw none of any flow, and beside whose last sighting the node's
    kernel, all of whose drops were logged, dropped nothing that a forwarded packet can be.
    """
    nothing = np.zeros(len(packets), dtype=np.bool_)
    if len(hops) < 2 or hops[-1].role is not Role.POD or not len(packets):
        return nothing, None
    last, node = hops[-1], hops[-1].tap.node
    end = range(len(hops) - 1, len(hops))
    program = next((each for each in context.programs if each.unless_entered and hops_behind(each, hops) == end), None)
    if program is None or not _logged(context, node) or (last.tap, passage_of(hops, len(hops) - 1)) in context.entered:
        return nothing, None
    came = is_counted & packets.seen[:, -2] & ~packets.seen[:, -1]
    frames = packets.frames.hops[-2]
    seen_ns = frames.table.time_ns[frames.row[packets.frame[came, -2]]]
    handed = nothing.copy()
    drops = [drop for drop in context.recording.kernel_drops if drop.node == node]
    handed[came] = _in_log(context, node, seen_ns) & ~_dropped_beside(seen_ns, drops)
    return handed, f"{program.text} {PAST_TAP}" if handed.any() else None


def _logged(context: Context, node: str) -> bool:
    """Whether the node's kernel was asked for its drops, and said them all."""
    recording = context.recording
    asked = recording.request is not None and any(facts.node == node for facts in (*recording.before, *recording.after))
    return asked and node not in recording.kernel_drops_absent


def _in_log(context: Context, node: str, seen_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """At which times the node's log ran; at all of them in a recording that does not say."""
    begin_ns, end_ns = context.recording.kernel_drops_logged.get(node, (0, np.iinfo(np.int64).max))
    return np.asarray((seen_ns >= begin_ns) & (seen_ns <= end_ns - DROP_WITHIN_NS), dtype=np.bool_)


def _dropped_beside(seen_ns: NDArray[np.int64], drops: Sequence[KernelDrop]) -> NDArray[np.bool_]:
    """Beside which last sightings the kernel dropped anything that may have been that packet."""
    possible = [drop for drop in drops if not drop.is_of_socket and not drop.socket]
    slack_ns = max((drop.uncertainty_ns for drop in possible), default=0)
    times = np.sort(np.array([drop.time_ns for drop in possible], dtype=np.int64))
    lows = np.searchsorted(times, seen_ns - slack_ns, side="left")
    highs = np.searchsorted(times, seen_ns + DROP_WITHIN_NS + slack_ns, side="right")
    return np.asarray(highs > lows, dtype=np.bool_)
