"""What the API says about nodes, pods, services and workloads, at one time."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.namespaces import is_absent, not_found
from kubectl_vxtrace.kube.objects import Metadata, NodeObject, PodObject, WorkloadObject
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.kube.rights import ALL, ALWAYS, Refusals
from kubectl_vxtrace.kube.serviceobjects import ServiceObject, SliceObject
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import Backend, ClusterSnapshot, Node, Scope
from kubectl_vxtrace.model.request import Request

_THREADS = 8


@dataclass(frozen=True, slots=True)
class _Kind:
    plural: str
    type: type[Any]
    group: str = ""


_WORKLOADS = {
    plural[:-1]: _Kind(plural, WorkloadObject, "apps/v1") for plural in ("deployments", "replicasets", "statefulsets", "daemonsets")
}
_KINDS = (
    _Kind("pods", PodObject),
    _Kind("services", ServiceObject),
    _Kind("endpointslices", SliceObject, "discovery.k8s.io/v1"),
    *_WORKLOADS.values(),
)


class _Named(msgspec.Struct):
    metadata: Metadata


class _Reader:
    """Reads lists in parallel, one client per thread, and notes what may not be read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._local = threading.local()
        self._clients: list[Api] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="snapshot")
        self._lock = threading.Lock()

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for client in self._clients:
            client.close()

    def api(self) -> Api:
        """This thread's client."""
        api: Api | None = getattr(self._local, "api", None)
        if api is None:
            api = self._local.api = Api(self._connection)
            with self._lock:
                self._clients.append(api)
        return api

    def all(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Results of the jobs, in order; the first failure is raised."""
        return [future.result() for future in [self._pool.submit(job) for job in jobs]]

    def list(self, kind: _Kind, namespace: str | None) -> list[Any] | ApiError:
        """The items, or the error where the API forbids it or does not know the kind."""
        try:
            return list(self.api().items(namespaced(namespace, kind.plural, group=kind.group), kind.type))
        except ApiError as error:
            if error.status in (403, 404):
                return error
            raise

    def absent(self, namespaces: Sequence[str]) -> str | None:
        """The first of these namespaces that does not exist."""
        return next((name for name in namespaces if is_absent(self.api(), name)), None)

    def uid(self) -> str | ApiError:
        """The uid of kube-system, which stands for the cluster."""
        try:
            return self.api().decode(self.api().get(path("api", "v1", "namespaces", "kube-system")), _Named).metadata.uid
        except ApiError as error:
            if error.status in (403, 404):
                return error
            raise


@dataclass(slots=True)
class _Found:
    lists: dict[str, list[Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    refused: Refusals = field(default_factory=lambda: Refusals(ALWAYS))

    def add(self, kind: _Kind, result: list[Any] | ApiError, namespace: str | None = None) -> None:
        if isinstance(result, ApiError):
            self.missing.append(_why(kind.plural, result, f" in namespace {namespace}" if namespace else ""))
            self.refused.add("list", kind.group, kind.plural, namespace or ALL, result)
        else:
            self.lists.setdefault(kind.plural, []).extend(result)


def near(connection: Connection, request: Request, *, annotations: tuple[str, ...] = ()) -> ClusterSnapshot:
    """Nodes, and everything in the namespaces that the request names; what may not be read stands in `missing`.

    Args:
        connection: the cluster.
        request: names what is looked for.
        annotations: how the names of the nodes' annotations begin that are kept.

    Raises:
        UsageError: a namespace that the request names does not exist.
        VxtraceError: the API cannot be asked.
    """
    source, target = request.source.namespace, request.target.namespace if request.target is not None else None
    named = unique((request.access.namespace, source, target))
    return _read(connection, Scope.NEAR, unique((source or connection.namespace, target)), annotations, required=named)


def wide(connection: Connection, *, namespaces: Sequence[str] = (), annotations: tuple[str, ...] = ()) -> ClusterSnapshot:
    """All namespaces; where listing a kind in all is forbidden, in each that may be read.

    Args:
        connection: the cluster.
        namespaces: further ones to try where the namespaces may not be listed.
        annotations: as in `near`.

    Raises VxtraceError where the API cannot be asked.
    """
    return _read(connection, Scope.WIDE, tuple(namespaces), annotations)


def nodes(connection: Connection, *, annotations: tuple[str, ...] = (), selector: str | None = None) -> tuple[Node, ...]:
    """Every node, or those with the labels of a selector; `annotations` as in `near`. Raises VxtraceError where they cannot be read."""
    query = [("labelSelector", selector)] if selector else []
    try:
        with Api(connection) as api:
            return tuple(item.record(annotations) for item in api.items(path("api", "v1", "nodes"), NodeObject, query))
    except ApiError as error:
        raise explain(error, "read the nodes") from error


def _read(
    connection: Connection, scope: Scope, namespaces: tuple[str, ...], annotations: tuple[str, ...], *, required: tuple[str, ...] = ()
) -> ClusterSnapshot:
    taken_ns = time.time_ns()
    nodes_kind = _Kind("nodes", NodeObject)
    found = _Found()
    try:
        with _Reader(connection) as reader:
            wanted: list[tuple[_Kind, str | None]] = [(nodes_kind, None)]
            wanted += [(kind, namespace) for kind in _KINDS for namespace in (namespaces if scope is Scope.NEAR else (None,))]
            lists = [partial(reader.list, *job) for job in wanted]
            uid, absent, *results = reader.all([reader.uid, partial(reader.absent, required), *lists])
            if absent is not None:
                raise not_found(absent)
            refused: dict[_Kind, ApiError] = {}
            for (kind, namespace), result in zip(wanted, results, strict=True):
                if scope is Scope.WIDE and kind is not nodes_kind and isinstance(result, ApiError) and result.status == 403:
                    refused[kind] = result
                else:
                    found.add(kind, result, namespace)
            if refused:
                _one_by_one(reader, connection, refused, namespaces, found)
    except ApiError as error:
        raise explain(error, "read the cluster") from error
    if isinstance(uid, ApiError):
        found.missing.append(_why("namespaces", uid, ""))
        found.refused.add("get", "", "namespaces", ALL, uid)
    read = _snapshot(connection, scope, taken_ns, uid if isinstance(uid, str) else None, found)
    return replace(read, nodes=tuple(item.record(annotations) for item in found.lists.get("nodes", ())))


def _one_by_one(reader: _Reader, connection: Connection, refused: Mapping[_Kind, ApiError], more: Sequence[str], found: _Found) -> None:
    """Read the refused kinds namespace by namespace, and say which were read."""
    listed = reader.list(_Kind("namespaces", _Named), None)
    if isinstance(listed, ApiError):
        names = list(dict.fromkeys([connection.namespace, connection.context_namespace, *more, "kube-system"]))
    else:
        names = [item.metadata.name for item in listed]
    jobs = [(kind, name) for kind in refused for name in names]
    results = reader.all([partial(reader.list, *job) for job in jobs])
    for kind in refused:
        read = []
        for (job_kind, name), result in zip(jobs, results, strict=True):
            if job_kind is kind and not isinstance(result, ApiError):
                found.add(kind, result)
                read.append(name)
        shown = ", ".join(read[:5]) + (f" and {len(read) - 5} more" if len(read) > 5 else "")
        found.missing.append(f"{kind.plural} of all namespaces (forbidden; read in: {shown or 'none'})")
        found.refused.add("list", kind.group, kind.plural, ALL, refused[kind])


def _why(plural: str, error: ApiError, where: str) -> str:
    return f"{plural}{where} ({'forbidden' if error.status == 403 else 'not known to this API'})"


def _snapshot(connection: Connection, scope: Scope, taken_ns: int, uid: str | None, found: _Found) -> ClusterSnapshot:
    lists = found.lists
    pods = tuple(item.record() for item in lists.get("pods", ()))
    backends = _backends(lists.get("endpointslices", ()), {pod.full_name: pod.node for pod in pods if pod.node})
    return ClusterSnapshot(
        uid=uid,
        taken_ns=taken_ns,
        scope=scope,
        namespace=connection.namespace,
        pods=pods,
        services=tuple(item.record(backends.get((item.metadata.namespace, item.metadata.name), ())) for item in lists.get("services", ())),
        workloads=tuple(item.record(kind) for kind, at in _WORKLOADS.items() for item in lists.get(at.plural, ())),
        missing=tuple(found.missing),
        refused=found.refused.sentences(),
    )


def _backends(slices: Iterable[SliceObject], nodes: dict[str, str]) -> dict[tuple[str, str], tuple[Backend, ...]]:
    """Backends by Service. An endpoint may stand in two slices while it moves between them; it counts once."""
    grouped: dict[tuple[str, str], dict[Backend, None]] = {}
    for item in slices:
        grouped.setdefault(item.service, {}).update(dict.fromkeys(item.records(nodes)))
    return {service: tuple(found) for service, found in grouped.items()}
