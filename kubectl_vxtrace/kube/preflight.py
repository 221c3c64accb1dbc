"""Whether a trace may do what it needs to, asked before anything is made."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.kube.admission import refusal
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.explain import RIGHTS_HINT, explain
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.kube.rights import ALWAYS, Need, Where
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.request import PodOptions

_THREADS = 8
_FOUND_BY = ("pods", "services", "endpointslices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """A need where it is asked: `namespace` is None for a kind without namespaces. `reason` is the API's, where it gave one."""

    need: Need
    namespace: str | None = None
    allowed: bool = False
    reason: str | None = None

    def __str__(self) -> str:
        return self.need.within(() if self.namespace is None else (self.namespace,))


class _ReviewStatus(msgspec.Struct):
    allowed: bool = False
    reason: str | None = None


class _Review(msgspec.Struct):
    status: _ReviewStatus = msgspec.field(default_factory=_ReviewStatus)


def needed(namespace: str) -> tuple[Right, ...]:
    """The rights that a trace cannot do without, with debug pods in `namespace`."""
    return tuple(right for right in _rights(ALWAYS, (), namespace) if right.need.without is None)


def reading(namespaces: Sequence[str]) -> tuple[Right, ...]:
    """The rights without which names in these namespaces, and the nodes of their pods, cannot be found."""
    by_name = [need for need in ALWAYS if need.where is Where.ASKED and need.resource in _FOUND_BY]
    nodes = [need for need in ALWAYS if need.resource == "nodes"]
    return tuple(right for namespace in namespaces for right in _rights((*nodes, *by_name), (namespace,), ""))


def _rights(needs: Sequence[Need], asked: Sequence[str], debug: str) -> Iterator[Right]:
    """Each need in each namespace that it is asked in."""
    for need in needs:
        places = {Where.CLUSTER: (None,), Where.ASKED: need.namespaces or asked, Where.DEBUG: (debug,)}[need.where]
        yield from (Right(need=need, namespace=place) for place in places)


def check_reading(connection: Connection, namespaces: Sequence[str], debug_namespace: str) -> None:
    """Look whether what was not found may not be read.

    Raises:
        UsageError: it may not; with every right that is missing, so that nobody has to ask for one after the other.
        CannotRunError: the API cannot be asked.
    """
    to_read = reading(namespaces)
    wanted = dict.fromkeys((*to_read, *needed(debug_namespace)))
    reviewed = _reviewed(connection, tuple(wanted))
    if not all(right.allowed for right in reviewed[: len(to_read)]):
        _refuse_missing(reviewed)


def review(connection: Connection, needs: Sequence[Need], namespaces: Sequence[str], debug_namespace: str) -> tuple[Right, ...]:
    """The API's answer about each of `needs` (SelfSubjectAccessReview).

    Args:
        needs: of the table.
        namespaces: those that are asked about, ALL for all.
        debug_namespace: where the debug pods are to be made.

    Raises VxtraceError where the API cannot be asked.
    """
    return _reviewed(connection, tuple(dict.fromkeys(_rights(needs, namespaces, debug_namespace))))


def _reviewed(connection: Connection, rights: Sequence[Right]) -> tuple[Right, ...]:
    try:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="review") as pool:
            return tuple(pool.map(lambda right: _ask(connection, right), rights))
    except ApiError as error:
        raise explain(error, "ask for your rights") from error


REFUSED_FOLDER = "a policy lets no debug pod have the node's /var/run/netns (hostPath): pods' own network namespaces are not looked into"


def check(connection: Connection, *, options: PodOptions, namespace: str, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Check rights, then let admission judge the real pods by a creation that is not carried out (dryRun=All).

    Args:
        connection: the cluster.
        options: how the pods are made; for messages.
        namespace: where they are to be made.
        manifests: the pods themselves.

    Raises:
        UsageError: rights that are missing, all of them listed with their verbs; or admission's refusal in its own words.
        CannotRunError: the API cannot be asked.
    """
    _refuse_missing(_reviewed(connection, needed(namespace)))
    refused = [error for error in admitted(connection, namespace, manifests) if error is not None]
    if refused:
        raise refusal(refused[0], namespace, profile=options.profile)


def admitted(connection: Connection, namespace: str, manifests: Sequence[Mapping[str, Any]]) -> tuple[ApiError | None, ...]:
    """Why the API would not create a pod, for each; None where it would."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dry-run") as pool:
        return tuple(pool.map(lambda body: _try(connection, namespace, body), manifests))


def admits_without_namespaces(connection: Connection, pods: DebugPods, nodes: Sequence[Node]) -> bool:
    """Whether the API, which refuses these pods, would create them without the node's folder of network namespaces, as a policy against
    hostPath does; they are made so from now on."""
    pods.leave_out_namespaces()
    return not any(admitted(connection, pods.namespace, pods.manifests(nodes)))


def _refuse_missing(rights: Sequence[Right]) -> None:
    """Raise a UsageError with all rights that are not allowed, if any."""
    missing = [right for right in rights if not right.allowed]
    if missing:
        raise UsageError("missing rights:\n" + "\n".join(f"  {right}" for right in missing), RIGHTS_HINT)


def _ask(connection: Connection, right: Right) -> Right:
    """Whether it is allowed; one of several names stands for all of them."""
    resource, _, subresource = right.need.resource.partition("/")
    attributes = {
        "verb": right.need.verb,
        "group": right.need.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace or "",
        "name": right.need.names[0] if right.need.names else "",
    }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    with Api(connection) as api:
        answer = api.post(path("apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"), body)
        status = api.decode(answer, _Review).status
    return replace(right, allowed=status.allowed, reason=status.reason or None)


def _try(connection: Connection, namespace: str, body: Mapping[str, Any]) -> ApiError | None:
    with Api(connection) as api:
        try:
            api.post(namespaced(namespace, "pods"), body, [("dryRun", "All")])
        except ApiError as error:
            return error
    return None
