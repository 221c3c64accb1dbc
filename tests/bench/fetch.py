"""How fast a file of a node's debug pod arrives, and how much memory that takes, against `kubectl exec POD -- cat FILE`.

Both write to a file of this machine. It needs the real Kubernetes of tests/cluster: the lab's API server is no measure of exec streams.
"""

import argparse
import hashlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import Node, NodeCommand
from kubectl_vxtrace.model.request import Access, PodOptions
from tests.bench import place, resident
from tests.bench.figures import Figure, Result
from tests.cluster import binaries, lifecycle, places, plan

GOAL_RATIO = 0.7
GOAL_MB = 64.0
NODE = "ada-ec-2"
FILE = "/capture/bench.pcap"
_MB = 1024 * 1024
# $1 the file, $2 how many MB: bytes that nothing on the way can compress; its SHA-256.
_MAKE = 'head -c "$2"M /dev/urandom >"$1" && sha256sum "$1"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fetch`."""
    parser.add_argument("--size", type=int, default=200, help="the file's size in MB (200)")
    parser.add_argument("--runs", type=int, default=3, help="fetches, in turns with the peer (3)")
    parser.add_argument("--smoke", action="store_true", help="one run of 20 MB")


def main(arguments: argparse.Namespace) -> Result:
    """Print the figures; status 0 if everything ran."""
    _cluster()
    size, runs = (20, 1) if arguments.smoke else (arguments.size, arguments.runs)
    connection = connect(Access(kubeconfig=str(places.KUBECONFIG)))
    pods = DebugPods(connection, session="bench", options=PodOptions(), lifetime_s=600)
    ours_s, theirs_s, growth_mb = [], [], 0.0
    try:
        missing = pods.start([Node(name=NODE, annotations={})])
        pod = pods.pod(NODE)
        if pod is None:
            raise place.BrokenError(f"no debug pod on {NODE}: {missing}")
        with DebugNodes(connection, pods) as nodes:
            argv = ("sh", "-c", _MAKE, "bench", FILE, str(size))
            [made] = nodes.ask([NodeCommand(node=NODE, key="make", argv=argv, timeout_s=120, max_bytes=4096)])
            sha256 = made.stdout.decode().partition(" ")[0]
            with tempfile.TemporaryDirectory(prefix="vxtrace-bench-") as folder:
                target = Path(folder) / "ours"
                for _ in range(runs):
                    target.unlink(missing_ok=True)
                    with _grown() as grown:
                        started = time.perf_counter()
                        found = nodes.fetch(NODE, FILE, size_bytes=size * _MB, sha256=sha256, max_bytes=size * _MB)
                        target.write_bytes(found.content)
                        ours_s.append(time.perf_counter() - started)
                    growth_mb = max(growth_mb, grown[0])
                    if found.reason is not None:
                        raise place.BrokenError(found.reason)
                    theirs_s.append(_by_kubectl(pods.namespace, pod, Path(folder) / "theirs", sha256))
    finally:
        pods.delete()
    ours, theirs = size / statistics.median(ours_s), size / statistics.median(theirs_s)
    print(f"fetch   {runs} of {size} MB from a debug pod of the cluster, {place.load()}")
    print(f"  kubectl-vxtrace   {ours:.1f} MB/s, verified; {growth_mb:.0f} MB more memory; {place.judged(growth_mb, GOAL_MB, 'MB')}")
    print(f"  kubectl exec cat  {theirs:.1f} MB/s")
    print(f"  {ours / theirs:.2f} x the peer; goal {GOAL_RATIO:g}: {'met' if ours >= GOAL_RATIO * theirs else 'NOT met on this machine'}")
    said, peer = f"{ours:.1f} MB/s", f"kubectl exec cat {theirs:.1f} MB/s"
    figure = Figure(what="fetching a file", ours=said, peer=peer, value=ours / theirs, unit="x kubectl", at_least=GOAL_RATIO)
    return Result(status=0, figures=(figure,))


def _cluster() -> None:
    """SkippedError where no cluster is up, or only that of another checkout."""
    if plan.read(places.state_dir()) is None or not places.KUBECONFIG.is_file() or lifecycle.problems(places.state_dir()):
        raise place.SkippedError("no cluster is up: `make cluster-up` starts one")


@contextmanager
def _grown() -> Iterator[list[float]]:
    """How many MB more than before this process held at its peak: one number, once it is over."""
    resident.forget_peak()
    before = resident.resident_bytes()
    grown: list[float] = []
    yield grown
    grown.append((resident.peak_bytes() - before) / 1e6)


def _by_kubectl(namespace: str, pod: str, target: Path, sha256: str) -> float:
    """Seconds that kubectl takes; BrokenError where what came is not the file."""
    kubectl = binaries.ensure(print)["kubectl"]
    command = [kubectl, "--kubeconfig", str(places.KUBECONFIG), "exec", "--namespace", namespace, pod, "--", "cat", FILE]
    started = time.perf_counter()
    with target.open("wb") as file:
        subprocess.run(command, stdout=file, stdin=subprocess.DEVNULL, check=True, timeout=place.GIVE_UP_S)
    seconds = time.perf_counter() - started
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise place.BrokenError("what kubectl exec wrote is not the file")
    return seconds
