"""One lab in a mount namespace of its own, and the traces on it. The parent runs one such process for each backend.

Names of network namespaces are files in /run/netns: with an empty one of its own, a lab stands beside others that have the same names.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from tests.datapath import faults, processes, records, servers, tools
from tests.datapath.records import Lab
from tests.lab.__main__ import main as lab_command
from tests.truth import healthy, judging, oddities, recorded, results
from tests.truth.cases import LABS_STATE, Case, fault_cases, told_cases
from tests.truth.judging import Row
from tests.truth.record import Recorded

SETTLE_S = 0.3
LONGEST_TRACE_S = 60.0
BUNDLE = "bundle.zip"
# More than the standing questions, so that every backend is asked within the window.
STEADY_RATE_PER_S = 30


def start(backend: str, names: Sequence[str], code: str) -> "subprocess.Popen[bytes]":
    """A worker for these cases; its stdin is the list of them."""
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.truth.worker", backend, code]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=results.ROOT)
    assert process.stdin is not None
    process.stdin.write(json.dumps(list(names)).encode())
    process.stdin.close()
    return process


def main() -> int:
    """Make the lab, trace case after case, keep each result at once, take the lab down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backend")
    parser.add_argument("code", help="fingerprint under which the results are kept")
    options = parser.parse_args()
    for end in (signal.SIGINT, signal.SIGTERM):  # a background process of a shell has the first ignored
        signal.signal(end, signal.default_int_handler)
    wanted = set(json.load(sys.stdin))
    every = [*fault_cases(), *told_cases(), *recorded.cases(), *healthy.cases()]
    cases = [case for case in every if case.backend == options.backend and case.name in wanted]
    try:
        with _lab(options.backend) as lab, tempfile.TemporaryDirectory(prefix="vxtruth-") as folder:
            for number, case in enumerate(cases, start=1):
                began = time.monotonic()
                rows = _traced(lab, case, Path(folder))
                results.add(options.backend, options.code, rows)
                marks = " ".join("ok" if row.leg_right and row.cause_right else "MISS" for row in rows)
                print(f"{number:4} of {len(cases)}  {time.monotonic() - began:4.1f} s  {marks}  {case.name}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def _lab(backend: str) -> Iterator[Lab]:
    tools.NETNS_DIR.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tools.NETNS_DIR)], check=True)
    os.environ[records.STATE_VARIABLE] = f"{LABS_STATE}-{backend}"
    with redirect_stdout(sys.stderr):  # our own stdout is for the page
        made = lab_command(["up", "--backend", backend])
    if made != 0:
        raise tools.LabError(f"no {backend} lab could be made")
    try:
        lab = records.load()
        assert lab is not None
        steady = ["--rate", str(STEADY_RATE_PER_S)]
        argv = servers.program("ask", "dns", servers.service_address(lab, "kube-system", "kube-dns"), servers.QUESTION, *steady)
        processes.start(lab.state_dir, "steady", servers.client(lab).netns or "", argv)
        yield lab
    finally:
        for end in (signal.SIGINT, signal.SIGTERM):  # told once is enough
            signal.signal(end, signal.SIG_IGN)
        lab_command(["down"])


def _traced(lab: Lab, case: Case, folder: Path) -> tuple[Row, ...]:
    """The rows of one case; the lab is healed afterwards."""
    try:
        with ExitStack() as stack:
            stack.callback(_heal, lab)
            for switch in case.switches:
                faults.switch_on(lab, switch.name, switch.node, switch.percent)
            stack.enter_context(oddities.made(lab, case.oddity))
            stack.enter_context(healthy.talking(lab, case))
            if case.recorded:
                stack.enter_context(recorded.find(case.recorded).breaking(lab))
            time.sleep(SETTLE_S)
            done = _trace(lab, case, folder)
        if case.recorded:
            done = _analysed(done, recorded.find(case.recorded), folder)
        return judging.judge(case, done.returncode, json.loads(done.stdout))
    except (tools.LabError, subprocess.SubprocessError, ValueError) as error:
        return judging.failed(case, f"{type(error).__name__}: {error}")


def _trace(lab: Lab, case: Case, folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / BUNDLE).unlink(missing_ok=True)
    bundle = BUNDLE if case.recorded else "none"
    command = ["pod", case.client, "--to", healthy.filled(lab, case.target), "--duration", f"{round(case.duration_s * 1000)}ms"]
    return _plugin([*command, "--bundle", bundle], folder, KUBECONFIG=f"{lab.state_dir}/kubeconfig")


def _analysed(done: "subprocess.CompletedProcess[str]", one: Recorded, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What the plugin says of the bundle of a trace, once its nodes speak of other hardware."""
    place = recorded.rewrite(folder / BUNDLE, one, recorded.lost_packets(json.loads(done.stdout)), folder)
    return _plugin(["analyze", str(place)], folder)


def _plugin(command: Sequence[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Call the plugin as a user would, for a report as JSON.

    Raises:
        ValueError: it wrote none; the text has its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_vxtrace", *command, "-o", "json", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(results.ROOT), "PYTHONFAULTHANDLER": "1", **environment},
        capture_output=True,
        text=True,
        timeout=LONGEST_TRACE_S,
        check=False,
    )
    if not done.stdout:
        raise ValueError(f"exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


def _heal(lab: Lab) -> None:
    """Mend all, and forget what UDP was translated to meanwhile: a client may draw the port of a question that leads nowhere.

    TCP ends by itself once the path is whole; what a server still sends again would be INVALID to nodes that know nothing of it.
    """
    if faults.heal(lab):
        for node in lab.nodes:
            tools.run_inside(node.netns, ["conntrack", "-D", "-p", "udp"], check=False)  # exit 1: there was none
        for pod in servers.dns_pods(lab):
            servers.wait_answered(lab, pod)


if __name__ == "__main__":
    sys.exit(main())
