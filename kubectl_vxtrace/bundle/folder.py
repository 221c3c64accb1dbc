"""The trace folder: its layout, how it is written step by step, and how it is read back.

    README.txt            what is in it
    summary.md            to paste into the ticket
    report.html           the report to look at
    result.json           the report for programs
    merged.pcapng         the packets of all hops in one file, each with its number and what became of it
    recording.json        what was asked, planned and captured
    cluster.json          what the Kubernetes API said
    nodes/NODE/before.json, after.json      what each node said, parsed
    nodes/NODE/before/KEY.txt, after/...    the same, as it was said
    nodes/NODE/drops.txt                    what its kernel said of the packets that it dropped
    NODE-pod.pcap ...     the captures
    manifest.json         SHA-256 and size of every other file

A report is never read back: a verdict always comes from the recording.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from kubectl_vxtrace.bundle.plausible import implausible, unfitting
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import Cleanup, ClusterSnapshot
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Gap, Recording
from kubectl_vxtrace.model.request import Request

T = TypeVar("T")

FORMAT = 1
RECORDING = "recording.json"
CLUSTER = "cluster.json"
MANIFEST = "manifest.json"
RESULT = "result.json"
SUMMARY = "summary.md"
PAGE = "report.html"
MERGED = "merged.pcapng"
README = "README.txt"
README_TEXT = """\
A trace of kubectl vxtrace: the same packets, seen at every hop of a VXLAN overlay.

summary.md      verdict, why, what to do: to paste into a ticket
report.html     the same to look at, with the path drawn; runs nothing, loads nothing
result.json     the same for programs (kubectl vxtrace schema)
merged.pcapng   all packets in one file for Wireshark: an interface for each hop, one packet id at all hops, what became of it as comment
*.pcap          the captures, one for each hop: headers and DNS; the rest of each payload was taken out, unless --payload was given
nodes/          what each node said before and after: links, routes, neighbours, rules, counters, connections of the traced addresses
cluster.json    what the Kubernetes API said of the traced pods, Services and nodes
manifest.json   SHA-256 of every file.   kubectl vxtrace analyze BUNDLE gives the same verdict again.
"""
# Node names are RFC 1123 subdomains, so they are file names as they are; anything else is refused.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,252}")
_MAX_JSON_BYTES = 256 * 1024 * 1024
_WHOLE_HINT = "is it a bundle of kubectl vxtrace, and whole?"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """recording.json: a Recording without what stands in files of its own."""

    format: int
    session: str
    version: str
    started_ns: int
    duration_s: float
    interrupted: bool
    request: Request | None
    overlay: Overlay
    flows: tuple[Flow, ...]
    paths: tuple[HopPath, ...]
    captures: tuple[CaptureResult, ...]
    kernel_drops: tuple[KernelDrop, ...]
    cleanup: Cleanup | None
    gaps: tuple[Gap, ...]
    kernel_drops_absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What recording.json says of itself, in every format."""

    format: int
    version: str = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file of a bundle."""

    file: str
    bytes: int
    sha256: str


def write_snapshot(folder: Path, snapshot: ClusterSnapshot) -> None:
    """Write cluster.json."""
    _write_json(folder / CLUSTER, snapshot)


def write_facts(folder: Path, when: str, facts: Iterable[NodeFacts], texts: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write what nodes said `before` or `after` the capture; `texts` holds the raw answers by node and question."""
    for node in facts:
        place = folder / "nodes" / _file_name(node.node)
        (place / when).mkdir(parents=True, exist_ok=True)
        _write_json(place / f"{when}.json", node)
        for key, text in texts.get(node.node, {}).items():
            (place / when / f"{_file_name(key)}.txt").write_bytes(text)


def write_drop_log(folder: Path, node: str, text: bytes) -> None:
    """Write what the kernel of `node` printed of its drops while the captures ran."""
    place = folder / "nodes" / _file_name(node)
    place.mkdir(parents=True, exist_ok=True)
    (place / "drops.txt").write_bytes(text)


def write_recording(folder: Path, recording: Recording) -> None:
    """Write recording.json; written anew at each step, so that an interrupted trace leaves what it had."""
    _write_json(
        folder / RECORDING,
        _Core(
            format=FORMAT,
            session=recording.session,
            version=recording.version,
            started_ns=recording.started_ns,
            duration_s=recording.duration_s,
            interrupted=recording.interrupted,
            request=recording.request,
            overlay=recording.overlay,
            flows=recording.flows,
            paths=recording.paths,
            captures=recording.captures,
            kernel_drops=recording.kernel_drops,
            cleanup=recording.cleanup,
            gaps=recording.gaps,
            kernel_drops_absent=recording.kernel_drops_absent,
        ),
    )


def write_manifest(folder: Path) -> None:
    """Write manifest.json over every other file of the folder."""
    entries = [
        ManifestEntry(file=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    ]
    _write_json(folder / MANIFEST, entries)


def is_trace_folder(folder: Path) -> bool:
    """Whether `folder` holds a recording of ours."""
    return (folder / RECORDING).is_file()


def read(folder: Path) -> Recording:
    """The recording in `folder`. Captures that are missing or no longer what the manifest says are failed ones.

    Raises:
        CannotRunError: not readable, or written by a newer version.
    """
    # A newer format may have other fields, so its number is read first, and alone.
    head = _read_json(folder / RECORDING, _Head)
    if head.format > FORMAT:
        raise CannotRunError(
            f"this recording was written by kubectl-vxtrace {head.version} in format {head.format}; this version reads up to {FORMAT}",
            "update the plugin: kubectl krew upgrade vxtrace",
        )
    core = _read_json(folder / RECORDING, _Core)
    if (trouble := unfitting(core.flows, core.paths)) is not None:
        raise CannotRunError(f"cannot read {folder / RECORDING}: {trouble}", _WHOLE_HINT)
    nodes = folder / "nodes"
    return Recording(
        session=core.session,
        version=core.version,
        started_ns=core.started_ns,
        duration_s=core.duration_s,
        interrupted=core.interrupted,
        request=core.request,
        snapshot=_read_json(folder / CLUSTER, ClusterSnapshot) if (folder / CLUSTER).is_file() else None,
        overlay=core.overlay,
        flows=core.flows,
        paths=core.paths,
        before=tuple(_read_json(path, NodeFacts) for path in sorted(nodes.glob("*/before.json"))),
        after=tuple(_read_json(path, NodeFacts) for path in sorted(nodes.glob("*/after.json"))),
        captures=tuple(_checked(folder, capture) for capture in core.captures),
        kernel_drops=core.kernel_drops,
        cleanup=core.cleanup,
        gaps=core.gaps,
        kernel_drops_absent=core.kernel_drops_absent,
        folder=str(folder),
    )


def _checked(folder: Path, capture: CaptureResult) -> CaptureResult:
    if capture.file is None:
        return capture
    path = folder / _file_name(capture.file)
    if not path.is_file():
        return replace(capture, status=CaptureStatus.FAILED, file=None, reason="the file is missing in the bundle")
    if capture.sha256 is not None and sha256(path) != capture.sha256:
        return replace(
            capture, status=CaptureStatus.FAILED, file=None, reason="the file is not the one that was recorded: its SHA-256 differs"
        )
    return capture


def _file_name(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise CannotRunError(f"{name!r} cannot be the name of a file in a trace folder")
    return name


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def _read_json(path: Path, kind: type[T]) -> T:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CannotRunError(f"{path} is larger than {_MAX_JSON_BYTES} bytes")
        value = msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CannotRunError(f"cannot read {path}: {error}", _WHOLE_HINT) from error
    if (trouble := implausible(value)) is not None:
        raise CannotRunError(f"cannot read {path}: {trouble}", _WHOLE_HINT)
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
