"""On which interface each frame of a file was recorded, and the table of one interface alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import (
    I32,
    I64,
    CaptureInterface,
    Conversations,
    Ethernets,
    IcmpQuotes,
    InterfaceTable,
    Neighbours,
    Notices,
    PacketTable,
    Tunnels,
)
from kubectl_vxtrace.packets.frames import Frames
from kubectl_vxtrace.packets.intern import Interner
from kubectl_vxtrace.packets.links import kernel_interfaces
from kubectl_vxtrace.packets.rows import GrowingColumns

_KERNEL_BITS = np.uint64(33)


class Taps:
    """Collects the interfaces of frames: those that a file describes and, where frames name them, the kernel's behind each of these.

    Nothing is kept while all frames are of the reader's first interface, as in nearly every file.
    """

    def __init__(self) -> None:
        self._keys = Interner(1)
        self._column = GrowingColumns({"interface": np.int32})
        self._alike = 0
        self._rows = 0

    def add(self, frames: Frames) -> None:
        """Note the interfaces of a batch."""
        self._rows += len(frames)
        kernels = kernel_interfaces(frames)
        if kernels is None and frames.interface is None and not self._column.rows:
            return
        key = np.zeros(len(frames), np.uint64) if frames.interface is None else frames.interface.astype(np.uint64)
        key <<= _KERNEL_BITS
        if kernels is not None:
            key |= kernels
        before = self._rows - len(frames) - self._column.rows
        if before:
            first = self._keys.add((np.zeros(1, np.uint64),))
            self._column.add({"interface": np.full(before, first[0])}, before)
        self._column.add({"interface": self._keys.add((key,))}, len(frames))

    def finish(self, described: Sequence[CaptureInterface]) -> tuple[I32, tuple[CaptureInterface, ...]]:
        """Each frame's interface, and the interfaces, ordered as the file describes them and by the kernel's numbers."""
        if not self._column.rows:
            return np.broadcast_to(np.int32(0), self._rows), tuple(described)
        (keys,), number = self._keys.finish()
        missing = np.setdiff1d(np.arange(len(described), dtype=np.uint64), keys >> _KERNEL_BITS)
        ordered = np.sort(np.concatenate([keys, missing << _KERNEL_BITS]))
        place = np.searchsorted(ordered, keys).astype(np.int32)
        interfaces = tuple(_interface(described[key >> 33], key & ((1 << 33) - 1)) for key in ordered.tolist())
        return place[number[self._column.finish()["interface"]]], interfaces


def _interface(described: CaptureInterface, kernel: int) -> CaptureInterface:
    """A described interface; where frames name the kernel's, that one: the name of the described one is then "any"."""
    return replace(described, name=None, index=kernel - 1) if kernel else described


def split(table: PacketTable) -> tuple[InterfaceTable, ...]:
    """A table for each interface of `table`, in their order; those without frames too."""
    tables = [table] if len(table.interfaces) == 1 else [_of_interface(table, number) for number in range(len(table.interfaces))]
    return tuple(
        InterfaceTable(name=interface.name, index=interface.index, table=part)
        for interface, part in zip(table.interfaces, tables, strict=True)
    )


def _of_interface(table: PacketTable, number: int) -> PacketTable:
    return replace(only(table, np.flatnonzero(table.interface == number)), interfaces=(table.interfaces[number],))


def only(table: PacketTable, rows: I64) -> PacketTable:
    """The frames in `rows`, ascending, of a table of one interface; the small tables hold what these have."""
    columns = {name: getattr(table, name)[rows] for name in PacketTable.__slots__ if _is_column(table, name)}
    columns["interface"] = np.zeros(len(rows), np.int32)
    quoted, messages, notices = (_of_rows(small, rows) for small in (table.icmp_quotes, table.neighbours, table.notices))
    conversations, (columns["conversation"], quoted["conversation"], quoted["inner_conversation"]) = _used(
        columns["conversation"], quoted["conversation"], quoted["inner_conversation"]
    )
    tunnels, (columns["tunnel"],) = _used(columns["tunnel"])
    ethernets, (columns["ethernet"],) = _used(columns["ethernet"])
    for column in (*columns.values(), *quoted.values(), *messages.values(), *notices.values()):
        column.flags.writeable = False
    return replace(
        table,
        **columns,
        conversations=_taken(table.conversations, conversations),
        tunnels=_taken(table.tunnels, tunnels),
        ethernets=_taken(table.ethernets, ethernets),
        icmp_quotes=IcmpQuotes(**quoted),
        neighbours=Neighbours(**messages),
        notices=Notices(**notices),
    )


def _is_column(table: PacketTable, name: str) -> bool:
    return isinstance(getattr(table, name), np.ndarray)


def _of_rows(messages: IcmpQuotes | Neighbours | Notices, rows: I64) -> dict[str, NDArray[Any]]:
    """The columns of those messages that stand in some rows of a table, `row` by their new numbers."""
    kept = np.flatnonzero(np.isin(messages.row, rows))
    columns = {name: getattr(messages, name)[kept] for name in messages.__slots__}
    columns["row"] = np.searchsorted(rows, columns["row"]).astype(np.int32)
    return columns


def _used(*columns: I32) -> tuple[I32, list[I32]]:
    """The rows of a small table that columns refer to, and these columns by their new numbers; -1 stays -1."""
    rows = np.unique(np.concatenate(columns))
    rows = rows[rows >= 0]
    return rows, [np.where(column < 0, -1, np.searchsorted(rows, column)).astype(np.int32) for column in columns]


Small = TypeVar("Small", Conversations, Tunnels, Ethernets)


def _taken(table: Small, rows: I32) -> Small:
    """Some rows of a small table."""
    columns = {name: getattr(table, name)[rows] for name in table.__slots__}
    for column in columns.values():
        column.flags.writeable = False
    return replace(table, **columns)
