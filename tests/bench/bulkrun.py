"""The whole analysis of bulk traffic in a process of its own: how long it took, what memory, and whether the report is what happened."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kubectl_vxtrace import analysis
from kubectl_vxtrace.model.path import Direction
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.report import TraceReport
from tests.bench import resident
from tests.bench.bulkrecording import flow_id, record
from tests.bench.place import BrokenError
from tests.wire import bulk

PACKETS_PER_SIGHTING = 0.2302
"""Of bulk traffic with offloads; without them a packet is in six files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One analysis: wall clock, processor time, and the most memory that the process ever had."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    report: TraceReport


def write(folder: Path, packets: int, source: bulk.Bulk | None = None) -> tuple[Recording, bulk.Truth]:
    """Traffic and its recording. The writer's memory is gone afterwards."""
    with _another() as process:
        return process.submit(_write, folder, packets, source or bulk.Bulk()).result()


def measure(recording: Recording, truth: bulk.Truth) -> Measured:
    """Analyse it once, in a new process.

    Raises:
        BrokenError: the report is not what happened.
    """
    with _another() as process:
        measured = process.submit(_measure, recording).result()
    if wrong := differences(measured.report, truth):
        raise BrokenError("the report is not what happened: " + "; ".join(wrong[:5]))
    return measured


def differences(report: TraceReport, truth: bulk.Truth) -> list[str]:
    """Where the report's counts are not the truth."""
    found = []
    directions = {(flow.id, one.direction): one for flow in report.flows for one in flow.directions}
    for (conversation, server, reply), sent in truth.sent.items():
        key = flow_id(conversation, server), Direction.REPLY if reply else Direction.REQUEST
        if (seen := directions.get(key)) is None:
            found.append(f"flow {key} is not in the report")
            continue
        lost = sum(leg.lost for leg in seen.legs)
        unknown = sum(leg.undetermined for leg in seen.legs)
        wanted = (sent, truth.lost[conversation, server, reply], 0)
        if (seen.hops[0].packets, lost, unknown) != wanted:
            found.append(f"flow {key}: sent, lost, undetermined {seen.hops[0].packets}, {lost}, {unknown} and not {wanted}")
    return found


def _another() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def _write(folder: Path, packets: int, source: bulk.Bulk) -> tuple[Recording, bulk.Truth]:
    truth = source.write(folder, packets)
    return record(source, truth, folder), truth


def _measure(recording: Recording) -> Measured:
    started, cpu_started = time.perf_counter(), time.process_time()
    report = analysis.analyse(recording)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Measured(seconds=seconds, cpu_seconds=cpu_seconds, peak_bytes=resident.peak_bytes(), report=report)
