"""Behind step 7 where --ab is given: the nodes send each other datagrams that differ in what networks filter by, and capture them.

This comes when the trace's own captures have ended and the nodes were looked at for the last time, with captures of its own: none of these
datagrams is in a capture, a counter or a kernel's log that the verdict is made of.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubectl_vxtrace.capture import port_comparison
from kubectl_vxtrace.capture.session import CaptureSession, Nodes
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Flow, Overlay
from kubectl_vxtrace.model.path import Path as HopPath
from kubectl_vxtrace.model.recording import CaptureTask, ComparedPair, PortComparison

_TAIL_S: Final = 1.5
"""What was sent last may still be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparer:
    """Compares what passes between the nodes of one trace.

    directory: where the nodes keep these captures; it is made. folder: where they are fetched to. tasks: the trace's own captures.
    """

    session: str
    flows: Sequence[Flow]
    paths: Sequence[HopPath]
    overlay: Overlay
    facts: Sequence[NodeFacts]
    tasks: Sequence[CaptureTask]
    directory: str
    folder: Path
    console: Console

    def run(self, nodes: Nodes, stop: threading.Event) -> PortComparison:
        """Capture, send, collect. Nothing once `stop` is set. Never raises for a cluster's failure."""
        pairs, missing = port_comparison.compared_pairs(self.flows, self.paths, self.overlay, self.facts, self.session)
        for why in missing:
            self.console.step(f"--ab: {why}")
        if not pairs:
            return PortComparison(missing=missing)
        plan = port_comparison.capture_plan(pairs, self.tasks, self.facts)
        if stop.is_set() or not plan.tasks:
            why = "the trace was to end" if plan.tasks else "no NIC of the nodes is captured"
            return PortComparison(pairs=pairs, missing=(*missing, f"none were sent: {why}"))
        for pair in pairs:
            self.console.step(_said(pair))
        session = CaptureSession(nodes, plan, self.directory, self.console.warn)
        try:
            session.start()
            sent, unsent = self._send(nodes, pairs, stop)
            stop.wait(_TAIL_S)
        except VxtraceError as error:
            return PortComparison(pairs=pairs, missing=(*missing, f"none were sent: {error.message}"))
        finally:
            session.stop()
        return PortComparison(pairs=sent, captures=session.collect(Store(folder=self.folder)), missing=unique((*missing, *unsent)))

    def _send(self, nodes: Nodes, pairs: Sequence[ComparedPair], stop: threading.Event) -> tuple[tuple[ComparedPair, ...], list[str]]:
        """The pairs with what was sent, and why not all was."""
        sent = {(pair.sender, pair.receiver): pair for pair in pairs}
        unsent = []
        for turn in port_comparison.turns(pairs):
            if stop.is_set():
                unsent.append("not all were sent: the trace was to end")
                break
            for pair, answer in zip(turn, nodes.ask([port_comparison.command(pair) for pair in turn]), strict=True):
                sent[pair.sender, pair.receiver], why = port_comparison.read(pair, answer)
                if why is not None:
                    unsent.append(why)
        return tuple(sent.values()), unsent


def _said(pair: ComparedPair) -> str:
    sizes = " or ".join(map(str, pair.sizes_bytes))
    return (
        f"sending {pair.count} UDP datagrams of {sizes} bytes from {pair.sender} ({pair.source}) to {pair.receiver} ({pair.destination}), "
        f"ports {pair.vxlan_port} and {pair.other_port}"
    )
