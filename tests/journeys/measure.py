"""What the thresholds of `journeys.judgement` rest on, in recordings: `python -m tests.journeys.measure FOLDER...`.

How far apart a packet's sightings at neighbouring taps of one node are, with no bound on how early the later one may be; and which share of
each tap's frames looks doubled.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from kubectl_vxtrace import journeys
from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.bundle import source
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.judgement import DOUBLED_LEAST_FRAMES
from kubectl_vxtrace.journeys.match import match_packets
from kubectl_vxtrace.journeys.match.trajectories import Trajectories
from kubectl_vxtrace.journeys.records import PathFrames
from kubectl_vxtrace.journeys.witness import doubled
from kubectl_vxtrace.model.packets import I64
from tests.same_reports import recordings

UNBOUNDED_NS = 10**9
EARLY_NS = (0, 1_000, 20_000, 1_000_000, 10_000_000)


class Measured:
    """Delays between neighbouring taps of a node, of packets in frames of their own and of merged ones; shares of doubled frames."""

    def __init__(self) -> None:
        self.delays_ns: dict[str, list[I64]] = {"single": [], "merged": []}
        self.shares: list[float] = []

    def match(self, frames: PathFrames, clocks: Clocks, witness: Sequence[bool]) -> Trajectories:
        """As `match_packets`."""
        trajectories = match_packets(frames, clocks, witness)
        nodes = [hop.tap.node for hop in frames.path.hops]
        for first in range(len(nodes) - 1):
            if nodes[first] == nodes[first + 1]:
                delay_ns, is_merged = _delays(trajectories, first)
                self.delays_ns["single"].append(delay_ns[~is_merged])
                self.delays_ns["merged"].append(delay_ns[is_merged])
        return trajectories

    def print(self) -> None:
        """A few lines."""
        for name, parts in self.delays_ns.items():
            delay_ns = np.concatenate(parts) if parts else np.zeros(0, np.int64)
            if len(delay_ns):
                early = ", ".join(f"{np.count_nonzero(delay_ns < -bound):,} by more than {bound:,} ns" for bound in EARLY_NS)
                percentile = int(np.percentile(delay_ns, 99.9))
                print(f"{name}: {len(delay_ns):,} pairs; early: {early}; 99.9 % at most {percentile:,} ns late")
        largest = max(self.shares, default=0.0)
        print(f"{len(self.shares):,} taps with IP IDs; the largest share of frames with a double is {largest:.2f}")


def _delays(trajectories: Trajectories, first: int) -> tuple[I64, NDArray[np.bool_]]:
    """Of the packets that were seen at a hop and the next: from the one to the other; and whether the frames hold different sizes."""
    both = np.flatnonzero(trajectories.seen[:, first] & trajectories.seen[:, first + 1])
    times_ns = []
    for hop in (first, first + 1):
        frames = trajectories.frames.hops[hop]
        times_ns.append(frames.table.time_ns[frames.row[trajectories.frame[both, hop]]])
    payload = trajectories.payload_bytes[both]
    return times_ns[1] - times_ns[0], payload[:, first] != payload[:, first + 1]


def main(roots: Sequence[Path]) -> None:
    """Measure all recordings below some folders."""
    measured = Measured()
    early = "kubectl_vxtrace.journeys.match.hop_by_hop.EARLY_"
    with (
        patch.object(journeys, "match_packets", measured.match),
        patch(f"{early}ARRIVAL_NS", UNBOUNDED_NS),
        patch(f"{early}MERGED_ARRIVAL_NS", UNBOUNDED_NS),
    ):
        for path in (path for root in roots for path in recordings(root)):
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    tables = examine(source.open_recording([path], Path(scratch))).case.tables
                except VxtraceError as error:
                    print(f"{path}: {error}", file=sys.stderr)
                    continue
            shares = [doubled._share(table, slice(None)).with_id for table in tables.values() if len(table) >= DOUBLED_LEAST_FRAMES]
            measured.shares += [share for share in shares if share >= 0]
    measured.print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    main(parser.parse_args().folders)
