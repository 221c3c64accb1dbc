"""Up and down: what is started in which order, and how all of it goes away, also after a start that was cut short."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import binaries as built
from tests.cluster import calico, cgroups, controlplane, flannel, image, machine, nodes, pki, places, plan, underlay, workloads
from tests.cluster.binaries import Binaries
from tests.cluster.kubectl import Kubectl, wait_for
from tests.cluster.machine import Machine
from tests.datapath import lock, network, processes, tools
from tests.datapath.records import Lab
from tests.datapath.tools import LabError

Say = Callable[[str], None]

PODS_WITHIN_S = 120.0
# Pods that never become ready, by the name they begin with.
NEVER_READY = ("postgres-", "crashing")


def up(cni: str, say: Say) -> Path:
    """Build what is missing, then start the cluster unless it runs with that network; returns the kubeconfig's path.

    Raises:
        LabError: it could not be started; what was begun is gone again.
    """
    with _signals_raise():
        programs, images = _built(say)
        with lock.held():
            return _up(cni, programs, images, say)


def build(say: Say) -> None:
    """Only build what is missing.

    Raises:
        LabError: something could not be built.
    """
    with _signals_raise():
        _built(say)


def _built(say: Say) -> tuple[Binaries, Path]:
    programs = built.ensure(say)
    return programs, image.ensure(programs, say)


def _up(cni: str, programs: Binaries, images: Path, say: Say) -> Path:
    state = places.state_dir()
    present = plan.read(state)
    if present is not None:
        wrong = problems(state)
        if present[1] == cni and not wrong:
            say(f"it is up ({cni})")
            return pki.publish(state)
        say("taking down what is there: " + ("; ".join(wrong) if present[1] == cni else f"its network is {present[1]}"))
    remove(state)
    wanted = plan.design(cni, state)
    _refuse_foreign(wanted)
    try:
        _start(wanted, cni, programs, images, say)
        return pki.publish(state)
    except BaseException:
        with _signals_ignored():
            say("taking down what was begun")
            remove(state)
        raise


def _start(lab: Lab, cni: str, programs: Binaries, images: Path, say: Say) -> None:
    """From nothing to all pods running."""
    begin = time.monotonic()
    state = Path(lab.state_dir)

    def tell(what: str) -> None:
        say(f"{time.monotonic() - begin:5.1f} s  {what}")

    plan.write(lab, cni)
    underlay.make(lab)
    cgroups.make(tuple(node.name for node in lab.nodes))
    pki.make(state, lab.nodes)
    machines = [machine.make(state, node.name) for node in lab.nodes]
    for each in machines:
        nodes.start_containerd(each)
    controlplane.start_api(lab, machines[0], programs)
    for each in machines:
        nodes.wait_containerd(each)
    pool = ThreadPoolExecutor(len(machines))
    try:
        loading = [pool.submit(nodes.load, each, images) for each in machines]
        kubectl = Kubectl(programs, state)
        controlplane.wait_ready(machines[0], kubectl)
        tell("the API answers")
        controlplane.start_controllers(lab, machines[0], programs)
        for each, node in zip(machines, lab.nodes, strict=True):
            nodes.start_kubelet(each, node, programs)
            nodes.start_proxy(lab, each, programs)
        _apply_foundation(lab, kubectl)
        _start_network(lab, machines, kubectl, programs)
        tell(f"{cni} is on all nodes")
        _finish(loading)
        tell("images are on all nodes")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    _apply_pods(lab, kubectl)
    _wait_pods(kubectl)
    tell("all pods run")


def _finish(loading: list[Future[None]]) -> None:
    for each in loading:
        each.result()


def _apply_foundation(lab: Lab, kubectl: Kubectl) -> None:
    if namespaces := workloads.namespaces(lab):
        kubectl.apply(namespaces)
    kubectl.apply(workloads.foundation(lab))


def _start_network(lab: Lab, machines: list[Machine], kubectl: Kubectl, programs: Binaries) -> None:
    _wait_nodes(lab, kubectl, lambda node: lab.backend == "calico" or "podCIDR" in node["spec"], "a network of its own")
    if lab.backend == "calico":
        calico.annotate(lab, kubectl)
        for each in machines:
            calico.start(lab, each)
    else:
        for each in machines:
            flannel.start(lab, each, programs)
        for each in machines:
            flannel.configure(lab, each)
    _wait_nodes(lab, kubectl, _is_ready, "the condition Ready")


def _wait_nodes(lab: Lab, kubectl: Kubectl, right: Callable[[dict[str, dict[str, object]]], bool], what: str) -> None:
    def missing() -> list[str]:
        have = {node["metadata"]["name"] for node in kubectl.items("nodes") if right(node)}
        return [f"{node.name} has not" for node in lab.nodes if node.name not in have]

    wait_for(f"{what} on every node", lambda: not missing(), 60, lambda: ", ".join(missing()))


def _is_ready(node: dict[str, dict[str, object]]) -> bool:
    conditions = node["status"].get("conditions", [])
    assert isinstance(conditions, list)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _apply_pods(lab: Lab, kubectl: Kubectl) -> None:
    """Pods first, then their owners, each when the one before is known: a controller that sees its pods makes no others."""
    spaces = {pod.namespace for pod in workloads.wanted(lab)}
    accounts = "--field-selector=metadata.name=default"
    wait_for(
        "a service account in every namespace",
        lambda: spaces <= {each["metadata"]["namespace"] for each in kubectl.items("serviceaccounts", accounts)},
        30,
        lambda: "the controller manager makes them",
    )
    kubectl.apply(workloads.pods(lab))
    time.sleep(1.0)  # the controllers' own view of the pods is a watch, which says nothing of how far it is
    kubectl.apply(workloads.replica_sets(lab))
    kubectl.apply(workloads.controllers(lab))


def _wait_pods(kubectl: Kubectl) -> None:
    wait_for("all pods running", lambda: not waiting_pods(kubectl), PODS_WITHIN_S, lambda: "; ".join(waiting_pods(kubectl)))


def waiting_pods(kubectl: Kubectl) -> list[str]:
    """Pods that are not ready and ought to be, each with what its containers say. Raises LabError."""
    found = []
    for pod in kubectl.items("pods"):
        name = pod["metadata"]["name"]
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        if not ready and not name.startswith(NEVER_READY) and "app.kubernetes.io/managed-by" not in pod["metadata"].get("labels", {}):
            states = [each["state"].get("waiting", {}).get("reason", "") for each in pod["status"].get("containerStatuses", [])]
            found.append(f"{pod['metadata']['namespace']}/{name} is {pod['status']['phase']} {' '.join(states)}".strip())
    return found


def problems(state: Path) -> list[str]:
    """What is missing of a cluster that was started: [] if every daemon runs and every node answers."""
    present = plan.read(state)
    if present is None:
        return ["nothing was started"]
    lab, cni = present
    running = {each.name for each in processes.recorded(str(state)) if processes.alive(each)}
    expected = {f"{name}-{lab.nodes[0].name}" for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")}
    daemons = ["init", "containerd", "kubelet", "kube-proxy", *([flannel.DAEMON] if cni == "flannel" else [])]
    expected |= {f"{daemon}-{node.name}" for daemon in daemons for node in lab.nodes}
    gone = sorted(set(lab.namespaces()) - tools.namespaces())
    return [*(f"namespace {name} is gone" for name in gone), *(f"{name} does not run" for name in sorted(expected - running))]


def remove(state: Path) -> None:
    """End everything and delete it. Harmless where there is nothing.

    With a node's first process the kernel ends all its others, and with them its mounts go.

    Raises:
        LabError: something is still there.
    """
    ours = network.own_namespaces(state)
    known = processes.recorded(str(state))
    first = [each for each in known if each.name.startswith(machine.init_name(""))]
    processes.stop(str(state), first)
    processes.stop(str(state), processes.recorded(str(state)))
    processes.stop(str(state), processes.strays(str(state), ours))
    cgroups.remove()
    if ours:
        underlay.remove_host_cable()
    tools.ip_batch(None, [f"netns delete {name}" for name in sorted(ours)])
    if state.exists():
        shutil.rmtree(state)
    places.KUBECONFIG.unlink(missing_ok=True)


def down() -> None:
    """Take the cluster down. Raises LabError."""
    with lock.held(), _signals_ignored():
        remove(places.state_dir())


def _refuse_foreign(lab: Lab) -> None:
    taken = sorted(tools.namespaces() & set(lab.namespaces()))
    if taken:
        raise LabError(
            f"network namespaces of these names exist and are not this cluster's: {', '.join(taken)}. Nothing was touched; "
            "the lab has the same names (`python -m tests.lab down`), and `ip netns delete NAME` removes one that nobody needs"
        )


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Every request to end becomes KeyboardInterrupt, also where it was inherited as ignored."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    with _handlers(interrupt):
        yield


@contextmanager
def _signals_ignored() -> Iterator[None]:
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
