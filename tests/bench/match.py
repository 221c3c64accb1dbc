"""Decoding, matching and the verdict of twelve capture files, against `tshark -T fields` alone on the same files.

tshark reads the first packets of each file; what it would need for all of them follows from that. Ours is the best of the
runs, each in a process of its own. Exit 1 below --least times tshark, or if the report is not what happened.
"""

import argparse
import resource
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from kubectl_vxtrace.model.recording import Recording
from tests.bench import bulkrun, place
from tests.bench.decode import COLUMNS, run

GOAL = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `match`."""
    parser.add_argument("--sightings", type=int, default=3_600_000, help="frames in all twelve files (3600000)")
    parser.add_argument("--slice", type=int, default=50_000, help="packets of each file that tshark reads; 0: all (50000)")
    parser.add_argument("--runs", type=int, default=3, help="how often ours runs (3)")
    parser.add_argument("--smoke", action="store_true", help="200000 sightings, however fast")
    parser.add_argument("--least", type=float, default=15.0, help="exit 1 if not so many times as fast as tshark (15)")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if fast enough."""
    if shutil.which("tshark") is None:
        raise place.SkippedError("tshark is not installed; it is the peer that this is measured against")
    sightings, runs, most, least = arguments.sightings, arguments.runs, arguments.slice, arguments.least
    if arguments.smoke:
        sightings, runs, most, least = 200_000, 1, 5_000, 0.0
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        recording, truth = bulkrun.write(Path(folder), round(sightings * bulkrun.PACKETS_PER_SIGHTING))
        tries = [bulkrun.measure(recording, truth) for _ in range(runs)]
        peers = [tshark(recording, truth.frames[tap], tap, most) for tap in truth.frames]
    peer = Took(*(sum(parts) for parts in zip(*peers, strict=True)))
    best = min(tries, key=lambda one: one.seconds)
    print(f"match   {truth.sightings} sightings of {truth.packets} packets in {len(truth.frames)} files, {place.load()}")
    print(f"  ours       {best.seconds:8.2f} s {truth.sightings / best.seconds:12,.0f} sightings/s ({best.cpu_seconds:.2f} s of processor)")
    said = f"from {most} packets of each file" if most else "all packets"
    print(f"  tshark     {peer.seconds:8.2f} s {truth.sightings / peer.seconds:12,.0f} packets/s ({peer.cpu_seconds:.2f} s), {said}")
    ratio, cpu_ratio = peer.seconds / best.seconds, peer.cpu_seconds / best.cpu_seconds
    print(f"  {ratio:.1f} x tshark (goal {GOAL}); by processor time alone {cpu_ratio:.1f} x")
    return 0 if ratio >= least else 1


class Took(NamedTuple):
    """What something took: wall clock and processor time."""

    seconds: float
    cpu_seconds: float


def tshark(recording: Recording, frames: int, tap: tuple[str, str], most: int) -> Took:
    """What tshark needs for one file, from its first `most` packets. What it needs to start is measured and counts once."""
    capture = next(one for one in recording.captures if (one.task.tap.node, one.task.tap.interface) == tap)
    command = ["tshark", "-n", "-r", str(Path(recording.folder) / (capture.file or "")), "-T", "fields"]
    command += [part for column in COLUMNS for part in ("-e", column)]
    if not most or frames <= most:
        return took(command)
    start, part = took([*command, "-c", "1"]), took([*command, "-c", str(most)])
    return Took(*(one + max(more - one, 0.0) * frames / most for one, more in zip(start, part, strict=True)))


def took(command: list[str]) -> Took:
    """Run a peer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
