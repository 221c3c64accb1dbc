"""Steps 8 and 9: from a recording to a report. The only way from captures to a verdict; no cluster."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kubectl_vxtrace import journeys, packets
from kubectl_vxtrace.diagnosis import diagnose
from kubectl_vxtrace.diagnosis.verdict import conclude
from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.journeys.select import ShownJourney, shown
from kubectl_vxtrace.model.journeys import Case
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import CaptureResult, CaptureStatus, Recording
from kubectl_vxtrace.model.report import PacketLine, SightingReport, TraceReport
from kubectl_vxtrace.packets.summary import summarise
from kubectl_vxtrace.topology.infer import infer

_SHOW_BY_DEFAULT = 5


def analyse(recording: Recording) -> TraceReport:
    """The report of `recording`, whatever made it: a trace, an interrupted one, a bundle, or files recorded by hand.

    Raises:
        CannotRunError: files from which no path can be inferred.
    """
    recording, tables = read_tables(recording)
    if not recording.flows:
        recording = infer(recording, tables)
    case = journeys.follow(recording, tables)
    report = conclude(case, diagnose(case))
    return replace(report, packets=_packet_lines(case))


def read_tables(recording: Recording) -> tuple[Recording, dict[Tap, PacketTable]]:
    """Decode every capture. One that cannot be read becomes a failed capture with the reason; the others stay."""
    ports = {vtep.port for vtep in recording.overlay.vteps if vtep.port is not None} | packets.VXLAN_PORTS
    tables: dict[Tap, PacketTable] = {}
    captures: list[CaptureResult] = []
    for capture in recording.captures:
        if capture.file is not None:
            try:
                table = packets.read_pcap(Path(recording.folder) / capture.file, tap=capture.task.tap, vxlan_ports=ports)
            except PcapError as error:
                capture = replace(capture, status=CaptureStatus.FAILED, reason=f"the file cannot be read: {error.message}")
            else:
                tables[capture.task.tap] = table
                if not table.whole:
                    capture = replace(capture, status=CaptureStatus.PARTIAL, reason="the file ends in the middle of a packet")
        captures.append(capture)
    return replace(recording, captures=tuple(captures)), tables


def _packet_lines(case: Case) -> tuple[PacketLine, ...]:
    request = case.recording.request
    picked = shown(case, delivered=request.show if request is not None else _SHOW_BY_DEFAULT)
    summaries = _summaries(case, picked)
    return tuple(
        PacketLine(
            id=number,
            flow=journey.flow,
            direction=journey.direction,
            client_port=journey.client_port,
            summary=summary,
            outcome=journey.outcome,
            sightings=tuple(
                SightingReport(hop=hop, time=rfc3339(int(case.tables[tap].time_ns[row])), frame=int(case.tables[tap].frame[row]))
                for hop, tap, row in journey.sightings
            ),
        )
        for number, (journey, summary) in enumerate(zip(picked, summaries, strict=True), start=1)
    )


def _summaries(case: Case, picked: Sequence[ShownJourney]) -> list[str]:
    """One line for each journey, from its first sighting; each file is opened once."""
    wanted: dict[Tap, list[tuple[int, int]]] = defaultdict(list)
    for index, journey in enumerate(picked):
        _, tap, row = journey.sightings[0]
        wanted[tap].append((index, row))
    files = {capture.task.tap: capture.file for capture in case.recording.captures if capture.file is not None}
    lines = [""] * len(picked)
    for tap, places in wanted.items():
        texts = summarise(Path(case.recording.folder) / files[tap], case.tables[tap], [row for _, row in places])
        for (index, _), text in zip(places, texts, strict=True):
            lines[index] = text
    return lines


def rfc3339(time_ns: int) -> str:
    """RFC 3339 UTC with nine digits of a second."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
