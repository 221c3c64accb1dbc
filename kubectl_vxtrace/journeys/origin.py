"""Which connections the trace is about: those that begin at the client's own interface in the form that was asked for.

A pod that is asked directly may be a backend of a Service as well. What the client asks through that Service passes the same hops in
the same form, but for the client's interface: there it is addressed to the ClusterIP and is another flow.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.identity import PORTS, Group
from kubectl_vxtrace.journeys.sightings import REPLY, REQUEST, Sightings
from kubectl_vxtrace.journeys.witness import Testimony
from kubectl_vxtrace.model.path import Direction, Role, Tap
from kubectl_vxtrace.model.recording import Recording


def begun_here(
    recording: Recording, groups: Sequence[Group], seen: Mapping[Tap, Sightings], known: Mapping[Tap, Testimony]
) -> dict[Tap, Sightings]:
    """`seen` without the connections of which requests were seen, but nothing at the client's own interface, though it could testify.

    A reply is enough there: the one request may have passed before that capture ran, and a Service's replies come from its own address.
    A client port whose requests nobody saw stays; so does everything where that interface is blind, or where the client has none of
    its own (the host's network).
    """
    kept = dict(seen)
    for number, group in enumerate(groups):
        firsts = _first_taps(recording, group)
        if not firsts or not all(tap in known and known[tap].witness for tap in firsts):
            continue
        foreign = _ports(kept, number, set(kept) - firsts, (REQUEST,)) & ~_ports(kept, number, firsts, (REQUEST, REPLY))
        if foreign.any():
            kept = {tap: one.take(~((one.group == number) & foreign[one.client_port])) for tap, one in kept.items()}
    return kept


def _first_taps(recording: Recording, group: Group) -> set[Tap]:
    """The client's own interface, as the request paths of the group's flows name it."""
    flows = {recording.flows[server.planned].id for server in group.servers}
    firsts = [path.hops[0] for path in recording.paths if path.flow in flows and path.direction is Direction.REQUEST and path.hops]
    return {hop.tap for hop in firsts} if all(hop.role is Role.POD for hop in firsts) else set()


def _ports(seen: Mapping[Tap, Sightings], number: int, taps: set[Tap], directions: Sequence[int]) -> NDArray[np.bool_]:
    """For each client port whether anything of the group in one of the directions was seen at one of the taps."""
    found = np.zeros(PORTS, dtype=np.bool_)
    for tap in taps & set(seen):
        one = seen[tap]
        found[one.client_port[(one.group == number) & np.isin(one.direction, directions)]] = True
    return found
