"""Packets that a bridge hands from port to port: its own device never sees them, so that its tap does not miss them."""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.addresses import raw_address
from kubectl_vxtrace.journeys.trails import Trails
from kubectl_vxtrace.model.path import Direction, Flow, Role


def switched(trails: Trails, flow: Flow) -> NDArray[np.bool_]:
    """Shape (n, hops): where a journey passes a bridge unseen, since it is switched.

    On the way to a Service the bridge routes; what a pod of the same bridge sends to the backend's own address by itself (the RST to a
    reply that nobody translated back) has the backend's MAC address from the beginning.
    """
    hops = trails.way.path.hops
    passed = np.zeros((len(trails), len(hops)), dtype=np.bool_)
    bridges = [number for number, hop in enumerate(hops) if hop.role is Role.BRIDGE]
    server = raw_address(flow.server.address) if flow.server is not None else None
    alone = len({hop.tap.node for hop in hops}) == 1 and trails.way.path.direction is Direction.REQUEST
    if not bridges or not alone or flow.service is None or server is None or not len(trails.way.frames[0].row):
        return passed
    frames = trails.way.frames[0]
    small = frames.table.conversations
    direct = (small.destination == np.frombuffer(server, dtype=np.uint8)).all(axis=1)
    talk = frames.table.conversation[frames.row[np.maximum(trails.frame[:, 0], 0)]]
    passed[:, bridges] = ((trails.frame[:, 0] >= 0) & (talk >= 0) & direct[np.maximum(talk, 0)])[:, None]
    return passed
