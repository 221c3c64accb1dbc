"""Deleting debug pods and making sure that they are gone."""

import datetime
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.manifest import LIFETIME_ANNOTATION, MANAGED_BY, MANAGER, SESSION_LABEL
from kubectl_vxtrace.kube.objects import Metadata, PodObject
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState

BOUND_S = 15.0
_TRIES = 3
_BACKOFF_S = 0.3
_CONNECT_TIMEOUT_S = 3.0
_READ_TIMEOUT_S = 5.0
_THREADS = 8
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 0.5
# A creation whose outcome nobody knows may still be under way in the server; only after this does "not found" mean "gone".
_LATE_CREATION_S = 3.0
_ENDED_MARGIN_S = 120.0

Name = tuple[str, str]


def client(connection: Connection) -> Api:
    """A fresh client with short bounds: what runs last must not hang, nor share a connection that may be broken."""
    return Api(connection, connect_timeout_s=_CONNECT_TIMEOUT_S, read_timeout_s=_READ_TIMEOUT_S)


def remove(
    connection: Connection, names: Collection[Name], *, doubtful: Collection[Name] = (), bound_s: float | None = None
) -> tuple[set[Name], set[Name]]:
    """Delete pods and wait until they are gone.

    Args:
        names: (namespace, name) of each.
        doubtful: those whose creation has no known outcome.
        bound_s: bound of the whole; BOUND_S by default.

    Returns (removed, left): pods that were there and are gone, and those that may still be there. Never raises an ApiError.
    """
    started = time.monotonic()
    bound_s = BOUND_S if bound_s is None else bound_s
    removed: set[Name] = set()
    left: set[Name] = set()

    def work(name: Name) -> None:
        with client(connection) as api:
            there, gone = _remove_one(api, name, started, bound_s, late=name in doubtful)
        if not gone:
            left.add(name)
        elif there:
            removed.add(name)

    if names:
        with ThreadPoolExecutor(min(_THREADS, len(names)), thread_name_prefix="remove") as pool:
            list(pool.map(work, names))
    return removed, left


def _remove_one(api: Api, name: Name, started: float, bound_s: float, *, late: bool) -> tuple[bool, bool]:
    """(was there, is gone)."""
    there = False
    pause_s = _FIRST_POLL_S
    problems = 0
    while time.monotonic() - started < bound_s:
        try:
            if _delete(api, name):
                there = True
                if _wait(api, name, started + bound_s):
                    return True, True
            elif not late or time.monotonic() - started >= _LATE_CREATION_S:
                return there, True
        except ApiError:
            problems += 1
            if problems >= _TRIES:
                return there, False
            pause_s = _BACKOFF_S
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_POLL_S)
    return there, False


def _delete(api: Api, name: Name) -> bool:
    """Ask for deletion; False where there is no such pod."""
    namespace, pod = name
    try:
        api.send(
            "DELETE",
            namespaced(namespace, "pods", pod),
            body={"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"},
        )
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _wait(api: Api, name: Name, deadline: float) -> bool:
    """Whether the pod is gone before the deadline; ApiError where that cannot be asked."""
    namespace, pod = name
    pause_s = _FIRST_POLL_S
    while time.monotonic() < deadline:
        try:
            api.get(namespaced(namespace, "pods", pod))
        except ApiError as error:
            if error.status == 404:
                return True
            raise
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
    return False


def cleanup(removed: Iterable[Name], left: Iterable[Name]) -> Cleanup:
    """The outcome as a record; `pods` counts all, gone or not."""
    gone, rest = (tuple(sorted(f"{namespace}/{name}" for namespace, name in names)) for names in (set(removed), left))
    state = CleanupState.UNCONFIRMED if rest else CleanupState.CONFIRMED
    return Cleanup(state=state, left=rest, pods=len(gone) + len(rest), removed=gone)


def sweep(
    connection: Connection,
    *,
    namespace: str | None = None,
    older_than_s: float | None = None,
    everything: bool = False,
    keep_session: str | None = None,
) -> Cleanup:
    """Remove debug pods that earlier runs left: by label, and only those whose time is over.

    Ages are by the API server's clock, so that a client with a wrong one removes nobody else's pods.

    Args:
        namespace: where to look; None for all, or those of this context where all may not be listed.
        older_than_s: in place of each pod's own lifetime.
        everything: whatever their age.
        keep_session: never these.

    Raises VxtraceError where pods cannot be listed.
    """
    try:
        with client(connection) as api:
            pods = _managed(api, connection, namespace)
            now_s = api.server_now_s
    except ApiError as error:
        raise explain(error, "list what earlier runs left") from error
    orphans = {
        (pod.metadata.namespace, pod.metadata.name)
        for pod in pods
        if (pod.metadata.labels or {}).get(SESSION_LABEL, "") != (keep_session or "") and (everything or _is_over(pod, now_s, older_than_s))
    }
    return cleanup(*remove(connection, orphans))


def _managed(api: Api, connection: Connection, namespace: str | None) -> list[PodObject]:
    query = [("labelSelector", f"{MANAGED_BY}={MANAGER}")]
    try:
        return list(api.items(namespaced(namespace, "pods"), PodObject, query))
    except ApiError as error:
        if error.status != 403 or namespace is not None:
            raise
        places = dict.fromkeys((connection.namespace, connection.context_namespace))
        return [pod for place in places for pod in api.items(namespaced(place, "pods"), PodObject, query)]


def _is_over(pod: PodObject, now_s: float, older_than_s: float | None) -> bool:
    age = age_s(pod.metadata.creation_timestamp, now_s)
    if age is None:
        return False
    if older_than_s is not None:
        return age > older_than_s
    return age > _lifetime_s(pod.metadata) or (pod.status.phase in ("Failed", "Succeeded") and age > _ENDED_MARGIN_S)


def age_s(created: str | None, now_s: float) -> float | None:
    """Seconds since an RFC 3339 creationTimestamp, or None where it cannot be read.

    Args:
        created: the object's creationTimestamp.
        now_s: Unix seconds by the API server's clock.
    """
    if not created:
        return None
    try:
        moment = datetime.datetime.fromisoformat(created)
    except ValueError:
        return None
    return now_s - (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _lifetime_s(metadata: Metadata) -> float:
    """The lifetime that its maker wrote down; an unreadable one counts as an hour."""
    text = (metadata.annotations or {}).get(LIFETIME_ANNOTATION, "")
    return float(text) if text.isdecimal() and len(text) < 10 else 3600.0
