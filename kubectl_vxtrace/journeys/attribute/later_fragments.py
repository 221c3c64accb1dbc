"""Later IP fragments, which name no ports: attributed as the first fragment of their packet is."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace.journeys.attribute.addresses import AddressBook
from kubectl_vxtrace.journeys.columns import look_up, nearest, pack
from kubectl_vxtrace.journeys.records import FlowFrames
from kubectl_vxtrace.model.packets import I32, Kind, PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.protocol import FRAGMENT_OFFSET, MORE_FRAGMENTS


def with_later_fragments(
    tables: Mapping[Tap, PacketTable], book: AddressBook, frames_of: Mapping[Tap, FlowFrames]
) -> dict[Tap, FlowFrames]:
    """The frames with the later fragments of their packets among them, in file order."""
    later = _later_fragments(tables, book, frames_of)
    return {tap: _joined(frames, later[tap]) if tap in later else frames for tap, frames in frames_of.items()}


def _later_fragments(tables: Mapping[Tap, PacketTable], book: AddressBook, frames_of: Mapping[Tap, FlowFrames]) -> dict[Tap, FlowFrames]:
    """Later fragments, joined to the first one of their packet by protocol, addresses and IP ID, at whatever tap it was seen.

    Where several packets share those (sockets that number for themselves), to the one at the same tap that is nearest in time.
    """
    firsts = {tap: frames.take(tables[tap].fragment[frames.row] & MORE_FRAGMENTS != 0) for tap, frames in frames_of.items()}
    firsts = {tap: frames for tap, frames in firsts.items() if len(frames)}
    if not firsts:
        return {}
    keys = np.concatenate([_packet_keys(tables[tap], book, frames.row) for tap, frames in firsts.items()])
    columns = {
        name: np.concatenate([getattr(frames, name) for frames in firsts.values()]) for name in FlowFrames.__slots__ if name != "row"
    }
    numbers = {tap: number for number, tap in enumerate(firsts)}
    taps = np.concatenate([np.full(len(frames), numbers[tap]) for tap, frames in firsts.items()])
    times_ns = np.concatenate([tables[tap].time_ns[frames.row] for tap, frames in firsts.items()])
    later: dict[Tap, FlowFrames] = {}
    for tap, table in tables.items():
        is_later = (table.kind == Kind.IP) & (table.conversation >= 0) & (table.fragment & FRAGMENT_OFFSET != 0)
        rows = np.flatnonzero(is_later).astype(np.int32)
        wanted = _packet_keys(table, book, rows)
        index = look_up(keys, wanted)
        if tap in numbers:
            of_tap = np.flatnonzero(taps == numbers[tap])
            here = nearest(keys[of_tap], times_ns[of_tap], wanted, table.time_ns[rows])
            index = np.where(here >= 0, of_tap[here], index)
        hit = index >= 0
        if hit.any():
            later[tap] = FlowFrames(row=rows[hit], **{name: column[index[hit]] for name, column in columns.items()})
    return later


def _packet_keys(table: PacketTable, book: AddressBook, rows: I32) -> NDArray[np.uint64]:
    conversations, conversation = table.conversations, table.conversation[rows]
    low = (conversations.protocol[conversation].astype(np.uint64) << np.uint64(16)) | table.ip_id[rows].astype(np.uint64)
    return pack(book.numbers(conversations.source)[conversation], book.numbers(conversations.destination)[conversation], low)


def _joined(first: FlowFrames, second: FlowFrames) -> FlowFrames:
    """Both in file order."""
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in FlowFrames.__slots__}
    order = np.argsort(columns["row"], kind="stable")
    return FlowFrames(**{name: column[order] for name, column in columns.items()})
