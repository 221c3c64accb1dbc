"""Client ports that asked in several forms, a Service and a backend of it for example: what each frame of them began as.

Behind the client's interface such frames look alike, but for the port where the node took another for one of them. They are told apart
packet by packet (`same_packet.ORIGIN_KEY`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.clients import BothEnds, Client, client_ends, clients_of, of_client, with_new_port
from kubectl_vxtrace.journeys.attribute.conversations import Membership, at_backend
from kubectl_vxtrace.journeys.attribute.groups import FlowGroup
from kubectl_vxtrace.journeys.columns import nearest
from kubectl_vxtrace.journeys.records import NO_FLOW, PORTS, REPLY, REQUEST, FlowFrames
from kubectl_vxtrace.journeys.same_packet import ORIGIN_KEY, Field, key_columns, number_packets
from kubectl_vxtrace.model.packets import I32, I64, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET

Ends = Mapping[Tap, BothEnds]
Memberships = Mapping[Tap, tuple[Membership, Membership]]

_UNTOLD = -1
"""In place of the group that a frame began in: nothing tells."""
_NEITHER = 2
"""In place of a direction."""


def with_origins(
    tables: Mapping[Tap, PacketTable],
    ends: Ends,
    memberships: Memberships,
    groups: Sequence[FlowGroup],
    frames_of: Mapping[Tap, FlowFrames],
    moved: NDArray[np.bool_],
) -> tuple[dict[Tap, FlowFrames], frozenset[int]]:
    """The frames, those of client ports that asked in several forms each with the group that it began in; and groups that remain undecided.

    Frames of what was asked for by nobody (of a Service that is not traced) are left out, and so is what nothing tells.

    Args:
        moved: for each group the client ports of which it is known that they went on as others.
    """
    kept = dict(frames_of)
    undecided: set[int] = set()
    for client in clients_of(groups):
        several = _several_forms(client, ends, memberships)
        rewritten = {
            tap: with_new_port(tables[tap], ends[tap], memberships[tap], frames, client)[0]
            for tap, frames in kept.items()
            if tap not in client.own_taps
        }
        reused = several.copy()
        for frames in rewritten.values():
            reused[frames.client_port] = True
        if not reused.any():
            continue
        own = sorted(client.own_taps & tables.keys())
        known = [(tap, _at_client(tables[tap], ends[tap], memberships[tap], client, reused, len(groups))) for tap in own]
        known += [(tap, frames) for tap, frames in rewritten.items() if len(frames)]
        split = _Split(client, tables, ends, groups, moved, several & ~moved[list(client.groups)].any(axis=0))
        undecided |= split.regroup(known, kept, reused)
    return kept, frozenset(undecided)


def _several_forms(client: Client, ends: Ends, memberships: Memberships) -> NDArray[np.bool_]:
    """The client's ports that its own interface saw used for several things."""
    forms = np.zeros((len(client.groups) + 1, PORTS), dtype=np.bool_)
    for tap in client.own_taps & ends.keys():
        for direction in (REQUEST, REPLY):
            mine = of_client(client, ends[tap][direction])
            group = memberships[tap][direction].group
            for index, number in enumerate((*client.groups, NO_FLOW)):
                forms[index, ends[tap][direction].client_port[mine & (group == number)]] = True
    return np.asarray(forms.sum(axis=0) > 1)


def _at_client(
    table: PacketTable, ends: BothEnds, memberships: tuple[Membership, Membership], client: Client, ports: NDArray[np.bool_], nobodys: int
) -> FlowFrames:
    """Everything of some of the client's ports at its own interface; `group` is `nobodys` for what is not traced."""
    mine = [of_client(client, of_direction) & ports[of_direction.client_port] for of_direction in ends]
    of_conversation = np.append(np.where(mine[REQUEST], REQUEST, np.where(mine[REPLY], REPLY, _NEITHER)), _NEITHER).astype(np.uint8)
    direction = of_conversation[table.conversation]
    direction[(table.kind != Kind.IP) | (table.fragment & FRAGMENT_OFFSET != 0)] = _NEITHER
    row = np.flatnonzero(direction != _NEITHER).astype(np.int32)
    direction, conversation = direction[row], table.conversation[row]
    columns = {
        name: np.where(direction == REQUEST, *(getattr(membership, name)[conversation] for membership in memberships))
        for name in Membership.__slots__
    }
    columns["group"] = np.where(columns["group"] == NO_FLOW, nobodys, columns["group"]).astype(np.int32)
    return FlowFrames(row=row, direction=direction, **columns)


class _Split:
    """Tells what the frames of one client began as."""

    def __init__(
        self, client: Client, tables: Mapping[Tap, PacketTable], ends: Ends, groups: Sequence[FlowGroup], moved: NDArray[np.bool_],
        several: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """`several`: the ports that the client used for several things, none of which is known to have left them."""
        self._client, self._tables, self._ends, self._groups, self._moved, self._several = client, tables, ends, groups, moved, several

    def regroup(self, known: Sequence[tuple[Tap, FlowFrames]], frames_of: dict[Tap, FlowFrames], ports: NDArray[np.bool_]) -> set[int]:
        """Regroups what is of these ports in `frames_of`, by frames of which it is known; returns groups of which some is not told."""
        which = {tap: self._behind(tap, frames, ports) for tap, frames in frames_of.items() if tap not in self._client.own_taps}
        behind = [(tap, frames_of[tap].take(rows)) for tap, rows in which.items() if len(rows)]
        if not behind or not known:
            return set()
        untold: list[I32] = []
        for (tap, frames), origin in zip(behind, self._origins(known, behind), strict=True):
            planned = np.where(origin == _UNTOLD, frames.planned, self._planned(tap, frames, origin))
            is_untold = (origin == _UNTOLD) & self._several[frames.client_port]
            untold.append(frames.client_port[is_untold])
            planned[is_untold | ((origin == _UNTOLD) & self._moved[frames.group, frames.client_port])] = NO_FLOW
            every, rows = frames_of[tap], which[tap]
            group, of_flow, stays = every.group.copy(), every.planned.copy(), np.ones(len(every), dtype=np.bool_)
            group[rows], of_flow[rows], stays[rows] = np.where(origin == _UNTOLD, frames.group, origin), planned, planned != NO_FLOW
            frames_of[tap] = replace(every, group=group, planned=of_flow).take(stays)
        ports_untold = np.concatenate(untold)
        groups = [np.unique(frames.group[np.isin(frames.client_port, ports_untold)]) for _, frames in known]
        return set(np.concatenate(groups).tolist()) - {len(self._groups)}

    def _behind(self, tap: Tap, frames: FlowFrames, ports: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The frames in server form with the client's own address and one of the ports, to which several forms may lead."""
        which = np.flatnonzero(np.isin(frames.group, self._client.groups) & (frames.planned != NO_FLOW) & ports[frames.client_port])
        address, port = client_ends(self._tables[tap], self._ends[tap], frames.take(which))
        kept: NDArray[np.intp] = which[np.isin(address, self._client.addresses) & (port == frames.client_port[which])]
        return kept

    def _origins(self, known: Sequence[tuple[Tap, FlowFrames]], behind: Sequence[tuple[Tap, FlowFrames]]) -> list[I32]:
        """For each frame the group that it began in, or _UNTOLD.

        First the packets themselves tell, on the client's node also equal ones by their time: first requests, all of which the client's
        interface saw; then replies. A tuple of addresses and ports is one connection for as long as the kernel knows it: last the nearest
        packet of it tells, at whichever tap that is, then on each node.
        """
        every = [*known, *behind]
        keys = [
            key_columns(
                ORIGIN_KEY, self._tables[tap], frames.row, {Field.CLIENT_PORT: frames.client_port, Field.DIRECTION: frames.direction}
            )
            for tap, frames in every
        ]
        packet = number_packets(keys).astype(np.int64)
        count = sum(len(frames) for _, frames in known)
        origin = np.concatenate([frames.group for _, frames in every])
        origin[count:] = _UNTOLD
        times_ns = np.concatenate([self._tables[tap].time_ns[frames.row] for tap, frames in every])
        nodes = {tap.node for tap in self._client.own_taps}
        near = np.concatenate([np.full(len(frames), tap.node in nodes) for tap, frames in every])
        direction = np.concatenate([frames.direction for _, frames in every])
        port = np.concatenate([frames.client_port for _, frames in every])
        connection = np.concatenate([frames.planned for _, frames in every]).astype(np.int64) * PORTS + port
        nodes_of = [sorted({tap.node for tap, _ in every}).index(tap.node) for tap, _ in every]
        on_node = connection * len(every) + np.repeat(nodes_of, [len(frames) for _, frames in every])
        at_tap = connection * len(every) + np.repeat(np.arange(len(every)), [len(frames) for _, frames in every])
        is_behind = np.arange(len(packet)) >= count
        in_tuple = np.flatnonzero(is_behind & self._several[port])
        for number in (REQUEST, REPLY):
            of_direction = np.flatnonzero(direction == number)
            _spread(packet, origin, of_direction)
            near_by = of_direction[near[of_direction]]
            _take_nearest(packet, times_ns, origin, near_by[near_by < count], near_by[near_by >= count])
        for codes in (at_tap, on_node):
            _take_most_near(packet, codes, times_ns, origin, in_tuple)
        cuts = np.cumsum([len(frames) for _, frames in behind])[:-1]
        return [part.astype(np.int32) for part in np.split(origin[count:], cuts)]

    def _planned(self, tap: Tap, frames: FlowFrames, origin: I32) -> I32:
        """The planned flow of each frame in the group that it began in, NO_FLOW where that has no such backend."""
        planned = np.full(len(frames), NO_FLOW, dtype=np.int32)
        conversation = self._tables[tap].conversation[frames.row]
        for direction, number in product((REQUEST, REPLY), np.unique(origin).tolist()):
            mine = np.flatnonzero((frames.direction == direction) & (origin == number))
            group = self._groups[number] if 0 <= number < len(self._groups) else None
            for backend in group.translated if group is not None else ():
                fits = (planned[mine] == NO_FLOW) & at_backend(backend, self._ends[tap][direction])[conversation[mine]]
                planned[mine[fits]] = backend.planned
        return planned


def _take_nearest(codes: I64, times_ns: I64, origin: I32, told: NDArray[np.intp], untold: NDArray[np.intp]) -> None:
    """Gives what is untold among `untold` the origin of the equal code among `told` that is nearest in time."""
    told, untold = told[origin[told] != _UNTOLD], untold[origin[untold] == _UNTOLD]
    index = nearest(codes[told], times_ns[told], codes[untold], times_ns[untold])
    origin[untold[index >= 0]] = origin[told[index[index >= 0]]]


def _take_most_near(packet: I64, codes: I64, times_ns: I64, origin: I32, which: NDArray[np.intp]) -> None:
    """Gives equal packets that are untold the origin of what passed most shortly before or after any of them, among equal codes."""
    told, untold = which[origin[which] != _UNTOLD], which[origin[which] == _UNTOLD]
    index = nearest(codes[told], times_ns[told], codes[untold], times_ns[untold])
    untold, index = untold[index >= 0], told[index[index >= 0]]
    order = np.lexsort((np.abs(times_ns[untold] - times_ns[index]), packet[untold]))
    _, first, same = np.unique(packet[untold][order], return_index=True, return_inverse=True)
    origin[untold[order]] = origin[index[order]][first][same]


def _spread(codes: I64, origin: I32, which: NDArray[np.intp]) -> None:
    """Gives what is untold among `which` the origin of all of these that have an equal code, if that is one."""
    _, code = np.unique(codes[which], return_inverse=True)
    size = int(code.max(initial=-1)) + 1
    low, high = np.full(size, np.iinfo(np.int32).max, dtype=np.int32), np.full(size, _UNTOLD, dtype=np.int32)
    told = np.flatnonzero(origin[which] != _UNTOLD)
    np.minimum.at(low, code[told], origin[which[told]])
    np.maximum.at(high, code[told], origin[which[told]])
    fills = (origin[which] == _UNTOLD) & (low == high)[code]
    origin[which[fills]] = high[code[fills]]
