"""Which connections the trace is about: those that begin at the client's own interface in the form that was asked for.

A pod that is asked directly may be a backend of a Service as well. What the client asks through that Service passes the same hops in
the same form, but for the client's interface: there it is addressed to the ClusterIP and is another flow.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.clients import can_testify
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.records import PORTS, REPLY, REQUEST, FlowFrames, Testimony
from kubectl_vxtrace.model.address import packed_address
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording


def begun_at_client(
    recording: Recording,
    tables: Mapping[Tap, PacketTable],
    groups: Sequence[FlowGroup],
    frames_of: Mapping[Tap, FlowFrames],
    testimonies: Mapping[Tap, Testimony],
) -> dict[Tap, FlowFrames]:
    """`frames_of` without the connections of which requests were seen, but nothing at the client's own interface, though it could testify.

    A reply is enough there: the one request may have passed before that capture ran, and a Service's replies come from its own address.
    A client port whose requests nothing saw stays; so does everything where that interface is blind, where it saw nothing at all of the
    client, or where the client has none of its own (the host's network).
    """
    kept = dict(frames_of)
    for number, group in enumerate(groups):
        if not can_testify(group.own_taps, testimonies):
            continue
        if not any(_shows_client(tables[tap], recording, group) for tap in group.own_taps if tap in tables):
            continue  # it saw nothing at all of the client: the interface is another's
        elsewhere = _ports(kept, number, kept.keys() - group.own_taps, (REQUEST,)) & ~_ports(kept, number, group.own_taps, (REQUEST, REPLY))
        if elsewhere.any():
            kept = {tap: frames.take(~((frames.group == number) & elsewhere[frames.client_port])) for tap, frames in kept.items()}
    return kept


def _shows_client(table: PacketTable, recording: Recording, group: FlowGroup) -> bool:
    """Whether any packet in a table is from or to the client of a group."""
    ends = table.conversations
    for address in {recording.flows[backend.planned].client.address for backend in group.backends}:
        packed = packed_address(address)
        if packed is not None:
            raw = np.frombuffer(packed, dtype=np.uint8)
            if bool(((ends.source == raw).all(axis=1) | (ends.destination == raw).all(axis=1)).any()):
                return True
    return False


def _ports(frames_of: Mapping[Tap, FlowFrames], group: int, taps: AbstractSet[Tap], directions: Sequence[int]) -> NDArray[np.bool_]:
    """For each client port whether anything of the group in one of the directions was seen at one of the taps."""
    seen = np.zeros(PORTS, dtype=np.bool_)
    for tap in taps & frames_of.keys():
        frames = frames_of[tap]
        seen[frames.client_port[(frames.group == group) & np.isin(frames.direction, directions)]] = True
    return seen
