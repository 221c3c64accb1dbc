"""From capture files that somebody else recorded to captures: read, put together, and placed on nodes and hops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kubectl_vxtrace import packets
from kubectl_vxtrace.errors import CannotRunError, PcapError
from kubectl_vxtrace.handover.interfaces import Capture, Read, captures_in, with_silent_interfaces, without_copies
from kubectl_vxtrace.handover.results import failed, presumed, without_single_times, without_strangers
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, LooseFile, Recording
from kubectl_vxtrace.topology.placing import Placed, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A recording whose files have become captures, what each of them saw, and the taps that are at switches between nodes."""

    recording: Recording
    tables: dict[Tap, PacketTable]
    fabric: frozenset[Tap]


def settle(recording: Recording) -> Settled:
    """Turn the loose files of `recording` into captures.

    Raises:
        CannotRunError: not one of the files can be read.
    """
    read, unread = read_loose(recording.loose)
    if not read:
        reasons = [f"{file.name} cannot be read: {file.failure}" for file in unread]
        raise CannotRunError(
            "\n".join(["there is no capture to look into", *reasons]), "give pcap or pcapng files, also packed or in archives"
        )
    captures, copies = without_copies(captures_in(read))
    captures, placed = with_silent_interfaces(captures, place([capture.handed for capture in captures], recording.node_addresses))
    tables = {tap: replace(captures[number].table, tap=tap, stopped_at=None) for number, tap in placed.taps.items()}
    end_ns = max(int(table.time_ns.max(initial=0)) for table in tables.values()) if tables else 0
    results, strangers = without_strangers([presumed(captures[number], placed, number, end_ns) for number in placed.taps], tables)
    results = without_single_times(results)
    unplaced = [file for file in unread if failed(file) is None]
    results += [result for file in unread if (result := failed(file)) is not None]
    kept = {result.task.tap for result in results if result.status is not CaptureStatus.FAILED}
    notes = (
        *copies,
        *placed.notes,
        *_layered(captures),
        *_ignored_roles(captures),
        *strangers,
        *(f"{file.name} cannot be read: {file.failure}" for file in unplaced),
    )
    return Settled(
        recording=replace(
            recording,
            loose=(),
            captures=tuple(replace(result, task=replace(result.task, id=number)) for number, result in enumerate(results, start=1)),
            node_addresses={**_addresses_of_strangers(placed, results), **recording.node_addresses},
            notes=(*recording.notes, *notes),
        ),
        tables={tap: table for tap, table in tables.items() if tap in kept},
        fabric=_fabric(captures, placed),
    )


def read_loose(files: Sequence[LooseFile]) -> tuple[list[Read], list[LooseFile]]:
    """What could be read, and the files that could not, with the reason."""
    readable = [file for file in files if file.failure is None]
    unread = [file for file in files if file.failure is not None]
    read: list[Read] = []
    for file, found in zip(readable, packets.read_files([Path(file.path) for file in readable]), strict=True):
        if isinstance(found, PcapError):
            unread.append(replace(file, failure=f"{found.message}; {found.hint}" if found.hint else found.message))
        else:
            read.append((file, found))
    return read, unread


def _ignored_roles(captures: Sequence[Capture]) -> list[str]:
    names = dict.fromkeys(
        file.name for capture in captures for file in capture.files if file.role is not None and capture.handed.role is None
    )
    return [f"{name} is of several interfaces: the role of --hop was not used, each has its own" for name in names]


def _layered(captures: Sequence[Capture]) -> list[str]:
    names = dict.fromkeys(capture.files[0].name for capture in captures if capture.layered)
    return [f"{name} does not say on which interface a packet was recorded: told apart by what the packets are" for name in names]


def _addresses_of_strangers(placed: Placed, results: Sequence[CaptureResult]) -> Mapping[str, str]:
    """Underlay addresses of nodes that have captures, and none that counts: they are known from these all the same."""
    counting = {result.task.tap.node for result in results if result.status is not CaptureStatus.FAILED}
    return {node: address for node, address in placed.addresses.items() if node not in counting}


def _fabric(captures: Sequence[Capture], placed: Placed) -> frozenset[Tap]:
    return frozenset(tap for number, tap in placed.taps.items() if captures[number].handed.fabric)
