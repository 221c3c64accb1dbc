"""Reading a trace folder back: one of this version or of another, whole or with files that are missing or were changed.

A report is never read back: a verdict always comes from the recording.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle.folder import CLUSTER, FORMAT, MANIFEST, RECORDING, Core, ManifestEntry, file_name, sha256
from kubectl_vxtrace.bundle.otherversion import Known, read_known
from kubectl_vxtrace.bundle.plausible import implausible, unfitting, unfitting_pair
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Gap, PortComparison, Recording

T = TypeVar("T")

_MAX_JSON_BYTES = 256 * 1024 * 1024
_WHOLE_HINT = "is it a bundle of kubectl vxtrace, and whole?"
_UPDATE_HINT = "update the plugin: kubectl krew upgrade vxtrace"
_UNREADABLE = (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LISTS = {"captures": "captures", "kernel_drops": "drops that a kernel named", "gaps": "gaps"}
"""Fields of recording.json whose entries are read one by one where another version wrote them, with what they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What recording.json says of itself, in every format."""

    format: int
    version: str = "?"

    @property
    def is_newer(self) -> bool:
        """Whether it is of a format that this version does not know."""
        return self.format > FORMAT

    @property
    def is_other(self) -> bool:
        """Whether another version has written it."""
        return self.is_newer or self.version != __version__

    def __str__(self) -> str:
        return f"kubectl-vxtrace {self.version} in format {self.format}"


@dataclass(slots=True)
class _Said:
    """What has to be said beside the recording: notes, and gaps, which make it incomplete."""

    notes: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def read(folder: Path) -> Recording:
    """The recording in `folder`. Captures that are missing or no longer what was recorded are failed ones; other files that were changed
    are said. What another version has written is read as far as this one knows it, and the rest is said.

    Raises:
        CannotRunError: not readable, or written by a newer version in a way that this one cannot read.
    """
    # A newer format may have other fields, so its number is read first, and alone.
    head = _read_json(folder / RECORDING, _Head)
    said = _Said()
    core = _read_core(folder / RECORDING, head, said)
    if (trouble := unfitting(core.flows, core.paths)) is not None:
        raise CannotRunError(f"cannot read {folder / RECORDING}: {trouble}", _WHOLE_HINT)
    for pair in core.ab.pairs if core.ab is not None else ():
        if (trouble := unfitting_pair(pair)) is not None:
            raise CannotRunError(f"cannot read {folder / RECORDING}: {trouble}", _WHOLE_HINT)
    nodes = folder / "nodes"
    before, after = (tuple(_read_facts(sorted(nodes.glob(f"*/{when}.json")), head, said)) for when in ("before", "after"))
    snapshot = _read_snapshot(folder / CLUSTER, head, said)
    said.notes += _changed(folder)
    return Recording(
        session=core.session,
        version=core.version,
        started_ns=core.started_ns,
        duration_s=core.duration_s,
        interrupted=core.interrupted,
        request=core.request,
        snapshot=snapshot,
        overlay=core.overlay,
        flows=core.flows,
        paths=core.paths,
        before=before,
        after=after,
        captures=tuple(_checked(folder, capture) for capture in core.captures),
        kernel_drops=core.kernel_drops,
        cleanup=core.cleanup,
        gaps=(*core.gaps, *said.gaps),
        kernel_drops_absent=core.kernel_drops_absent,
        kernel_drops_logged=core.kernel_drops_logged,
        anonymized=core.anonymized,
        probes=core.probes,
        unprobed=core.unprobed,
        ab=_checked_comparison(folder, core.ab),
        folder=str(folder),
        notes=tuple(said.notes),
    )


def _read_core(path: Path, head: _Head, said: _Said) -> Core:
    if not head.is_other:
        return _read_json(path, Core)
    try:
        known = read_known(path.read_bytes(), Core, _LISTS)
        if (trouble := implausible(known.record)) is not None:
            raise msgspec.ValidationError(trouble)
    except _UNREADABLE as error:
        if head.is_newer:
            raise CannotRunError(
                f"this recording was written by {head}; this version reads up to {FORMAT}, and this one not: {error}", _UPDATE_HINT
            ) from error
        raise CannotRunError(f"cannot read {path}, which {head} wrote: {error}", _WHOLE_HINT) from error
    _say_unknown(known, head, said)
    return known.record


def _say_unknown(known: Known[Core], head: _Head, said: _Said) -> None:
    if head.is_newer:
        said.notes.append(f"the recording was written by {head}, and this version knows up to {FORMAT}: only what it knows was read")
    if known.unknown:
        said.notes.append(f"what {head} wrote of {', '.join(known.unknown)} is unknown to this version, and was left out")
    for name, reasons in known.left_out.items():
        said.gaps.append(Gap(reason=f"{len(reasons)} {_LISTS[name]} that {head} wrote could not be read: {reasons[0]}"))


def _read_facts(paths: list[Path], head: _Head, said: _Said) -> Iterator[NodeFacts]:
    for path in paths:
        try:
            yield _read_json(path, NodeFacts)
        except CannotRunError as error:
            if not head.is_other:
                raise
            said.gaps.append(Gap(node=path.parent.name, reason=f"what it said {path.stem} the capture could not be read: {error.message}"))


def _read_snapshot(path: Path, head: _Head, said: _Said) -> ClusterSnapshot | None:
    if not path.is_file():
        return None
    try:
        return _read_json(path, ClusterSnapshot)
    except CannotRunError as error:
        if not head.is_other:
            raise
        said.gaps.append(Gap(reason=f"what the API said could not be read: {error.message}"))
        return None


def _changed(folder: Path) -> Iterator[str]:
    """Files that were read and are not those that the manifest was written for. Captures have their own digest, in the recording."""
    path = folder / MANIFEST
    if not path.is_file():
        return
    try:
        entries = _read_json(path, tuple[ManifestEntry, ...])
    except CannotRunError as error:
        yield f"whether files were changed is not known: {error.message}"
        return
    wanted = {entry.file: entry.sha256 for entry in entries}
    read_back = [folder / RECORDING, folder / CLUSTER, *sorted((folder / "nodes").glob("*/*.json"))]
    for file in read_back:
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name in wanted and sha256(file) != wanted[name]:
            yield f"{name} was changed after the bundle was written: its SHA-256 is not the manifest's"
    for name in wanted:
        if name.startswith("nodes/") and name.endswith(".json") and not (folder / name).is_file():
            yield f"{name} is missing in the bundle"


def _checked_comparison(folder: Path, compared: PortComparison | None) -> PortComparison | None:
    if compared is None:
        return None
    return replace(compared, captures=tuple(_checked(folder, capture) for capture in compared.captures))


def _checked(folder: Path, capture: CaptureResult) -> CaptureResult:
    if capture.file is None:
        return capture
    path = folder / file_name(capture.file)
    if not path.is_file():
        return replace(capture, status=CaptureStatus.FAILED, file=None, reason="the file is missing in the bundle")
    if capture.sha256 is not None and sha256(path) != capture.sha256:
        return replace(
            capture, status=CaptureStatus.FAILED, file=None, reason="the file is not the one that was recorded: its SHA-256 differs"
        )
    return capture


def _read_json(path: Path, kind: type[T]) -> T:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CannotRunError(f"{path} is larger than {_MAX_JSON_BYTES} bytes")
        value = msgspec.json.decode(path.read_bytes(), type=kind)
    except _UNREADABLE as error:
        raise CannotRunError(f"cannot read {path}: {error}", _WHOLE_HINT) from error
    if (trouble := implausible(value)) is not None:
        raise CannotRunError(f"cannot read {path}: {trouble}", _WHOLE_HINT)
    return value
