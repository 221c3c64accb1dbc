"""What `analyze` was given: a bundle, a trace folder, or capture files recorded by hand."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle import archive, byhand, folder
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Gap, Recording

NAMES_HINT = (
    "name capture files as the by-hand procedure does: NODE-pod.pcap, NODE-bridge.pcap, NODE-vxlan-calico.pcap, NODE-primary-interface.pcap"
)


def open_recording(paths: Sequence[Path], scratch: Path) -> Recording:
    """The recording that `paths` hold; a bundle is unpacked into the empty folder `scratch`.

    Raises:
        UsageError: a path does not exist, several bundles, or nothing that is a capture.
        CannotRunError: unreadable.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    if len(paths) == 1:
        only = paths[0]
        if only.is_dir() and folder.is_trace_folder(only):
            return folder.read(only)
        if only.is_file() and zipfile.is_zipfile(only):
            archive.unpack(only, scratch)
            return folder.read(scratch) if folder.is_trace_folder(scratch) else _by_hand([scratch])
    return _by_hand(paths)


def _by_hand(paths: Sequence[Path]) -> Recording:
    files: list[byhand.HandFile] = []
    for path in paths:
        if path.is_dir():
            files.extend(byhand.files_of(path))
        elif (file := byhand.recognise(path)) is not None:
            files.append(file)
    taps = [file.tap for file in files]
    if not files:
        raise CannotRunError(f"no capture file found in {', '.join(map(str, paths))}", NAMES_HINT)
    if len(set(taps)) != len(taps):
        raise UsageError("two capture files have the same name", "analyze one recording at a time")
    return Recording(
        session="by-hand",
        version=__version__,
        started_ns=0,
        overlay=Overlay(),
        flows=(),
        paths=(),
        captures=byhand.presumed_captures(files),
        gaps=(
            Gap(reason="only capture files were given: no rules, counters, tables or clocks of the nodes, and no names from the cluster"),
        ),
        folder="",
    )
