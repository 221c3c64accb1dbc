"""A report in every form, and the merged capture, beside tcpdump's text and mergecap's file of the same captures.

Each in one process, after the analysis. Exit 1 beyond --most seconds.
"""

import argparse
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kubectl_vxtrace import merged
from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.commands import forms
from kubectl_vxtrace.flags.values import Output
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.report import table, wide
from tests.bench import bulkrun, place, resident
from tests.bench.figures import Figure, Result

GOAL_S = 3.0
GOAL_BYTES = 300_000_000
GOAL_PAGE_BYTES = 3_000_000
GOAL_MERGED_PER_S = 300_000
FORMS = (Output.JSON, Output.YAML, Output.MARKDOWN, Output.HTML, Output.HANDOFF, Output.PACKETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the forms of one report took. sizes: bytes by form. merged_s: the merged capture alone, `merged_frames` in it."""

    seconds: dict[str, float]
    sizes: dict[str, int]
    peak_bytes: int
    merged_s: float
    merged_frames: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    parser.add_argument("--packets", type=int, default=100_000, help="packets of the recording (100000)")
    parser.add_argument("--smoke", action="store_true", help="5000 packets, however fast")
    parser.add_argument("--most", type=float, default=2 * GOAL_S, help="exit 1 beyond so many seconds for all forms (6)")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if fast enough."""
    for peer in ("tcpdump", "mergecap"):
        if shutil.which(peer) is None:
            raise place.SkippedError(f"{peer} is not installed; it is a peer that this is measured against")
    packets = 5_000 if arguments.smoke else arguments.packets
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        recording, truth = bulkrun.write(Path(folder), packets)
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
            written = process.submit(_written, recording).result()
        files = [str(Path(folder) / capture.file) for capture in recording.captures if capture.file is not None]
        text_s = sum(_seconds(["tcpdump", "-nn", "-tttt", "-r", file]) for file in files)
        merge_s = _seconds(["mergecap", "-w", str(Path(folder) / "peer.pcapng"), *files])
    total_s = sum(written.seconds.values())
    print(f"report  {truth.packets} packets, {truth.sightings} sightings, {place.load()}")
    for form, seconds in written.seconds.items():
        print(f"  {form:9} {seconds:8.3f} s {written.sizes[form]:12,} bytes")
    print(f"  all forms {total_s:8.2f} s, peak {written.peak_bytes / 1e6:.0f} MB; tcpdump -tttt of all files {text_s:.2f} s")
    rate = written.merged_frames / written.merged_s
    print(f"  merged    {written.merged_s:8.2f} s {rate:12,.0f} packets/s; mergecap {merge_s:.2f} s")
    what = f"report of {truth.packets:,} packets"
    figures = (
        Figure(
            what=f"{what} in all forms",
            ours=f"{total_s:.2f} s",
            peer=f"tcpdump's text {text_s:.2f} s",
            value=total_s,
            unit="s",
            at_most=GOAL_S,
        ),
        Figure(what=f"{what}: memory", ours="analysis and forms", value=written.peak_bytes / 1e6, unit="MB", at_most=GOAL_BYTES / 1e6),
        Figure(what=f"{what}: HTML", ours="one page", value=written.sizes[Output.HTML] / 1e6, unit="MB", at_most=GOAL_PAGE_BYTES / 1e6),
        Figure(
            what="merged capture",
            ours=f"{written.merged_frames:,} packets in {written.merged_s:.2f} s",
            peer=f"mergecap {merge_s:.2f} s",
            value=rate,
            unit="packets/s",
            at_least=GOAL_MERGED_PER_S,
        ),
    )
    return Result(status=0 if arguments.smoke or total_s <= arguments.most else 1, figures=figures)


def _written(recording: Recording) -> Written:
    found = examine(recording)
    seconds: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, body in (("table", table.body), ("wide", wide.body)):
        started_s = time.perf_counter()
        sizes[name] = len(body(found.report, width=120, color=False).encode())
        seconds[name] = time.perf_counter() - started_s
    for form in FORMS:
        started_s = time.perf_counter()
        sizes[form.value] = sum(len(piece.encode()) for piece in forms.pieces(found, form))
        seconds[form.value] = time.perf_counter() - started_s
    started_s = time.perf_counter()
    with (Path(recording.folder) / "merged.pcapng").open("wb") as stream:
        frames = merged.write(found.case, found.report, stream)
    merged_s = time.perf_counter() - started_s
    return Written(seconds=seconds, sizes=sizes, peak_bytes=resident.peak_bytes(), merged_s=merged_s, merged_frames=frames)


def _seconds(command: list[str]) -> float:
    started_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started_s
