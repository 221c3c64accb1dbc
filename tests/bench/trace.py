"""What a trace on the lab costs beyond its duration, against the same captures made by hand for the same time.

The peer is one `ip netns exec NODE tcpdump ...` for each tap of the trace, with the filters of its report, started and stopped at once.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench import place
from tests.bench.figures import Figure, Result
from tests.bench.tcpdumps import ByHand, Tcpdumps
from tests.bench.tracing import Traced, breakdown, trace
from tests.datapath import records
from tests.e2e.place import CLIENT, SERVICE

GOAL_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `trace`."""
    parser.add_argument("--duration", type=float, default=5.0, help="seconds to capture (5)")
    parser.add_argument("--runs", type=int, default=5, help="traces, in turns with the peer (5)")
    parser.add_argument("--smoke", action="store_true", help="one run of two seconds")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if everything ran."""
    duration_s, runs = (2.0, 1) if arguments.smoke else (arguments.duration, arguments.runs)
    traces, peers_s = [], []
    with place.lab() as lab:
        for _ in range(runs):
            traces.append(trace(lab, CLIENT, "--to", SERVICE, "--duration", f"{duration_s:g}s"))
            peers_s.append(by_hand(lab, traces[-1], duration_s))
    overheads_s = [traced.wall_s - duration_s for traced in traces]
    median_s, peer_s = statistics.median(overheads_s), statistics.median(peers_s)
    print(f"trace   {runs} of {duration_s:g} s at {len(traces[0].captures)} taps on the lab, {place.load()}")
    print(f"  kubectl-vxtrace   duration + {median_s:.2f} s (median; {min(overheads_s):.2f} to {max(overheads_s):.2f})")
    print("    of the quickest:")
    for text in breakdown(traces, duration_s):
        print(f"    {text}")
    print(f"  tcpdump by hand   duration + {peer_s - duration_s:.2f} s (no names, no fetching, no matching, no report)")
    print(f"  {(duration_s + median_s) / peer_s:.2f} x the peer; {place.judged(median_s, GOAL_S, 's')}")
    said, peer = f"{median_s:.2f} s more than it captures", f"tcpdump by hand {peer_s - duration_s:.2f} s"
    return Result(status=0, figures=(Figure(what="a trace on the lab", ours=said, peer=peer, value=median_s, unit="s", at_most=GOAL_S),))


def by_hand(lab: records.Lab, traced: Traced, duration_s: float) -> float:
    """Seconds that the same captures take by hand."""
    captures = [
        ByHand(netns=lab.node(capture["node"]).netns, interface=capture["interface"], arguments=("-p", "-nn", "--", capture["filter"]))
        for capture in traced.captures
    ]
    with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder, Tcpdumps(captures, Path(folder)) as tcpdumps:
        started = time.perf_counter()
        tcpdumps.start()
        time.sleep(duration_s)
        tcpdumps.stop()
        return time.perf_counter() - started
