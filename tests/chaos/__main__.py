"""`python -m tests.chaos [--on lab|cluster] [RULE...]`: every rule, or those named. Exit status: 0 all are right, 1 they are not."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.run import run, say
from tests.chaos.table import RULES
from tests.cluster.places import KUBECONFIG
from tests.e2e.place import Cluster, Lab, lab


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rules and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--on", choices=["lab", "cluster"], default="lab", help="where; the cluster must be up")
    parser.add_argument("--list", action="store_true", help="print the rules' names and what is expected, and do nothing")
    parser.add_argument("rules", nargs="*", metavar="RULE")
    options = parser.parse_args(arguments)
    if unknown := set(options.rules) - {rule.name for rule in RULES}:
        parser.error(f"no such rule: {', '.join(sorted(unknown))}; see --list")
    if options.list:
        print("\n".join(f"{rule.name:34}  {rule.answer.text}" for rule in RULES))
        return 0
    with _place(options.on) as place:
        return 0 if say(run(place, options.rules)) else 1


@contextmanager
def _place(on: str) -> Iterator[Lab]:
    if on == "cluster":
        yield Cluster(KUBECONFIG)
        return
    try:
        yield Lab(Path(lab("up", "--backend", "calico").splitlines()[-1]))
    finally:
        lab("down")


if __name__ == "__main__":
    sys.exit(main())
