"""What `analyze` was given: a bundle, a trace folder, or capture files recorded by hand."""

import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle import archive, byhand, folder
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Gap, Recording

_ZIP_BEGIN = b"PK\x03\x04"
NAMES_HINT = (
    "name capture files as the by-hand procedure does: NODE-pod.pcap, NODE-bridge.pcap, NODE-vxlan-calico.pcap, NODE-primary-interface.pcap"
)


def open_recording(paths: Sequence[Path], scratch: Path) -> Recording:
    """The recording that `paths` hold; a bundle is unpacked into the empty folder `scratch`.

    Raises:
        UsageError: a path does not exist, a bundle beside anything else, or two files of one name.
        CannotRunError: unreadable, or nothing that is a capture.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist", "give a bundle, a trace folder, or capture files")
    recorded = [path for path in paths if _is_zip(path) or folder.is_trace_folder(path)]
    if not recorded:
        return _by_hand(paths)
    if len(paths) > 1:
        raise UsageError(
            f"{recorded[0]} is one whole recording and cannot be put together with anything else",
            "analyze one bundle at a time; loose capture files may be many",
        )
    only = paths[0]
    if only.is_dir():
        return folder.read(only)
    archive.unpack(only, scratch)
    place = _only_folder(scratch)
    return folder.read(place) if folder.is_trace_folder(place) else _by_hand([place])


def _is_zip(path: Path) -> bool:
    """Whether a file is a zip; one that was cut has lost its directory, and still begins as one."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            begins = file.read(len(_ZIP_BEGIN)) == _ZIP_BEGIN
    except OSError as error:
        raise CannotRunError(f"cannot read {path}: {error.strerror}") from error
    return begins or zipfile.is_zipfile(path)


def _only_folder(place: Path) -> Path:
    """Where the files are: somebody who unpacked a bundle and zipped it again has put a folder around it."""
    content = list(place.iterdir())
    while len(content) == 1 and content[0].is_dir():
        place = content[0]
        content = list(place.iterdir())
    return place


def _by_hand(paths: Sequence[Path]) -> Recording:
    candidates = [each for path in paths for each in (sorted(path.iterdir()) if path.is_dir() else [path]) if each.is_file()]
    found = {path: byhand.recognise(path) for path in candidates}
    files = [file for file in found.values() if file is not None]
    nameless = [path.name for path, file in found.items() if file is None and byhand.is_capture(path)]
    if not files:
        said = f"; nothing in the name says where {', '.join(nameless)} is from" if nameless else ""
        raise CannotRunError(f"no capture file found in {', '.join(map(str, paths))}{said}", NAMES_HINT)
    names = Counter(file.tap for file in files)
    double = next((tap.place for tap, count in names.items() if count > 1), None)
    if double is not None:
        raise UsageError(f"two capture files have the name {double}", "analyze one recording at a time")
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
            *(Gap(reason=f"{name} was passed over: its name does not say which node and interface it is from") for name in nameless),
        ),
        folder="",
    )
