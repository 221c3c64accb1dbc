"""What each hop of a path saw: packets, frames, addresses, encapsulation."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.judge.counted import in_window
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import FlowFrames, Testimony
from kubectl_vxtrace.model.address import host_port
from kubectl_vxtrace.model.packets import PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Path, Tap
from kubectl_vxtrace.model.protocol import IpProtocol
from kubectl_vxtrace.model.report import HopCount, Outer


def hop_counts(trajectories: Trajectories, context: Context, testimonies: Sequence[Testimony]) -> tuple[HopCount, ...]:
    """The expected hops of a path; `trajectories` are its counted packets, `testimonies` those of its hops."""
    counts = []
    path = trajectories.frames.path
    for index, (hop, frames, testimony) in enumerate(zip(path.hops, trajectories.frames.hops, testimonies, strict=True)):
        frame = trajectories.frame[:, index]
        holds = np.zeros(len(frames) + 1, dtype=np.bool_)
        holds[frame] = True  # of -1, unseen, the one behind the last
        held = np.flatnonzero(holds[:-1])
        rows = frames.row[held]
        frame_count = int(frames.count[held].sum())
        counts.append(
            HopCount(
                hop=index + 1,
                role=hop.role,
                node=hop.tap.node,
                interface=hop.tap.interface or None,
                capture=testimony.capture,
                packets=int(trajectories.weight[frame >= 0].sum()),
                frames=frame_count,
                control=max(context.frames_in_window.get(hop.tap, 0) - frame_count, 0),
                witness=testimony.witness,
                reason=testimony.reason,
                tuple=tuple_text(frames.table, rows, path.direction),
                outer=outer_of(frames.table, rows),
            )
        )
    return tuple(counts)


def unexpected_counts(unexpected: Mapping[Tap, FlowFrames], path: Path, context: Context) -> tuple[HopCount, ...]:
    """Frames that stand at no hop of the path (bare on a NIC, another node), numbered after its hops."""
    counts: list[HopCount] = []
    for tap in sorted(unexpected):
        table, testimony = context.tables[tap], context.testimony_of(tap)
        rows = unexpected[tap].row
        rows = rows[in_window(context.window, tap.node, table.time_ns[rows])]
        if not len(rows):
            continue
        counts.append(
            HopCount(
                hop=len(path.hops) + len(counts) + 1,
                role=context.role_of(tap),
                node=tap.node,
                interface=tap.interface or None,
                expected=False,
                capture=testimony.capture,
                packets=len(rows),
                frames=len(rows),
                control=max(context.frames_in_window.get(tap, 0) - len(rows), 0),
                witness=testimony.witness,
                reason=testimony.reason,
                tuple=tuple_text(table, rows, path.direction),
                outer=outer_of(table, rows),
            )
        )
    return tuple(counts)


def tuple_text(table: PacketTable, rows: NDArray[np.int32], direction: Direction) -> str | None:
    """The addresses that most of these frames carry, `client > server:port` or `server:port > client`; pings have no port."""
    if not len(rows):
        return None
    conversations = table.conversations
    row = _most_frequent(table.conversation[rows])
    source, destination = address_text(conversations.source[row]), address_text(conversations.destination[row])
    if conversations.protocol[row] in (IpProtocol.ICMP, IpProtocol.ICMPV6):
        return f"{source} > {destination}"
    if direction is Direction.REQUEST:
        return f"{source} > {host_port(destination, int(conversations.destination_port[row]))}"
    return f"{host_port(source, int(conversations.source_port[row]))} > {destination}"


def outer_of(table: PacketTable, rows: NDArray[np.int32]) -> Outer | None:
    """The encapsulation that most of these frames carry, None for bare ones."""
    tunnel = table.tunnel[rows]
    tunnel = tunnel[tunnel >= 0]
    if not len(tunnel):
        return None
    # outer source ports differ by flow, so that one encapsulation is many tunnels
    tunnels = table.tunnels
    row = _most_frequent(tunnel)
    return Outer(
        source=address_text(tunnels.source[row]),
        destination=address_text(tunnels.destination[row]),
        port=int(tunnels.port[row]),
        vni=int(tunnels.vni[row]),
    )


def _most_frequent(values: NDArray[np.int32]) -> int:
    return int(np.argmax(np.bincount(values)))
