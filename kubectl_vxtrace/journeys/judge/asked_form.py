"""Replies that reach the client's interface in another form than was asked for: under the backend's address, where the Service was asked.

Translation was lost on the way (a bridge that bypasses the packet filter, a forgotten connection). The socket that asked the Service does
not take such a reply, so that it has not come back. A client that asks both, the Service and the backend itself, from one port may be
given either.
"""

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.judge.context import Context
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REPLY, REQUEST
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.protocol import TCP_RST


def untranslated(context: Context, replies: Trajectories, requests: Trajectories | None) -> NDArray[np.bool_]:
    """Which replies were seen at the client's own interface, and there in a form that none of its requests on that port had.

    None where that is the server's interface as well: a pod that a Service sends back to itself answers there in the server's form.
    """
    hops = replies.frames.path.hops
    wrong = np.zeros(len(replies), dtype=np.bool_)
    if requests is None or not hops or hops[-1].role is not Role.POD or hops[-1].tap not in context.memberships:
        return wrong
    if hops[0].tap == hops[-1].tap:
        return wrong
    own = hops[-1].tap
    asked_service, asked_server = (np.zeros(PORTS, dtype=np.bool_) for _ in range(2))
    for index, hop in enumerate(requests.frames.path.hops):
        if hop.tap == own:
            named = _names_backend(context, requests, index, REQUEST)
            seen = requests.frame[:, index] >= 0
            asked_service[requests.client_port[seen & ~named]] = True
            # With a reset the client answers the very reply that it does not take.
            is_reset = requests.frames.tcp & ((requests.flags & TCP_RST) != 0)
            asked_server[requests.client_port[seen & named & ~is_reset]] = True
    named = _names_backend(context, replies, len(hops) - 1, REPLY)
    return np.asarray((replies.frame[:, -1] >= 0) & named & (asked_service & ~asked_server)[replies.client_port])


def _names_backend(context: Context, packets: Trajectories, index: int, direction: int) -> NDArray[np.bool_]:
    """Which packets bear a backend's address, and not the Service's, in the frame that a hop saw."""
    frames = packets.frames.hops[index]
    planned = context.memberships[packets.frames.path.hops[index].tap][direction].planned
    rows = np.append(frames.row, np.int32(0))[packets.frame[:, index]]
    seen = packets.frame[:, index] >= 0
    named = np.zeros(len(packets), dtype=np.bool_)
    named[seen] = planned[frames.table.conversation[rows[seen]]] != NO_FLOW
    return named
