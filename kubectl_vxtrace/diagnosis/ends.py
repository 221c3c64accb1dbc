"""Between which addresses the packets of a trouble go, and what their node does with them on a stretch."""

from kubectl_vxtrace.diagnosis.evidence.lost_packets import rows_at
from kubectl_vxtrace.diagnosis.losses import Place, Stretch, Trouble
from kubectl_vxtrace.model.path import Direction, Hop, Role

_BRIDGED = frozenset({Role.POD, Role.BRIDGE})


def receivers(trouble: Trouble) -> tuple[str, ...]:
    """The addresses to which the packets go after translation: one, or those of all candidates where nothing named the backend."""
    if trouble.path.direction is Direction.REPLY:
        return (trouble.flow.client.address,)
    return _servers(trouble)


def senders(trouble: Trouble) -> tuple[str, ...]:
    """The addresses from which the packets come before translation."""
    if trouble.path.direction is Direction.REQUEST:
        return (trouble.flow.client.address,)
    return _servers(trouble)


def _servers(trouble: Trouble) -> tuple[str, ...]:
    ends = (trouble.flow.server,) if trouble.flow.server is not None else trouble.flow.candidates
    return tuple(dict.fromkeys(end.address for end in ends))


def home_of(trouble: Trouble, address: str) -> str | None:
    """The node on which the API has the end of the flow with that address, None where it is no end or the node is not known."""
    flow = trouble.flow
    ends = (flow.client, *flow.candidates, *((flow.server,) if flow.server is not None else ()))
    return next((end.node for end in ends if end.address == address), None)


def is_routed(stretch: Stretch) -> bool:
    """Whether the node routes the inner packet on this stretch; between a pod's interface and its bridge it is only bridged."""
    if stretch.place is not Place.FORWARD:
        return False
    return stretch.end is None or {stretch.start.role, stretch.end.role} != _BRIDGED


def is_towards_pod(end: Hop | None) -> bool:
    """Whether a routed stretch ends at a pod of the same node, or at the bridge before it."""
    return end is not None and end.role in _BRIDGED


def frames_taken(trouble: Trouble) -> int:
    """The least that a counter of the kernel must have grown by: it counts a super-packet of several segments (GSO, GRO) once."""
    frames = len(rows_at(trouble, trouble.start))
    return min(trouble.packets, frames) if frames else trouble.packets
