"""Witnesses that the packets contradict: they missed what hops before and after them saw."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.packets import I32
from kubectl_vxtrace.model.path import Direction, Flow, Role
from kubectl_vxtrace.model.protocol import TCP_RST


def contradicted(seen: NDArray[np.bool_], passed: I32, witness: Sequence[bool]) -> tuple[int, ...]:
    """How many packets each witness missed that were seen before it and passed it; such a hop is no witness for absence.

    seen: shape (n, hops). passed: how many hops each has provably passed, whether seen behind them or not.
    """
    if not len(seen):
        return (0,) * len(witness)
    before = np.logical_or.accumulate(seen, axis=1)
    after = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1] | (np.arange(seen.shape[1]) < passed[:, None])
    missed = (before & after & ~seen).sum(axis=0)
    return tuple(int(count) if is_witness else 0 for count, is_witness in zip(missed, witness, strict=True))


def begun_elsewhere(trajectories: Trajectories, is_counted: NDArray[np.bool_]) -> int:
    """How many packets of a path began behind its first hop, if all did. A reset does not count: who refuses in the server's name on the
    way begins there."""
    counted = trajectories.take(np.flatnonzero(is_counted))
    if not len(counted) or counted.seen[:, 0].any():
        return 0
    is_reset = (counted.flags & TCP_RST) != 0 if counted.frames.tcp else np.zeros(len(counted), dtype=np.bool_)
    return int(np.count_nonzero(~is_reset))


def bridged_locally(trajectories: Trajectories, flow: Flow) -> NDArray[np.bool_]:
    """Shape (n, hops): where a packet passes a bridge unseen, since the bridge hands it from port to port and its own device sees nothing.

    On the way to a Service the bridge routes; what a pod of the same bridge sends to the backend's own address by itself (the RST to a
    reply that nothing translated back) has the backend's MAC address from the beginning.
    """
    path, frames = trajectories.frames.path, trajectories.frames.hops
    passed = np.zeros((len(trajectories), len(path.hops)), dtype=np.bool_)
    bridges = [index for index, hop in enumerate(path.hops) if hop.role is Role.BRIDGE]
    server = packed_address(flow.server.address) if flow.server is not None else None
    on_one_node = len({hop.tap.node for hop in path.hops}) == 1 and path.direction is Direction.REQUEST
    if not bridges or not on_one_node or flow.service is None or server is None or not len(frames[0].row):
        return passed
    first, frame = frames[0], trajectories.frame[:, 0]
    direct = (first.table.conversations.destination == np.frombuffer(server, dtype=np.uint8)).all(axis=1)
    conversation = first.table.conversation[first.row[np.maximum(frame, 0)]]
    passed[:, bridges] = ((frame >= 0) & (conversation >= 0) & direct[np.maximum(conversation, 0)])[:, None]
    return passed
