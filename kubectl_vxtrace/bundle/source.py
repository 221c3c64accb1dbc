"""What `analyze` was given: a bundle, a trace folder, or capture files that somebody else recorded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle import reading
from kubectl_vxtrace.bundle.gather import Gathered, gather
from kubectl_vxtrace.bundle.given import Given, placed
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Recording

_NOTHING_GIVEN = Given()


def open_recording(paths: Sequence[Path], scratch: Path, given: Given = _NOTHING_GIVEN) -> Recording:
    """The recording that `paths` hold; what is packed is unpacked into the empty folder `scratch`.

    Raises:
        UsageError: a path does not exist, a recording of ours beside anything else, or `given` does not fit.
        CannotRunError: unreadable, or nothing that is a capture.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist", "give a bundle, a trace folder, or capture files")
    found = gather([*paths, *_only_in(given, paths)], scratch)
    if not found.recordings:
        return _by_hand(paths, found, given)
    switches = placed(found.files, given) if given.only_switches else ()
    if switches and len(found.recordings) == 1 and all(file.fabric for file in switches):
        return replace(reading.read(found.recordings[0]), loose=switches)
    if len(found.recordings) > 1 or found.files or len(paths) > 1:
        raise UsageError(
            f"{_names(paths)}: a bundle is one whole recording and cannot be put together with anything else",
            "analyze one bundle at a time; loose capture files may be many, and beside a bundle only a switch's: --hop tor=FILE",
        )
    if given != _NOTHING_GIVEN:
        raise UsageError("a bundle says itself where its captures were made", "leave out --node and --hop")
    return reading.read(found.recordings[0])


def _only_in(given: Given, paths: Sequence[Path]) -> list[Path]:
    """Files that only a `--hop` names."""
    return [path for hop in given.hops if (path := Path(hop.file)).is_file() and path not in paths]


def _by_hand(paths: Sequence[Path], found: Gathered, given: Given) -> Recording:
    files = placed(found.files, given)
    if not any(file.failure is None for file in files):
        reasons = [*found.failures, *(f"cannot read {file.name}: {file.failure}" for file in files)]
        raise CannotRunError(
            "\n".join([f"no capture file found in {_names(paths)}", *reasons]), "give pcap or pcapng files, also packed or in archives"
        )
    return Recording(
        session="by-hand",
        version=__version__,
        started_ns=0,
        overlay=Overlay(),
        flows=(),
        paths=(),
        loose=files,
        node_addresses=given.addresses,
        notes=(
            "only capture files were given: no rules, counters, tables or clocks of the nodes, and no names from the cluster",
            *found.failures,
        ),
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
