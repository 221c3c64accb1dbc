"""The interfaces that files were captured on, parts of one capture put together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kubectl_vxtrace.model.packets import InterfaceTable, Kind, PacketTable
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import LooseFile
from kubectl_vxtrace.packets.join import join
from kubectl_vxtrace.packets.links import LinkType
from kubectl_vxtrace.packets.taps import only
from kubectl_vxtrace.topology.looks import ENCAPSULATED, is_doubled, is_mixed, layers_of
from kubectl_vxtrace.topology.naming import NameHint, hint_of
from kubectl_vxtrace.topology.pieces import captures_of, piece_of
from kubectl_vxtrace.topology.placing import ROLE_WORDS, Handed, Placed

_EVERYWHERE: Final = (LinkType.LINUX_SLL, LinkType.LINUX_SLL2)
"""Of `tcpdump -i any`, which cooks the frames of all interfaces alike (tcpdump.org/linktypes)."""

_WATCHED: Final = (Role.POD, Role.VXLAN, Role.UNDERLAY)
"""What every node of a VXLAN overlay has."""

Read = tuple[LooseFile, tuple[InterfaceTable, ...]]
"""A file and the tables of its interfaces."""

Key = tuple[str | None, int | None, int]
"""An interface of a file: its name, the kernel's index, and which of several alike it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One interface of one capture, its files in order of time.

    holed: packets are missing in the middle of it. layered: the files do not say which of their packets were recorded on it.
    """

    files: tuple[LooseFile, ...]
    handed: Handed
    holed: bool = False
    layered: bool = False

    @property
    def table(self) -> PacketTable:
        """What it saw."""
        return self.handed.table


def captures_in(read: Sequence[Read]) -> list[Capture]:
    """The interfaces of all files; files that are parts of one capture make one."""
    pieces = [piece_of(hint_of(file.name), [each.table for each in tables]) for file, tables in read]
    return [capture for numbers in captures_of(pieces) for capture in _interfaces([read[number] for number in numbers])]


def _interfaces(parts: Sequence[Read]) -> Iterator[Capture]:
    """The interfaces of one capture. Of several in one file those count that have packets or a name."""
    files = tuple(file for file, _ in parts)
    given = next((file for file in files if file.node is not None), files[0])
    frames = [max((int(each.table.frame.max(initial=0)) for each in tables), default=0) for _, tables in parts]
    keyed = [_by_key(tables) for _, tables in parts]
    keys = list(dict.fromkeys(key for tables in keyed for key in tables))
    alone = len(keys) == 1
    for number, key in enumerate(keys):
        there = [tables[key] if key in tables else _nothing_of(key, keyed, tables) for tables in keyed]
        table = join(there, frames)
        device, index, _ = key
        if alone or device or len(table):
            handed = Handed(
                name=files[0].name if alone and not device else f"{files[0].name}{_suffix(key, number)}",
                hint=_hint(files[0].name, key, alone=alone),
                table=table,
                # As iproute2 shows an interface of which it knows only the index.
                interface=f"if{index}" if index is not None else device if device and "/" not in device else "",
                node=given.node,
                role=given.role if alone else None,
                fabric=given.fabric,
                everywhere=table.interfaces[0].link_type in _EVERYWHERE,
            )
            capture = Capture(files=files, handed=handed, holed=any(part.stopped_at is not None for part in there[:-1]))
            several = table.interfaces[0].link_type == LinkType.LINUX_SLL or (alone and is_mixed(table))
            yield from _layers(capture) if several and given.role is None else (capture,)


def _by_key(tables: Sequence[InterfaceTable]) -> dict[Key, PacketTable]:
    found: dict[Key, PacketTable] = {}
    for each in tables:
        alike = sum((each.name, each.index) == key[:2] for key in found)
        found[each.name, each.index, alike] = each.table
    return found


def _nothing_of(key: Key, keyed: Sequence[dict[Key, PacketTable]], tables: dict[Key, PacketTable]) -> PacketTable:
    """The table of an interface of which one part of the capture has no frame: so `tcpdump -i any` names those alone that it saw."""
    empty = only(next(of_part[key] for of_part in keyed if key in of_part), np.zeros(0, np.int64))
    return replace(empty, stopped_at=next((table.stopped_at for table in tables.values()), None), parts=())


def _suffix(key: Key, number: int) -> str:
    """What tells an interface apart from the others of its file."""
    device, index, _ = key
    if device:
        return f"/{device}"
    return f", interface {number}" if index is None else f", interface index {index}"


def _hint(name: str, key: Key, *, alone: bool) -> NameHint:
    """What names say: the file's if it has a role, else its interface's in it.

    The name of a file of several interfaces says no role, and no node if these are nameless: it was merged of others.
    """
    device, index, _ = key
    hint = hint_of(name)
    if device and not (alone and hint.role is not None):
        return hint_of(f"{name}/{device}")
    return hint if alone else replace(hint, node=hint.node if index is not None else None, role=None, interface="", certain=False)


def _layers(capture: Capture) -> Iterator[Capture]:
    """A capture of several interfaces that does not say which a frame was on: what must have been different ones, by the packets.

    What is there twice is of both nodes: encapsulated packets passed somewhere between them, and of others nothing is known.
    """
    layers = layers_of(capture.table)
    for name, rows in layers.items():
        table = replace(only(capture.table, rows), stopped_at=capture.table.stopped_at)
        doubled = not capture.handed.everywhere and is_doubled(table)
        if not doubled or name == ENCAPSULATED:
            handed = replace(capture.handed, name=f"{capture.handed.name}, {name}", table=table, fabric=doubled or capture.handed.fabric)
            yield replace(capture, handed=handed, layered=True)
    if not layers:
        yield capture


def without_copies(captures: Sequence[Capture]) -> tuple[list[Capture], list[str]]:
    """The captures without those that are copies of others, and what is said of these.

    Packets at the very same times in two files are one capture, unless both names say where they were made and contradict each other.
    """
    kept: list[Capture] = []
    notes: list[str] = []
    for capture in captures:
        original = next((other for other in kept if _is_copy(capture, other)), None)
        if original is None:
            kept.append(capture)
        else:
            notes.append(f"{capture.handed.name} was passed over: it is a copy of {original.handed.name}")
    return kept, notes


def _is_copy(capture: Capture, other: Capture) -> bool:
    one, two = capture.handed, other.handed
    told = [each.node is not None or each.hint.certain for each in (one, two)]
    if all(told) and (one.node or one.hint.node, one.role or one.hint.role) != (two.node or two.hint.node, two.role or two.hint.role):
        return False
    columns = ((getattr(one.table, name), getattr(two.table, name)) for name in ("time_ns", "captured_bytes", "ip_id", "ttl"))
    return len(one.table) > 0 and all(np.array_equal(*pair) for pair in columns)


def with_silent_interfaces(captures: Sequence[Capture], placed: Placed) -> tuple[list[Capture], Placed]:
    """A capture of all interfaces watched also those that no packet passed: of each role that it lacks it is a capture without packets,
    unless its filter, which the files do not say, may have left these out.
    """
    taps, roles = dict(placed.taps), dict(placed.roles)
    found = list(captures)
    for files in dict.fromkeys(capture.files for capture in captures if capture.handed.everywhere and not capture.handed.fabric):
        numbers = [number for number, capture in enumerate(captures) if capture.files == files]
        one = captures[numbers[0]].handed
        nodes = {taps[number].node for number in numbers if number in taps} or {one.node or one.hint.node or one.name}
        here = {roles[number] for number in numbers if number in roles}
        lets_through = _lets_all_through([captures[number].table for number in numbers])
        for role in _WATCHED if len(nodes) == 1 and lets_through else ():
            if role not in here:
                name = f"{files[0].name}, no {ROLE_WORDS[role]}"
                taps[len(found)], roles[len(found)] = Tap(node=min(nodes), interface="", place=name), role
                found.append(
                    Capture(files=files, handed=replace(one, name=name, interface="", table=only(one.table, np.zeros(0, np.int64))))
                )
    return found, replace(placed, taps=taps, roles=roles)


def _lets_all_through(tables: Sequence[PacketTable]) -> bool:
    """Whether a capture of all interfaces has shown encapsulated packets, and others that are not between nodes alone: `udp port 4789`
    shows none of these, `host POD` none of those, `host NODE` none that belong to a pod. One without any packet is taken at its word, as
    an empty capture of one interface is.
    """
    if not any(map(len, tables)):
        return True
    nodes = {bytes(address) for table in tables for column in (table.tunnels.source, table.tunnels.destination) for address in column}
    return bool(nodes) and any(not ends <= nodes for table in tables for ends in _bare_ends(table))


def _bare_ends(table: PacketTable) -> Iterator[set[bytes]]:
    """Both addresses of each conversation that is not encapsulated."""
    bare = np.unique(table.conversation[(table.kind == Kind.IP) & (table.tunnel < 0) & (table.conversation >= 0)])
    for source, destination in zip(table.conversations.source[bare], table.conversations.destination[bare], strict=True):
        yield {bytes(source), bytes(destination)}
