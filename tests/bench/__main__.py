"""`python -m tests.bench NAME [options]`: one benchmark, printed as a ratio against a peer in the same run; `all` runs every one."""

import argparse
import sys
from contextlib import ExitStack

from tests.bench import (
    capture,
    decode,
    fetch,
    figures,
    formats,
    fuzz,
    growth,
    load,
    match,
    memory,
    place,
    report,
    soak,
    start,
    table,
    trace,
)

BENCHMARKS = {
    "start": start,
    "decode": decode,
    "formats": formats,
    "table": table,
    "fuzz": fuzz,
    "match": match,
    "growth": growth,
    "memory": memory,
    "report": report,
    "soak": soak,
    "trace": trace,
    "capture": capture,
    "load": load,
    "fetch": fetch,
}


def main() -> int:
    """Run what was asked for; 1 if something is broken, never because a machine is slow."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        module.add_arguments(commands.add_parser(name, description=module.__doc__, help=(module.__doc__ or "").partition("\n")[0]))
    everything = commands.add_parser("all", help="every benchmark, one after the other")
    everything.add_argument("--smoke", action="store_true", help="each of them small: to see that they work")
    arguments = parser.parse_args()
    if arguments.name != "all":
        return run(arguments.name, arguments).status
    with ExitStack() as stack:
        if place.why_no_lab() is None:
            stack.enter_context(place.lab())  # one for all of them
        extra = ["--smoke"] if arguments.smoke else []
        results = [run(name, parser.parse_args([name, *extra])) for name in BENCHMARKS]
    print(f"\nall     {place.load()}" + (", small: goals are for the sizes without --smoke" if arguments.smoke else ""))
    print(figures.table([figure for result in results for figure in result.figures]))
    return max(result.status for result in results)


def run(name: str, arguments: argparse.Namespace) -> figures.Result:
    """One benchmark."""
    try:
        result: figures.Result = BENCHMARKS[name].main(arguments)
    except place.SkippedError as reason:
        print(f"{name:7} skipped: {reason}")
        return figures.Result(status=0)
    except place.BrokenError as reason:
        print(f"{name:7} broken: {reason}", file=sys.stderr)
        return figures.Result(status=1)
    finally:
        sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main())
