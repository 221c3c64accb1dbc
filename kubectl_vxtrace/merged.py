"""The merged capture: the frames of all hops in one pcapng, each with its packet's number and what became of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kubectl_vxtrace.model.journeys import VERDICTS, Case, OutcomeCode, TracedPath
from kubectl_vxtrace.model.packets import I32, U8, U64, PacketTable
from kubectl_vxtrace.model.path import Hop, Role, Tap
from kubectl_vxtrace.model.recording import CaptureResult
from kubectl_vxtrace.model.report import TraceReport
from kubectl_vxtrace.model.text import clean
from kubectl_vxtrace.packets.pcapng_blocks import InterfaceNotes
from kubectl_vxtrace.packets.pcapng_writer import NotedFrames, write_merged

_INTO_NODE, _OUT_OF_NODE = 1, 2

_Leg = tuple[int, str, int, int]
"""Flow, direction, and the hops between which packets ended (0: none)."""


def write(case: Case, report: TraceReport, destination: BinaryIO) -> int:
    """Write the frames of every capture, in order of time by the reference's clock.

    An interface stands for each capture, named `3 ada-ec-1 ens4 underlay` after the hop that it is of the first path that passes it.
    All sightings of a packet have one packet id, and a comment: hop, flow, outcome, the leg that lost it and the cause, and when its own
    node's clock saw it. Frames of no followed flow have neither.

    Args:
        case: as the report was made from.
        destination: where to; need not be seekable.

    Returns:
        How many frames it has.

    Raises:
        PcapError: a capture can no longer be read as it was.
        OSError: the destination cannot be written.
    """
    comments = _Comments(_causes(report))
    columns = _columns(case, comments)
    shifts = case.clock_shifts_ns
    hops = _first_hops(case)
    captures = []
    for capture in sorted(case.recording.captures, key=lambda each: each.task.id):
        tap = capture.task.tap
        if capture.file is not None and tap in case.tables:
            files = tuple(Path(case.recording.folder) / name for name in (capture.file, *capture.further_files))
            table, column = case.tables[tap], columns[tap]
            captures.append(
                NotedFrames(
                    files=files,
                    table=table,
                    notes=_notes(capture, hops.get(tap, ())),
                    time_ns=table.time_ns - shifts.get(tap.node, 0),
                    packet_id=column.packet_id,
                    comment=column.comment,
                    direction=column.direction,
                )
            )
    about = clean(f"{report.verdict.value.upper()}: {report.summary}", keep_newlines=False)
    program = f"kubectl-vxtrace {report.metadata.version}"
    return write_merged(destination, captures, comments=comments.texts, names=_names(case), about=about, program=program)


@dataclass(slots=True, eq=False)
class _Columns:
    """What is said of the frames of one capture; see NotedFrames."""

    packet_id: U64
    comment: I32
    direction: U8


@dataclass(slots=True)
class _Comments:
    """All comments, each once."""

    causes: Mapping[_Leg, str]
    texts: list[str] = field(default_factory=list)

    def add(self, traced: TracedPath, hop: Hop, outcome: OutcomeCode, ended: tuple[int, int], last: int) -> int:
        """The number of the comment on packets of one path at one of its hops. ended: see _Leg. last: the hop that saw them last."""
        path = traced.path
        words = f"hop {hop.hop} of {len(path.hops)}, flow {path.flow} {path.direction.value}: {VERDICTS[outcome].value}"
        if outcome is not OutcomeCode.DELIVERED:
            place = _place(*ended)
            cause = self.causes.get((path.flow, path.direction.value, *ended))
            words += f"{place}, last seen at hop {last}" + (f", cause {cause}" if cause else "")
        self.texts.append(f"; {words}")
        return len(self.texts) - 1


def _place(lost_from: int, lost_to: int) -> str:
    """Where packets ended, in words; nothing where they ended nowhere."""
    if not lost_from:
        return ""
    return f" between hop {lost_from} and hop {lost_to}" if lost_to else f" behind hop {lost_from}"


def _causes(report: TraceReport) -> dict[_Leg, str]:
    """The first finding about each leg, which is the one that counts."""
    causes: dict[_Leg, str] = {}
    for finding in report.findings:
        if finding.flow is not None and finding.direction is not None and finding.leg is not None:
            leg = (finding.flow, finding.direction.value, finding.leg.from_ or 0, finding.leg.to or 0)
            causes.setdefault(leg, finding.cause)
    return causes


def _columns(case: Case, comments: _Comments) -> dict[Tap, _Columns]:
    """Packet ids, comments and directions of the frames of every capture."""
    columns = {tap: _empty(table) for tap, table in case.tables.items()}
    before = 1
    for traced in case.paths:
        table = traced.journeys
        number = np.arange(before, before + len(table), dtype=np.uint64)
        before += len(table)
        seen = table.row >= 0
        last = np.array([hop.hop for hop in traced.path.hops], np.int64)[seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)]
        kinds, kind = np.unique(np.stack([table.outcome, table.lost_from, table.lost_to, last], axis=1), axis=0, return_inverse=True)
        for index, hop in enumerate(traced.path.hops):
            texts = np.array(
                [comments.add(traced, hop, OutcomeCode(outcome), (start, end), at) for outcome, start, end, at in kinds.tolist()], np.int32
            )
            here = np.flatnonzero(seen[:, index])[::-1]  # of packets in one frame the first is named
            if not len(here):
                continue  # a capture without a file has no table
            rows, column = table.row[here, index], columns[hop.tap]
            column.packet_id[rows] = number[here]
            column.comment[rows] = texts[kind.reshape(-1)[here]]
            column.direction[rows] = _direction(traced, hop)
    return columns


def _empty(table: PacketTable) -> _Columns:
    count = len(table)
    return _Columns(packet_id=np.zeros(count, np.uint64), comment=np.full(count, -1, np.int32), direction=np.zeros(count, np.uint8))


def _direction(traced: TracedPath, hop: Hop) -> int:
    """Into the node or out of it, 0 where the hop does not tell: a pod's host-side interface lets in what its pod sends."""
    hops = traced.path.hops
    match hop.role:
        case Role.POD:
            return _INTO_NODE if hop is hops[0] else _OUT_OF_NODE
        case Role.VXLAN | Role.UNDERLAY:
            return _OUT_OF_NODE if hop.tap.node == hops[0].tap.node else _INTO_NODE
        case _:
            return 0


def _first_hops(case: Case) -> dict[Tap, tuple[tuple[TracedPath, Hop], ...]]:
    """The hops that each tap is, in the order of the paths."""
    found: dict[Tap, tuple[tuple[TracedPath, Hop], ...]] = {}
    for traced in case.paths:
        for hop in traced.path.hops:
            found[hop.tap] = (*found.get(hop.tap, ()), (traced, hop))
    return found


def _notes(capture: CaptureResult, hops: tuple[tuple[TracedPath, Hop], ...]) -> InterfaceNotes:
    """What stands beside the packets of one capture."""
    task = capture.task
    number = [str(hops[0][1].hop)] if hops else []
    name = " ".join([*number, task.tap.node, task.tap.interface or task.tap.place, task.role.value])
    described = "; ".join(f"hop {hop.hop} of flow {traced.path.flow} {traced.path.direction.value}" for traced, hop in hops[:20])
    return InterfaceNotes(
        name=clean(name, keep_newlines=False),
        description=described or None,
        filter=task.filter,
        snaplen_bytes=task.snaplen_bytes,
        started_ns=capture.started_ns,
        stopped_ns=capture.stopped_ns,
        received=capture.received,
        dropped=capture.dropped_by_kernel,
    )


def _names(case: Case) -> dict[str, str]:
    """Names of the addresses that packets bear: pods, Services, nodes and their VXLAN devices."""
    names = dict(_ends(case))
    for vtep in case.recording.overlay.vteps:
        if vtep.underlay_address is not None:
            names.setdefault(vtep.underlay_address, vtep.node)
        if vtep.address is not None:
            names.setdefault(vtep.address, f"{vtep.node} {vtep.interface}")
    return {address: clean(name, keep_newlines=False) for address, name in names.items()}


def _ends(case: Case) -> Iterator[tuple[str, str]]:
    """Addresses of the followed flows that have a name."""
    for flow in case.flows:
        if flow.service is not None and flow.service.address and flow.service.name:
            yield flow.service.address, flow.service.name
        for end in (flow.client, flow.server, *flow.candidates):
            if end is not None and (name := end.pod or end.node):
                yield end.address, name
