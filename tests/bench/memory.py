"""The most memory that an analysis ever has, against the size of its files and 200 bytes for each sighting over a fixed 150 MB.

Without offloads, where every packet is in six files, and with them, where a frame holds many packets. Exit 1 beyond --most.
"""

import argparse
import tempfile
from pathlib import Path

from tests.bench import bulkrun, place
from tests.wire import bulk

GOAL_BYTES = 200
FIXED_BYTES = 150_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `memory`."""
    parser.add_argument("--sightings", type=int, default=3_600_000, help="frames in all twelve files (3600000)")
    parser.add_argument("--smoke", action="store_true", help="200000 sightings")
    parser.add_argument("--most", type=float, default=float(GOAL_BYTES), help="exit 1 beyond so many bytes a sighting (200)")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if small enough."""
    sightings = 200_000 if arguments.smoke else arguments.sightings
    worst = 0.0
    for gso, share in ((True, bulkrun.PACKETS_PER_SIGHTING), (False, 1 / 6)):
        with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
            recording, truth = bulkrun.write(Path(folder), round(sightings * share), bulk.Bulk(gso=gso))
            size_bytes = sum(one.size_bytes for one in recording.captures)
            peak_bytes = bulkrun.measure(recording, truth).peak_bytes
        each = max(peak_bytes - FIXED_BYTES, 0) / truth.sightings
        worst = max(worst, each)
        print(f"memory  {truth.sightings} sightings of {truth.packets} packets, {'with' if gso else 'without'} offloads")
        print(f"  peak {peak_bytes / 1e6:.0f} MB: 150 MB and {each:.0f} bytes a sighting, {peak_bytes / size_bytes:.2f} x the files")
    print(f"  {place.judged(worst, GOAL_BYTES, 'bytes a sighting')}")
    return 0 if worst <= arguments.most else 1
