"""Carries out the kernel's drop log beside a capture: start, then collect. What fails is a reason and nothing else."""

from collections.abc import Sequence

from kubectl_vxtrace.capture import droplog
from kubectl_vxtrace.capture.asking import Asked, answers
from kubectl_vxtrace.capture.droplog import DropLog
from kubectl_vxtrace.model.cluster import NodeAnswer


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
        for answer in answers(self._nodes, questions):
            node, reason = answer.command.node, droplog.why_not(answer)
            self._reasons.pop(node, None)
            if reason is not None:
                self._reasons[node] = reason

    def collect(self) -> tuple[DropLog, ...]:
        """End all logs; what each said, or why it says nothing. One that did not start is asked too: its answer may just have been lost."""
        if self._refused is not None:
            return tuple(DropLog(node=node, reason=self._refused) for node in self._names)
        questions = [droplog.stop(node, self._session, self._directory) for node in self._names]
        last = {answer.command.node: answer for answer in answers(self._nodes, questions)}
        return tuple(self._read(last[node]) for node in self._names)

    def _read(self, answer: NodeAnswer) -> DropLog:
        node = answer.command.node
        log = droplog.read_log(answer)
        if log.reason is not None and not log.text and node in self._reasons:
            return DropLog(node=node, reason=self._reasons[node])
        return log
