"""How long `kubectl-vxtrace --help` takes, against `python -c pass` and, where there is one, `kubectl version --client`."""

import argparse
import shutil
import statistics
import sys

from tests.bench.figures import Figure, Result
from tests.bench.place import environment, judged, load, plugin, seconds_of

GOAL_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `start`."""
    parser.add_argument("--runs", type=int, default=15, help="how often each is run, in turns (15)")
    parser.add_argument("--smoke", action="store_true", help="three runs")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if everything ran."""
    commands = {"kubectl-vxtrace --help": plugin("--help"), "python -c pass": [sys.executable, "-c", "pass"]}
    if (kubectl := shutil.which("kubectl")) is not None:
        commands["kubectl version --client"] = [kubectl, "version", "--client"]
    env = environment()
    # In turns, so that what else the machine does meets all alike. The first turn fills the page cache and is not counted.
    turns = [
        {name: seconds_of(command, env) for name, command in commands.items()}
        for _ in range((3 if arguments.smoke else arguments.runs) + 1)
    ]
    best = {name: min(turn[name] for turn in turns[1:]) for name in commands}
    print(f"start   {len(turns) - 1} runs each, {load()}")
    for name in commands:
        print(f"  {name:26} best {best[name]:.3f} s, median {statistics.median(turn[name] for turn in turns[1:]):.3f} s")
    ours, *peers = commands
    print("  " + ", ".join(f"{best[ours] / best[peer]:.1f} x {peer}" for peer in peers) + f"; {judged(best[ours], GOAL_S, 's')}")
    peer = ", ".join(f"{name} {best[name]:.3f} s" for name in peers)
    figure = Figure(what="start: --help", ours=f"{best[ours]:.3f} s", peer=peer, value=best[ours], unit="s", at_most=GOAL_S)
    return Result(status=0, figures=(figure,))
