"""Where a case is traced: a lab, or a real Kubernetes; how each is made, broken and mended."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Protocol

from tests.cluster import breakage, lifecycle, live, places, plan
from tests.cluster.breakage import Breakage
from tests.datapath import faults, records, servers, tools
from tests.datapath.records import Lab, LabPod
from tests.lab.__main__ import main as lab_command
from tests.truth.cases import LABS_STATE, Switch

# More than the standing questions, so that every backend is asked within the window.
STEADY_RATE_PER_S = 30
NETWORKS = {"calico": "calico-shaped", "flannel": "flannel"}  # backend -> network of tests/cluster


class Place(Protocol):
    """A place with the pods and services of tests/datapath.

    Attributes:
        lab: its records.
        kubeconfig: what the plugin is given.
    """

    lab: Lab
    kubeconfig: Path

    def switch_on(self, switch: Switch) -> None:
        """Switch a fault on, with the traffic that meets it. Raises LabError."""

    def heal(self) -> None:
        """Mend all, and forget what UDP was translated to meanwhile: a client may draw the port of a question that leads nowhere."""

    def inside(self, pod: LabPod, command: Sequence[str]) -> list[str]:
        """The command line of a command in a pod's network namespace. Raises LabError."""


class _OurLab:
    """The lab of tests/lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.kubeconfig = Path(lab.state_dir) / "kubeconfig"

    def switch_on(self, switch: Switch) -> None:
        faults.switch_on(self.lab, switch.name, switch.node, switch.percent)

    def heal(self) -> None:
        """TCP ends by itself once the path is whole; what a server still sends again would be INVALID to nodes that know nothing of it."""
        if faults.heal(self.lab):
            _forget_udp(self.lab)
            for pod in servers.dns_pods(self.lab):
                servers.wait_answered(self.lab, pod)

    def inside(self, pod: LabPod, command: Sequence[str]) -> list[str]:
        return servers.inside(pod, command)


class _OurCluster:
    """The real Kubernetes of tests/cluster."""

    def __init__(self, lab: Lab, hands: Breakage) -> None:
        self.lab = lab
        self.kubeconfig = places.KUBECONFIG
        self._hands = hands
        self._talking = ExitStack()

    def switch_on(self, switch: Switch) -> None:
        self._hands.switch_on(switch.name, switch.node, switch.percent)
        if arguments := faults.find(switch.name).traffic:
            address = servers.service_address(self.lab, "kube-system", "kube-dns").partition(":")[0]
            self._talking.enter_context(running(self, [word.replace("{dns}", address) for word in arguments]))

    def heal(self) -> None:
        self._talking.close()
        if self._hands.heal():
            _forget_udp(self.lab)
            for pod in servers.dns_pods(self.lab):
                servers.wait_answered(self.lab, pod, self.inside)

    def inside(self, pod: LabPod, command: Sequence[str]) -> list[str]:
        return live.inside(pod, command)


@contextmanager
def running(place: Place, arguments: Sequence[str], *, client: LabPod | None = None, program: str = "ask") -> Iterator[None]:
    """One of the programs of tests/datapath in a pod, the client's unless another is given, while the context lasts."""
    argv = place.inside(client or servers.client(place.lab), servers.program(program, *arguments))
    started = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.terminate()
        started.wait()


@contextmanager
def made(kind: str, backend: str) -> Iterator[Place]:
    """A "lab" or a "cluster", and steady questions in it, while the context lasts.

    Raises:
        LabError: it could not be made; a cluster also where one is up that somebody else has made.
    """
    with _lab(backend) if kind == "lab" else _cluster(backend) as place:
        question = [servers.service_address(place.lab, "kube-system", "kube-dns"), servers.QUESTION, "--rate", str(STEADY_RATE_PER_S)]
        with running(place, ["dns", *question]):
            yield place


@contextmanager
def _lab(backend: str) -> Iterator[Place]:
    with bare_lab(backend) as lab:
        yield _OurLab(lab)


@contextmanager
def bare_lab(backend: str) -> Iterator[Lab]:
    """A lab whose names are this mount namespace's own, while the context lasts.

    Raises:
        LabError: it could not be made.
    """
    tools.NETNS_DIR.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tools.NETNS_DIR)], check=True)
    os.environ[records.STATE_VARIABLE] = f"{LABS_STATE}-{backend}"
    with redirect_stdout(sys.stderr):  # our own stdout is for the page
        code = lab_command(["up", "--backend", backend])
    if code != 0:
        raise tools.LabError(f"no {backend} lab could be made")
    try:
        lab = records.load()
        assert lab is not None
        yield lab
    finally:
        lab_command(["down"])


@contextmanager
def _cluster(backend: str) -> Iterator[Place]:
    if plan.read(places.state_dir()) is not None:
        raise tools.LabError("a cluster is up; `make cluster-down` takes it down")
    lifecycle.up(NETWORKS[backend], _say)
    try:
        yield _OurCluster(*breakage.running(_say))
    finally:
        lifecycle.down()


def _forget_udp(lab: Lab) -> None:
    for node in lab.nodes:
        tools.run_inside(node.netns, ["conntrack", "-D", "-p", "udp"], check=False)  # exit 1: there was none


def _say(text: str) -> None:
    print(f"cluster: {text}", file=sys.stderr, flush=True)
