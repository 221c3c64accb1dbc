"""Finding names in a snapshot: exact names first, then unique prefixes, and what to say where there is none or more than one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Pod, Service, Workload
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.target import shown

_NEAREST: Final = 5
_LISTED: Final = 20
# Kinds whose pods a trace can start from or go to; a ReplicaSet is named by its Deployment.
WORKLOAD_KINDS: Final = ("deployment", "statefulset", "daemonset")


class NotFoundError(UsageError):
    """A name that the snapshot does not hold. A wider snapshot may hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One object that a name may mean. `namespace` is None for a node."""

    kind: str
    namespace: str | None
    name: str
    object: Service | Workload | Pod | Node

    @property
    def pasted(self) -> str:
        """The form that finds exactly this object when it is typed as a target."""
        if self.kind == "pod":
            return f"{self.namespace}/{self.name}"
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part is not None)


def workloads_of(snapshot: ClusterSnapshot) -> tuple[Workload, ...]:
    """The workloads that were listed, and those that only the pods' owners name (rights to list workloads may be missing)."""
    found = {(work.kind, work.namespace, work.name): work for work in snapshot.workloads}
    for pod in snapshot.pods:
        for kind, name in _owners_by_name(pod):
            found.setdefault((kind, pod.namespace, name), Workload(kind=kind, namespace=pod.namespace, name=name))
    return tuple(found.values())


def pods_of(snapshot: ClusterSnapshot, workload: Workload) -> tuple[Pod, ...]:
    """Pods that belong to a workload, also through a ReplicaSet, by name."""
    direct = f"{workload.kind}/{workload.name}"
    listed = {work.name: work.owner for work in snapshot.workloads if work.kind == "replicaset" and work.namespace == workload.namespace}

    def belongs(pod: Pod) -> bool:
        kind, _, name = (pod.owner or "").partition("/")
        if kind == "replicaset" and name in listed:
            return direct in (f"replicaset/{name}", listed[name])
        return (workload.kind, workload.name) in _owners_by_name(pod)

    return tuple(sorted((pod for pod in snapshot.pods if pod.namespace == workload.namespace and belongs(pod)), key=lambda pod: pod.name))


def _owners_by_name(pod: Pod) -> tuple[tuple[str, str], ...]:
    """The pod's controller, and the Deployment that a ReplicaSet's name implies (`NAME-HASH`)."""
    kind, slash, name = (pod.owner or "").partition("/")
    if not slash:
        return ()
    deployment, dash, _ = name.rpartition("-")
    return ((kind, name), ("deployment", deployment)) if kind == "replicaset" and dash else ((kind, name),)


def everything(snapshot: ClusterSnapshot) -> tuple[Match, ...]:
    """All that can be named, in the order in which a bare name is tried: services, workloads, pods, nodes."""
    services = (Match(kind="service", namespace=each.namespace, name=each.name, object=each) for each in snapshot.services)
    workloads = (
        Match(kind=each.kind, namespace=each.namespace, name=each.name, object=each)
        for each in workloads_of(snapshot)
        if each.kind in WORKLOAD_KINDS
    )
    pods = (Match(kind="pod", namespace=each.namespace, name=each.name, object=each) for each in snapshot.pods)
    nodes = (Match(kind="node", namespace=None, name=each.name, object=each) for each in snapshot.nodes)
    return (*services, *workloads, *pods, *nodes)


def find(target: Target, snapshot: ClusterSnapshot, namespace: str, *, kinds: Sequence[str], elsewhere: bool) -> Match:
    """The one object that `target.name` means.

    Exact names come before prefixes of pods, `namespace` before all others, and services before workloads, pods and nodes. Last, a name
    may be a Service's in DNS (`NAME.NAMESPACE`).

    Args:
        namespace: where a name without a namespace is looked for first.
        kinds: kinds that may be meant; `target.kind` narrows them.
        elsewhere: whether other namespaces are looked through where the target names none.

    Raises:
        NotFoundError: nothing matches; names where it exists otherwise, or the nearest names.
        UsageError: several match; lists them in a form that can be pasted.
    """
    name = target.name or ""
    wanted = (target.kind,) if target.kind else tuple(kinds)
    possible = [match for match in everything(snapshot) if match.kind in kinds]
    known = [match for match in possible if match.kind in wanted]
    home = target.namespace or namespace
    near = [match for match in known if match.namespace == home or (match.namespace is None and target.namespace is None)]
    scopes = [near] if target.namespace or not elsewhere else [near, known]
    for scope in scopes:
        exact = _first_rank([match for match in scope if match.name == name])
        if exact:
            return _only(name, exact)
    for scope in scopes:
        begun = [match for match in scope if match.kind == "pod" and match.name.startswith(name)]
        if begun:
            return _only(name, begun)
    by_dns = [match for match in possible if match.kind == "service" and target.kind is None and f"{match.name}.{match.namespace}" == name]
    if by_dns and target.namespace is None:
        return _only(name, by_dns)
    raise _not_found(target, home if not elsewhere or target.namespace else None, possible, snapshot)


def _first_rank(matches: list[Match]) -> list[Match]:
    """Those matches that share the best rank: service, workload, pod, node."""
    ranks = [0 if each.kind == "service" else 1 if each.kind in WORKLOAD_KINDS else 2 if each.kind == "pod" else 3 for each in matches]
    best = min(ranks, default=0)
    return [match for match, rank in zip(matches, ranks, strict=True) if rank == best]


def _only(name: str, matches: list[Match]) -> Match:
    if len(matches) == 1:
        return matches[0]
    raise ambiguous(name, [match.pasted for match in matches])


def ambiguous(name: str, candidates: Sequence[str]) -> UsageError:
    """The error for a name that means several things."""
    return UsageError(f"{shown(name)} means {len(candidates)} things:\n{_listing(sorted(candidates))}", "name one of them")


def _listing(lines: Sequence[str]) -> str:
    more = [f"  ... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*(f"  {line}" for line in lines[:_LISTED]), *more])


def _not_found(target: Target, namespace: str | None, known: Sequence[Match], snapshot: ClusterSnapshot) -> NotFoundError:
    """Says that the name is unknown, where else it exists, and what is like it."""
    name = target.name or ""
    what = f"{target.kind or 'object'} called {shown(name)}"
    where = f" in namespace {namespace}" if namespace is not None and target.kind != "node" else ""
    unread = f" ({', '.join(snapshot.missing)} may not be listed with your rights)" if snapshot.missing else ""
    other = [match.pasted for match in known if match.name == name] or [
        match.pasted for match in known if match.kind == "pod" and match.name.startswith(name)
    ]
    if other:
        return NotFoundError(f"there is no {what}{where}{unread}; it exists elsewhere:\n{_listing(sorted(other))}", "name its namespace")
    close = nearest(name, known)
    lists = "kubectl get pods,services --all-namespaces lists what there is"
    outside = "; a name outside the cluster cannot be looked up: give its address" if "." in name else ""
    hint = "did you mean:\n" + _listing(close) if close else f"{lists}{outside}"
    return NotFoundError(f"there is no {what}{where}{unread}", hint)


def nearest(name: str, known: Iterable[Match]) -> tuple[str, ...]:
    """What is spelled like `name`, best first, as it can be pasted; a pod is also compared without its generated end."""
    spelled: dict[str, list[str]] = {}
    for match in known:
        spelled.setdefault(match.name, []).append(match.pasted)
        if isinstance(match.object, Pod):
            for _, owner in _owners_by_name(match.object):
                spelled.setdefault(owner, []).append(match.pasted)
    close = get_close_matches(name, list(spelled), n=_NEAREST, cutoff=0.6)
    return tuple(dict.fromkeys(pasted for spelling in close for pasted in spelled[spelling]))[:_NEAREST]
