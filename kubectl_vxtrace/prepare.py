"""Steps 1 and 2 of a trace: resolve the names, check that it may be done. Nothing is created."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kubectl_vxtrace.capture import tcpdump
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.kube import namespaces, preflight, snapshot
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods, debug_namespace
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import ClusterSnapshot, Node, Scope
from kubectl_vxtrace.model.path import Flow
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.topology import nodepairs
from kubectl_vxtrace.topology.cni import ANNOTATION_PREFIXES
from kubectl_vxtrace.topology.echoes import echo_flows
from kubectl_vxtrace.topology.resolve import NotFoundError, flow_nodes, resolve, resolve_alone, resolve_backends, source_choice

Found = TypeVar("Found")

# What a trace does besides capturing (pulling an image, fetching files); debug pods live no longer than this beyond the capture.
MARGIN_S = 120.0

_COMPARING_S = 10.0
"""What --ab takes beyond for each node: 256 datagrams to every other one at 100 a second, and the next turn's beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Steps 1 and 2: whom to trace, and that it may be done. `pods` are not made yet."""

    connection: Connection
    snapshot: ClusterSnapshot
    flows: tuple[Flow, ...]
    nodes: tuple[Node, ...]
    pods: DebugPods
    gaps: tuple[Gap, ...]


def prepare(request: Request, console: Console, session: str, interruption: Interruption, *, checked: bool = True) -> Prepared:
    """Steps 1 and 2: resolve the names, check the rights and the admission of debug pods. Creates nothing.

    Without `checked` the second step is left out, and the API is only read.

    Raises:
        UsageError, CannotRunError: with what to do next.
    """
    if request.filter is not None:
        tcpdump.checked(request.filter)
    connection = connect(request.access, tell=console)
    console.step(f"resolving names on {connection.server}")
    if request.pod_options.debug_namespace is not None:
        namespaces.require(connection, request.pod_options.debug_namespace)
    seen, flows = _ends(connection, request, console)
    if request.mtu:
        flows = echo_flows(flows)
    nodes, gaps = _path_nodes(seen, flows, request.limits.max_nodes)
    lifetime_s = request.limits.duration_s + MARGIN_S + (_COMPARING_S * len(nodes) if request.ab else 0.0)
    pods = DebugPods(
        connection, session=session, options=request.pod_options, lifetime_s=lifetime_s, stop=interruption.stop, tell=console.warn
    )
    if checked:
        console.step(f"preflight on {len(nodes)} nodes: {', '.join(node.name for node in nodes)}")
        _check(connection, request, pods, nodes, console)
    return Prepared(connection=connection, snapshot=seen, flows=flows, nodes=nodes, pods=pods, gaps=gaps)


def _check(connection: Connection, request: Request, pods: DebugPods, nodes: Sequence[Node], console: Console) -> None:
    """Check rights and admission; what a policy refuses of the pods and a trace can do without is left out."""
    try:
        preflight.check(connection, options=request.pod_options, namespace=pods.namespace, manifests=pods.manifests(nodes))
    except UsageError:
        if not preflight.admits_without_namespaces(connection, pods, nodes):
            raise
        preflight.check(connection, options=request.pod_options, namespace=pods.namespace, manifests=pods.manifests(nodes))
        console.warn(preflight.REFUSED_FOLDER)


def _ends(connection: Connection, request: Request, console: Console) -> tuple[ClusterSnapshot, tuple[Flow, ...]]:
    """What the API says of the ends that a request names, and the flows between them."""
    if request.command in nodepairs.COMMANDS:
        listed = snapshot.nodes(connection, annotations=ANNOTATION_PREFIXES, selector=request.source.selector)
        seen = ClusterSnapshot(taken_ns=time.time_ns(), namespace=connection.namespace, nodes=listed)
        return seen, nodepairs.node_flows(request, seen)
    seen, flows = resolved(connection, request, resolve) if request.target is not None else _alone(connection, request)
    if request.command != "service" and (said := source_choice(request, seen)) is not None:
        console.step(said)
    if not seen.nodes:
        _check_reading(connection, request)
    return seen, flows


def _alone(connection: Connection, request: Request) -> tuple[ClusterSnapshot, tuple[Flow, ...]]:
    """Where nobody said whom the pod talks to, or who asks the Service: all that may be read, since it may be anybody."""
    seen = snapshot.wide(connection, namespaces=_named_namespaces(connection, request), annotations=ANNOTATION_PREFIXES)
    return seen, resolve_backends(request, seen) if request.command == "service" else resolve_alone(request, seen)


def resolved(connection: Connection, request: Request, find: Callable[[Request, ClusterSnapshot], Found]) -> tuple[ClusterSnapshot, Found]:
    """What `find` finds: a near snapshot first; one wide listing only on a miss."""
    seen = snapshot.near(connection, request, annotations=ANNOTATION_PREFIXES)
    try:
        return seen, find(request, seen)
    except NotFoundError:
        if seen.scope == Scope.WIDE:
            raise
    seen = snapshot.wide(connection, namespaces=_named_namespaces(connection, request), annotations=ANNOTATION_PREFIXES)
    try:
        return seen, find(request, seen)
    except NotFoundError:
        # What may not be read cannot be found: then this is what is wrong.
        _check_reading(connection, request)
        raise


def _check_reading(connection: Connection, request: Request) -> None:
    preflight.check_reading(connection, _named_namespaces(connection, request), debug_namespace(connection, request.pod_options))


def _named_namespaces(connection: Connection, request: Request) -> tuple[str, ...]:
    """Where the names of a request are looked for first."""
    source = request.source.namespace or connection.namespace
    target = request.target.namespace if request.target is not None else None
    return unique((source, target))


def _path_nodes(seen: ClusterSnapshot, flows: Sequence[Flow], most: int) -> tuple[tuple[Node, ...], tuple[Gap, ...]]:
    """The nodes that get a debug pod, the client's first, and those that cannot."""
    known = {node.name: node for node in seen.nodes}
    names = flow_nodes(flows)
    if len(names) > most:
        raise UsageError(
            f"the traffic may take {len(names)} nodes, more than the {most} that --max-nodes allows",
            "name fewer ends (--to pod/..., mesh -l LABEL=VALUE), or raise --max-nodes",
        )
    gaps = {name: reason for name in names if (reason := unfit(known.get(name))) is not None}
    nodes = tuple(known[name] for name in names if name not in gaps)
    if not nodes:
        raise CannotRunError(
            "no node of the path can be captured on:\n" + "\n".join(f"  {name}: {reason}" for name, reason in gaps.items()),
            "kubectl get nodes",
        )
    return nodes, tuple(Gap(node=name, reason=reason) for name, reason in gaps.items())


def unfit(node: Node | None) -> str | None:
    """Why no debug pod can run on a node, or None."""
    if node is None:
        return "the API does not know this node"
    if node.os != "linux":
        return f"the node runs {node.os}; captures need Linux"
    if not node.ready:
        return f"the node is not ready: {node.not_ready_reason or 'no reason given'}"
    return None
