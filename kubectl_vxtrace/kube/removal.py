"""Deleting debug pods and making sure that they are gone.

"Gone" is what the API was seen to lack: a list by our label, which it answers as a PodList. That a DELETE found nothing says little, for a
404 may come from a load balancer, and a pod may be made after it.
"""

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.manifest import MANAGED_BY, MANAGER
from kubectl_vxtrace.kube.objects import Metadata, PodObject
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState

BOUND_S = 60.0
"""So long the API may be away before a pod counts as left: longer than it takes to start anew."""
ENDING_BOUND_S = 15.0
"""So long a node may take to end a pod that the API has marked: its kubelet gives our pods five (see manifest), and one that is dead
gives no sign."""
_CONNECT_TIMEOUT_S = 3.0
_READ_TIMEOUT_S = 5.0
_THREADS = 8
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 0.5
_FIRST_BACKOFF_S = 0.3
_LONGEST_BACKOFF_S = 3.0
_TELL_AFTER_S = 5.0
# A creation whose outcome nobody knows may still be under way in the server; only after this does "not there" mean "gone".
_LATE_CREATION_S = 3.0

Name = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A pod to remove. `uid` is None where it is not known; else another pod of that name is not touched. doubtful: nobody knows whether
    the API made it, so that it may still appear."""

    namespace: str
    name: str
    uid: str | None = None
    doubtful: bool = False

    @property
    def key(self) -> Name:
        """(namespace, name)."""
        return self.namespace, self.name


@dataclass(slots=True)
class _Progress:
    """What is known of the pods meanwhile.

    there: the API was seen to have them. refused: their removal for good. asked: for their removal. ending_since_s: when the API was first
    seen to end them.
    """

    there: set[Name] = field(default_factory=set)
    refused: set[Name] = field(default_factory=set)
    asked: set[Name] = field(default_factory=set)
    ending_since_s: dict[Name, float] = field(default_factory=dict)

    def is_hopeless(self, name: Name, now_s: float) -> bool:
        """Whether there is no use in waiting for a pod."""
        return name in self.refused or now_s - self.ending_since_s.get(name, now_s) >= ENDING_BOUND_S


def client(connection: Connection) -> Api:
    """A fresh client with short bounds: what runs last must not hang, nor share a connection that may be broken."""
    return Api(connection, connect_timeout_s=_CONNECT_TIMEOUT_S, read_timeout_s=_READ_TIMEOUT_S)


def remove(
    connection: Connection,
    pods: Collection[Doomed],
    *,
    bound_s: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[set[Name], set[Name]]:
    """Delete pods and wait until the API lists them no more.

    What fails is tried again until the bound, further and further apart; only a refusal (no right to delete) is final.

    Args:
        pods: what is to go.
        bound_s: bound of the whole; BOUND_S by default. Pods that their nodes are ending have ENDING_BOUND_S.
        tell: is told what is waited for, where that takes long.

    Returns (removed, left): pods that were there and are gone, and those that may still be there. Never raises an ApiError.
    """
    started = time.monotonic()
    bound_s = BOUND_S if bound_s is None else bound_s
    pending = {pod.key: pod for pod in pods}
    removed: set[Name] = set()
    progress = _Progress()
    poll_s, backoff_s, told_at_s = _FIRST_POLL_S, _FIRST_BACKOFF_S, _TELL_AFTER_S
    while pending:
        trouble = _ask(connection, [pod for pod in pending.values() if pod.key not in progress.asked | progress.refused], progress)
        age_s = time.monotonic() - started
        try:
            with client(connection) as api:
                present = _present(api, pending.values())
        except ApiError as error:
            trouble = trouble or error
        else:
            progress.there |= set(present)
            for key, is_ending in present.items():
                if is_ending:
                    progress.ending_since_s.setdefault(key, age_s)
                else:
                    progress.asked.discard(key)
            for key in set(pending) - set(present):
                if pending[key].doubtful and age_s < _LATE_CREATION_S:
                    progress.asked.discard(key)
                    continue
                del pending[key]
                removed |= {key} & progress.there
        if age_s >= bound_s or all(progress.is_hopeless(key, age_s) for key in pending):
            break
        if age_s >= told_at_s:
            tell(_waiting_text(pending, trouble, bound_s - age_s))
            told_at_s += 2 * _TELL_AFTER_S
        time.sleep(min(backoff_s if trouble is not None else poll_s, max(bound_s - age_s, 0.0)))
        poll_s = min(poll_s * 1.5, _LONGEST_POLL_S)
        backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S) if trouble is not None else _FIRST_BACKOFF_S
    return removed, set(pending)


def _waiting_text(pending: Collection[Name], trouble: ApiError | None, left_s: float) -> str:
    what = f"{len(pending)} debug pods to end" if trouble is None else f"the API, to remove {len(pending)} debug pods ({trouble.message})"
    return f"waiting for {what}, {left_s:.0f} s more at most"


def _ask(connection: Connection, pods: Collection[Doomed], progress: _Progress) -> ApiError | None:
    """Ask for the deletion of each, several at once; the first failure that may pass."""
    if not pods:
        return None
    with ThreadPoolExecutor(min(_THREADS, len(pods)), thread_name_prefix="remove") as pool:
        outcomes = list(pool.map(lambda pod: _delete(connection, pod), pods))
    trouble = None
    for pod, error in zip(pods, outcomes, strict=True):
        if error is None:
            progress.there.add(pod.key)
        elif error.reason and error.status in (400, 403, 405, 422):  # the API's own word, no gateway's page
            progress.refused.add(pod.key)
        elif not (error.says_missing(pod.name) or _is_another(error, pod)):
            trouble = trouble or error
            continue
        progress.asked.add(pod.key)
    return trouble


def _is_another(error: ApiError, pod: Doomed) -> bool:
    """Whether the pod of that name is not the one with our uid."""
    return error.status == 409 and error.reason == "Conflict" and pod.uid is not None


def _delete(connection: Connection, pod: Doomed) -> ApiError | None:
    """Ask for deletion; what went wrong."""
    options: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    if pod.uid is not None:
        options["preconditions"] = {"uid": pod.uid}
    try:
        with client(connection) as api:
            api.send("DELETE", namespaced(pod.namespace, "pods", pod.name), body=options)
    except ApiError as error:
        return error
    return None


def _present(api: Api, pods: Iterable[Doomed]) -> dict[Name, bool]:
    """Those of the pods that the API has, and whether it is ending them; ApiError where it cannot be asked."""
    by_namespace: dict[str, list[Doomed]] = {}
    for pod in pods:
        by_namespace.setdefault(pod.namespace, []).append(pod)
    found: dict[Name, bool] = {}
    for namespace, wanted in by_namespace.items():
        try:
            listed = api.items(namespaced(namespace, "pods"), PodObject, [("labelSelector", f"{MANAGED_BY}={MANAGER}")])
            there = {item.metadata.name: item.metadata for item in listed}
        except ApiError as error:
            if error.status != 403:
                raise
            there = {pod.name: metadata for pod in wanted if (metadata := _looked_up(api, pod)) is not None}
        ours = [pod for pod in wanted if pod.name in there and pod.uid in (None, there[pod.name].uid)]
        found |= {pod.key: there[pod.name].deletion_timestamp is not None for pod in ours}
    return found


def _looked_up(api: Api, pod: Doomed) -> Metadata | None:
    """The pod of that name, None where the API says that there is none: for whom pods may not be listed."""
    try:
        return api.decode(api.get(namespaced(pod.namespace, "pods", pod.name)), PodObject).metadata
    except ApiError as error:
        if error.says_missing(pod.name):
            return None
        raise


def cleanup(removed: Iterable[Name], left: Iterable[Name]) -> Cleanup:
    """The outcome as a record; `pods` counts all, gone or not."""
    gone, rest = (tuple(sorted(f"{namespace}/{name}" for namespace, name in names)) for names in (set(removed), left))
    state = CleanupState.UNCONFIRMED if rest else CleanupState.CONFIRMED
    return Cleanup(state=state, left=rest, pods=len(gone) + len(rest), removed=gone)
