"""From capture files that somebody else recorded to captures: read, put together, and placed on nodes and hops."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from kubectl_vxtrace import packets
from kubectl_vxtrace.errors import CannotRunError, PcapError
from kubectl_vxtrace.model.packets import InterfaceTable, PacketTable
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, LooseFile, Recording
from kubectl_vxtrace.packets.join import join
from kubectl_vxtrace.packets.links import LinkType
from kubectl_vxtrace.packets.taps import only
from kubectl_vxtrace.topology.naming import NameHint, hint_of
from kubectl_vxtrace.topology.pieces import captures_of, piece_of
from kubectl_vxtrace.topology.placing import ROLE_WORDS, Handed, Placed, place
from kubectl_vxtrace.topology.spans import Timed, together

_EVERYWHERE: Final = (LinkType.LINUX_SLL, LinkType.LINUX_SLL2)
"""Of `tcpdump -i any`, which cooks the frames of all interfaces alike (tcpdump.org/linktypes)."""

_WATCHED: Final = (Role.POD, Role.VXLAN, Role.UNDERLAY)
"""What every node of a VXLAN overlay has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A recording whose files have become captures, what each of them saw, and the taps that are at switches between nodes."""

    recording: Recording
    tables: dict[Tap, PacketTable]
    fabric: frozenset[Tap]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Capture:
    """One interface of one capture, its files in order of time. holed: packets are missing in the middle of it."""

    files: tuple[LooseFile, ...]
    handed: Handed
    holed: bool = False

    @property
    def table(self) -> PacketTable:
        return self.handed.table


Read = tuple[LooseFile, tuple[InterfaceTable, ...]]


def settle(recording: Recording) -> Settled:
    """Turn the loose files of `recording` into captures.

    Raises:
        CannotRunError: not one of the files can be read.
    """
    read, failed = _read(recording.loose)
    if not read:
        reasons = [f"{file.name} cannot be read: {file.failure}" for file in failed]
        raise CannotRunError(
            "\n".join(["there is no capture to look into", *reasons]), "give pcap or pcapng files, also packed or in archives"
        )
    captures = _captures(read)
    captures, placed = _with_silent_interfaces(captures, place([capture.handed for capture in captures], recording.node_addresses))
    tables = {tap: replace(captures[number].table, tap=tap, stopped_at=None) for number, tap in placed.taps.items()}
    results = _without_strangers([_result(captures[number], placed, number) for number in placed.taps], tables)
    unread = {file: _failed(file) for file in failed}
    results += [result for result in unread.values() if result is not None]
    notes = [
        *placed.notes,
        *(
            f"{result.task.file}: {result.reason}"
            for result in results
            if result.status is CaptureStatus.FAILED and result.file is not None
        ),
        *(f"{file.name} cannot be read: {file.failure}" for file, result in unread.items() if result is None),
    ]
    seen = {result.task.tap for result in results if result.status is not CaptureStatus.FAILED}
    return Settled(
        recording=replace(
            recording,
            loose=(),
            captures=tuple(replace(result, task=replace(result.task, id=number)) for number, result in enumerate(results, start=1)),
            notes=(*recording.notes, *notes),
        ),
        tables={tap: table for tap, table in tables.items() if tap in seen},
        fabric=frozenset(tap for number, tap in placed.taps.items() if captures[number].handed.fabric),
    )


def _read(files: Sequence[LooseFile]) -> tuple[list[Read], list[LooseFile]]:
    """What could be read, and the files that could not, with the reason."""
    readable = [file for file in files if file.failure is None]
    failed = [file for file in files if file.failure is not None]
    read: list[Read] = []
    for file, found in zip(readable, packets.read_files([Path(file.path) for file in readable]), strict=True):
        if isinstance(found, PcapError):
            failed.append(replace(file, failure=f"{found.message}; {found.hint}" if found.hint else found.message))
        else:
            read.append((file, found))
    return read, failed


def _captures(read: Sequence[Read]) -> list[_Capture]:
    """The files' interfaces; files that are parts of one capture make one."""
    pieces = [piece_of(hint_of(file.name), [each.table for each in tables]) for file, tables in read]
    return [capture for numbers in captures_of(pieces) for capture in _interfaces([read[number] for number in numbers])]


def _interfaces(parts: Sequence[Read]) -> Iterator[_Capture]:
    """The interfaces of one capture. Of several in one file those count that have packets or a name."""
    files = tuple(file for file, _ in parts)
    given = next((file for file in files if file.node is not None), files[0])
    frames = [max((int(each.table.frame.max(initial=0)) for each in tables), default=0) for _, tables in parts]
    keys = dict.fromkeys((each.name, each.index) for _, tables in parts for each in tables)
    for key in keys:
        tables = [next((each.table for each in of if (each.name, each.index) == key), None) for _, of in parts]
        there = [(table, count) for table, count in zip(tables, frames, strict=True) if table is not None]
        table = join([table for table, _ in there], [count for _, count in there])
        device, index = key
        if len(keys) == 1 or device or len(table):
            yield _Capture(
                files=files,
                holed=any(part.stopped_at is not None for part, _ in there[:-1]),
                handed=Handed(
                    name=_called(files[0].name, device, index),
                    hint=_hint(files[0].name, device, alone=len(keys) == 1),
                    table=table,
                    # As iproute2 shows an interface of which it knows only the index.
                    interface=f"if{index}" if index is not None else device if device and "/" not in device else "",
                    node=given.node,
                    role=given.role if len(keys) == 1 else None,
                    fabric=given.fabric,
                    everywhere=table.interfaces[0].link_type in _EVERYWHERE,
                ),
            )


def _called(name: str, device: str | None, index: int | None) -> str:
    """What an interface of a file is called."""
    return f"{name}/{device}" if device else name if index is None else f"{name}, interface {index}"


def _hint(name: str, device: str | None, *, alone: bool) -> NameHint:
    """What names say: the file's if it has a role, else its interface's in it; a file of several interfaces says no role itself."""
    hint = hint_of(name)
    if device and not (alone and hint.role is not None):
        return hint_of(f"{name}/{device}")
    return hint if alone else replace(hint, role=None, interface="")


def _with_silent_interfaces(captures: Sequence[_Capture], placed: Placed) -> tuple[list[_Capture], Placed]:
    """A capture of all interfaces watched also those that no packet passed: of each role that it lacks it is a capture without packets."""
    taps, roles = dict(placed.taps), dict(placed.roles)
    found = list(captures)
    for files in dict.fromkeys(capture.files for capture in captures if capture.handed.everywhere and not capture.handed.fabric):
        numbers = [number for number, capture in enumerate(captures) if capture.files == files]
        one = captures[numbers[0]].handed
        nodes = {taps[number].node for number in numbers if number in taps} or {one.node or one.hint.node or one.name}
        here = {roles[number] for number in numbers if number in roles}
        for role in _WATCHED if len(nodes) == 1 else ():
            if role not in here:
                name = f"{files[0].name}, no {ROLE_WORDS[role]}"
                taps[len(found)], roles[len(found)] = Tap(node=min(nodes), interface="", place=name), role
                empty = only(one.table, np.zeros(0, np.int64))
                found.append(_Capture(files=files, handed=replace(one, name=name, interface="", table=empty)))
    return found, replace(placed, taps=taps, roles=roles)


def _result(capture: _Capture, placed: Placed, number: int) -> CaptureResult:
    """What became of a capture: it is presumed to be whole, up to where its file ends in the middle of a packet."""
    table, tap = capture.table, placed.taps[number]
    cut = table.stopped_at is not None
    doubt = None
    if capture.holed:
        doubt = "one of the files that make the capture ends in the middle of a packet, and others follow"
    elif cut and not len(table):
        doubt = "the file ends in the middle of its first packet"
    return CaptureResult(
        task=CaptureTask(id=number, tap=tap, role=placed.roles[number], file=capture.files[0].name),
        status=CaptureStatus.PRESUMED if doubt is None else CaptureStatus.PARTIAL,
        reason=doubt,
        stopped_ns=int(table.time_ns.max()) if cut and len(table) else None,
        file=capture.files[0].path,
        further_files=tuple(file.path for file in capture.files[1:]),
        size_bytes=sum(Path(file.path).stat().st_size for file in capture.files),
    )


def _without_strangers(results: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable]) -> list[CaptureResult]:
    """Captures that ran at another time than most are none of this recording."""
    taps = list(tables)
    groups = together([tables[tap] for tap in taps])
    reasons = {taps[at]: _stranger(group, groups[0]) for group in groups[1:] for at in group.members}
    return [
        replace(result, status=CaptureStatus.FAILED, reason=reasons[result.task.tap]) if result.task.tap in reasons else result
        for result in results
    ]


def _stranger(group: Timed, most: Timed) -> str:
    return (
        f"it holds packets of {_time(group.first_ns)} to {_time(group.last_ns)}, the others those of {_time(most.first_ns)} to "
        f"{_time(most.last_ns)}: they do not belong together"
    )


def _time(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"


def _failed(file: LooseFile) -> CaptureResult | None:
    """A file that cannot be read, as the capture that it is called; None where nothing says whose it is."""
    hint = hint_of(file.name)
    node, role = file.node or hint.node, file.role or hint.role
    if node is None or role is None:
        return None
    return CaptureResult(
        task=CaptureTask(id=0, tap=Tap(node=node, interface=hint.interface, place=file.name), role=role, file=file.name),
        status=CaptureStatus.FAILED,
        reason=f"{file.name} cannot be read: {file.failure}",
    )
