"""What `check` looks at beyond what a trace asks: every right, admission node by node, quotas, the nodes, the image on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import msgspec

from kubectl_vxtrace.errors import UsageError, VxtraceError
from kubectl_vxtrace.kube.admission import refusal
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.explain import RIGHTS_HINT, explain
from kubectl_vxtrace.kube.objects import Condition, Metadata
from kubectl_vxtrace.kube.preflight import Right, admitted, review
from kubectl_vxtrace.kube.rest import Api, ApiError, namespaced, path
from kubectl_vxtrace.kube.rights import ALL, ALWAYS, Need, Where, of_networks
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.cni import Cni
from kubectl_vxtrace.model.request import PodOptions

# The kubelet starts no pod of ours under these: pkg/kubelet/eviction/eviction_manager.go, Admit.
_PRESSURES = ("DiskPressure", "PIDPressure")
# The kubelet reports no more images (nodeStatusMaxImages); with as many there may be others.
_MOST_IMAGES = 50
_SUFFIXES = (
    {"": Decimal(1), "m": Decimal("0.001")}
    | {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}
    | {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
)


class State(StrEnum):
    """What was found: all well, a trace that sees or tells less, no trace at all."""

    OK = "ok"
    LESS = "less"
    FAILS = "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the table. `kind`: what was looked at (`right`, `node`, ...); `name`: which one."""

    kind: str
    name: str
    state: State = State.OK
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was looked at, and the error that a trace would end with, if it would."""

    items: tuple[Item, ...]
    error: VxtraceError | None = None


class _Image(msgspec.Struct):
    names: list[str] | None = None


class _NodeStatus(msgspec.Struct):
    conditions: list[Condition] | None = None
    images: list[_Image] | None = None


class _Node(msgspec.Struct):
    metadata: Metadata
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _QuotaSpec(msgspec.Struct, rename="camel"):
    scopes: list[str] | None = None
    scope_selector: msgspec.Raw | None = None


class _QuotaStatus(msgspec.Struct):
    hard: dict[str, str] | None = None
    used: dict[str, str] | None = None


class _Quota(msgspec.Struct):
    metadata: Metadata
    spec: _QuotaSpec = msgspec.field(default_factory=_QuotaSpec)
    status: _QuotaStatus = msgspec.field(default_factory=_QuotaStatus)


def rights(connection: Connection, cnis: Sequence[Cni], namespaces: Sequence[str], debug_namespace: str) -> Looked:
    """Every right that a trace asks for.

    Args:
        connection: the cluster.
        cnis: the networks that the cluster has.
        namespaces: those of the pods that are asked about; none for a cluster as a whole: then what may be read there is no condition.
        debug_namespace: where the debug pods are to be made.

    Raises VxtraceError where the API cannot be asked.
    """
    reviewed = review(connection, (*ALWAYS, *of_networks(cnis)), namespaces or (ALL,), debug_namespace)
    grouped: dict[tuple[Need, bool], list[Right]] = {}
    for right in reviewed:
        grouped.setdefault((right.need, right.allowed), []).append(right)
    items, missing = [], []
    for (need, is_allowed), found in grouped.items():
        name = need.within([right.namespace for right in found if right.namespace is not None])
        is_optional = need.without is not None or (not namespaces and need.where is Where.ASKED)
        if is_allowed:
            items.append(Item(kind="right", name=name))
        elif is_optional:
            items.append(
                Item(kind="right", name=name, state=State.LESS, detail=need.without or "pods are only found where they may be listed")
            )
        else:
            items.append(Item(kind="right", name=name, state=State.FAILS, detail="no trace without it"))
            missing += found
    error = UsageError("missing rights:\n" + "\n".join(f"  {right}" for right in missing), RIGHTS_HINT) if missing else None
    return Looked(items=tuple(items), error=error)


def admission(connection: Connection, namespace: str, options: PodOptions, manifests: Sequence[Mapping[str, Any]]) -> Looked:
    """Whether the API would create each debug pod, by a creation that is not carried out (dryRun=All)."""
    items, refused = [], []
    for body, error in zip(manifests, admitted(connection, namespace, manifests), strict=True):
        refused += [error] if error is not None else []
        state = State.OK if error is None else State.FAILS
        items.append(Item(kind="admission", name=body["spec"]["nodeName"], state=state, detail="" if error is None else error.message))
    failed = refusal(refused[0], namespace, profile=options.profile) if refused else None
    return Looked(items=tuple(items), error=failed)


def nodes(connection: Connection, chosen: Sequence[Node], options: PodOptions) -> Looked:
    """Whether each node would start a pod, and has the image.

    Raises VxtraceError where the nodes cannot be read.
    """
    try:
        with Api(connection) as api:
            known = {item.metadata.name: item.status for item in api.items(path("api", "v1", "nodes"), _Node)}
    except ApiError as error:
        raise explain(error, "read the nodes") from error
    items: list[Item] = []
    for node in chosen:
        status = known.get(node.name, _NodeStatus())
        items += (_node(node, status), _image(node, status, options))
    if options.image_pull_secret:
        unseen = "not looked at, for that takes the right to read secrets; the pod of the exec below shows whether the image can be had"
        items.append(Item(kind="pull-secret", name=options.image_pull_secret, detail=unseen))
    return Looked(items=tuple(items))


def _node(node: Node, status: _NodeStatus) -> Item:
    pressed = [each.type for each in status.conditions or () if each.type in _PRESSURES and each.status == "True"]
    if not node.ready:
        return Item(kind="node", name=node.name, state=State.LESS, detail=f"not ready: {node.not_ready_reason or 'no reason given'}")
    if pressed:
        return Item(kind="node", name=node.name, state=State.LESS, detail=f"{' and '.join(pressed)}: its kubelet starts no pod now")
    return Item(kind="node", name=node.name, detail="ready")


def _image(node: Node, status: _NodeStatus, options: PodOptions) -> Item:
    images = status.images or []
    wanted = full_name(options.image)
    if any(wanted == full_name(name) for image in images for name in image.names or ()):
        return Item(kind="image", name=node.name, detail=f"{options.image} is there")
    if options.image_pull_policy == "Never" and len(images) < _MOST_IMAGES:
        detail = f"{options.image} is not there, and must not be pulled"
        return Item(kind="image", name=node.name, state=State.LESS, detail=detail)
    known = "is not there" if len(images) < _MOST_IMAGES else f"is not among the {len(images)} images that the node names"
    return Item(kind="image", name=node.name, detail=f"{options.image} {known}: it has to be pulled")


def full_name(image: str) -> str:
    """An image's name with registry, repository, and tag or digest (distribution/reference, normalize.go)."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash or not (first == "localhost" or any(sign in first for sign in ".:")):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    folder, _, last = name.rpartition("/")
    repository, colon, tag = last.partition(":")
    return f"{folder}/{repository}@{digest}" if at else f"{folder}/{repository}:{tag if colon else 'latest'}"


def quotas(connection: Connection, namespace: str, manifests: Sequence[Mapping[str, Any]]) -> Looked:
    """Whether the quotas of the debug pods' namespace leave enough for all of them; a dry run looks at one pod alone."""
    try:
        with Api(connection) as api:
            found = list(api.items(namespaced(namespace, "resourcequotas"), _Quota))
    except ApiError as error:
        if error.status not in (403, 404):
            raise explain(error, f"read the quotas of namespace {namespace}") from error
        return Looked(items=())  # that right is a line of its own; a namespace that does not exist is told by the admission
    return Looked(items=tuple(_quota(quota, manifests) for quota in found))


def _quota(quota: _Quota, manifests: Sequence[Mapping[str, Any]]) -> Item:
    if quota.spec.scopes or quota.spec.scope_selector:
        return Item(kind="quota", name=quota.metadata.name, detail="it is for pods of some kinds only, and not looked at further")
    hard, used = quota.status.hard or {}, quota.status.used or {}
    room = len(manifests)
    scarce = ""
    for resource, each in _taken(manifests[0]).items():
        if resource in hard and each:
            left = int(max(quantity(hard[resource]) - quantity(used.get(resource, "0")), Decimal(0)) // each)
            if left < room:
                room, scarce = left, f"{resource} {used.get(resource, '0')} of {hard[resource]} used: "
    state = State.OK if room == len(manifests) else State.LESS
    return Item(kind="quota", name=quota.metadata.name, state=state, detail=f"{scarce}room for {room} of {len(manifests)} debug pods")


def _taken(manifest: Mapping[str, Any]) -> dict[str, Decimal]:
    """What one pod takes of a quota, by the quota's names for it."""
    resources = manifest["spec"]["containers"][0]["resources"]
    requests = {name: quantity(value) for name, value in resources["requests"].items()}
    taken = {"pods": Decimal(1), "count/pods": Decimal(1), **requests, **{f"requests.{name}": value for name, value in requests.items()}}
    return taken | {f"limits.{name}": quantity(value) for name, value in resources["limits"].items()}


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity (`500m`, `64Mi`, `1e3`) as a number; one that cannot be read is 0."""
    number = text.rstrip("kKMGTPEim")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return Decimal(0)
