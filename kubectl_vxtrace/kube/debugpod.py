"""The debug pods of one trace: made in parallel, watched until they run, removed whatever happened."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube.admission import none_runs
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.manifest import SESSION_LABEL, STORAGE_BYTES, manifest, pod_name
from kubectl_vxtrace.kube.objects import NodeObject, PodObject
from kubectl_vxtrace.kube.podwatch import hopeless, is_running, last_warning, waits_for
from kubectl_vxtrace.kube.removal import Doomed, cleanup, client, remove
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState, Node
from kubectl_vxtrace.model.request import PodOptions

START_TIMEOUT_S = 90.0  # an image of some hundred MB comes over a slow link
_THREADS = 10
_CREATE_TRIES = 3
_CREATE_BACKOFF_S = 0.3
_NODE_CHECK_S = 3.0
_BLIND_S = 20.0  # so long pods may not be seen at all
_INTERRUPTED = "interrupted before its pod ran"


def debug_namespace(connection: Connection, options: PodOptions) -> str:
    """Where debug pods are made: --debug-namespace, else the context's namespace."""
    return options.debug_namespace or connection.context_namespace


@dataclass(slots=True)
class _Pod:
    """One node's pod. `created` is None from the request on until it is known whether the API made it, `uid` as long as it did not say."""

    node: str
    name: str
    uid: str | None = None
    created: bool | None = False
    running: bool = False
    reason: str | None = None
    refusal: ApiError | None = None
    seen: bool = False


class DebugPods:
    """The debug pods of one session.

    Args:
        connection: the cluster.
        session: the trace's id, a part of their names and their label.
        options: image, profile, namespace, whether they are kept.
        lifetime_s: after this each ends by itself.
        start_timeout_s: how long to wait until they run.
        storage_bytes: limit of each pod's folder for captures; choose it above the sum of all files.
        stop: set from elsewhere, it ends the waiting of start() and add().
        tell: is told what is waited for, where that takes long.
        taken: names of pods that others of the session have.
        host_pid: they see the processes of their nodes; see manifest.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        session: str,
        options: PodOptions,
        lifetime_s: float,
        start_timeout_s: float = START_TIMEOUT_S,
        storage_bytes: int = STORAGE_BYTES,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] = lambda _: None,
        taken: Collection[str] = (),
        host_pid: bool = False,
    ) -> None:
        self._taken = taken
        self._host_pid = host_pid
        self._has_namespaces = True
        self.namespace = debug_namespace(connection, options)
        self.session = session
        self._connection = connection
        self._options = options
        self._lifetime_s = lifetime_s
        self._start_timeout_s = start_timeout_s
        self._storage_bytes = storage_bytes
        self._stop = stop or threading.Event()
        self._tell = tell
        self._pods: dict[str, _Pod] = {}
        self._creations: list[Future[None]] = []

    def leave_out_namespaces(self) -> None:
        """From now on pods are made without the node's folder of network namespaces; see manifest."""
        self._has_namespaces = False

    def manifests(self, nodes: Sequence[Node]) -> tuple[dict[str, Any], ...]:
        """What start() would send for these nodes."""
        names = self._names(nodes)
        return tuple(self._manifest(node.name, names[node.name]) for node in nodes)

    def start(self, nodes: Sequence[Node]) -> dict[str, str]:
        """Make a pod on each node and wait until they run. Nodes that already have one are left alone.

        Returns why a node has no pod, by node; empty if all run. What could be started stays, and so does what is half way:
        delete() removes it all.

        Raises:
            UsageError: the API refuses all of them (rights, admission).
            CannotRunError: none of them runs, and no other node's either.
        """
        asked = [node.name for node in nodes]
        fresh = [node for node in nodes if node.name not in self._pods]
        for name, label in self._names(fresh).items():
            self._pods[name] = _Pod(name, label)
        for node in fresh:
            self._pods[node.name].reason = _unfit(node)
        self._create([self._pods[node.name] for node in fresh if not self._pods[node.name].reason])
        self._await([pod for pod in self._pods.values() if pod.created and not pod.running and not pod.reason])
        reasons = {name: self.why_not(name) for name in asked if not self._pods[name].running}
        if reasons and not any(pod.running for pod in self._pods.values()) and not self._stop.is_set():
            refusals = [pod.refusal for pod in self._pods.values() if pod.refusal]
            raise none_runs(reasons, refusals, self.namespace, profile=self._options.profile)
        return reasons

    def add(self, nodes: Sequence[Node]) -> dict[str, str]:
        """As start(), for nodes that turned out to be on the path later; does not raise while another node's pod runs."""
        return self.start(nodes)

    def pod(self, node: str) -> str | None:
        """The name of the running pod of a node, or None."""
        pod = self._pods.get(node)
        return pod.name if pod and pod.running else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that were made, or were to be."""
        return tuple(pod.name for pod in self._pods.values())

    def why_not(self, node: str) -> str:
        """Why a node has no pod."""
        pod = self._pods.get(node)
        return (pod.reason or _INTERRUPTED) if pod else "no debug pod was asked for on this node"

    def delete(self) -> Cleanup:
        """Remove every pod that was made or may have been made, and wait until they are gone (bounded, see removal.BOUND_S).

        Never raises but for Ctrl-C: what cannot be confirmed is named in `left`. Works after an interrupted start(), too.
        """
        attempted = [pod for pod in self._pods.values() if pod.created is not False]
        for pod in attempted:
            pod.running = False
        if self._options.keep:
            kept = tuple(sorted(f"{self.namespace}/{pod.name}" for pod in attempted))
            return Cleanup(state=CleanupState.KEPT, left=kept, pods=len(kept))
        names = {(self.namespace, pod.name) for pod in attempted}
        try:
            # A creation that is under way would make its pod after our deletion.
            wait(self._creations, timeout=5)
            known = {pod.name: self._doomed(pod.name, pod.uid, doubtful=pod.created is None) for pod in attempted}
            return cleanup(*remove(self._connection, tuple({**self._labelled(), **known}.values()), tell=self._tell))
        except Exception:  # noqa: BLE001, RUF100 (whatever went wrong, the answer is "unconfirmed", and it must be given)
            return cleanup((), names)

    def _doomed(self, name: str, uid: str | None, *, doubtful: bool = False) -> Doomed:
        return Doomed(namespace=self.namespace, name=name, uid=uid, doubtful=doubtful)

    def _labelled(self) -> dict[str, Doomed]:
        """Pods that carry our session's label; names alone must do where they cannot be listed."""
        try:
            with client(self._connection) as api:
                return {
                    pod.metadata.name: self._doomed(pod.metadata.name, pod.metadata.uid or None)
                    for pod in self._list(api)
                    if pod.metadata.name not in self._taken
                }
        except (ApiError, VxtraceError):
            return {}

    def _names(self, nodes: Sequence[Node]) -> dict[str, str]:
        taken = {*self._taken, *(pod.name for pod in self._pods.values())}
        names: dict[str, str] = {}
        for node in nodes:
            known = self._pods.get(node.name)
            names[node.name] = known.name if known else pod_name(self.session, node.name, taken)
            taken.add(names[node.name])
        return names

    def _manifest(self, node: str, name: str) -> dict[str, Any]:
        return manifest(
            node,
            session=self.session,
            namespace=self.namespace,
            options=self._options,
            lifetime_s=self._lifetime_s,
            storage_bytes=self._storage_bytes,
            name=name,
            host_pid=self._host_pid,
            has_namespaces=self._has_namespaces,
        )

    def _create(self, pods: Sequence[_Pod]) -> None:
        if not pods:
            return
        pool = ThreadPoolExecutor(min(_THREADS, len(pods)), thread_name_prefix="create")
        try:
            futures = [pool.submit(self._create_one, pod) for pod in pods]
            self._creations += futures
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _create_one(self, pod: _Pod) -> None:
        """Create one pod; its name is ours alone, so that a repeated request that finds it has succeeded the first time."""
        if self._stop.is_set():
            pod.reason = _INTERRUPTED
            return
        pod.created = None
        body = self._manifest(pod.node, pod.name)
        with Api(self._connection, connect_timeout_s=5) as api:
            for last in (False,) * (_CREATE_TRIES - 1) + (True,):
                try:
                    made = api.send("POST", namespaced(self.namespace, "pods"), body=body)
                    pod.uid = api.decode(made, PodObject).metadata.uid or None
                except ApiError as error:
                    if error.reason == "AlreadyExists":
                        self._adopt(api, pod)
                        return
                    transient = error.status in (0, 409, 429) or error.status >= 500
                    if last or not transient:
                        # After no answer, or a gateway's error, the pod may exist all the same.
                        pod.created = None if error.sent and (error.status == 0 or error.status >= 500) else False
                        pod.reason, pod.refusal = _create_reason(error), error
                        return
                    time.sleep(min(error.retry_after_s or _CREATE_BACKOFF_S, 3.0))
                else:
                    pod.created = True
                    return

    def _adopt(self, api: Api, pod: _Pod) -> None:
        """A pod of that name is there: ours, if it has our session's label, from a try whose answer was lost; else it is not touched."""
        try:
            found = next((item.metadata for item in self._list(api) if item.metadata.name == pod.name), None)
        except ApiError as error:
            pod.created, pod.reason, pod.refusal = None, _create_reason(error), error
            return
        pod.created = found is not None
        pod.uid = found.uid or None if found is not None else None
        if not pod.created:
            pod.reason = f"a pod {self.namespace}/{pod.name} that is not ours is there already"

    def _await(self, pending: list[_Pod]) -> None:
        """Poll until every pod runs or never will."""
        started = time.monotonic()
        next_check_s, seen_s = _NODE_CHECK_S, 0.0
        with Api(self._connection) as api:
            while pending and not self._stop.is_set():
                age_s = time.monotonic() - started
                try:
                    found = {item.metadata.name: item for item in self._list(api)}
                    for pod in pending:
                        _judge(pod, found.get(pod.name))
                    if age_s >= next_check_s:
                        next_check_s = age_s + _NODE_CHECK_S
                        for pod in pending:
                            pod.reason = pod.reason or _node_trouble(api, pod.node)
                    if age_s >= self._start_timeout_s:
                        for pod in pending:
                            pod.reason = pod.reason or self._too_late(api, pod, found.get(pod.name))
                    seen_s = age_s
                except ApiError as error:
                    if error.status in (401, 403) or age_s - seen_s >= _BLIND_S:
                        for pod in pending:
                            pod.reason = pod.reason or f"its pod cannot be watched: {explain(error).message}"
                pending = [pod for pod in pending if not pod.running and not pod.reason]
                if pending:
                    self._stop.wait(_poll_s(age_s))

    def _list(self, api: Api) -> list[PodObject]:
        return list(api.items(namespaced(self.namespace, "pods"), PodObject, [("labelSelector", f"{SESSION_LABEL}={self.session}")]))

    def _too_late(self, api: Api, pod: _Pod, found: PodObject | None) -> str:
        state = waits_for(found) if found else "the API does not show it"
        warning = last_warning(api, self.namespace, pod.name)
        return f"it does not run after {self._start_timeout_s:g} s: {state}" + (f"; {warning}" if warning else "")


def _judge(pod: _Pod, found: PodObject | None) -> None:
    if found is None:
        pod.reason = "its pod was removed by somebody else" if pod.seen else None
        return
    pod.seen = True
    pod.uid = found.metadata.uid or pod.uid
    if is_running(found):
        pod.running = True
    else:
        pod.reason = hopeless(found)


def _poll_s(age_s: float) -> float:
    """Close together while pods usually start, further apart while an image is pulled."""
    if age_s < 3:
        return 0.04
    return 0.15 if age_s < 15 else 0.5


def _unfit(node: Node) -> str | None:
    if node.os != "linux":
        return f"the node runs {node.os}"
    if not node.ready:
        return f"the node is not ready: {node.not_ready_reason or 'no reason given'}"
    return None


def _create_reason(error: ApiError) -> str:
    if error.status:
        return f"its pod was refused: {error.message}"
    return explain(error).message


def _node_trouble(api: Api, name: str) -> str | None:
    """Why nothing will start on the node, if that is so."""
    found = list(api.items(path("api", "v1", "nodes"), NodeObject, [("fieldSelector", f"metadata.name={name}")]))
    return _unfit(found[0].record()) if found else "the node is gone"


__all__ = ["DebugPods", "debug_namespace", "manifest"]
