"""Removing debug pods that earlier traces left behind."""

import datetime

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.manifest import LIFETIME_ANNOTATION, MANAGED_BY, MANAGER, SESSION_LABEL
from kubectl_vxtrace.kube.objects import Metadata, PodObject
from kubectl_vxtrace.kube.removal import Doomed, cleanup, client, remove
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced
from kubectl_vxtrace.model.cluster import Cleanup


def sweep(
    connection: Connection,
    *,
    namespace: str | None = None,
    older_than_s: float | None = None,
    everything: bool = False,
    keep_session: str | None = None,
) -> Cleanup:
    """Remove debug pods that earlier runs left: by label, and only those that have ended or whose time is over.

    Ages are by the API server's clock, so that a client with a wrong one removes nobody else's pods.

    Args:
        namespace: where to look; None for all, or those of this context where all may not be listed.
        older_than_s: in place of each pod's own lifetime.
        everything: whatever their age.
        keep_session: never these, nor pods that the API is ending already: a trace waits for nobody else's.

    Raises VxtraceError where pods cannot be listed.
    """
    try:
        with client(connection) as api:
            pods = _managed(api, connection, namespace)
            now_s = api.server_now_s
    except ApiError as error:
        raise explain(error, "list what earlier runs left") from error
    orphans = [
        Doomed(namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid or None)
        for pod in pods
        if not _spared(pod, keep_session) and (everything or _is_over(pod, now_s, older_than_s))
    ]
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


def _spared(pod: PodObject, keep_session: str | None) -> bool:
    """Whether a pod is left alone: one of no session is not ours, and a trace, which has one, leaves its own and those that are ending."""
    session = (pod.metadata.labels or {}).get(SESSION_LABEL, "")
    return not session or (keep_session is not None and (session == keep_session or pod.metadata.deletion_timestamp is not None))


def _is_over(pod: PodObject, now_s: float, older_than_s: float | None) -> bool:
    """Whether nobody needs a pod any more: it has ended, which a debug pod does not while its trace runs, or its time is over."""
    if pod.status.phase in ("Failed", "Succeeded"):
        return True
    age = age_s(pod.metadata.creation_timestamp, now_s)
    return age is not None and age > (older_than_s if older_than_s is not None else _lifetime_s(pod.metadata))


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
