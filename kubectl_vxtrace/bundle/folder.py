"""The trace folder: its layout, how it is written step by step; bundle/reading.py reads it back.

    README.txt            what is in it
    summary.md            to paste into the ticket
    report.html           the report to look at
    result.json           the report for programs
    schema.json           the JSON Schema of result.json
    handoff.md            for who runs the network between the nodes; only where packets were lost there
    merged.pcapng         the packets of all hops in one file, each with its number and what became of it
    audit.jsonl           every request to the API and every command on a node, one a line
    recording.json        what was asked, planned and captured
    cluster.json          what the Kubernetes API said
    nodes/NODE/before.json, after.json      what each node said, parsed
    nodes/NODE/before/KEY.txt, after/...    the same, as it was said
    nodes/NODE/drops.txt                    what its kernel said of the packets that it dropped
    NODE-pod.pcap ...     the captures
    NODE-...-ab.pcap      those of the datagrams that --ab sends between nodes, and of nothing else
    manifest.json         SHA-256 and size of every other file

A report is never read back: a verdict always comes from the recording.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kubectl_vxtrace.bundle.cut import asked, needed
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import Cleanup, ClusterSnapshot
from kubectl_vxtrace.model.facts import KernelDrop, NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureResult, Gap, PortComparison, Probe, Recording
from kubectl_vxtrace.model.request import Request

FORMAT = 1
RECORDING = "recording.json"
CLUSTER = "cluster.json"
MANIFEST = "manifest.json"
RESULT = "result.json"
SUMMARY = "summary.md"
PAGE = "report.html"
SCHEMA = "schema.json"
HANDOFF = "handoff.md"
MERGED = "merged.pcapng"
AUDIT = "audit.jsonl"
README = "README.txt"
README_TEXT = """\
A trace of kubectl vxtrace: the same packets, seen at every hop of a VXLAN overlay.

summary.md      verdict, why, what to do: to paste into a ticket
report.html     the same to look at, with the path drawn; runs nothing, loads nothing
result.json     the same for programs; schema.json is its JSON Schema
handoff.md      one page for who runs the network between the nodes, where packets were lost there
merged.pcapng   all packets in one file for Wireshark: an interface for each hop, one packet id at all hops, what became of it as comment
*.pcap          the captures, one for each hop: headers and DNS; the rest of each payload was taken out, unless --payload was given
*-ab.pcap       the datagrams that --ab had the nodes send each other, and nothing else
nodes/          what each node said before and after: links, routes, neighbours, rules, counters, connections of the traced addresses
cluster.json    what the Kubernetes API said of the traced pods, Services and nodes
audit.jsonl     every request to the API and every command on a node: when, what, how it ended, how long it took
manifest.json   SHA-256 of every file.   kubectl vxtrace analyze BUNDLE gives the same verdict again.
"""
_ANONYMIZED_TEXT = """
It is anonymized: pseudonyms stand for addresses, MACs, names of nodes, namespaces, pods, Services and policies, hashes of these, and DNS
names, the same in every file. The key is in no file, and no other bundle has the same pseudonyms. What is in one subnet still is.
As they were: ports, times, lengths, versions, names of NICs, chains and sets; loopback, link-local, multicast and broadcast addresses;
names that every cluster has (default, kube-system, kube-dns, coredns-...) and words of Kubernetes and networks used as names (dns, node).
nodes/ lacks raw answers that say addresses as hexadecimal numbers. Who knows a few of the true addresses can guess at neighbours.
"""
# Node names are RFC 1123 subdomains, so they are file names as they are; anything else is refused.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,252}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
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
    kernel_drops_logged: dict[str, tuple[int, int]] = field(default_factory=dict)
    anonymized: bool = False
    probes: tuple[Probe, ...] = ()
    unprobed: tuple[str, ...] = ()
    ab: PortComparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file of a bundle."""

    file: str
    bytes: int
    sha256: str


def readme(*, anonymized: bool) -> str:
    """What README.txt says of a bundle."""
    return README_TEXT + (_ANONYMIZED_TEXT if anonymized else "")


def write_snapshot(folder: Path, snapshot: ClusterSnapshot) -> None:
    """Write cluster.json, without what nothing reads; see cut.needed."""
    _write_json(folder / CLUSTER, needed(snapshot))


def write_facts(folder: Path, when: str, facts: Iterable[NodeFacts], texts: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write what nodes said `before` or `after` the capture; `texts` holds the raw answers by node and question."""
    for node in facts:
        place = folder / "nodes" / file_name(node.node)
        (place / when).mkdir(parents=True, exist_ok=True)
        _write_json(place / f"{when}.json", node)
        for key, text in texts.get(node.node, {}).items():
            (place / when / f"{file_name(key)}.txt").write_bytes(text)


def write_drop_log(folder: Path, node: str, text: bytes) -> None:
    """Write what the kernel of `node` printed of its drops while the captures ran."""
    place = folder / "nodes" / file_name(node)
    place.mkdir(parents=True, exist_ok=True)
    (place / "drops.txt").write_bytes(text)


def write_recording(folder: Path, recording: Recording) -> None:
    """Write recording.json; written anew at each step, so that an interrupted trace leaves what it had."""
    _write_json(
        folder / RECORDING,
        Core(
            format=FORMAT,
            session=recording.session,
            version=recording.version,
            started_ns=recording.started_ns,
            duration_s=recording.duration_s,
            interrupted=recording.interrupted,
            request=asked(recording.request) if recording.request is not None else None,
            overlay=recording.overlay,
            flows=recording.flows,
            paths=recording.paths,
            captures=recording.captures,
            kernel_drops=recording.kernel_drops,
            cleanup=recording.cleanup,
            gaps=recording.gaps,
            kernel_drops_absent=recording.kernel_drops_absent,
            kernel_drops_logged=recording.kernel_drops_logged,
            anonymized=recording.anonymized,
            probes=recording.probes,
            unprobed=recording.unprobed,
            ab=recording.ab,
        ),
    )


def write_audit(folder: Path, lines: Iterable[str]) -> None:
    """Write audit.jsonl; each line is an object of JSON."""
    with (folder / AUDIT).open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def texts(folder: Path) -> tuple[dict[str, dict[str, dict[str, bytes]]], dict[str, bytes]]:
    """What nodes said, as they said it: by `before` and `after`, node and question; and their kernels' words on drops, by node."""
    nodes = folder / "nodes"
    said: dict[str, dict[str, dict[str, bytes]]] = {"before": {}, "after": {}}
    for when, by_node in said.items():
        for path in sorted(nodes.glob(f"*/{when}/*.txt")):
            by_node.setdefault(path.parent.parent.name, {})[path.stem] = path.read_bytes()
    return said, {path.parent.name: path.read_bytes() for path in sorted(nodes.glob("*/drops.txt"))}


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


def file_name(name: str) -> str:
    """A name that may stand in a trace folder. Raises CannotRunError for any other."""
    if not _FILE_NAME.fullmatch(name):
        raise CannotRunError(f"{name!r} cannot be the name of a file in a trace folder")
    return name


def _write_json(path: Path, value: object) -> None:
    """Write a file; what stood there stays whole until the new one is. Where there is no room for both, it is written over what stood
    there if it is no longer than that. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    made = path.with_name(path.name + ".new")
    try:
        made.write_bytes(text)
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
        if not path.is_file() or path.stat().st_size < len(text):
            raise
        with path.open("r+b") as file:
            file.write(text)
            file.truncate()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
