"""Whether a trace may do what it needs to, asked before anything is made."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.kube.admission import refusal
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import RIGHTS_HINT, explain
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.model.request import PodOptions

_THREADS = 8
_GROUPS = {"endpointslices": "discovery.k8s.io"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One right; `namespace` is None for a kind without namespaces. `reason` is the API's, where it gave one."""

    verb: str
    resource: str
    namespace: str | None
    allowed: bool = False
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f" in namespace {self.namespace}" if self.namespace else "")


class _ReviewStatus(msgspec.Struct):
    allowed: bool = False
    reason: str | None = None


class _Review(msgspec.Struct):
    status: _ReviewStatus = msgspec.field(default_factory=_ReviewStatus)


def needed(namespace: str) -> tuple[Right, ...]:
    """The rights that a trace cannot do without.

    pods/exec needs `get` since the handshake is a GET, and `create` since Kubernetes 1.35 (kubernetes#134577).
    """
    wanted = [("pods", verb) for verb in ("create", "get", "list", "delete")] + [("pods/exec", verb) for verb in ("get", "create")]
    return (
        *(Right(verb=verb, resource=resource, namespace=namespace) for resource, verb in wanted),
        Right(verb="get", resource="nodes", namespace=None),
        Right(verb="list", resource="nodes", namespace=None),
    )


def reading(namespaces: Sequence[str]) -> tuple[Right, ...]:
    """The rights without which names in these namespaces, and the nodes of their pods, cannot be found."""
    return (
        Right(verb="list", resource="nodes", namespace=None),
        *(
            Right(verb="list", resource=resource, namespace=namespace)
            for namespace in namespaces
            for resource in ("pods", "services", "endpointslices")
        ),
    )


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


def review(connection: Connection, namespace: str) -> tuple[Right, ...]:
    """Every needed right with the API's answer (SelfSubjectAccessReview). Raises VxtraceError where it cannot be asked."""
    return _reviewed(connection, needed(namespace))


def _reviewed(connection: Connection, rights: Sequence[Right]) -> tuple[Right, ...]:
    try:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="review") as pool:
            return tuple(pool.map(lambda right: _ask(connection, right), rights))
    except ApiError as error:
        raise explain(error, "ask for your rights") from error


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
    _refuse_missing(review(connection, namespace))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dry-run") as pool:
        refused = [error for error in pool.map(lambda body: _try(connection, namespace, body), manifests) if error]
    if refused:
        raise refusal(refused[0], namespace, profile=options.profile)


def _refuse_missing(rights: Sequence[Right]) -> None:
    missing = [right for right in rights if not right.allowed]
    if missing:
        raise UsageError("missing rights:\n" + "\n".join(f"  {right}" for right in missing), RIGHTS_HINT)


def _ask(connection: Connection, right: Right) -> Right:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": _GROUPS.get(resource, ""),
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace or "",
    }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    with Api(connection) as api:
        answer = api.post(path("apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"), body)
        status = api.decode(answer, _Review).status
    return Right(verb=right.verb, resource=right.resource, namespace=right.namespace, allowed=status.allowed, reason=status.reason or None)


def _try(connection: Connection, namespace: str, body: Mapping[str, Any]) -> ApiError | None:
    with Api(connection) as api:
        try:
            api.post(namespaced(namespace, "pods"), body, [("dryRun", "All")])
        except ApiError as error:
            return error
    return None
