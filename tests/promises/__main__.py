"""`python -m tests.promises`, which `make promises` calls: puts the promises of docs/promises.md to the test and writes its measured part.

Exit status: 0 every promise was kept and nothing is missing, 1 not so, 130 interrupted.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence

from tests.promises import page, results, worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run each place in a process of its own, write the page."""
    options = _parser().parse_intermixed_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.fresh:
        return page.say_fresh()
    status = 0
    for place in (options.on,) if options.on else worker.PLACES:
        if not options.page:
            status = max(status, _worked(place, options))
    text, whole = page.write()
    print(text.partition(page.BEGIN)[2])
    return status or (0 if whole else 1)


def _worked(place: str, options: argparse.Namespace) -> int:
    # Names of network namespaces are files: with a folder of its own, a lab stands beside others that have the same names.
    own = ["unshare", "--mount", "--propagation", "private"] if place == "lab" else []
    more = [word for pair in (("--only", options.only), ("--times", options.times and str(options.times))) if pair[1] for word in pair]
    argv = [*own, sys.executable, "-m", "tests.promises.worker", place, *more, *options.words]
    process = subprocess.Popen(argv, cwd=results.ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument(
        "words",
        nargs="*",
        help="only signals and rules whose names have one of these words; they take the place of those that were found last",
    )
    parser.add_argument("--on", choices=worker.PLACES, help="only there; of the other place the page has what was found last")
    parser.add_argument("--only", choices=worker.KINDS, help="only these; of the others the page has what was found last")
    parser.add_argument("--times", type=int, metavar="N", help="traces in a row, of which the last is compared with the tenth")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what was found last")
    parser.add_argument("--fresh", action="store_true", help="say whether the page was written by the plugin that is here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
