"""Carries out the kernel's drop log beside a capture: start, then collect. What fails is a reason and nothing else."""

from collections.abc import Sequence
from typing import Protocol

from kubectl_vxtrace.capture import droplog
from kubectl_vxtrace.capture.droplog import DropLog
from kubectl_vxtrace.model.cluster import NodeAnswer, NodeCommand


class Asked(Protocol):
    """Nodes that answer questions."""

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        """The answers in the order of the commands, nodes in parallel. Never raises for what a node does."""


class DropSession:
    """The drop logs of one trace, one for each node.

    Args:
        nodes: whom to ask.
        names: the nodes.
        session: the trace's id.
        directory: a writable one on the nodes.
        limit_s: the longest that the capture may last.
        refused: why no node need be asked.
    """

    def __init__(
        self, nodes: Asked, names: Sequence[str], *, session: str, directory: str, limit_s: int, refused: str | None = None
    ) -> None:
        self._nodes = nodes
        self._names = tuple(names)
        self._session = session
        self._directory = directory
        self._limit_s = limit_s
        self._refused = refused
        self._reasons: dict[str, str] = {}

    def start(self) -> None:
        """Start all logs; returns once each runs or has failed."""
        if self._refused is not None:
            return
        questions = [droplog.start(node, self._session, self._directory, self._limit_s) for node in self._names]
        for answer in self._nodes.ask(questions):
            if (reason := droplog.why_not(answer)) is not None:
                self._reasons[answer.command.node] = reason

    def collect(self) -> tuple[DropLog, ...]:
        """End all logs; what each said, or why it says nothing. One that did not start is asked too: its answer may just have been lost."""
        if self._refused is not None:
            return tuple(DropLog(node=node, reason=self._refused) for node in self._names)
        answers = self._nodes.ask([droplog.stop(node, self._session, self._directory) for node in self._names])
        return tuple(self._read(answer) for answer in answers)

    def _read(self, answer: NodeAnswer) -> DropLog:
        node = answer.command.node
        log = droplog.read_log(answer)
        if log.reason is not None and not log.text and node in self._reasons:
            return DropLog(node=node, reason=self._reasons[node])
        return log
