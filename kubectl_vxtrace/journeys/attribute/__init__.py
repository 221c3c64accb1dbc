"""Whose the frames are: planned flows, with their backends as far as anything names them.

addresses            addresses as numbers; what a trace must know packets by
groups               what was asked for: planned flows joined by client and service, with their backends
conntrack            translations that the nodes' conntrack tables name
conversations        which group and flow each conversation belongs to, through translation
attribution          the frames of those conversations, with direction and client port
dnat_inference       translations to unlisted backends, where no conntrack table names them
unlisted_ports       flows for those that are another port of a backend's pod
senders              which client's port sent a packet
snat_inference       rewritten clients, where no conntrack table names them
later_fragments      fragments that name no ports
clients              the clients that are traced, and what is theirs
reused_ports         client ports that asked in several forms: what each frame of them began as
origin               only connections that begin at the client's interface
backend_attribution  the backend of each connection, or of each packet
rewritten_ports      connections that went on with another client port
candidates           the flows of which packets were seen, with their paths
direct_flows         before all this: flows of what clients ask a Service's backends directly
bare_replies         before all this: the way of replies to a node's own address
foreign_sources      before all this: flows of clients that send with an address that is not theirs
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import address_book
from kubectl_vxtrace.journeys.attribute.attribution import Attribution
from kubectl_vxtrace.journeys.attribute.backend_attribution import backends_of_ports, with_backends
from kubectl_vxtrace.journeys.attribute.candidates import candidates_of, taps_of_unlisted, without_unlisted
from kubectl_vxtrace.journeys.attribute.conntrack import connections_of
from kubectl_vxtrace.journeys.attribute.conversations import Membership
from kubectl_vxtrace.journeys.attribute.dnat_inference import inferred_dnat
from kubectl_vxtrace.journeys.attribute.groups import groups_of
from kubectl_vxtrace.journeys.attribute.later_fragments import with_later_fragments
from kubectl_vxtrace.journeys.attribute.origin import begun_at_client
from kubectl_vxtrace.journeys.attribute.rewritten_ports import rewritten_ports
from kubectl_vxtrace.journeys.attribute.snat_inference import inferred_snat
from kubectl_vxtrace.journeys.attribute.unlisted_ports import with_unlisted_ports
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, Candidate, FlowFrames, FlowKey, Testimony
from kubectl_vxtrace.model.journeys import PortRewriting
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attributed:
    """All flows of which packets were seen, and their frames.

    recording: with the flows that were added. frames: by tap and FlowKey. taps: those that saw any. memberships: by tap, what each
    conversation belongs to, as a request and as a reply. undecided: groups some of whose packets may be others'. rewritten_ports:
    connections that went on with another client port.
    """

    recording: Recording
    candidates: tuple[Candidate, ...]
    frames: dict[Tap, dict[FlowKey, FlowFrames]]
    taps: frozenset[Tap]
    memberships: Mapping[Tap, tuple[Membership, Membership]]
    undecided: frozenset[int]
    rewritten_ports: tuple[PortRewriting, ...]


def attribute_frames(
    recording: Recording,
    tables: Mapping[Tap, PacketTable],
    testimonies: Mapping[Tap, Testimony],
    keep: Mapping[Tap, NDArray[np.bool_]],
) -> Attributed:
    """The frames of each flow. `keep` says of doubled taps which rows count."""
    connections = connections_of(recording)
    attribution = Attribution(recording, tables, connections)
    if to_unlisted := inferred_dnat(attribution):
        connections = (*connections, *to_unlisted)
        attribution = Attribution(recording, tables, connections)
    if (extended := with_unlisted_ports(recording, attribution.groups)) is not recording:
        recording = extended
        attribution = Attribution(recording, tables, connections)
    snat = inferred_snat(attribution, testimonies)
    if snat.connections:
        attribution = Attribution(recording, tables, (*connections, *snat.connections))
    frames_of = with_later_fragments(tables, attribution.book, attribution.frames)
    for tap, rows in keep.items():
        frames_of[tap] = frames_of[tap].take(rows[frames_of[tap].row])
    frames_of = begun_at_client(recording, tables, attribution.groups, frames_of, testimonies)
    backends = backends_of_ports(attribution.groups, frames_of, attribution.translations)
    frames_of = with_backends(tables, frames_of, backends)
    unlisted = taps_of_unlisted(recording, frames_of)
    frames_of = without_unlisted(recording, frames_of)
    candidates = candidates_of(recording, groups_of(recording, address_book(recording, ())), frames_of, unlisted)
    return Attributed(
        recording=recording,
        rewritten_ports=rewritten_ports(attribution, frames_of, candidates),
        candidates=candidates,
        taps=frozenset(tap for tap, frames in frames_of.items() if len(frames)),
        frames={tap: by_flow(frames_of.pop(tap)) for tap in tuple(frames_of)},
        memberships=attribution.memberships,
        undecided=snat.undecided | attribution.undecided,
    )


def by_flow(frames: FlowFrames) -> dict[FlowKey, FlowFrames]:
    """A tap's frames by group, planned flow and direction, each in file order."""
    planned = int(frames.planned.max(initial=NO_FLOW)) + 2
    code = ((frames.group * planned) + frames.planned + 1) * 2 + frames.direction
    if int(code.max(initial=0)) < PORTS:
        code = code.astype(np.uint16)  # numpy sorts these by counting
    order = np.argsort(code, kind="stable")
    code = code[order]
    cuts = [0, *(np.flatnonzero(code[1:] != code[:-1]) + 1).tolist(), len(code)]
    return dict(_of_flow(frames, order[start:end]) for start, end in pairwise(cuts) if start < end)


def _of_flow(frames: FlowFrames, which: NDArray[np.intp]) -> tuple[FlowKey, FlowFrames]:
    """Rows of one group, planned flow and direction, which are kept once for all of them."""
    group, planned, direction = frames.group[which[0]], frames.planned[which[0]], frames.direction[which[0]]
    of_flow = FlowFrames(
        row=frames.row[which],
        group=np.broadcast_to(group, len(which)),
        planned=np.broadcast_to(planned, len(which)),
        direction=np.broadcast_to(direction, len(which)),
        client_port=frames.client_port[which],
        server_port=frames.server_port[which],
    )
    return (int(group), int(planned), int(direction)), of_flow
