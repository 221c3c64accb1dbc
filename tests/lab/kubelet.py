"""The lab's kubelets: each debug pod has a thread that starts it, reports on it, and ends it."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.datapath.records import Lab, LabNode
from tests.lab import resources
from tests.lab.admission import quantity_bytes
from tests.lab.control import Control
from tests.lab.objects import DEBUG_IMAGE, condition, image_id
from tests.lab.podprocess import DEFAULT_CAPABILITIES, PATH, Container, ContainerSpec, StartError
from tests.lab.selection import field
from tests.lab.status import JsonObject
from tests.lab.store import Store, now

_POLL_S = 0.2
_BACK_OFF_AFTER_S = 0.5  # a real kubelet: 10 s


class _NotStartedError(Exception):
    """The container cannot be made; `reason` stands in its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    namespace: str
    name: str
    uid: str
    node: str


def container_spec(pod: JsonObject, node: LabNode) -> ContainerSpec:
    """What the pod's first container is to run. Raises _NotStartedError for what the lab does not have."""
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    if not spec.get("hostNetwork"):
        raise _NotStartedError("CreateContainerError", "the lab gives a network of their own to its own pods only: set hostNetwork")
    if len(spec["containers"]) > 1 or spec.get("initContainers"):
        raise _NotStartedError("CreateContainerError", "the lab runs pods of one container")
    argv = [str(word) for word in (container.get("command") or []) + (container.get("args") or [])]
    if not argv:
        raise _NotStartedError("CreateContainerError", "the lab has no images: set the container's command")
    volumes = {volume["name"]: _volume(volume) for volume in spec.get("volumes") or []}
    mounts = [(mount["mountPath"], volumes[mount["name"]]) for mount in container.get("volumeMounts") or []]
    context = container.get("securityContext") or {}
    return ContainerSpec(
        netns=f"/run/netns/{node.netns}",
        hostname=node.name,
        argv=tuple(argv),
        environment=_environment(pod, container, node),
        volumes=tuple((path, volume) for path, volume in mounts if not isinstance(volume, str)),
        host_paths=tuple((path, volume) for path, volume in mounts if isinstance(volume, str)),
        read_only=bool(context.get("readOnlyRootFilesystem")),
        capabilities=_capabilities(context),
        no_new_privileges=context.get("allowPrivilegeEscalation") is False,
        host_pid=bool(spec.get("hostPID")),
    )


def _volume(volume: JsonObject) -> int | str | None:
    """An empty volume's size in bytes, or the path of the machine that is shown."""
    if volume.get("hostPath") is not None:
        return str(volume["hostPath"]["path"])
    if volume.get("emptyDir") is None:
        raise _NotStartedError("CreateContainerConfigError", f"the lab has emptyDir and hostPath volumes only: {volume.get('name')}")
    limit = volume["emptyDir"].get("sizeLimit")
    return None if limit is None else quantity_bytes(str(limit))


def _environment(pod: JsonObject, container: JsonObject, node: LabNode) -> dict[str, str]:
    environment = {"PATH": PATH, "HOSTNAME": node.name, "HOME": "/root"}
    if pod["spec"].get("enableServiceLinks", True):
        environment |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for entry in container.get("env") or []:
        source = (entry.get("valueFrom") or {}).get("fieldRef") or {}
        value = field(pod, source["fieldPath"]) if source else entry.get("value")
        environment[entry["name"]] = str(value or "")
    return environment


def _capabilities(context: dict[str, Any]) -> frozenset[str] | None:
    if context.get("privileged"):
        return None
    changes = context.get("capabilities") or {}
    dropped = {name.lower() for name in changes.get("drop") or ()}
    kept = frozenset() if "all" in dropped else DEFAULT_CAPABILITIES - dropped
    return kept | {name.lower() for name in changes.get("add") or ()}


class PodRunner:
    """One debug pod, from its creation until it is gone. Its thread starts the container and lives as long."""

    def __init__(self, kubelets: "Kubelets", pod: JsonObject) -> None:
        self._kubelets = kubelets
        self._store = kubelets.store
        metadata = pod["metadata"]
        self.id = _Identity(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"], node=pod["spec"]["nodeName"])
        self._started_s = time.monotonic()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._stop_within_s: float | None = None
        self._force = threading.Event()  # the server itself ends: the kubelet's node need not be ready
        self.log = os.memfd_create(f"log-{self.id.name}")
        self.container: Container | None = None
        self._commands: list[subprocess.Popen[bytes]] = []  # exec'ed, as seen from outside
        self.thread = threading.Thread(target=self._run, name=f"pod {self.id.name}", daemon=True)

    # --- called by others ---

    def stop(self, grace_s: float, *, force: bool = False) -> None:
        """Ask for the end: SIGTERM, and SIGKILL after `grace_s`. With `force` even where the node is not ready."""
        self._stop_within_s = grace_s if self._stop_within_s is None else min(grace_s, self._stop_within_s)
        if force:
            self._force.set()
        os.eventfd_write(self._wake, 1)

    def exec_started(self, process: "subprocess.Popen[bytes]") -> None:
        """A command runs in the container; the pod is not gone before it is."""
        self._commands = [*(known for known in self._commands if known.poll() is None), process]

    # --- the thread ---

    def _run(self) -> None:
        try:
            pod = self._store.get(resources.PODS, self.id.namespace, self.id.name)
            self._live(pod)
        finally:
            self._kubelets.forget(self)
            os.close(self._wake)
            os.close(self.log)

    def _live(self, pod: JsonObject) -> None:
        spec = pod["spec"]
        node = self._wait_for_node()
        if node is not None:
            self._patch(lambda status: status.update(startTime=now(), hostIP=node.address, hostIPs=[{"ip": node.address}]))
            self._container_status(spec, {"waiting": {"reason": "ContainerCreating"}})
            if self._pull(spec):
                self._run_container(pod, node)
        while not self._ending():
            self._sleep(_POLL_S)
        self._store.remove(resources.PODS, self.id.namespace, self.id.name, uid=self.id.uid)

    def _ready(self) -> bool:
        return self._force.is_set() or self.id.node not in self._kubelets.control.faults().node_not_ready

    def _ending(self) -> bool:
        return self._stop_within_s is not None and self._ready()

    def _sleep(self, timeout_s: float | None, *descriptors: int) -> None:
        """Until something is asked of us, one of `descriptors` is readable, or the time is over."""
        poll = select.poll()
        for descriptor in (self._wake, *descriptors):
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        if any(descriptor == self._wake for descriptor, _ in ready):
            os.eventfd_read(self._wake)

    def _wait_for_node(self) -> LabNode | None:
        while not self._ending():
            node = self._kubelets.node(self.id.node)
            if node is not None and self._ready():
                return node
            self._sleep(_POLL_S)
        return None

    def _pull(self, spec: JsonObject) -> bool:
        image = spec["containers"][0]["image"]
        failed_s: float | None = None
        while not self._ending():
            faults = self._kubelets.control.faults()
            if not faults.image_pull_fails and image in (DEBUG_IMAGE, *faults.images):
                self._event("Normal", "Pulled", f'Container image "{image}" already present on machine')
                return True
            why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
            if failed_s is None:
                failed_s = time.monotonic()
                self._event("Warning", "Failed", f'Failed to pull image "{image}": {why}')
                self._container_status(spec, {"waiting": {"reason": "ErrImagePull", "message": why}})
            elif time.monotonic() > failed_s + _BACK_OFF_AFTER_S:
                failed_s = float("inf")
                self._event("Normal", "BackOff", f'Back-off pulling image "{image}"')
                message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
                self._container_status(spec, {"waiting": {"reason": "ImagePullBackOff", "message": message}})
            self._sleep(_POLL_S)
        return False

    def _run_container(self, pod: JsonObject, node: LabNode) -> None:
        spec = pod["spec"]
        started_at = now()
        try:
            self.container = Container.start(container_spec(pod, node), self.log)
        except _NotStartedError as error:
            self._event("Warning", "Failed", f"Error: {error}")
            self._container_status(spec, {"waiting": {"reason": error.reason, "message": str(error)}})
            return
        except StartError as error:
            self._event("Warning", "Failed", f"Error: {error}")
            ended = {"exitCode": 128, "reason": "StartError", "message": f"failed to start container: {error}", "finishedAt": now()}
            self._container_status(spec, {"terminated": ended}, phase="Failed")
            return
        self._event("Normal", "Started", f"Started container {spec['containers'][0]['name']}")
        self._container_status(spec, {"running": {"startedAt": started_at}}, phase="Running", address=node.address)
        overdue = self._wait_for_end(self.container, spec)
        container, self.container = self.container, None
        code = container.reap()
        for command in self._commands:
            command.wait()
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": started_at, "finishedAt": now()}
        phase = "Failed" if code or overdue else "Succeeded"
        self._container_status(spec, {"terminated": ended}, phase=phase)
        if overdue:
            message = "Pod was active on the node longer than the specified deadline"
            self._patch(lambda status: status.update(reason="DeadlineExceeded", message=message))

    def _wait_for_end(self, container: Container, spec: JsonObject) -> bool:
        """Until all of it has ended, by itself or asked to; whether its deadline ended it."""
        deadline = spec.get("activeDeadlineSeconds")
        ends_s = None if deadline is None else self._started_s + deadline
        grace_s: float = spec.get("terminationGracePeriodSeconds", 30)
        overdue = killed = False
        kill_s: float | None = None
        watch = select.poll()
        watch.register(container.pidfd, select.POLLIN)
        while not watch.poll(0):
            if kill_s is None and (self._ending() or (ends_s is not None and time.monotonic() >= ends_s)):
                overdue = not self._ending()
                self._event("Normal", "Killing", f"Stopping container {spec['containers'][0]['name']}")
                container.signal(signal.SIGTERM)
                kill_s = time.monotonic() + grace_s
            if kill_s is not None and self._stop_within_s is not None:
                kill_s = min(kill_s, time.monotonic() + self._stop_within_s)
            if kill_s is not None and not killed and time.monotonic() >= kill_s:
                container.signal(signal.SIGKILL)
                killed = True
            next_s = None if killed else (ends_s if kill_s is None else kill_s)
            waiting_for_node = kill_s is None and self._stop_within_s is not None
            self._sleep(_POLL_S if waiting_for_node else next_s and next_s - time.monotonic(), container.pidfd)
        return overdue

    # --- what the API is told ---

    def _patch(self, change: Callable[[JsonObject], None]) -> None:
        self._store.update(resources.PODS, self.id.namespace, self.id.name, lambda pod: change(pod["status"]), uid=self.id.uid)

    def _container_status(self, spec: JsonObject, state: JsonObject, *, phase: str = "Pending", address: str | None = None) -> None:
        container = spec["containers"][0]
        running = "running" in state
        status: JsonObject = {"name": container["name"], "image": container["image"], "imageID": "", "ready": running, "started": running}
        status |= {"restartCount": 0, "lastState": {}, "state": state}
        if running or "terminated" in state:
            status |= {"imageID": image_id(container["image"]), "containerID": f"lab://{self.id.uid}"}
        names = [entry["name"] for entry in spec["containers"]]

        def change(found: JsonObject) -> None:
            found["phase"] = phase
            found["containerStatuses"] = [status]
            done = (
                ("PodCompleted", None)
                if phase in ("Succeeded", "Failed")
                else ("ContainersNotReady", f"containers with unready status: {names}")
            )
            ready = [condition(kind, "True") if running else condition(kind, "False", *done) for kind in ("Ready", "ContainersReady")]
            found["conditions"] = [condition("PodScheduled", "True"), condition("Initialized", "True"), *ready]
            if address:
                found |= {"podIP": address, "podIPs": [{"ip": address}]}

        self._patch(change)

    def _event(self, kind: str, reason: str, message: str) -> None:
        involved = {"kind": "Pod", "apiVersion": "v1", "namespace": self.id.namespace, "name": self.id.name, "uid": self.id.uid}
        event: JsonObject = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{self.id.name}.{time.time_ns():x}", "namespace": self.id.namespace},
            "involvedObject": involved,
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.id.node},
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
        }
        self._store.create(resources.EVENTS, event)


class Kubelets:
    """The kubelets of all nodes."""

    def __init__(self, store: Store, control: Control, lab: Callable[[], Lab]) -> None:
        self.store = store
        self.control = control
        self._lab = lab
        self._lock = threading.Lock()
        self._runners: dict[str, PodRunner] = {}

    def node(self, name: str) -> LabNode | None:
        """The node of that name."""
        return next((node for node in self._lab().nodes if node.name == name), None)

    def start(self, pod: JsonObject) -> None:
        """Begin to care for a new pod that has a node."""
        runner = PodRunner(self, pod)
        with self._lock:
            self._runners[runner.id.uid] = runner
        runner.thread.start()

    def runner(self, pod: JsonObject) -> PodRunner | None:
        """Who cares for a pod; None for the lab's own pods and for those that are gone."""
        with self._lock:
            return self._runners.get(pod["metadata"]["uid"])

    def forget(self, runner: PodRunner) -> None:
        """Called by a runner at its end."""
        with self._lock:
            del self._runners[runner.id.uid]

    def shut_down(self, grace_s: float) -> None:
        """End every debug pod and wait for that."""
        with self._lock:
            runners = list(self._runners.values())
        for runner in runners:
            runner.stop(grace_s, force=True)
        for runner in runners:
            runner.thread.join()
