"""Captures recorded by hand: what their file names say."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, CaptureTask

# The names that the by-hand procedure gives: `$(hostname)-pod.pcap`, `$(hostname)-vxlan-calico.pcap`, `$(hostname)-primary-interface.pcap`,
# and those by which this tool completes them. The host name takes as much as it can.
_NAME = re.compile(r"(?P<node>.+)-(?P<place>pod|bridge|vxlan|primary-interface)(?:-(?P<rest>.+))?\.(?:pcapng|pcap|cap)(?:\.gz)?")
_CAPTURE = re.compile(r"\.(?:pcapng|pcap|cap)(?:\.gz)?$")
_ROLES = {"pod": Role.POD, "bridge": Role.BRIDGE, "vxlan": Role.VXLAN, "primary-interface": Role.UNDERLAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class HandFile:
    """A capture file whose name says what it is."""

    path: Path
    tap: Tap
    role: Role


def recognise(path: Path) -> HandFile | None:
    """What the name of `path` says, or None if it is not one of the procedure's names."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    return HandFile(path=path, tap=Tap(node=match["node"], interface="", place=path.name), role=_ROLES[match["place"]])


def files_of(folder: Path) -> Iterator[HandFile]:
    """The recognised capture files directly in `folder`, by name; other files are passed over."""
    for path in sorted(folder.iterdir()):
        found = recognise(path) if path.is_file() else None
        if found is not None:
            yield found


def is_capture(path: Path) -> bool:
    """Whether the name of `path` ends as a capture file's does."""
    return _CAPTURE.search(path.name) is not None


def presumed_captures(files: Iterable[HandFile]) -> tuple[CaptureResult, ...]:
    """Captures without closing numbers or times, numbered from 1; `file` is the path as it was given."""
    return tuple(
        CaptureResult(
            task=CaptureTask(id=number, tap=file.tap, role=file.role, file=file.path.name),
            status=CaptureStatus.PRESUMED,
            file=str(file.path.absolute()),
            size_bytes=file.path.stat().st_size,
        )
        for number, file in enumerate(files, start=1)
    )
