"""One place, and every promise that is put to the test there."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import lifecycle, places, plan
from tests.datapath.tools import LabError
from tests.e2e.place import Cluster, Lab
from tests.promises import chaos, matrix, repetition, results, sick
from tests.promises.cells import MATRIX
from tests.promises.results import NotRunError, Row
from tests.truth.places import bare_lab

PLACES = ("lab", "cluster")
KINDS = ("matrix", "chaos", "sick", "repetition")
NETWORK = "calico-shaped"


def main() -> int:
    """Make the place, or take the cluster that is up; run; keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", choices=PLACES)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--times", type=int)
    parser.add_argument("words", nargs="*")
    options = parser.parse_intermixed_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process of a shell has it ignored
    try:
        with _made(options.place) as place:
            for kind in (options.only,) if options.only else KINDS:
                _work(kind, options.place, place, options)
    except KeyboardInterrupt:
        return 130
    except LabError as error:
        print(f"{options.place}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _work(kind: str, on: str, place: Lab, options: argparse.Namespace) -> None:
    """Keep each row as it comes: a run that is interrupted has not been in vain."""
    run: Callable[[], Iterable[Row]] = {
        "matrix": lambda: matrix.run(place, [cell for cell in MATRIX if _named(cell.name, options.words)], _say),
        "chaos": lambda: chaos.run(place, options.words),
        "sick": lambda: sick.run(on),
        "repetition": lambda: repetition.run(place, on, options.times, _say),
    }[kind]
    if not options.words:
        results.forget(kind, on)
    try:
        for row in run():
            results.add(kind, on, [row])
            if row.wrong:
                _say(f"WRONG {row.name}: {'; '.join(row.wrong)}\n{row.more.get('said', '')}")
    except NotRunError as error:
        results.keep(results.made(kind, on, (), why_not=str(error)))
        _say(f"{kind}: not run: {error}")


def _named(name: str, words: Sequence[str]) -> bool:
    return not words or any(word in name for word in words)


@contextmanager
def _made(place: str) -> Iterator[Lab]:
    if place == "lab":
        with bare_lab("calico") as lab:
            yield Lab(Path(lab.state_dir) / "kubeconfig")
        return
    ours = plan.read(places.state_dir()) is None
    if ours:
        lifecycle.up(NETWORK, _say)
    try:
        yield Cluster(places.KUBECONFIG)
    finally:
        if ours:
            lifecycle.down()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
