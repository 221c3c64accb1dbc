"""Steps 8 and 9: from a recording to a report. The only way from captures to a verdict; no cluster."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path

import numpy as np

from kubectl_vxtrace import journeys, packets
from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.dropped import with_dropped
from kubectl_vxtrace.diagnosis.node_ends import with_deaths_in_nodes
from kubectl_vxtrace.diagnosis.report.leg_sizes import fitting_bytes, size_notes
from kubectl_vxtrace.diagnosis.report.notes import notes
from kubectl_vxtrace.diagnosis.report.port_comparison import compared, comparison_notes
from kubectl_vxtrace.diagnosis.report.sections import packet_lines
from kubectl_vxtrace.diagnosis.report.verdict import conclude
from kubectl_vxtrace.diagnosis.rules.reverse_path import without_unproven
from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.handover import settle as settle_files
from kubectl_vxtrace.handover.switches import with_switches
from kubectl_vxtrace.journeys import every, shown
from kubectl_vxtrace.model.decoding import inside_tunnels, vxlan_ports
from kubectl_vxtrace.model.journeys import Case, ShownJourney
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, PortComparison, Recording
from kubectl_vxtrace.model.report import TraceReport, Verdict
from kubectl_vxtrace.packets.dissect import dissect
from kubectl_vxtrace.packets.summary import summarise
from kubectl_vxtrace.report import probed
from kubectl_vxtrace.report.context import context
from kubectl_vxtrace.report.lines import SeenPacket
from kubectl_vxtrace.topology.cni import CNIS
from kubectl_vxtrace.topology.infer import infer
from kubectl_vxtrace.topology.ports import settle_ports

_SHOW_BY_DEFAULT = 5
# A person reads a few; each costs tshark milliseconds.
_MOST_DISSECTED = 20
_PACKETS_AT_ONCE = 4096

Place = tuple[Tap, int]
"""A frame: its tap, and its row in the tap's PacketTable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A report, and what its packets were read from."""

    report: TraceReport
    case: Case
    picked: tuple[ShownJourney, ...]


def analyse(recording: Recording) -> TraceReport:
    """The report of `recording`, whatever made it: a trace, an interrupted one, a bundle, or files recorded by hand.

    Raises:
        CannotRunError: not one of the files that somebody recorded by hand can be read.
    """
    return examine(recording).report


def examine(recording: Recording) -> Examined:
    """`analyse`, with what is needed to dissect the report's packets. Raises as it does."""
    recording, tables = _read(replace(recording, cnis=CNIS))
    recording = journeys.with_foreign_sources(recording, tables)
    case = with_deaths_in_nodes(without_unproven(journeys.follow(recording, tables)))
    findings = diagnose(case)
    settled = with_dropped(case, findings)
    picked = shown(settled, delivered=recording.request.show if recording.request is not None else _SHOW_BY_DEFAULT)
    report = replace(conclude(case, findings), packets=packet_lines(picked, settled.tables, _summaries(settled, picked)))
    report = replace(report, ab=compared(recording.ab, _tables_between_nodes(recording.ab, recording.folder), recording.before))
    more = (*size_notes(settled, report.leg_sizes), *comparison_notes(recording.ab, report.ab))
    report = _naming_probes(_with_notes(report, recording, more), settled)
    return Examined(report=report, case=settled, picked=picked)


def _naming_probes(report: TraceReport, case: Case) -> TraceReport:
    """The report, which says so where nothing but probes of this trace was seen."""
    seen = {
        (traced.flow.protocol, port)
        for traced in case.paths
        if not traced.flow.asks_next_hop
        for port in np.unique(traced.journeys.client_port).tolist()
    }
    if not probed.only_probes(case.recording, seen):
        return report
    said = f"{report.summary}; all of it probes that this trace sent"
    fitting = fitting_bytes(report.leg_sizes)
    if report.verdict is Verdict.DELIVERED and fitting is not None:
        said += f", the largest of {fitting} bytes"
    return replace(report, summary=said)


def _read(recording: Recording) -> tuple[Recording, dict[Tap, PacketTable]]:
    """The recording with what its captures saw, and with flows and paths: planned ones, or those that loose files show."""
    if recording.loose and not recording.flows:
        settled = settle_files(recording)
        return infer(_dated(settled.recording, settled.tables), settled.tables, settled.fabric), settled.tables
    recording, tables = read_tables(recording)
    recording = settle_ports(recording, tables)
    return with_switches(recording, tables) if recording.loose else (recording, tables)


def _with_notes(report: TraceReport, recording: Recording, more: Sequence[str]) -> TraceReport:
    """The report with what was asked for, with what it was made, and what has to be said beside it, `more` last; loose files are
    called as they were handed over."""
    names = {capture.file: capture.task.file for capture in recording.captures if capture.status is CaptureStatus.PRESUMED}
    scrubbed = {capture.task.id for capture in recording.captures if capture.scrubbed}
    request = recording.request
    return replace(
        report,
        metadata=replace(
            report.metadata,
            ticket=request.ticket if request is not None else None,
            context=context(recording),
            anonymized=recording.anonymized,
        ),
        completeness=replace(report.completeness, notes=(*notes(recording), *probed.notes(recording), *more)),
        captures=tuple(replace(line, file=names.get(line.file, line.file), scrubbed=line.id in scrubbed) for line in report.captures),
    )


def dissected(examined: Examined) -> TraceReport:
    """The report with tshark's dissection of its first packets.

    Raises:
        DissectError: there is no tshark, or it failed; the report stands without it.
    """
    case = examined.case
    first_tap = case.paths[0].path.hops[0].tap if case.paths and case.paths[0].path.hops else None
    places = [_readable_place(journey, first_tap) for journey in examined.picked[:_MOST_DISSECTED]]
    texts: dict[Place, str] = {}
    for tap, path, rows in _by_file(case, places):
        found = dissect(path, case.tables[tap], rows, vxlan_ports=vxlan_ports(case.recording))
        texts.update({(tap, row): text for row, text in found.items()})
    lines = [replace(line, dissection=texts.get(place)) for line, place in zip(examined.report.packets, places, strict=False)]
    return replace(examined.report, packets=(*lines, *examined.report.packets[len(lines) :]))


def every_packet(examined: Examined) -> Iterator[SeenPacket]:
    """Each packet of the followed flows, not only those that a report lists, in order of time; read some at a time.

    Raises:
        PcapError: a capture can no longer be read as it was.
    """
    case, journeys_left = examined.case, every(examined.case)
    # By the taps themselves, which the case holds: to hash one by its names takes longer than all else that is done for a sighting.
    tables = {id(hop.tap): case.tables[hop.tap] for traced in case.paths for hop in traced.journeys.path.hops if hop.tap in case.tables}
    while picked := tuple(islice(journeys_left, _PACKETS_AT_ONCE)):
        yield from map(_seen, picked, _summaries(case, picked), repeat(tables))


def _seen(journey: ShownJourney, summary: str, tables: Mapping[int, PacketTable]) -> SeenPacket:
    _, first, row = journey.sightings[0]
    return SeenPacket(
        journey.flow,
        journey.direction,
        journey.client_port,
        journey.outcome,
        summary,
        int(tables[id(first)].time_ns[row]),
        [hop for hop, _, _ in journey.sightings],
        [int(tables[id(tap)].frame[row]) for _, tap, row in journey.sightings],
    )


def read_tables(recording: Recording) -> tuple[Recording, dict[Tap, PacketTable]]:
    """Decode every capture. One that cannot be read becomes a failed capture with the reason; the others stay."""
    files = [(capture.task.tap, Path(recording.folder) / capture.file) for capture in recording.captures if capture.file is not None]
    inside = inside_tunnels(recording.flows, (capture.task for capture in recording.captures))
    found = iter(packets.read_pcaps(files, vxlan_ports=vxlan_ports(recording), inside=inside))
    tables: dict[Tap, PacketTable] = {}
    captures: list[CaptureResult] = []
    for capture in recording.captures:
        judged = capture
        if capture.file is not None:
            table = next(found)
            if isinstance(table, PcapError):
                judged = replace(capture, status=CaptureStatus.FAILED, reason=f"{Path(capture.file).name} cannot be read: {table.message}")
            else:
                tables[capture.task.tap] = table
                if (doubt := _doubt(capture, table)) is not None:
                    judged = replace(capture, status=CaptureStatus.PARTIAL, reason="; ".join(filter(None, (capture.reason, doubt))))
        captures.append(judged)
    return replace(recording, captures=tuple(captures)), tables


def _tables_between_nodes(ab: PortComparison | None, folder: str) -> dict[Tap, PacketTable]:
    """Decode the captures of the datagrams that nodes were sent to compare ports. One that cannot be read is left out."""
    kept = [capture for capture in ab.captures if capture.file is not None] if ab is not None else []
    if ab is None or not kept:
        return {}
    ports = {port for pair in ab.pairs for port in (pair.vxlan_port, pair.other_port)}
    found = packets.read_pcaps([(capture.task.tap, Path(folder) / str(capture.file)) for capture in kept], vxlan_ports=ports)
    named = zip(kept, found, strict=True)
    return {capture.task.tap: table for capture, table in named if isinstance(table, PacketTable) and _doubt(capture, table) is None}


def _doubt(capture: CaptureResult, table: PacketTable) -> str | None:
    """Why a file is not all that was captured, or None. tcpdump does not notice that a write failed, on a full disk for example."""
    if table.stopped_at is not None:
        return f"the file ends, or is damaged, in the middle of a packet: after packet {len(table)}, at byte {table.stopped_at}"
    if capture.captured is not None and len(table) < capture.captured:
        return f"the file holds {len(table)} of {capture.captured} captured packets"
    return None


def _dated(recording: Recording, tables: dict[Tap, PacketTable]) -> Recording:
    """Captures that nothing but their packets dates: from the first packet to the last."""
    times = [int(bound) for table in tables.values() if len(table) for bound in (table.time_ns.min(), table.time_ns.max())]
    if not times:
        return recording
    return replace(recording, started_ns=min(times), duration_s=round((max(times) - min(times)) / 1e9, 3))


def _summaries(case: Case, picked: Sequence[ShownJourney]) -> list[str]:
    """One line for each packet, of its first frame; each file is opened once."""
    places = [_first_place(journey) for journey in picked]
    texts: dict[Place, str] = {}
    for tap, path, rows in _by_file(case, places):
        texts.update({(tap, row): text for row, text in zip(rows, summarise(path, case.tables[tap], rows), strict=True)})
    return [texts[place] for place in places]


def _first_place(journey: ShownJourney) -> Place:
    _, tap, row = journey.sightings[0]
    return tap, row


def _readable_place(journey: ShownJourney, preferred: Tap | None) -> Place:
    """The sighting to dissect: at the client, where both directions pass, so that tshark mostly runs once."""
    return next(((tap, row) for _, tap, row in journey.sightings if tap == preferred), _first_place(journey))


def _by_file(case: Case, places: Sequence[Place]) -> Iterator[tuple[Tap, Path, list[int]]]:
    """The rows of each tap, by the file that they are in."""
    captures = {capture.task.tap: capture for capture in case.recording.captures if capture.file is not None}
    rows: dict[tuple[Tap, int], list[int]] = defaultdict(list)
    for tap, row in places:
        rows[tap, max(bisect_right(case.tables[tap].parts, row) - 1, 0)].append(row)
    for (tap, part), of_part in rows.items():
        file = (captures[tap].file, *captures[tap].further_files)[part]
        yield tap, Path(case.recording.folder) / str(file), of_part
