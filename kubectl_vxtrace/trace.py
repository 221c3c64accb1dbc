"""Steps 1 to 7 of a trace, and its clean-up. They make a trace folder and a Recording; the analysis does the rest."""

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kubectl_vxtrace import __version__, facts
from kubectl_vxtrace.bundle import folder as trace_folder
from kubectl_vxtrace.capture.plan import plan_captures
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.interruption import Interruption, Phase
from kubectl_vxtrace.kube import preflight, snapshot
from kubectl_vxtrace.kube.config import Connection, connect
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import Cleanup, ClusterSnapshot, Node, NodeCommand, Scope
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay
from kubectl_vxtrace.model.recording import CapturePlan, Gap, Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import PathPlan, plan_paths
from kubectl_vxtrace.topology.resolve import NotFoundError, flow_nodes, resolve

CAPTURE_DIRECTORY = "/capture"
# What a trace does besides capturing (pulling an image, fetching files); debug pods live no longer than this beyond the capture.
MARGIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Steps 1 and 2: whom to trace, and that it may be done."""

    connection: Connection
    snapshot: ClusterSnapshot
    flows: tuple[Flow, ...]
    nodes: tuple[Node, ...]
    gaps: tuple[Gap, ...]


class Trace:
    """One trace. `run` records; `clean_up` may run beside the analysis, and must run however `run` ended.

    Args:
        request: what the user asked for.
        folder: an empty folder, which becomes the trace folder.
        console: where progress is told.
        interruption: says when to end early.
    """

    def __init__(self, request: Request, folder: Path, console: Console, interruption: Interruption) -> None:
        self.session = secrets.token_hex(3)
        self.recording: Recording | None = None
        self._request = request
        self._folder = folder
        self._console = console
        self._interruption = interruption
        self._pods: DebugPods | None = None

    def run(self) -> Recording:
        """Carry out steps 1 to 7.

        Raises:
            UsageError, CannotRunError: with what to do next. Nothing was captured then.
            KeyboardInterrupt: somebody gave up; `recording` holds what there is, if anything.
        """
        resolved = prepare(self._request, self._console)
        self._interruption.phase = Phase.RECORDING
        try:
            return self._record(resolved, self._spawn(resolved))
        finally:
            self._interruption.phase = Phase.FINISHING

    def clean_up(self) -> Cleanup | None:
        """Remove the debug pods; None if none was asked for. Never raises for a cluster's failure."""
        return None if self._pods is None else self._pods.delete()

    def _spawn(self, resolved: Resolved) -> DebugNodes:
        lifetime_s = self._request.limits.duration_s + MARGIN_S
        self._pods = DebugPods(
            resolved.connection,
            session=self.session,
            options=self._request.pod_options,
            lifetime_s=lifetime_s,
            stop=self._interruption.stop,
        )
        missing = self._pods.start(resolved.nodes)
        for node, reason in missing.items():
            self._console.warn(f"no debug pod on {node}: {reason}")
        if self._interruption.signalled:
            raise KeyboardInterrupt
        self._console.step(f"{len(resolved.nodes) - len(missing)} debug pods running")
        return DebugNodes(resolved.connection, self._pods)

    def _record(self, resolved: Resolved, nodes: DebugNodes) -> Recording:
        """Steps 4 to 7, on running debug pods. The folder is brought up to date after each."""
        started_ns = time.time_ns()
        before = self._look(nodes, resolved, "before")
        overlay, planned, before = self._plan_paths(nodes, resolved, before)
        plan = plan_captures(
            limits=self._request.limits,
            user_filter=self._request.filter,
            flows=resolved.flows,
            paths=planned.paths,
            watch=planned.watch,
            overlay=overlay,
            facts=before,
        )
        recording = self._keep(
            Recording(
                session=self.session,
                version=__version__,
                started_ns=started_ns,
                duration_s=plan.duration_s,
                request=self._request,
                snapshot=resolved.snapshot,
                overlay=overlay,
                flows=resolved.flows,
                paths=planned.paths,
                before=before,
                gaps=resolved.gaps + planned.gaps,
            )
        )
        return self._capture(nodes, resolved, plan, recording)

    def _capture(self, nodes: DebugNodes, resolved: Resolved, plan: CapturePlan, recording: Recording) -> Recording:
        session = CaptureSession(nodes, plan, CAPTURE_DIRECTORY)
        self._console.step(f"starting {len(plan.tasks)} captures")
        try:
            session.start()
            self._console.step(f"{len(plan.tasks)} captures listening, {plan.duration_s:g} s")
            session.wait(self._interruption.stop)
        finally:
            session.stop()
        after = self._look(nodes, resolved, "after")
        captures = session.collect(self._folder)
        whole = sum(capture.sha256 is not None for capture in captures)
        self._console.step(f"{whole} of {len(captures)} pcaps fetched and verified")
        return self._keep(replace(recording, after=after, captures=captures, interrupted=self._interruption.signalled))

    def _look(
        self, nodes: DebugNodes, resolved: Resolved, when: str, extra: dict[str, tuple[str, ...]] | None = None
    ) -> tuple[NodeFacts, ...]:
        """Ask every node of the path about itself, and keep both the answers and what they mean."""
        commands = [_question(node, resolved, (extra or {}).get(node.name, ())) for node in resolved.nodes]
        answers = nodes.ask(commands)
        parsed = tuple(facts.parse(answer) for answer in answers)
        texts = {answer.command.node: facts.texts(answer) for answer in answers}
        trace_folder.write_facts(self._folder, when, parsed, texts)
        return parsed

    def _plan_paths(
        self, nodes: DebugNodes, resolved: Resolved, before: tuple[NodeFacts, ...]
    ) -> tuple[Overlay, PathPlan, tuple[NodeFacts, ...]]:
        """The expected paths; looks once more where a node's tables name an address that nobody asked for, never a third time."""
        overlay = read_overlay(resolved.snapshot, before, resolved.flows)
        planned = plan_paths(resolved.flows, overlay, before, resolved.snapshot)
        if planned.unknown_addresses:
            before = self._look(nodes, resolved, "before", planned.unknown_addresses)
            planned = plan_paths(resolved.flows, overlay, before, resolved.snapshot)
        return overlay, planned, before

    def _keep(self, recording: Recording) -> Recording:
        self.recording = replace(recording, folder=str(self._folder))
        if recording.snapshot is not None:
            trace_folder.write_snapshot(self._folder, recording.snapshot)
        trace_folder.write_recording(self._folder, self.recording)
        return self.recording


def _question(node: Node, resolved: Resolved, lookups: Sequence[str]) -> NodeCommand:
    """What to ask `node`: its own ends of the flows, the ends elsewhere, and the other nodes' addresses."""
    ends = [end for flow in resolved.flows for end in (flow.client, flow.server, *flow.candidates) if end is not None]
    return facts.look(
        node.name,
        local=_unique(end.address for end in ends if end.node == node.name),
        remote=_unique(end.address for end in ends if end.node != node.name),
        underlay=_unique(address for other in resolved.nodes if other.name != node.name for address in other.addresses),
        lookups=lookups,
    )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def prepare(request: Request, console: Console) -> Resolved:
    """Steps 1 and 2: resolve the names, check the rights and the admission of debug pods. Creates nothing.

    Raises:
        UsageError, CannotRunError: with what to do next.
    """
    connection = connect(request.access)
    console.step(f"resolving names on {connection.server}")
    seen, flows = _resolve(connection, request)
    nodes, gaps = _path_nodes(seen, flows, request.limits.max_nodes)
    console.step(f"preflight on {len(nodes)} nodes: {', '.join(node.name for node in nodes)}")
    preflight.check(
        connection,
        options=request.pod_options,
        namespace=request.pod_options.debug_namespace or connection.namespace,
        nodes=nodes,
    )
    return Resolved(connection=connection, snapshot=seen, flows=flows, nodes=nodes, gaps=gaps)


def _resolve(connection: Connection, request: Request) -> tuple[ClusterSnapshot, tuple[Flow, ...]]:
    """A near snapshot first; one wide listing only on a miss."""
    seen = snapshot.near(connection, request)
    try:
        return seen, resolve(request, seen)
    except NotFoundError:
        if seen.scope == Scope.WIDE:
            raise
    seen = snapshot.wide(connection)
    return seen, resolve(request, seen)


def _path_nodes(seen: ClusterSnapshot, flows: Sequence[Flow], most: int) -> tuple[tuple[Node, ...], tuple[Gap, ...]]:
    """The nodes that get a debug pod, the client's first, and those that cannot."""
    known = {node.name: node for node in seen.nodes}
    nodes: list[Node] = []
    gaps: list[Gap] = []
    for name in flow_nodes(flows):
        node = known.get(name)
        if node is None:
            gaps.append(Gap(node=name, reason="the API does not know this node"))
        elif node.os != "linux":
            gaps.append(Gap(node=name, reason=f"the node runs {node.os}; captures need Linux"))
        elif not node.ready:
            gaps.append(Gap(node=name, reason=f"the node is not ready: {node.not_ready_reason or 'no reason given'}"))
        else:
            nodes.append(node)
    if len(nodes) > most:
        raise UsageError(
            f"the traffic may take {len(nodes)} nodes, more than the {most} that --max-nodes allows",
            "name one backend (--to pod/...), or raise --max-nodes",
        )
    if not nodes:
        raise CannotRunError(
            "no node of the path can be captured on:\n" + "\n".join(f"  {gap.node}: {gap.reason}" for gap in gaps),
            "kubectl get nodes",
        )
    return tuple(nodes), tuple(gaps)
