"""What became of captures that somebody else recorded, as far as their files say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kubectl_vxtrace.handover.interfaces import Capture
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask, LooseFile, Ran
from kubectl_vxtrace.topology.naming import hint_of
from kubectl_vxtrace.topology.placing import Placed
from kubectl_vxtrace.topology.spans import Timed, together

_MOST_NAMED: Final = 3
_EARLY_NS: Final = 1_000_000_000


def presumed(capture: Capture, placed: Placed, number: int, end_ns: int) -> CaptureResult:
    """A capture is presumed to be whole, up to where its file ends, or is damaged, in the middle of a packet; where a
    script of ours made it, it is known when it ran, and whether it is whole.

    One that ends so long before the last of all frames, at `end_ns`, would be taken to have seen nothing of what came later: it is none
    that testifies.
    """
    table = capture.table
    cut = table.stopped_at is not None
    last_ns = int(table.time_ns.max(initial=0))
    doubt = None
    if capture.holed:
        doubt = "one of the files that make the capture ends in the middle of a packet, and others follow"
    elif cut and not len(table):
        doubt = "its file ends in the middle of its first packet"
    elif cut and end_ns - last_ns > _EARLY_NS:
        doubt = f"its file ends in the middle of a packet, at {_time(last_ns)}, and other captures go on"
    ran = capture.files[0].ran if len(capture.files) == 1 else None
    if ran is not None and doubt is None:
        doubt = _shortcoming(ran)
    return CaptureResult(
        task=CaptureTask(id=number, tap=placed.taps[number], role=placed.roles[number], file=capture.files[0].name),
        status=CaptureStatus.PRESUMED if doubt is None else CaptureStatus.PARTIAL,
        reason=doubt,
        started_ns=ran.started_ns if ran is not None else None,
        stopped_ns=last_ns if cut and len(table) else ran.stopped_ns if ran is not None else None,
        dropped_by_kernel=ran.dropped_by_kernel if ran is not None else None,
        file=capture.files[0].path,
        further_files=tuple(file.path for file in capture.files[1:]),
        size_bytes=sum(Path(file.path).stat().st_size for file in capture.files),
    )


def _shortcoming(ran: Ran) -> str | None:
    """Why a capture of a script of ours is not whole."""
    return "it began late, or ended before it was stopped" if ran.stopped_ns is None else None


def without_single_times(results: Sequence[CaptureResult]) -> list[CaptureResult]:
    """The captures without their times, unless these are known of all: one of which they are not known may have run for less."""
    presumed_ones = [result for result in results if result.status is CaptureStatus.PRESUMED]
    if all(result.started_ns is not None for result in presumed_ones):
        return list(results)
    return [replace(result, started_ns=None, stopped_ns=None) if result.started_ns is not None else result for result in results]


def failed(file: LooseFile) -> CaptureResult | None:
    """A file that cannot be read, as the capture that it is called; None where nothing says whose that is."""
    hint = hint_of(file.name)
    node, role = file.node or hint.node, file.role or hint.role
    if node is None or role is None:
        return None
    return CaptureResult(
        task=CaptureTask(id=0, tap=Tap(node=node, interface=hint.interface, place=file.name), role=role, file=file.name),
        status=CaptureStatus.FAILED,
        reason=f"{file.name} cannot be read: {file.failure}",
    )


def without_strangers(results: Sequence[CaptureResult], tables: Mapping[Tap, PacketTable]) -> tuple[list[CaptureResult], list[str]]:
    """Captures that ran at another time than most are none of this recording; the second list says so once for each such time."""
    taps = list(tables)
    groups = together([tables[tap] for tap in taps])
    found = list(results)
    notes = []
    for group in groups[1:]:
        members = {taps[at] for at in group.members}
        notes.append(_note(results, members, group, groups[0]))
        found = [
            replace(result, status=CaptureStatus.FAILED, reason="its packets are of another time than the others'")
            if result.task.tap in members
            else result
            for result in found
        ]
    return found, notes


def _note(results: Sequence[CaptureResult], members: set[Tap], group: Timed, most: Timed) -> str:
    names = list(dict.fromkeys(result.task.file for result in results if result.task.tap in members))
    named = ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
    return (
        f"{named} and the others do not belong together: packets of {_time(group.first_ns)} to {_time(group.last_ns)} here, "
        f"of {_time(most.first_ns)} to {_time(most.last_ns)} there"
    )


def _time(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
