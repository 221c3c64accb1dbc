"""`check`: whether a trace could run, and what it would not see. The one pod that it makes is removed again."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kubectl_vxtrace import facts
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError, LeftBehindError, VxtraceError
from kubectl_vxtrace.flags.values import Notation
from kubectl_vxtrace.kube import namespaces, preflight, readiness, snapshot
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.probe import probe
from kubectl_vxtrace.kube.readiness import Item, Looked, State
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import AnswerStatus, CleanupState, Node, NodeAnswer
from kubectl_vxtrace.model.recording import Gap
from kubectl_vxtrace.model.request import Access, Limits, PodOptions, Request, Target
from kubectl_vxtrace.prepare import MARGIN_S, prepare, resolved, unfit
from kubectl_vxtrace.signals import Interruption, Phase
from kubectl_vxtrace.topology.cni import ANNOTATION_PREFIXES, publishing
from kubectl_vxtrace.topology.resolve import resolve_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is checked for: the number of flows (0 where no target was named), the namespaces of the pods that are asked about (none for a
    cluster as a whole), the nodes that would get debug pods, and those that cannot."""

    connection: Connection
    flows: int = 0
    namespaces: tuple[str, ...] = ()
    nodes: tuple[Node, ...]
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
    """Check, and print a table of what was looked at; the nodes that cannot be captured on are said on stderr as well.

    Args:
        access, options, limits: as a trace would have them.
        console: where progress is told.
        notation: how the answer is printed.
        source: whose trace to check for; None for the rights and the nodes alone.
        target: whom `source` talks to; None for all its traffic.

    Raises:
        UsageError, CannotRunError: what would keep a trace from running, with what to do next; the table is printed where there is one.
        LeftBehindError: the debug pod of the exec could not be confirmed gone.
        KeyboardInterrupt: interrupted, and cleaned up.
    """
    if source is None:
        scope = _of_cluster(access, options, limits, console)
    else:
        request = Request(command="check", source=source, target=target, access=access, limits=limits, pod_options=options, show=0)
        scope = _of_request(request, console)
    for gap in scope.gaps:
        console.warn(f"{gap.node}: {gap.reason}")
    looked = _look(scope, replace(options, keep=False), limits, console)
    _print(notation, scope, looked)
    if looked.error is not None:
        raise looked.error


def _of_request(request: Request, console: Console) -> Scope:
    """For one trace, or for all traces of its source where it has no target."""
    if request.target is not None:
        prepared = prepare(request, console, "check", Interruption(), checked=False)
        ends = [end for flow in prepared.flows for end in (flow.client, flow.server, *flow.candidates) if end is not None and end.pod]
        return Scope(
            connection=prepared.connection,
            flows=len(prepared.flows),
            namespaces=unique(str(end.pod).partition("/")[0] for end in ends),
            nodes=prepared.nodes,
            gaps=prepared.gaps,
        )
    connection = connect(request.access, tell=console)
    console.step(f"resolving names on {connection.server}")
    if request.pod_options.debug_namespace is not None:
        namespaces.require(connection, request.pod_options.debug_namespace)
    seen, source = resolved(connection, request, resolve_source)
    nodes = [node for node in seen.nodes if node.name == source.node]
    return _of_nodes(connection, nodes, request.limits, ((source.pod or "").partition("/")[0],))


def _of_cluster(access: Access, options: PodOptions, limits: Limits, console: Console) -> Scope:
    """For the cluster's nodes, as many as a trace may take."""
    connection = connect(access, tell=console)
    console.step(f"asking {connection.server}")
    for namespace in unique((access.namespace, options.debug_namespace)):
        namespaces.require(connection, namespace)
    return _of_nodes(connection, snapshot.nodes(connection, annotations=ANNOTATION_PREFIXES), limits, ())


def _of_nodes(connection: Connection, nodes: Sequence[Node], limits: Limits, asked: tuple[str, ...]) -> Scope:
    gaps = tuple(Gap(node=node.name, reason=reason) for node in nodes if (reason := unfit(node)) is not None)
    fit = [node for node in nodes if unfit(node) is None]
    if not fit:
        raise CannotRunError(
            "no node can be captured on:\n" + "\n".join(f"  {gap.node}: {gap.reason}" for gap in gaps), "kubectl get nodes"
        )
    return Scope(connection=connection, namespaces=asked, nodes=tuple(fit[: limits.max_nodes]), gaps=gaps)


def _look(scope: Scope, options: PodOptions, limits: Limits, console: Console) -> Looked:
    """All that can be looked at; it ends with the first thing that would keep a trace from running."""
    connection, nodes = scope.connection, scope.nodes
    lifetime_s = limits.duration_s + MARGIN_S
    interruption = Interruption()
    pods = DebugPods(connection, session=secrets.token_hex(3), options=options, lifetime_s=lifetime_s, stop=interruption.stop)
    console.step(f"preflight on {len(nodes)} nodes: {', '.join(node.name for node in nodes)}")
    manifests = pods.manifests(nodes)
    steps: tuple[Callable[[], Looked], ...] = (
        lambda: readiness.rights(connection, publishing(nodes, None), scope.namespaces, pods.namespace),
        lambda: readiness.nodes(connection, nodes, options),
        lambda: readiness.quotas(connection, pods.namespace, manifests),
        lambda: _admission(connection, pods, nodes, options, console),
        lambda: _exec(connection, pods, nodes, interruption, console),
    )
    items: tuple[Item, ...] = ()
    for step in steps:
        looked = step()
        items += looked.items
        if looked.error is not None:
            return Looked(items=items, error=looked.error)
    return Looked(items=items)


def _admission(connection: Connection, pods: DebugPods, nodes: Sequence[Node], options: PodOptions, console: Console) -> Looked:
    """Whether the pods are admitted, if need be as a trace would make them then."""
    looked = readiness.admission(connection, pods.namespace, options, pods.manifests(nodes))
    if looked.error is None or not preflight.admits_without_namespaces(connection, pods, nodes):
        return looked
    console.warn(preflight.REFUSED_FOLDER)
    return readiness.admission(connection, pods.namespace, options, pods.manifests(nodes))


def _exec(connection: Connection, pods: DebugPods, nodes: Sequence[Node], interruption: Interruption, console: Console) -> Looked:
    """One debug pod on the first node, the longest command of a trace in it, and its removal, confirmed."""
    node = nodes[0]
    console.step(f"one debug pod on {node.name}, and an exec in it")
    with interruption.installed():
        try:
            detail, error = _asked(connection, pods, node, nodes)
        finally:
            interruption.phase = Phase.FINISHING
            cleanup = pods.delete()
            if cleanup.state is CleanupState.UNCONFIRMED:
                left = ", ".join(cleanup.left)
                raise LeftBehindError(f"a debug pod of this check may be left: {left}", "kubectl vxtrace cleanup --all")
    if interruption.signalled:
        raise KeyboardInterrupt
    state = State.OK if error is None else State.FAILS
    return Looked(items=(Item(kind="exec", name=node.name, state=state, detail=detail),), error=error)


def _asked(connection: Connection, pods: DebugPods, node: Node, nodes: Sequence[Node]) -> tuple[str, VxtraceError | None]:
    """What became of the exec, and the error if a trace would fail for it."""
    others = unique(address for other in nodes if other is not node for address in other.addresses)
    command = facts.look(node.name, local=(), remote=(), underlay=others)
    try:
        pods.start((node,))
        pod = pods.pod(node.name)
        if pod is None:
            return "interrupted", None
        began_s, began_ns = time.monotonic(), time.time_ns()
        answered = probe(connection, pods.namespace, pod, command)
        lasted_s = time.monotonic() - began_s
    except VxtraceError as error:
        return error.message, error
    if answered.failure is not None:
        return answered.failure.message, answered.failure
    answer = NodeAnswer(
        command=command, status=AnswerStatus.OK, exit_code=0, stdout=answered.stdout, sent_ns=began_ns, received_ns=time.time_ns()
    )
    absent = sorted(facts.parse(answer).absent)
    more = f"; what it cannot answer: {', '.join(absent)}" if absent else ""
    return f"the node was asked in {lasted_s:.1f} s, and the pod is gone{more}", None


def _print(notation: Notation, scope: Scope, looked: Looked) -> None:
    width = max(len(item.name) for item in looked.items)
    lines = [f"{item.kind:11}  {item.name:{width}}  {item.state:5}  {' '.join(item.detail.split())}".rstrip() for item in looked.items]
    nodes = f"{len(scope.nodes)} node{'' if len(scope.nodes) == 1 else 's'}: {', '.join(node.name for node in scope.nodes)}"
    if looked.error is not None:
        lines.append("a trace would not run")
    else:
        lines.append(f"ok: {scope.flows} flows may be traced over {nodes}" if scope.flows else f"ok: debug pods are admitted on {nodes}")
    document = {
        "ok": looked.error is None,
        "flows": scope.flows,
        "nodes": [node.name for node in scope.nodes],
        "gaps": [{"node": gap.node, "reason": gap.reason} for gap in scope.gaps],
        "checks": [{"kind": item.kind, "name": item.name, "state": item.state.value, "detail": item.detail} for item in looked.items],
    }
    stdout.answer(notation, "\n".join(lines), document)
