"""Packets that a client's pod sent with an address that is not its own: flows beside the planned ones, on the hops that can see such."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import numpy as np

from kubectl_vxtrace.journeys.attribute.addresses import UNKNOWN, AddressBook
from kubectl_vxtrace.journeys.attribute.groups import PROTOCOLS
from kubectl_vxtrace.journeys.judgement import MOST_FOREIGN_SOURCES
from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Flow, Hop, Path, Role, Tap
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """A client's first two hops, its planned flows that begin there, and the networks from which the second hop sees nothing else."""

    first: Hop
    second: Hop
    flows: tuple[Flow, ...]
    unseen: tuple[str, ...]


def with_foreign_sources(recording: Recording, tables: Mapping[Tap, PacketTable]) -> Recording:
    """`recording` with a flow for each address, other than the pod's own, that a client's pod sent to what was asked for.

    Only where the hop behind the pod's interface would have seen such packets (`CaptureTask.sources_but`): their paths end there, and
    have no way back, for nothing tells where that would lead. The user's own filter picks among the client's packets: with one there
    are none.
    """
    if recording.snapshot is None or recording.request is None or recording.request.filter is not None:
        return recording
    number = max((flow.id for flow in recording.flows), default=0) + 1
    flows: list[Flow] = []
    paths: list[Path] = []
    for sender in _senders(recording):
        for source in _sources(recording, sender, tables.get(sender.first.tap)):
            for flow in sender.flows:
                flows.append(replace(flow, id=number, client=replace(flow.client, address=source), foreign=True))
                paths.append(Path(flow=number, direction=Direction.REQUEST, hops=(sender.first, sender.second)))
                number += 1
    if not flows:
        return recording
    return replace(recording, flows=(*recording.flows, *flows), paths=(*recording.paths, *paths))


def _senders(recording: Recording) -> Iterator[_Sender]:
    unseen = {capture.task.tap: capture.task.sources_but for capture in recording.captures if capture.task.sources_but is not None}
    by_id = {flow.id: flow for flow in recording.flows}
    paths_of: dict[tuple[Tap, Tap, str], list[Path]] = {}
    for path in recording.paths:
        flow = by_id.get(path.flow)
        if flow is None or flow.client.host_network or path.direction is not Direction.REQUEST or len(path.hops) < 2:
            continue
        if path.hops[0].role is Role.POD and path.hops[1].tap in unseen:
            paths_of.setdefault((path.hops[0].tap, path.hops[1].tap, flow.client.address), []).append(path)
    for (_, second, _), paths in paths_of.items():
        flows = tuple(by_id[path.flow] for path in paths)
        yield _Sender(first=paths[0].hops[0], second=paths[0].hops[1], flows=flows, unseen=unseen[second])


def _sources(recording: Recording, sender: _Sender, table: PacketTable | None) -> tuple[str, ...]:
    """The addresses that stand in place of the client's in packets to what it asks, the most frequent first."""
    if table is None or not len(table.conversations):
        return ()
    asked = AddressBook(_asked(sender.flows))
    listed = AddressBook((*_listed(recording), *_own(recording, sender)))
    conversations = table.conversations
    protocols = [number for flow in sender.flows for number in PROTOCOLS.get(flow.protocol, ())]
    is_foreign = (asked.numbers(conversations.destination) != UNKNOWN) & (listed.numbers(conversations.source) == UNKNOWN)
    is_foreign &= np.isin(conversations.protocol, protocols)
    if not is_foreign.any():
        return ()
    rows = np.flatnonzero((table.kind == Kind.IP) & np.append(is_foreign, False)[table.conversation])
    raws, counts = np.unique(conversations.source[table.conversation[rows]], axis=0, return_counts=True)
    texts = (address_text(raws[index]) for index in np.argsort(-counts, kind="stable"))
    return tuple(text for text in texts if _may_be_sent(text, sender.unseen))[:MOST_FOREIGN_SOURCES]


def _asked(flows: Sequence[Flow]) -> Iterator[str]:
    for flow in flows:
        if flow.service is not None and flow.service.address is not None:
            yield flow.service.address
        yield from (end.address for end in (flow.server, *flow.candidates) if end is not None)


def _own(recording: Recording, sender: _Sender) -> Iterator[str]:
    """The pod's addresses, of both families."""
    pods = recording.snapshot.pods if recording.snapshot is not None else ()
    names = {flow.client.pod for flow in sender.flows}
    yield from (address for pod in pods if pod.full_name in names for address in pod.addresses)


def _listed(recording: Recording) -> Iterator[str]:
    """The addresses of all planned ends and of the nodes."""
    for flow in recording.flows:
        yield flow.client.address
        yield from _asked((flow,))
    for vtep in recording.overlay.vteps:
        yield from (text for text in (vtep.address, vtep.underlay_address) if text is not None)
    for node in recording.snapshot.nodes if recording.snapshot is not None else ():
        yield from node.addresses


def _may_be_sent(text: str, unseen: Sequence[str]) -> bool:
    """Whether packets from an address are forwarded as others are, and would be seen behind the pod's interface.

    Unspecified, link-local, multicast and loopback addresses leave no link (RFC 6890, 2.2.2 and 2.2.3).
    """
    address = ip_address(text)
    if address.is_unspecified or address.is_link_local or address.is_multicast or address.is_loopback:
        return False
    try:
        return not any(address in ip_network(network, strict=False) for network in unseen)
    except ValueError:  # a bundle may say anything: then nothing is known of what that hop sees
        return False
