"""Step 6 where nobody talks: a few packets are sent in a silent pod's place, from its network namespace, or between nodes.

The first takes a pod that sees the node's processes (hostPID), and may enter the network namespace of one (CAP_SYS_ADMIN). It is made
when it is needed, on the client's node alone, and removed as soon as the packets are sent; no other debug pod sees processes.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kubectl_vxtrace.capture import probes
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.cluster import Node
from kubectl_vxtrace.model.path import Flow, Overlay
from kubectl_vxtrace.model.protocol import echo_headers_bytes
from kubectl_vxtrace.model.recording import Probe
from kubectl_vxtrace.model.request import ProbeKind, Request
from kubectl_vxtrace.report.probed import WORDS

SILENCE_S = 3.0
"""So long nothing is seen before anything is sent in the pod's place."""

LEAST_AFTER_S = 7.0
"""What it takes to make a pod (2 s on a quiet node), send (2 s), and let answers come before the end that is not counted (2 s)."""

_LIFETIME_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What was sent, and why other probes were not."""

    sent: tuple[Probe, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Sends probes for one trace.

    session: the trace's. taken: the names of its pods. nodes: those that have one. devices: the node's ends of pods' interfaces, by
    the pods' addresses. sizes: what is sent instead where sizes are tried.
    """

    connection: Connection
    session: str
    request: Request
    flows: Sequence[Flow]
    nodes: Sequence[Node]
    taken: Sequence[str]
    console: Console
    devices: Mapping[str, str] = field(default_factory=dict)
    sizes: Sequence[probes.ProbeTarget] = ()

    def run(self, is_silent: Callable[[], bool], over: threading.Event) -> Probed:
        """Send what was asked for, or where the pod is silent what fits; nothing once captures are over. Never raises for a cluster's
        failure."""
        kind = ProbeKind.ICMP if self.request.mtu else self.request.probe
        if kind is ProbeKind.NONE:
            return Probed()
        if kind is ProbeKind.AUTO and not self._is_wanted(is_silent, over):
            return Probed()
        targets = tuple(self.sizes) if self.request.mtu else probes.targets(self.flows, kind)
        if not targets:
            return Probed(missing=(self._nothing_fits(kind),))
        if self.request.pod_options.profile != "privileged":
            return Probed(missing=(f"a pod of --profile {self.request.pod_options.profile} may not enter the client's network namespace",))
        said = "the pod sends nothing to it: " if kind is ProbeKind.AUTO else ""
        counts = Counter({(target.kind, target.address): 0 for target in targets})
        for target in targets:
            counts[target.kind, target.address] += target.count
        for (what, address), count in counts.items():
            self.console.step(f"{said}sending {count} {WORDS[what]} to {address} in its place")
        return self._send(targets, over)

    def _is_wanted(self, is_silent: Callable[[], bool], over: threading.Event) -> bool:
        """Whether the pod is silent, and there is time enough left."""
        return self.request.limits.duration_s >= SILENCE_S + LEAST_AFTER_S and not over.wait(SILENCE_S) and is_silent()

    def _nothing_fits(self, kind: ProbeKind) -> str:
        if kind is ProbeKind.AUTO:
            return "the pod sent nothing, and nothing was sent in its place: --probe udp sends datagrams that its target may not expect"
        if self.request.mtu:
            return "no echoes were sent: the client, or whom it talks to, is on no node that is known"
        return f"--probe {kind.value} fits none of the flows that were asked for"

    def _send(self, targets: Sequence[probes.ProbeTarget], over: threading.Event) -> Probed:
        names = {target.node for target in targets}
        where = [node for node in self.nodes if node.name in names]
        pods = DebugPods(
            self.connection,
            session=self.session,
            options=replace(self.request.pod_options, keep=False),
            lifetime_s=_LIFETIME_S,
            start_timeout_s=LEAST_AFTER_S,
            stop=over,
            taken=self.taken,
            host_pid=True,
        )
        try:
            reasons = pods.start(where)
            with DebugNodes(self.connection, pods) as nodes:
                found = [self._of(each, nodes, reasons) for each in probes.by_sender(targets)]
        except VxtraceError as error:
            found = [Probed(missing=(error.message,))]
        finally:
            pods.delete()
        return Probed(
            sent=tuple(probe for each in found for probe in each.sent), missing=unique(reason for each in found for reason in each.missing)
        )

    def _of(self, asked: Sequence[probes.ProbeTarget], nodes: DebugNodes, reasons: dict[str, str]) -> Probed:
        """What one end sends."""
        node = asked[0].node
        if node in reasons:
            return Probed(missing=(f"no pod could be made for it on {node}: {reasons[node]}",))
        (answer,) = nodes.ask([probes.command(asked, self.devices.get(asked[0].client))])
        sent, why = probes.read(asked, answer)
        return Probed(sent=sent, missing=(why,) if why is not None else ())


SMALL_ECHOES, LARGE_ECHOES = 8, 4
"""Of each size that is sent between two nodes."""

_BEFORE_S = 1.0


def between_nodes(nodes: DebugNodes, targets: Sequence[probes.ProbeTarget], over: threading.Event) -> Probed:
    """Send echoes from the nodes themselves; nothing once captures are over."""
    if over.wait(_BEFORE_S):
        return Probed()
    senders = probes.by_sender(targets)
    read = [probes.read(each, answer) for each, answer in zip(senders, nodes.ask([probes.command(each) for each in senders]), strict=True)]
    missing = (f"{sender[0].node}: {why}" for sender, (_, why) in zip(senders, read, strict=True) if why is not None)
    return Probed(sent=tuple(probe for sent, _ in read for probe in sent), missing=unique(missing))


def echoes(flows: Sequence[Flow], overlay: Overlay) -> tuple[probes.ProbeTarget, ...]:
    """For flows whose ends are nodes small echoes, and ones that just fit the tunnel."""
    mtus = {vtep.node: vtep.mtu_bytes for vtep in overlay.vteps}
    return tuple(target for flow in flows for target in _echoes(flow, mtus.get(flow.client.node or "")))


def _echoes(flow: Flow, mtu_bytes: int | None) -> Iterator[probes.ProbeTarget]:
    if flow.client.node is None or flow.server is None:
        return
    small = probes.ProbeTarget(
        node=flow.client.node, client=flow.client.address, kind=ProbeKind.ICMP, address=flow.server.address, port=0, count=SMALL_ECHOES
    )
    yield small
    if mtu_bytes is not None:
        yield replace(small, count=LARGE_ECHOES, payload_bytes=mtu_bytes - echo_headers_bytes(flow.server.address))
