"""`check`: whether a trace could run: names, rights, admission, nodes. Creates nothing that stays."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.flags.values import Notation
from kubectl_vxtrace.kube import namespaces, preflight, snapshot
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.model.request import Access, Limits, PodOptions, Request, Target
from kubectl_vxtrace.prepare import MARGIN_S, prepare, resolved, unfit
from kubectl_vxtrace.signals import Interruption
from kubectl_vxtrace.topology.resolve import resolve_source

SESSION = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What may be traced: the number of flows (0 where no target was named), the nodes that admit debug pods, and those that cannot."""

    flows: int = 0
    nodes: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()


def run(
    access: Access,
    options: PodOptions,
    limits: Limits,
    console: Console,
    notation: Notation,
    *,
    source: Target | None,
    target: Target | None,
) -> None:
    """Check, and print what may be traced; the nodes that cannot be captured on are said on stderr as well.

    Args:
        access, options, limits: as a trace would have them.
        console: where progress is told.
        notation: how the answer is printed.
        source: whose trace to check for; None for the rights and the nodes alone.
        target: whom `source` talks to; None for all its traffic.

    Raises:
        UsageError, CannotRunError: what would keep a trace from running, with what to do next.
    """
    if source is None:
        ready = of_cluster(access, options, limits, console)
    else:
        request = Request(command="check", source=source, target=target, access=access, limits=limits, pod_options=options, show=0)
        ready = of_request(request, console)
    for gap in ready.gaps:
        console.warn(f"{gap.node}: {gap.reason}")
    nodes = f"{len(ready.nodes)} node{'' if len(ready.nodes) == 1 else 's'}: {', '.join(ready.nodes)}"
    text = f"ok: {ready.flows} flows may be traced over {nodes}" if ready.flows else f"ok: debug pods are admitted on {nodes}"
    gaps = [{"node": gap.node, "reason": gap.reason} for gap in ready.gaps]
    stdout.answer(notation, text, {"flows": ready.flows, "nodes": list(ready.nodes), "gaps": gaps})


def of_request(request: Request, console: Console) -> Readiness:
    """Check for one trace, or for all traces of its source where it has no target.

    Raises:
        UsageError, CannotRunError: what would keep a trace from running, with what to do next.
    """
    if request.target is not None:
        prepared = prepare(request, console, SESSION, Interruption())
        return Readiness(flows=len(prepared.flows), nodes=tuple(node.name for node in prepared.nodes), gaps=prepared.gaps)
    connection = connect(request.access)
    console.step(f"resolving names on {connection.server}")
    seen, source = resolved(connection, request, resolve_source)
    return _of_nodes(connection, [node for node in seen.nodes if node.name == source.node], request.pod_options, request.limits, console)


def of_cluster(access: Access, options: PodOptions, limits: Limits, console: Console) -> Readiness:
    """Check the rights, and the admission of debug pods on the cluster's nodes, as many as a trace may take.

    Raises:
        UsageError, CannotRunError: what would keep a trace from running, with what to do next.
    """
    connection = connect(access)
    console.step(f"asking {connection.server}")
    if access.namespace is not None:
        namespaces.require(connection, access.namespace)
    pods = DebugPods(connection, session=SESSION, options=options, lifetime_s=limits.duration_s + MARGIN_S)
    # Rights first: who may not read nodes gets all that is missing, not this alone.
    preflight.check(connection, options=options, namespace=pods.namespace, manifests=())
    return _of_nodes(connection, snapshot.nodes(connection), options, limits, console)


def _of_nodes(connection: Connection, nodes: Sequence[Node], options: PodOptions, limits: Limits, console: Console) -> Readiness:
    gaps = tuple(Gap(node=node.name, reason=reason) for node in nodes if (reason := unfit(node)) is not None)
    fit = [node for node in nodes if unfit(node) is None]
    if not fit:
        raise CannotRunError(
            "no node can be captured on:\n" + "\n".join(f"  {gap.node}: {gap.reason}" for gap in gaps), "kubectl get nodes"
        )
    chosen = fit[: limits.max_nodes]
    console.step(f"preflight on {len(chosen)} of {len(fit)} nodes: {', '.join(node.name for node in chosen)}")
    pods = DebugPods(connection, session=SESSION, options=options, lifetime_s=limits.duration_s + MARGIN_S)
    preflight.check(connection, options=options, namespace=pods.namespace, manifests=pods.manifests(chosen))
    return Readiness(nodes=tuple(node.name for node in chosen), gaps=gaps)
