"""Pods' interfaces that the plan could not name: the bridge port that packets tell, or none, where no way leads to the pod."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kubectl_vxtrace.model.packets import Kind, PacketTable, address_text
from kubectl_vxtrace.model.path import Direction, Endpoint, Hop, Path, Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Recording
from kubectl_vxtrace.topology.kernel import describe, leads_to_pod, lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unknown:
    """A pod whose interface the plan could not name."""

    node: str
    address: str
    pod: str | None

    @property
    def tap(self) -> Tap:
        """The tap that stands for its interface in the plan."""
        return Tap(node=self.node, interface="")


def settle_ports(recording: Recording, tables: Mapping[Tap, PacketTable]) -> Recording:
    """`recording` with pods' interfaces named by the packets, where the ports were watched that they could be.

    The port is the only one that saw packets from the pod. Packets to it say nothing: a bridge that has not learned a MAC address
    floods. Where no port saw any of either and all could testify, the pod's hop is a witness of zero without a name. So it is where the
    node's kernel leads the pod's address to no interface of a pod, before and after: nothing came to a pod that no way leads to. Otherwise
    all stays as it was.
    """
    for unknown in dict.fromkeys(found for path in recording.paths for found in _unknown(recording, path)):
        ports = _watched(recording, unknown.node)
        tap = _seen_at(unknown.address, ports, tables) if ports else None
        if tap is not None:
            recording = _named(recording, unknown, tap)
        elif ports and _all_silent(recording, unknown, ports, tables):
            reason = f"none of the {len(ports)} ports that may be the pod's saw a packet of {unknown.address}"
            recording = _zero(recording, unknown, reason)
        elif not ports and (no_way := _no_way(recording, unknown)) is not None:
            recording = _zero(recording, unknown, no_way)
    return recording


def _ends(recording: Recording, path: Path) -> tuple[Endpoint | None, Endpoint | None]:
    """The sender and the receiver of a path."""
    flow = next(flow for flow in recording.flows if flow.id == path.flow)
    ends = (flow.client, flow.server)
    return ends if path.direction is Direction.REQUEST else ends[::-1]


def _owner(recording: Recording, path: Path, index: int) -> Endpoint | None:
    """Whose interface the pod hop `index` of a path is."""
    sender, receiver = _ends(recording, path)
    return sender if index == 0 else receiver if index == len(path.hops) - 1 else None


def _unknown(recording: Recording, path: Path) -> Sequence[_Unknown]:
    found = []
    for index, hop in enumerate(path.hops):
        owner = _owner(recording, path, index)
        if hop.role is Role.POD and hop.tap == Tap(node=hop.tap.node, interface="") and owner is not None:
            found.append(_Unknown(node=hop.tap.node, address=owner.address, pod=owner.pod))
    return found


def _watched(recording: Recording, node: str) -> tuple[CaptureResult, ...]:
    """The captures at ports of the node that stand in no path."""
    expected = {hop.tap for path in recording.paths for hop in path.hops}
    every = (capture for capture in recording.captures if capture.task.tap.node == node and capture.task.role is Role.POD)
    return tuple(capture for capture in every if capture.task.tap.interface and capture.task.tap not in expected)


def _seen_at(address: str, ports: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable]) -> Tap | None:
    taps = [capture.task.tap for capture in ports if capture.task.tap in tables]
    telling = [tap for tap in taps if _packets(tables[tap], address)[0]]
    return telling[0] if len(telling) == 1 else None


def _packets(table: PacketTable, address: str) -> tuple[bool, bool]:
    """Whether there are IP packets from, and to, an address."""
    talks = np.unique(table.conversation[(table.kind == Kind.IP) & (table.conversation >= 0)])
    sources, destinations = (
        {address_text(row) for row in ends[talks]} for ends in (table.conversations.source, table.conversations.destination)
    )
    return address in sources, address in destinations


def _all_silent(recording: Recording, unknown: _Unknown, ports: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable]) -> bool:
    """Whether every port can testify that no packet of the pod passed it."""
    names = {capture.task.tap.interface for capture in ports}
    looks = [facts for facts in (*recording.before, *recording.after) if facts.node == unknown.node]
    if any(link.xdp or link.bpf for facts in looks for link in facts.links if link.name in names):
        return False
    return all(capture.status is CaptureStatus.ZERO or _silent_port(capture, tables, unknown.address) for capture in ports)


def _silent_port(capture: CaptureResult, tables: Mapping[Tap, PacketTable], address: str) -> bool:
    table = tables.get(capture.task.tap)
    whole = capture.status is CaptureStatus.COMPLETE and not capture.dropped_by_kernel
    return whole and table is not None and not any(_packets(table, address))


def _named(recording: Recording, unknown: _Unknown, tap: Tap) -> Recording:
    return _without_gap(_replaced(recording, unknown, tap), unknown)


def _no_way(recording: Recording, unknown: _Unknown) -> str | None:
    """Why nothing can come to the pod by this node's routing; None where a look was not asked, or leads to what may be the pod's."""
    looks = [facts for facts in (*recording.before, *recording.after) if facts.node == unknown.node and facts.links]
    if any(facts.is_steered for facts in looks):
        return None  # no table says where its programs lead
    nodes = recording.snapshot.nodes if recording.snapshot is not None else ()
    own = [address for node in nodes if node.name == unknown.node for address in node.addresses]
    own += [each.underlay_address for each in recording.overlay.vteps if each.node == unknown.node and each.underlay_address is not None]
    answers = [lookup(facts, unknown.address) for facts in looks]
    if not answers or any(answer is None or leads_to_pod(facts, answer, own) for facts, answer in zip(looks, answers, strict=True)):
        return None
    return f"no route of {unknown.node} leads to {unknown.pod or unknown.address}: {describe(answers[-1])}"


def _zero(recording: Recording, unknown: _Unknown, reason: str) -> Recording:
    """`recording` with the pod's hop as a witness of zero."""
    tap = replace(unknown.tap, place=unknown.address)
    planned = next((capture for capture in recording.captures if capture.task.tap == unknown.tap), None)
    if planned is None:
        return recording
    zero = replace(planned, task=replace(planned.task, tap=tap), status=CaptureStatus.ZERO, reason=reason)
    with_zero = replace(recording, captures=(*recording.captures, zero))
    return _without_gap(_replaced(with_zero, unknown, tap), unknown)


def _replaced(recording: Recording, unknown: _Unknown, tap: Tap) -> Recording:
    """The pod's hop at `tap` in all paths; the capture that could not be made is left out once no path needs it."""

    def hop_of(path: Path, index: int, hop: Hop) -> Hop:
        owner = _owner(recording, path, index)
        mine = hop.role is Role.POD and hop.tap == unknown.tap and owner is not None and owner.address == unknown.address
        return replace(hop, tap=tap) if mine else hop

    paths = tuple(replace(path, hops=tuple(hop_of(path, index, hop) for index, hop in enumerate(path.hops))) for path in recording.paths)
    needed = any(hop.tap == unknown.tap for path in paths for hop in path.hops)
    captures = tuple(capture for capture in recording.captures if needed or capture.task.tap != unknown.tap)
    return replace(recording, paths=paths, captures=captures)


def _without_gap(recording: Recording, unknown: _Unknown) -> Recording:
    who = f"the interface of {unknown.pod or unknown.address} is not known"
    gaps = (gap for gap in recording.gaps if not (gap.node == unknown.node and gap.interface == "" and gap.reason.startswith(who)))
    return replace(recording, gaps=tuple(gaps))
