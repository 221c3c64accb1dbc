"""Place after place, and the traces on each. The parent runs one such process for each lab, and one for the clusters.

Names of network namespaces are files in /run/netns: with an empty one of its own, a lab stands beside others that have the same names.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from tests.datapath import tools
from tests.truth import healthy, judging, oddities, places, plugin, results, synthesised, words
from tests.truth.cases import Case, asked_in_vain, cluster_cases, fault_cases, told_cases
from tests.truth.judging import Row
from tests.truth.places import Place
from tests.truth.synthesis import Dying

SETTLE_S = 0.3
BUNDLE = "bundle.zip"


def every_case() -> list[Case]:
    """All that is traced, in the order of the page."""
    return [
        *fault_cases(),
        *asked_in_vain(),
        *told_cases(),
        *cluster_cases(),
        *synthesised.cases(),
        *healthy.cases(),
        *healthy.cluster_cases(),
    ]


def start(on: str, backends: Sequence[str], names: Sequence[str], code: str) -> "subprocess.Popen[bytes]":
    """A worker for these cases of labs, or of clusters, one backend after the other; its stdin is the list of them."""
    own = ["unshare", "--mount", "--propagation", "private"] if on == "lab" else []
    argv = [*own, sys.executable, "-m", "tests.truth.worker", on, code, *backends]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=results.ROOT)
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(names)).encode())
    process.stdin.close()
    return process


def main() -> int:
    """Make each place, trace case after case, keep each result at once, take the place down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("on", choices=("lab", "cluster"))
    parser.add_argument("code", help="fingerprint under which the results are kept")
    parser.add_argument("backends", nargs="+")
    options = parser.parse_args()
    _on_signals(signal.default_int_handler)  # a background process of a shell has the first ignored
    wanted = set(json.load(sys.stdin))
    cases = [case for case in every_case() if case.on == options.on and case.name in wanted]
    try:
        for backend in options.backends:
            _work(options.on, backend, [case for case in cases if case.backend == backend], options.code)
    except KeyboardInterrupt:
        return 130
    except tools.LabError as error:
        print(f"{options.on}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _work(on: str, backend: str, cases: Sequence[Case], code: str) -> None:
    with ExitStack() as stack:
        stack.callback(_on_signals, signal.default_int_handler)
        place = stack.enter_context(places.made(on, backend))
        stack.callback(_on_signals, signal.SIG_IGN)  # told once is enough: it is being taken down
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vxtruth-")))
        for number, case in enumerate(cases, start=1):
            began = time.monotonic()
            rows = _traced(place, case, folder)
            results.add(f"{on}-{backend}", code, case.name, [asdict(row) for row in rows])
            marks = " ".join("ok" if row.right else "MISS" for row in rows)
            print(f"{number:4} of {len(cases)}  {time.monotonic() - began:4.1f} s  {marks}  {case.name}", file=sys.stderr, flush=True)


def _traced(place: Place, case: Case, folder: Path) -> tuple[Row, ...]:
    """The rows of one case; the place is healed afterwards."""
    try:
        with ExitStack() as stack:
            stack.callback(place.heal)
            for switch in case.switches:
                place.switch_on(switch)
            stack.enter_context(oddities.made(place.lab, case.oddity))
            stack.enter_context(healthy.talking(place, case))
            done = _synthesised(place, case, folder) if case.synthesised else _trace(place, case, folder)
        return judging.judge(case, done.returncode, json.loads(done.stdout))
    except (tools.LabError, subprocess.SubprocessError, ValueError) as error:
        return judging.failed(case, f"{type(error).__name__}: {error}")


def _trace(place: Place, case: Case, folder: Path, bundle: str = "none") -> "subprocess.CompletedProcess[str]":
    time.sleep(SETTLE_S)
    command = ["pod", case.client, "--to", words.filled(place.lab, case.target), "--duration", f"{round(case.duration_s * 1000)}ms"]
    return plugin.call([*command, "--bundle", bundle], folder, KUBECONFIG=str(place.kubeconfig))


def _synthesised(place: Place, case: Case, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What the plugin says of the bundle of a trace, once its nodes speak of other hardware."""
    (folder / BUNDLE).unlink(missing_ok=True)
    one = synthesised.find(case.synthesised)
    with one.breaking(place.lab) as counter, Dying(counter) as dying:
        _trace(place, case, folder, BUNDLE)
    return plugin.call(["analyze", str(synthesised.rewrite(folder / BUNDLE, one, dying, folder))], folder)


def _on_signals(do: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, do)


if __name__ == "__main__":
    sys.exit(main())
