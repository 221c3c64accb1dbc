"""Frames of a tap that belong to the trace: whose they are, in which direction, from which client port."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.addresses import AddressBook
from kubectl_vxtrace.journeys.columns import look_up, nearest, pack
from kubectl_vxtrace.journeys.identity import NOBODY, PORTS, SEVERAL, Group, Names, Roles
from kubectl_vxtrace.model.packets import I32, U8, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import IpProtocol

REQUEST, REPLY = 0, 1
_NEITHER = 2
MORE_FRAGMENTS, OFFSET = 0x2000, 0x1FFF
# RFC 792 and RFC 4443: echo request and echo reply, as `type << 8 | code`
ECHO_FLAGS = {(IpProtocol.ICMP, REQUEST): 8 << 8, (IpProtocol.ICMP, REPLY): 0, (IpProtocol.ICMPV6, REQUEST): 128 << 8}
ECHO_FLAGS[IpProtocol.ICMPV6, REPLY] = 129 << 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sightings:
    """Frames of one tap that belong to a group, n rows in file order.

    row: in the PacketTable. planned: index of the planned flow, NOBODY where the frame alone does not name its backend.
    direction: REQUEST or REPLY. server_port: as seen at this tap.
    """

    row: I32
    group: I32
    planned: I32
    direction: U8
    client_port: I32
    server_port: I32

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[np.generic]) -> "Sightings":
        """Some of the rows: indices or a mask."""
        return Sightings(
            row=self.row[which],
            group=self.group[which],
            planned=self.planned[which],
            direction=self.direction[which],
            client_port=self.client_port[which],
            server_port=self.server_port[which],
        )


def sight(table: PacketTable, both: tuple[Roles, Roles]) -> Sightings:
    """The frames of a table whose conversation belongs to a group. Later IP fragments name no ports and are not among them.

    Of echo messages the type says which way they go, of all else the conversation.
    """
    talks = len(table.conversations)
    way = np.where(both[REQUEST].group != NOBODY, REQUEST, np.where(both[REPLY].group != NOBODY, REPLY, _NEITHER)).astype(np.uint8)
    protocol = table.conversations.protocol
    echo = (way != _NEITHER) & ((protocol == IpProtocol.ICMP) | (protocol == IpProtocol.ICMPV6))
    # numbers of conversations that are -1 take the last place
    direction = np.append(way, np.uint8(_NEITHER))[table.conversation]
    direction[(table.kind != Kind.IP) | (table.fragment & OFFSET != 0)] = _NEITHER
    if echo.any():
        rows = np.flatnonzero(np.append(echo, False)[table.conversation] & (direction != _NEITHER))
        direction[rows] = _echo_ways(table, rows, both)
    row = np.flatnonzero(direction != _NEITHER).astype(np.int32)
    direction = direction[row]
    place = table.conversation[row] + direction.astype(np.int32) * np.int32(talks)
    columns = {name: np.concatenate([getattr(one, name) for one in both])[place] for name in Roles.__slots__}
    return Sightings(row=row, direction=direction, **columns)


def _echo_ways(table: PacketTable, rows: NDArray[np.intp], both: tuple[Roles, Roles]) -> U8:
    talk, flags = table.conversation[rows], table.flags[rows]
    protocol = table.conversations.protocol[talk]
    found = np.full(len(rows), _NEITHER, dtype=np.uint8)
    for (kind, way), wanted in ECHO_FLAGS.items():
        found[(found == _NEITHER) & (both[way].group[talk] != NOBODY) & (protocol == kind) & (flags == wanted)] = way
    return found


def later_fragments(tables: Mapping[Tap, PacketTable], book: AddressBook, firsts: Mapping[Tap, Sightings]) -> dict[Tap, Sightings]:
    """Later IP fragments, joined to the first fragment of their train by protocol, addresses and IP ID, at whatever tap it was seen.

    Where several trains share those (sockets that number for themselves), to the one at the same tap that is nearest in time.
    """
    heads = {tap: one.take(tables[tap].fragment[one.row] & MORE_FRAGMENTS != 0) for tap, one in firsts.items()}
    known = [(tap, one) for tap, one in heads.items() if len(one)]
    if not known:
        return {}
    keys = np.concatenate([_train_keys(tables[tap], book, one.row) for tap, one in known])
    names = {name: np.concatenate([getattr(one, name) for _, one in known]) for name in Sightings.__slots__ if name != "row"}
    numbers = {tap: number for number, (tap, _) in enumerate(known)}
    taps = np.concatenate([np.full(len(one), numbers[tap]) for tap, one in known])
    times_ns = np.concatenate([tables[tap].time_ns[one.row] for tap, one in known])
    found: dict[Tap, Sightings] = {}
    for tap, table in tables.items():
        rows = np.flatnonzero((table.kind == Kind.IP) & (table.conversation >= 0) & (table.fragment & OFFSET != 0)).astype(np.int32)
        wanted = _train_keys(table, book, rows)
        place = look_up(keys, wanted)
        if tap in numbers:
            mine = np.flatnonzero(taps == numbers[tap])
            here = nearest(keys[mine], times_ns[mine], wanted, table.time_ns[rows])
            place = np.where(here >= 0, mine[here], place)
        hit = place >= 0
        if hit.any():
            found[tap] = Sightings(row=rows[hit], **{name: column[place[hit]] for name, column in names.items()})
    return found


def _train_keys(table: PacketTable, book: AddressBook, rows: I32) -> NDArray[np.uint64]:
    talk = table.conversation[rows]
    low = (table.conversations.protocol[talk].astype(np.uint64) << np.uint64(16)) | table.ip_id[rows].astype(np.uint64)
    return pack(book.numbers(table.conversations.source)[talk], book.numbers(table.conversations.destination)[talk], low)


def backends_seen(groups: Sequence[Group], seen: Mapping[Tap, Sightings], names: Names) -> I32:
    """Per group and client port the one backend that frames (or else conntrack) name: shape (groups, 65536); NOBODY, SEVERAL."""
    most = np.iinfo(np.int32).max
    low, high = np.full(len(groups) * PORTS, most, dtype=np.int32), np.full(len(groups) * PORTS, NOBODY, dtype=np.int32)
    for one in seen.values():
        named = np.flatnonzero(one.planned != NOBODY)
        place = one.group[named] * PORTS + one.client_port[named]
        np.minimum.at(low, place, one.planned[named])
        np.maximum.at(high, place, one.planned[named])
    backends = np.where(high == NOBODY, NOBODY, np.where(low == high, low, SEVERAL)).reshape(len(groups), PORTS)
    return np.where(backends == NOBODY, names.backends, backends).astype(np.int32)


def divided(one: Sightings) -> dict[tuple[int, int, int], Sightings]:
    """A tap's sightings by group, planned flow and direction, each in file order."""
    planned = int(one.planned.max(initial=NOBODY)) + 2
    code = ((one.group * planned) + one.planned + 1) * 2 + one.direction
    if int(code.max(initial=0)) < PORTS:
        code = code.astype(np.uint16)  # numpy sorts these by counting
    order = np.argsort(code, kind="stable")
    code = code[order]
    cuts = [0, *(np.flatnonzero(code[1:] != code[:-1]) + 1).tolist(), len(code)]
    return dict(_share(one, order[start:end]) for start, end in pairwise(cuts) if start < end)


def _share(one: Sightings, which: NDArray[np.intp]) -> tuple[tuple[int, int, int], Sightings]:
    """Rows of one group, planned flow and direction, which are kept once for all of them."""
    same = {name: getattr(one, name)[which[0]] for name in ("group", "planned", "direction")}
    columns = {name: np.broadcast_to(value, len(which)) for name, value in same.items()}
    part = Sightings(row=one.row[which], client_port=one.client_port[which], server_port=one.server_port[which], **columns)
    return (int(same["group"]), int(same["planned"]), int(same["direction"])), part


def joined(first: Sightings, second: Sightings | None) -> Sightings:
    """Two sets of sightings of one tap in file order."""
    if second is None or not len(second):
        return first
    whole = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in Sightings.__slots__}
    order = np.argsort(whole["row"], kind="stable")
    return Sightings(**{name: column[order] for name, column in whole.items()})
