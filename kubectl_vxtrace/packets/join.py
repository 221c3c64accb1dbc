"""One table of a capture that was written into several files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.model.packets import I32, U64, Conversations, Ethernets, IcmpQuotes, Neighbours, Notices, PacketTable, Tunnels
from kubectl_vxtrace.packets.intern import distinct

Small = TypeVar("Small", Conversations, Tunnels, Ethernets)


def join(parts: Sequence[PacketTable], file_frames: Sequence[int]) -> PacketTable:
    """The frames of all parts, one after the other.

    Frames are numbered through; `offset` stays that in the part's own file, and `parts` says in which row each of them begins. The end of
    the last part is the end of the whole.

    Args:
        parts: tables of one interface each, of the same link type, in order of time; at least one.
        file_frames: how many frames each part's file has, of all interfaces.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _columns(parts[0])}
    before = np.cumsum([0, *file_frames])
    columns["frame"] = np.concatenate([part.frame + count for part, count in zip(parts, before, strict=False)]).astype(np.int32)
    columns["interface"] = np.zeros(int(starts[-1]), np.int32)
    conversations, conversation = _merged([part.conversations for part in parts])
    tunnels, tunnel = _merged([part.tunnels for part in parts])
    ethernets, ethernet = _merged([part.ethernets for part in parts])
    for name, numbers in (("conversation", conversation), ("tunnel", tunnel), ("ethernet", ethernet)):
        columns[name] = np.concatenate([_renumbered(getattr(part, name), of) for part, of in zip(parts, numbers, strict=True)])
    quotes = _behind([part.icmp_quotes for part in parts], starts.tolist())
    for name in ("conversation", "inner_conversation"):
        numbered = zip(parts, conversation, strict=True)
        quotes[name] = np.concatenate([_renumbered(getattr(part.icmp_quotes, name), of) for part, of in numbered])
    return replace(
        parts[0],
        **_fixed(columns),
        conversations=conversations,
        tunnels=tunnels,
        ethernets=ethernets,
        icmp_quotes=IcmpQuotes(**_fixed(quotes)),
        neighbours=Neighbours(**_fixed(_behind([part.neighbours for part in parts], starts.tolist()))),
        notices=Notices(**_fixed(_behind([part.notices for part in parts], starts.tolist()))),
        stopped_at=parts[-1].stopped_at,
        common_payload_bytes=min(part.common_payload_bytes for part in parts),
        parts=tuple(starts[:-1].tolist()),
    )


def _columns(table: Any) -> list[str]:
    return [name for name in table.__slots__ if isinstance(getattr(table, name), np.ndarray)]


def _merged(tables: Sequence[Small]) -> tuple[Small, list[I32]]:
    """The distinct rows of small tables, and for each table the numbers of its rows among them."""
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in _columns(tables[0])}
    first, number = distinct(tuple(word for column in columns.values() for word in _words(column)))
    chosen = _fixed({name: column[first] for name, column in columns.items()})
    return replace(tables[0], **chosen), np.split(number, np.cumsum([len(table) for table in tables])[:-1])


def _words(column: NDArray[Any]) -> list[U64]:
    """A column of numbers as one of 64 bits, a column of addresses as two."""
    if column.ndim == 1:
        return [column.astype(np.uint64)]
    return list(np.ascontiguousarray(column).view(np.uint64).reshape(len(column), column.shape[1] // 8).T)


def _renumbered(column: I32, numbers: I32) -> I32:
    """A column that refers to a small table, referring to the merged one; -1 stays -1."""
    found: I32 = np.append(numbers, np.int32(-1))[column]
    return found


def _behind(parts: Sequence[IcmpQuotes | Neighbours | Notices], starts: Sequence[int]) -> dict[str, Any]:
    """The columns of all parts' messages, `row` by its number in the whole."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _columns(parts[0])}
    columns["row"] = np.concatenate([part.row + np.int32(start) for part, start in zip(parts, starts, strict=False)])
    return columns


def _fixed(columns: dict[str, Any]) -> dict[str, Any]:
    for column in columns.values():
        column.flags.writeable = False
    return columns
