"""The pod that a trace starts at: by name, as one of a workload, by its labels, or by its address."""

from collections.abc import Sequence

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Pod, Service, Workload
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.ends import first_of, pod_at, pod_endpoint
from kubectl_vxtrace.topology.search import NotFoundError, find, pods_of
from kubectl_vxtrace.topology.selector import parse_selector, selects

MOST_PODS = 20
"""So many pods are traced at once; each adds to the filters of every capture."""

_LISTED = 5


def source_end(target: Target, snapshot: ClusterSnapshot, namespace: str, version: int) -> Endpoint:
    """The pod that sends, with its address of IP version 4 or 6. Of a workload, or of those that a selector picks, the first ready one by
    name is taken.

    Raises:
        NotFoundError: there is none in the snapshot.
        UsageError: it does not run, several match a name, or the name is that of a Service or a node.
        NoSuchAddressError: it has only addresses of the other version.
    """
    several = _several(target, snapshot, namespace, version)
    if several is not None:
        return several[1][0]
    if target.address is None:
        named = _named(target, snapshot, namespace)
        return pod_endpoint(named, version) if isinstance(named, Pod) else ends_of(named, snapshot, version)[0]
    pod = pod_at(target.address, snapshot)
    if pod is None:
        raise NotFoundError(f"no pod has the address {target.address}", "kubectl get pods --all-namespaces -o wide")
    return pod_endpoint(pod, version)


def source_ends(target: Target, snapshot: ClusterSnapshot, namespace: str, version: int) -> tuple[Endpoint, ...]:
    """All running pods of a workload, or of those that a selector picks, ready ones first, then by name.

    Raises:
        UsageError: one pod is named, or there are too many; else as `source_end` does.
    """
    several = _several(target, snapshot, namespace, version)
    if several is None:
        raise UsageError("--all-pods: one pod is named", "name a workload (deploy/NAME), or labels (-l app=web)")
    what, ends = several
    if len(ends) > MOST_PODS:
        raise UsageError(f"{len(ends)} pods run for {what}, and at most {MOST_PODS} are traced at once", "name fewer with -l LABEL=VALUE")
    return ends


def _several(target: Target, snapshot: ClusterSnapshot, namespace: str, version: int) -> tuple[str, tuple[Endpoint, ...]] | None:
    """What may mean several pods, and the ends of those that run; None where one pod is named."""
    if target.selector is not None:
        return target.selector, _ends(_selected(target.selector, snapshot, namespace), f"with {target.selector}", namespace, version)
    if target.address is None and isinstance(found := _named(target, snapshot, namespace), Workload):
        return f"{found.kind}/{found.name}", ends_of(found, snapshot, version)
    return None


def choice(target: Target, snapshot: ClusterSnapshot, namespace: str, version: int) -> str | None:
    """Which of several pods `source_end` takes, in a sentence; None where only one can be meant. Raises as it does."""
    several = _several(target, snapshot, namespace, version)
    if several is None:
        return None
    what, ends = several
    first, *others = [str(end.pod) for end in ends]
    if not others:
        return None
    more = ", ".join(others[:_LISTED]) + (f" and {len(others) - _LISTED} more" if len(others) > _LISTED else "")
    return f"{len(ends)} pods run for {what}: tracing {first}; to trace another, name it: {more} (--all-pods: all of them)"


def ends_of(workload: Workload, snapshot: ClusterSnapshot, version: int) -> tuple[Endpoint, ...]:
    """The ends of a workload's running pods with their addresses of IP version 4 or 6, ready ones first, then by name.

    Raises:
        NotFoundError: none of its pods is in the snapshot.
        UsageError: none of them runs.
        NoSuchAddressError: those that run have only addresses of the other version.
    """
    what = f"{workload.kind} {workload.namespace}/{workload.name}"
    pods = pods_of(snapshot, workload)
    if not pods:
        raise NotFoundError(f"{what} has no pods", f"kubectl -n {workload.namespace} describe {workload.kind} {workload.name}")
    return _ends(pods, f"of {what}", workload.namespace, version)


def _selected(selector: str, snapshot: ClusterSnapshot, namespace: str) -> tuple[Pod, ...]:
    requirements = parse_selector(selector)
    pods = tuple(pod for pod in snapshot.pods if pod.namespace == namespace and selects(requirements, pod.labels))
    if not pods:
        raise NotFoundError(
            f"no pod in namespace {namespace} has the labels {selector}", f"kubectl -n {namespace} get pods --show-labels; -n names another"
        )
    return pods


def _ends(pods: Sequence[Pod], what: str, namespace: str, version: int) -> tuple[Endpoint, ...]:
    """The ends of those pods that run, ready ones first, then by name. Raises UsageError where none does."""
    ordered = sorted(pods, key=lambda pod: (not pod.ready, pod.name))
    alive = [pod for pod in ordered if pod.phase == "Running" and pod.node is not None and pod.addresses]
    if not alive:
        states = "\n".join(f"  {pod.full_name}: {pod.phase}{f' ({pod.reason})' if pod.reason else ''}" for pod in ordered[:20])
        raise UsageError(f"no pod {what} runs:\n{states}", f"kubectl -n {namespace} describe pods")
    usable = [pod for pod in alive if first_of(pod.addresses, version)]
    return tuple(pod_endpoint(pod, version) for pod in usable or alive)


def _named(target: Target, snapshot: ClusterSnapshot, namespace: str) -> Pod | Workload:
    if target.kind == "node":
        raise _is_a_node(target.name or "")
    try:
        found = find(target, snapshot, namespace, kinds=(target.kind or "pod",), elsewhere=False).object
    except NotFoundError as error:
        if target.kind is None and target.namespace is None and any(node.name == target.name for node in snapshot.nodes):
            raise _is_a_node(target.name or "") from error
        home = target.namespace or namespace
        service = next((each for each in snapshot.services if (each.namespace, each.name) == (home, target.name)), None)
        if target.kind is None and service is not None:
            raise _is_a_service(service) from error
        raise
    if isinstance(found, Service):
        raise _is_a_service(found)
    if not isinstance(found, (Pod, Workload)):
        raise UsageError(f"a trace starts at a pod, not at a {target.kind}", "name a pod, or a workload as deploy/NAME")
    return found


def _is_a_node(name: str) -> UsageError:
    return UsageError(
        f"that is a node: {name}; a trace starts at a pod",
        f"name one of its pods (kubectl get pods -A --field-selector spec.nodeName={name}), or say --to node/{name}",
    )


def _is_a_service(service: Service) -> UsageError:
    pods = sorted({backend.pod for backend in service.backends if backend.pod is not None})
    listed = f"name one of its pods: {', '.join(pods[:_LISTED])}" if pods else "name a pod"
    return UsageError(f"that is a Service: {service.full_name}; a trace starts at a pod", f"{listed}; or say --to svc/{service.full_name}")
