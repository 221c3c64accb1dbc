"""Steps 1 to 7 of a trace, and its clean-up. They make a trace folder and a Recording; the analysis does the rest."""

import math
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kubectl_vxtrace import __version__
from kubectl_vxtrace.bundle import folder as trace_folder
from kubectl_vxtrace.capture.dropsession import DropSession
from kubectl_vxtrace.capture.enough import questions
from kubectl_vxtrace.capture.plan import own_taps, plan_captures
from kubectl_vxtrace.capture.session import CaptureSession
from kubectl_vxtrace.capture.sizes import size_targets
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.comparing import Comparer
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import CannotRunError, VxtraceError
from kubectl_vxtrace.kube import details
from kubectl_vxtrace.kube.audit import Audit
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.manifest import SESSION_LABEL
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.kube.podends import with_pod_interfaces
from kubectl_vxtrace.kube.sweep import sweep
from kubectl_vxtrace.look import SHORTEST_TIMEOUT_S, keep_drops, look, watch_connections, with_connections
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState, ClusterSnapshot, Node
from kubectl_vxtrace.model.decoding import inside_tunnels, vxlan_ports
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import CapturePlan, Gap, Recording
from kubectl_vxtrace.model.request import Request
from kubectl_vxtrace.prepare import MARGIN_S, Prepared, prepare, unfit
from kubectl_vxtrace.probing import Probed, Prober, between_nodes, echoes
from kubectl_vxtrace.progress import Progress
from kubectl_vxtrace.signals import Interruption, Phase
from kubectl_vxtrace.topology import nodepairs
from kubectl_vxtrace.topology.cni import attached_interface, network, publishing
from kubectl_vxtrace.topology.homes import with_homes
from kubectl_vxtrace.topology.overlay import read_overlay
from kubectl_vxtrace.topology.path import PathPlan, plan_paths
from kubectl_vxtrace.topology.resolve import flow_nodes, other_version, resolve_service

if TYPE_CHECKING:
    from kubectl_vxtrace.packets.scrub import Scrubber

Found = TypeVar("Found")

CAPTURE_DIRECTORY = "/capture"


class Trace:
    """One trace. `run` records; `clean_up` may run beside the analysis, and must run however `run` ended.

    Args:
        request: what the user asked for.
        folder: an empty folder, which becomes the trace folder.
        console: where progress is told.
        interruption: says when to end early.
        meanwhile: called once while the captures run, beside them: the time for what takes time and is not needed before.
    """

    def __init__(
        self, request: Request, folder: Path, console: Console, interruption: Interruption, *, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        self.session = secrets.token_hex(3)
        self._request = request
        self._folder = folder
        self._console = console
        self._interruption = interruption
        self._meanwhile = meanwhile
        self._pods: DebugPods | None = None
        self._captures: CaptureSession | None = None
        self._audit: Audit | None = None
        self._settled = False

    def run(self) -> Recording:
        """Carry out steps 1 to 7.

        Raises:
            UsageError, CannotRunError: with what to do next.
            KeyboardInterrupt: somebody gave up what there is.
        """
        prepared = prepare(self._request, self._console, self.session, self._interruption)
        self._audit = prepared.connection.audit
        self._interruption.phase = Phase.RECORDING
        try:
            self._pods = prepared.pods
            gaps = self._spawn(prepared.pods, prepared.nodes)
            with DebugNodes(prepared.connection, prepared.pods, tell=self._console.warn) as nodes:
                try:
                    return self._record(replace(prepared, gaps=prepared.gaps + gaps), nodes)
                except OSError as error:
                    raise CannotRunError(
                        f"cannot write into {self._folder}: {error.strerror or error}", "set TMPDIR to a place that has room"
                    ) from error
        finally:
            self._interruption.phase = Phase.FINISHING

    def clean_up(self) -> Cleanup | None:
        """Remove the debug pods; nothing is fetched after that. None if none was asked for. Never raises for a cluster's failure."""
        if self._pods is None:
            return None
        cleanup = self._pods.delete()
        self._settled = cleanup.state is not CleanupState.UNCONFIRMED
        if self._captures is not None:
            self._captures.give_up()
        return cleanup

    def audit(self) -> Iterable[str]:
        """What was asked of the API and of nodes so far, an object of JSON each."""
        return self._audit.lines() if self._audit is not None else ()

    def what_may_be_left(self) -> str:
        """Which debug pods may be left if everything ends now, and how they are removed; empty for none. Asks nobody."""
        if self._pods is None or self._settled:
            return ""
        access = self._request.access
        flags = ["--kubeconfig", access.kubeconfig, "--context", access.context, "--namespace", self._pods.namespace]
        given = [word for pair in zip(flags[::2], flags[1::2], strict=True) if pair[1] for word in pair if word]
        line = shlex.join(["kubectl", "delete", "pods", *given, "--selector", f"{SESSION_LABEL}={self.session}"])
        return f"debug pods may be left: {line}, or in two minutes: kubectl vxtrace cleanup"

    def _sweep(self, prepared: Prepared) -> None:
        """Remove what earlier traces left and whose time is over; that this fails is no reason not to trace."""
        try:
            swept = sweep(prepared.connection, namespace=prepared.pods.namespace, keep_session=self.session)
        except VxtraceError as error:
            self._console.warn(f"cannot look for debug pods of earlier traces: {error.message}")
            return
        if swept.pods:
            self._console.step(f"{swept.pods - len(swept.left)} of {swept.pods} debug pods of earlier traces removed")

    def _spawn(self, pods: DebugPods, nodes: Sequence[Node]) -> tuple[Gap, ...]:
        """Step 3. What has no pod is a gap; the rest goes on."""
        missing = pods.start(nodes)
        if self._interruption.signalled:
            raise KeyboardInterrupt
        if missing and self._interruption.stop.is_set():
            raise CannotRunError("the time for the whole trace was over before its debug pods ran", "allow more with --max-wall")
        for node, reason in missing.items():
            self._console.warn(f"no debug pod on {node}: {reason}")
        self._console.step(f"{len(nodes) - len(missing)} debug pods running")
        return tuple(Gap(node=node, reason=f"no debug pod: {reason}") for node, reason in missing.items())

    def _record(self, prepared: Prepared, nodes: DebugNodes) -> Recording:
        """Steps 4 to 7, on running debug pods. The folder is brought up to date after each."""
        started_ns = time.time_ns()
        before = self._look(nodes, prepared, "before")
        nodes.require_reached()
        notes = unique((other_version(self._request, prepared.snapshot, prepared.flows),))
        if self._request.command in nodepairs.COMMANDS:
            flows, gaps = nodepairs.between_tunnels(prepared.flows, read_overlay(prepared.snapshot, before, prepared.flows))
            prepared = replace(prepared, flows=flows, gaps=prepared.gaps + gaps)
        elif self._request.target is None:
            prepared, notes = self._with_peers(nodes, prepared, before)
        overlay, planned, before, prepared = self._plan_paths(nodes, prepared, before)
        plan = plan_captures(
            limits=self._request.limits,
            user_filter=self._request.filter,
            flows=prepared.flows,
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
                snapshot=prepared.snapshot,
                overlay=overlay,
                flows=prepared.flows,
                paths=planned.paths,
                before=before,
                gaps=prepared.gaps + planned.gaps,
                notes=notes,
            )
        )
        return self._capture(nodes, prepared, plan, recording)

    def _capture(self, nodes: DebugNodes, prepared: Prepared, plan: CapturePlan, recording: Recording) -> Recording:
        """Steps 6 and 7. A signal ends the waiting early; what was captured is fetched all the same."""
        session = self._captures = CaptureSession(nodes, plan, CAPTURE_DIRECTORY, self._console.warn)
        # Whatever becomes of this trace, the first process of each debug pod ends its log.
        drops = self._drop_session(nodes, plan)
        logging = _beside(drops.start)
        over = threading.Event()
        watched: Future[tuple[NodeFacts, ...]] | None = None
        self._console.step(f"starting {len(plan.tasks)} captures")
        try:
            if any(facts.is_steered for facts in recording.before):
                logging.result()  # there the kernel's silence proves something, from the first packet on
            session.start()
            logging.result()
            self._console.step(f"{len(plan.tasks)} captures listening, {plan.duration_s:g} s{self._at_most()}")
            idle = _beside(lambda: self._use_the_time(prepared, recording.overlay))
            answered = _Ending()
            probing = _beside(lambda: self._probe(nodes, prepared, recording, session, over, answered))
            # Echoes that this trace sends end with the last one, and not when enough came through.
            is_watched = self._request.limits.ends_when_clear and not self._request.mtu
            asked = questions(prepared.flows, recording.paths, plan.tasks) if is_watched else None
            if asked is not None:
                self._apart(lambda: answered.because(session.watch(asked, over)))
            if plan.duration_s > SHORTEST_TIMEOUT_S:
                watched = _beside(lambda: watch_connections(nodes, prepared.nodes, prepared.flows, over))
            began_s = time.monotonic()
            progress = Progress(plan)
            with self._console.live(progress.text) as is_shown:
                if is_shown:
                    self._apart(lambda: session.count(over, progress.counted))
                session.wait(self._interruption.stop, answered.event)
            lasted_s = time.monotonic() - began_s
            # What the window's packets have counted is counted: it ends a second before the captures do.
            looking = _beside(lambda: self._look(nodes, prepared, "after"))
        except BaseException:
            over.set()
            session.stop()
            raise
        over.set()
        scrubber = self._scrubber(recording, plan)
        store = Store(folder=self._folder, scrubber=scrubber, tell=self._console.warn)
        session.stop(store)
        logs = _beside(drops.collect)
        after = looking.result()
        if scrubber is not None:
            scrubber.read_as(vxlan_ports(replace(recording, after=after)))
        captures = session.collect(store)
        if watched is not None:
            after = with_connections(after, watched.result(), self._folder, self._console.warn)
        probed = probing.result()
        recording = keep_drops(logs.result(), recording, self._folder, self._console.warn)
        recording = replace(recording, after=after, snapshot=idle.result(), probes=probed.sent, unprobed=probed.missing)
        if lasted_s < plan.duration_s:
            recording = replace(recording, duration_s=round(lasted_s, 1))
            said = f"ended after {lasted_s:.1f} s{self._why_early(answered)}"
            self._console.step(said)
            if answered.why is not None:
                recording = replace(recording, notes=(*recording.notes, f"the capture {said}"))
        whole = sum(capture.sha256 is not None for capture in captures)
        self._console.step(f"{whole} of {len(captures)} pcaps fetched and verified")
        recording = self._keep(replace(recording, captures=captures, interrupted=self._interruption.signalled))
        return self._compared(nodes, plan, recording) if self._request.ab else recording

    def _scrubber(self, recording: Recording, plan: CapturePlan) -> "Scrubber | None":
        """Who takes out of the captures what applications send, before anything of them is on the disk; None where that was asked for."""
        if self._request.payload:
            return None
        from kubectl_vxtrace.packets.scrub import Scrubber  # numpy takes a third of a second to load; it has come with the analysis

        return Scrubber(vxlan_ports=vxlan_ports(recording), inside=inside_tunnels(recording.flows, plan.tasks))

    def _compared(self, nodes: DebugNodes, plan: CapturePlan, recording: Recording) -> Recording:
        """The recording with what passes between the nodes of its paths, apart from all that was followed."""
        comparer = Comparer(
            session=self.session,
            flows=recording.flows,
            paths=recording.paths,
            overlay=recording.overlay,
            facts=recording.before,
            tasks=plan.tasks,
            directory=f"{CAPTURE_DIRECTORY}/ab",
            folder=self._folder,
            console=self._console,
        )
        return self._keep(replace(recording, ab=comparer.run(nodes, self._interruption.stop)))

    def _with_peers(self, nodes: DebugNodes, prepared: Prepared, before: tuple[NodeFacts, ...]) -> tuple[Prepared, tuple[str, ...]]:
        """Whom the pod talks to, or who asks the Service, where nobody said it; and what is not followed of that."""
        from kubectl_vxtrace.peek import heard_taps, peek  # numpy takes a third of a second to load, which other traces need not wait for
        from kubectl_vxtrace.topology.peers import clients_followed, followed

        prepared = replace(prepared, snapshot=self._named(prepared, read_overlay(prepared.snapshot, before, prepared.flows)))
        overlay = read_overlay(prepared.snapshot, before, prepared.flows)
        taps = heard_taps(prepared.flows, plan_paths(prepared.flows, overlay, before, prepared.snapshot).paths)
        places = ", ".join(f"{tap.node}/{tap.interface}" for tap in taps.values())
        self._console.step(f"listening at {places} to see who talks to whom")
        heard = peek(nodes, taps, prepared.snapshot, stop=self._interruption.stop)
        most = self._request.limits.max_nodes
        if self._request.command == "service":
            service = resolve_service(self._request, prepared.snapshot)
            chosen = clients_followed(heard.peers, service, prepared.snapshot, most)
        else:
            chosen = followed(heard.peers, prepared.flows[0].client, prepared.snapshot, most)
        notes = (*heard.deaf, *chosen.notes)
        for note in notes:
            self._console.step(note)
        if not chosen.flows:
            what = "nothing of it crosses nodes" if heard.peers else "nothing was heard"
            return prepared, (*notes, f"who talks to whom was not seen before the captures began: {what}")
        return replace(prepared, flows=chosen.flows), notes

    def _named(self, prepared: Prepared, overlay: Overlay) -> ClusterSnapshot:
        """The snapshot with the interfaces of pods that the network itself names."""
        cni = network(overlay.backend)
        if cni is None:
            return prepared.snapshot
        return with_pod_interfaces(prepared.connection, prepared.snapshot, prepared.flows, cni, attached_interface)

    def _probe(
        self,
        nodes: DebugNodes,
        prepared: Prepared,
        recording: Recording,
        session: CaptureSession,
        over: threading.Event,
        answered: "_Ending",
    ) -> Probed:
        """Send what has to be sent: between nodes, in a silent pod's place, or to try sizes. Then the capture may end if nothing else is
        followed, or when it is clear."""
        request, flows = self._request, prepared.flows
        sizes = size_targets(flows, recording.paths, recording.before) if request.mtu else ()
        if request.command in nodepairs.COMMANDS:
            probed = between_nodes(nodes, sizes or echoes(flows, recording.overlay), over)
            answered.because(_all_sent("echoes", probed))
            return probed
        prober = Prober(
            connection=prepared.connection,
            session=self.session,
            request=request,
            flows=flows,
            nodes=prepared.nodes,
            taken=prepared.pods.names,
            console=self._console,
            devices={address: tap.interface for address, tap in own_taps(flows, recording.paths).items()},
            sizes=sizes,
        )
        probed = prober.run(session.is_silent, over)
        if request.mtu or (probed.sent and request.limits.ends_when_clear):
            answered.because(_all_sent("echoes" if request.mtu else "probes", probed))
        return probed

    def _apart(self, count: Callable[[], None]) -> None:
        """Count beside the captures: the trace is as good without, so that a failure is only said."""

        def told() -> None:
            try:
                count()
            except Exception as error:
                self._console.warn(f"packets are not counted while they are captured: {type(error).__name__}: {error}")

        _beside(told)

    def _at_most(self) -> str:
        return " at most" if self._request.limits.ends_when_clear else ""

    def _why_early(self, answered: "_Ending") -> str:
        if self._interruption.signalled:
            return ": interrupted"
        if self._interruption.stop.is_set():
            return ": the time for the whole trace (--max-wall) is over"
        return f": {answered.why}" if answered.why is not None else ""

    def _use_the_time(self, prepared: Prepared, overlay: Overlay) -> ClusterSnapshot:
        """What takes time and is not needed before; the snapshot with what else the cluster says."""
        self._meanwhile()
        self._sweep(prepared)
        cnis = publishing(prepared.snapshot.nodes, overlay.backend)
        return details.detailed(prepared.connection, prepared.snapshot, prepared.flows, cnis)

    def _look(
        self, nodes: DebugNodes, prepared: Prepared, when: str, lookups: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[NodeFacts, ...]:
        """Step 4: ask every node of the path about itself."""
        tell = self._console.warn if when == "after" else None  # then there is something to lose
        return look(nodes, prepared.nodes, prepared.flows, folder=self._folder, when=when, lookups=lookups, tell=tell)

    def _drop_session(self, nodes: DebugNodes, plan: CapturePlan) -> DropSession:
        """The kernels' own words on drops, of nodes that are captured at."""
        profile = self._request.pod_options.profile
        return DropSession(
            nodes,
            unique(task.tap.node for task in plan.tasks),
            session=self.session,
            directory=CAPTURE_DIRECTORY,
            limit_s=math.ceil(plan.duration_s + MARGIN_S),
            refused=None if profile == "privileged" else f"a pod of --profile {profile} may not mount tracefs",
        )

    def _plan_paths(
        self, nodes: DebugNodes, prepared: Prepared, before: tuple[NodeFacts, ...]
    ) -> tuple[Overlay, PathPlan, tuple[NodeFacts, ...], Prepared]:
        """Step 5: the expected paths. Where tables name a node or an address that nobody asked, look once more, never a third time."""
        prepared = replace(prepared, flows=with_homes(prepared.flows, before, prepared.snapshot))
        overlay = read_overlay(prepared.snapshot, before, prepared.flows)
        prepared = replace(prepared, snapshot=self._named(prepared, overlay))
        planned = plan_paths(prepared.flows, overlay, before, prepared.snapshot)
        unasked = {*planned.unknown_nodes, *flow_nodes(prepared.flows)} - {node.name for node in prepared.nodes}
        more = tuple(node for node in prepared.snapshot.nodes if node.name in unasked and unfit(node) is None)
        if more or planned.unknown_addresses:
            gaps = self._spawn(prepared.pods, more) if more else ()
            prepared = replace(prepared, nodes=prepared.nodes + more, gaps=prepared.gaps + gaps)
            before = self._look(nodes, prepared, "before", planned.unknown_addresses)
            prepared = replace(prepared, flows=with_homes(prepared.flows, before, prepared.snapshot))
            overlay = read_overlay(prepared.snapshot, before, prepared.flows)
            planned = plan_paths(prepared.flows, overlay, before, prepared.snapshot)
        return overlay, planned, before, prepared

    def _keep(self, recording: Recording) -> Recording:
        """Bring the folder up to date. What was captured is reported even where that fails; there will be no bundle then."""
        kept = replace(recording, folder=str(self._folder))
        try:
            if recording.snapshot is not None:
                trace_folder.write_snapshot(self._folder, recording.snapshot)
            trace_folder.write_recording(self._folder, kept)
        except OSError as error:
            if not recording.captures:
                raise
            self._console.warn(f"cannot write into {self._folder}: {error.strerror or error}")
        return kept


def _all_sent(what: str, probed: Probed) -> str:
    """Why there is nothing more to wait for."""
    if not probed.sent:
        return f"no {what} could be sent"
    return f"{'all' if not probed.missing else 'the'} {what} were sent"


class _Ending:
    """That the captures may end before their time, and why: the first reason counts."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.why: str | None = None

    def because(self, why: str | None) -> None:
        """End for that reason; None is none."""
        if why is not None and not self.event.is_set():
            self.why = why
            self.event.set()


def _beside(function: Callable[[], Found]) -> Future[Found]:
    """Run `function` in a thread of its own. Whoever is interrupted does not wait for it."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future
