"""Whether the analysis of ten and a hundred times as many sightings takes ten and a hundred times as long.

Compared is processor time, which others on the machine disturb least, the best of the runs of each size. What a sighting takes at the
largest size may exceed that at the others by a fifth; small ones bear what does not grow. Exit 1 beyond --most.
"""

import argparse
import tempfile
from pathlib import Path

from tests.bench import bulkrun, place

GOAL = 1.2
SIZES = (100_000, 1_000_000, 10_000_000)
SMOKE = (20_000, 200_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `growth`."""
    parser.add_argument("--runs", type=int, default=3, help="how often each size is analysed (3)")
    parser.add_argument("--smoke", action="store_true", help="20000 and 200000 sightings once, however they grow")
    parser.add_argument("--most", type=float, default=1.5, help="exit 1 if a sighting takes so many times as long among most (1.5)")


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 if it grows straight enough."""
    sizes, runs, most = (SMOKE, 1, 1e9) if arguments.smoke else (SIZES, arguments.runs, arguments.most)
    each_ns = []
    print(f"growth  best of {runs}, {place.load()}")
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
            recording, truth = bulkrun.write(Path(folder), round(size * bulkrun.PACKETS_PER_SIGHTING))
            best = min((bulkrun.measure(recording, truth) for _ in range(runs)), key=lambda one: one.cpu_seconds)
        each_ns.append(best.cpu_seconds / truth.sightings * 1e9)
        print(f"  {truth.sightings:10} sightings {best.seconds:8.2f} s, of processor {best.cpu_seconds:8.2f} s {each_ns[-1]:8.0f} ns each")
    ratio = each_ns[-1] / min(each_ns)
    print(f"  {ratio:.2f} x the least for each sighting; {place.judged(ratio, GOAL, 'x')}")
    return 0 if ratio <= most else 1
