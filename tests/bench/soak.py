"""Ten million healthy packets of mixed traffic: no loss is named, nothing is left open. Exit 1 if any is."""

import argparse
import tempfile
from pathlib import Path

from tests.bench import bulkrun, place
from tests.wire import bulk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `soak`."""
    parser.add_argument("--packets", type=int, default=10_000_000, help="packets on the wire (10000000)")
    parser.add_argument("--smoke", action="store_true", help="1000000 packets")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if nothing was called lost."""
    packets = 1_000_000 if arguments.smoke else arguments.packets
    # every payload byte that is compared, and little more: the files would fill a disk
    source = bulk.Bulk(seed=2, snaplen=220, skew_ns={"ada-ec-2": 40_000_000, "ada-ec-3": -900_000})
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
        recording, truth = bulkrun.write(Path(folder), packets, source)
        measured = bulkrun.measure(recording, truth)
    legs = [leg for flow in measured.report.flows for one in flow.directions for leg in one.legs]
    lost, unknown = sum(leg.lost for leg in legs), sum(leg.undetermined for leg in legs)
    print(f"soak    {truth.packets} healthy packets, {truth.sightings} sightings, {place.load()}")
    print(f"  {lost} lost, {unknown} undetermined, verdict {measured.report.verdict}; goal 0: {'met' if not lost + unknown else 'NOT met'}")
    print(f"  {measured.seconds:.1f} s, {truth.sightings / measured.seconds:,.0f} sightings/s, {measured.peak_bytes / 1e6:.0f} MB")
    return 0 if measured.report.verdict == "delivered" and not lost + unknown else 1
