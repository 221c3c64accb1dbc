"""Where the end-to-end tests run: a cluster, a way to break it, and the command as a user calls it."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kubectl_vxtrace.errors import ExitCode
from tests.e2e.listing import objects
from tests.environment import DiskFullError
from tests.laws import document

# A pod that asks kube-dns all the time: the lab's and the cluster's, or one of yours (with --on current).
CLIENT = os.environ.get("VXTRACE_CLIENT", "kotsadm/kotsadm-58f859745b-x4nh8")
SERVICE = "kube-dns"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """One finished call of the plugin."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report on stdout, which breaks no law."""
        loaded = json.loads(self.stdout)
        assert isinstance(loaded, dict)
        if loaded["kind"] == "TraceReport":
            assert document.breaches(loaded) == []
        return loaded


@dataclass(frozen=True)
class FaultLine:
    """A line of `python -m tests.lab faults`."""

    name: str
    direction: str
    leg_from: str
    leg_to: str | None
    cause: str


class Lab:
    """The lab, by its command line only, as anybody uses it. `command` is that of the lab, or of another place with the same one."""

    command = "tests.lab"

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.made = 0  # how often it was made anew

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def vxtrace(self, *arguments: str, cwd: Path, timeout_s: float = 120.0, environment: Mapping[str, str] | None = None) -> Run:
        """Run the plugin in `cwd`, which takes the bundle; `environment` is added to its own.

        Raises:
            DiskFullError: it ended since the disk of this machine took no more, of which its answer says nothing else.
        """
        done = subprocess.run(
            [sys.executable, "-m", "kubectl_vxtrace", *arguments],
            cwd=cwd,
            env={**self.environment(), "PYTHONPATH": str(ROOT), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode == ExitCode.CANNOT_RUN and os.strerror(errno.ENOSPC) in done.stderr:
            raise DiskFullError(done.stderr)
        return Run(done.returncode, done.stdout, done.stderr)

    def trace(self, *extra: str, cwd: Path, duration: str = "4s", to: str = SERVICE) -> Run:
        """The main command with a JSON report."""
        return self.vxtrace("pod", CLIENT, "--to", to, "--duration", duration, "-o", "json", *extra, cwd=cwd)

    def state(self, name: str, content: object) -> None:
        """Write one of the files by which the lab's API server and kubelets are told to fail, or whom to know; None removes it."""
        path = self.kubeconfig.parent / name
        if content is None:
            path.unlink(missing_ok=True)
            return
        scratch = path.with_name(f"{name}.new")
        scratch.write_text(json.dumps(content))
        scratch.replace(path)

    def fault(self, name: str, *extra: str) -> None:
        call(self.command, "fault", name, *extra)

    def heal(self) -> None:
        call(self.command, "heal")

    def faults(self) -> list[FaultLine]:
        lines = [line.split("\t") for line in call(self.command, "faults").splitlines() if line]
        return [_fault_line(*line) for line in lines]

    def dns_nodes(self) -> set[str]:
        """The nodes that kube-dns's pods run on."""
        return {"ada-ec-2", "ada-ec-3"}

    def rebuild(self, backend: str, nodes: int = 3) -> None:
        """Make it anew after something that no `heal` undoes, or with another number of nodes."""
        self.made += 1
        lab("down")
        lab("up", "--backend", backend, "--nodes", str(nodes))

    def objects(self) -> set[str]:
        """Every object of the cluster, by name and uid."""
        return objects(self.kubeconfig)

    def node(self, node: str, *command: str) -> str:
        """Run a command in a node's network namespace, as somebody with root on the node would."""
        return subprocess.run(["ip", "netns", "exec", node, *command], capture_output=True, text=True, check=True).stdout

    def inside(self, pod: str, *command: str) -> list[str]:
        """The command line of a command in the network namespace of a pod, `namespace/name`."""
        return ["ip", "netns", "exec", f"pod-{pod.partition('/')[2]}", *command]

    def pod(self, pod: str, *command: str) -> str:
        """Run a command in a pod's network namespace."""
        return subprocess.run(self.inside(pod, *command), cwd=ROOT, capture_output=True, text=True, check=True).stdout

    def traffic(self, kind: str, *pace: str) -> AbstractContextManager[None]:
        """More traffic of the client, while the context lasts."""
        return self._traffic(kind, *pace)

    @contextmanager
    def _traffic(self, kind: str, *pace: str) -> Iterator[None]:
        argv = [sys.executable, "-m", self.command, "traffic", "--kind", kind, *pace, "--seconds", "60"]
        running = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, env=self.environment())
        try:
            time.sleep(0.5)
            yield
        finally:
            running.terminate()
            running.wait(timeout=20)


class Cluster(Lab):
    """The real Kubernetes of tests/cluster, with the same pods and the same faults."""

    command = "tests.cluster"

    def inside(self, pod: str, *command: str) -> list[str]:
        return [sys.executable, "-m", self.command, "pod", pod, *command]

    def rebuild(self, backend: str, nodes: int = 3) -> None:
        """Make it anew, with three nodes always; the kubeconfig, which has a new authority then, stays where it is."""
        assert nodes == 3
        self.made += 1
        call(self.command, "down")
        call(self.command, "up", "--cni", NETWORKS[backend])


class Current(Lab):
    """The cluster of the user's own kubeconfig and context; a test that would break it is skipped."""

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def fault(self, name: str, *extra: str) -> None:
        _spare()

    def heal(self) -> None:
        """There is nothing that was broken."""

    def faults(self) -> list[FaultLine]:
        _spare()

    def rebuild(self, backend: str, nodes: int = 3) -> None:
        _spare()

    def node(self, node: str, *command: str) -> str:
        _spare()

    def inside(self, pod: str, *command: str) -> list[str]:
        _spare()

    def traffic(self, kind: str, *pace: str) -> AbstractContextManager[None]:
        _spare()

    def objects(self) -> set[str]:
        """Other people's objects come and go."""
        return set()

    def dns_nodes(self) -> set[str]:
        names = "jsonpath={.items[*].spec.nodeName}"
        argv = ["kubectl", "get", "pods", "--namespace", "kube-system", "--selector", "k8s-app=kube-dns", "--output", names]
        return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


def _spare() -> NoReturn:
    pytest.skip("it would break the cluster, which is not ours (--on current)")


NETWORKS = {"calico": "calico-shaped", "flannel": "flannel"}  # backend -> network of tests/cluster


def cluster_backend() -> str | None:
    """The backend of the cluster that is up; None if none is."""
    done = _run("tests.cluster", "status")
    words = done.stdout.split()
    found = {network: backend for backend, network in NETWORKS.items()}
    return found[words[1]] if done.returncode == 0 and words[:1] == ["network"] else None


def _fault_line(name: str, direction: str, leg: str, cause: str) -> FaultLine:
    start, _, end = leg.partition(">")
    return FaultLine(name, direction, start, None if end == "-" else end, cause)


def lab(*arguments: str) -> str:
    """Call the lab's command line; its stdout."""
    return call("tests.lab", *arguments)


def call(module: str, *arguments: str) -> str:
    """Call the command line of a place; its stdout."""
    done = _run(module, *arguments)
    assert done.returncode == 0, f"{module} {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def place_of(direction: Mapping[str, Any], hop: int | None) -> str | None:
    """`node/role` of a hop of a direction, as the fault table writes it."""
    if hop is None:
        return None
    found = next(each for each in direction["hops"] if each["hop"] == hop)
    return f"{found['node']}/{found['role']}"


def direction_of(flow: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each for each in flow["directions"] if each["direction"] == name)
    return found


def hop_packets(direction: Mapping[str, Any]) -> Sequence[int]:
    """Packets at the expected hops."""
    return [hop["packets"] for hop in direction["hops"] if hop["expected"]]


def named_wrongly(place: Lab, lines: Sequence[FaultLine], cwd: Path) -> list[str]:
    """Each fault is switched on, traced and healed: what is wrong with the reports, by the faults' names."""
    wrong = []
    for line in lines:
        place.fault(line.name)
        run = place.trace("--bundle", "none", cwd=cwd)
        place.heal()
        if (text := _wrong_with(line, run.code, run.report)) is not None:
            wrong.append(f"{line.name}: {text}")
    return wrong


def _wrong_with(line: FaultLine, code: int, report: dict[str, object]) -> str | None:
    """What is wrong with the report of a trace where a fault was on, or None."""
    if code != 3:
        return f"exit {code}, {report['summary']}"
    if report["cause"] != line.cause:
        return f"cause {report['cause']}, {report['summary']}"
    expected = (line.direction, line.leg_from, line.leg_to)
    found = _legs(report, line.cause)
    return None if expected in found else f"leg {found}, expected {expected}"


def _legs(report: dict[str, object], cause: str) -> list[tuple[str, str | None, str | None]]:
    flows, findings = report["flows"], report["findings"]
    assert isinstance(flows, list)
    assert isinstance(findings, list)
    legs = []
    for finding in findings:
        if finding["cause"] == cause and finding["severity"] == "error" and finding["leg"] is not None:
            flow = next(flow for flow in flows if flow["id"] == finding["flow"])
            direction = direction_of(flow, finding["direction"])
            legs.append((finding["direction"], place_of(direction, finding["leg"]["from"]), place_of(direction, finding["leg"]["to"])))
    return legs
