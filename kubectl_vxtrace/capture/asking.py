"""Questions to nodes whose answers may be lost on their way."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand

PATIENCE_S = 60.0
"""A debug pod waits as long for a call."""
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 3.0
_TELL_AFTER_S = 5.0
_THREADS = 16


class Asked(Protocol):
    """Nodes that answer questions."""

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        """The answers in the order of the commands, nodes in parallel. Never raises for what a node does."""


def stream_is_lost(answer: NodeAnswer) -> bool:
    """Whether an answer has no end. What could not be asked at all was tried for as long as that is of use."""
    return answer.status in (AnswerStatus.TRUNCATED, AnswerStatus.TIMEOUT)


def answers(
    nodes: Asked,
    questions: Iterable[NodeCommand],
    is_lost: Callable[[NodeAnswer], bool] = stream_is_lost,
    *,
    tell: Callable[[str], None] = lambda _: None,
    what: str = "",
) -> Iterator[NodeAnswer]:
    """Ask each node its question, and again while its answer is lost, further and further apart, for PATIENCE_S.

    Args:
        nodes: whom to ask.
        questions: one for each node, of a kind that may be asked again.
        is_lost: whether an answer was lost.
        tell: is told what is waited for, where that takes long.
        what: what is to be known of a node, for that.

    Yields every answer as it comes, so that one node waits for no other; a lost one too: of one node the last one counts.
    """
    asked = list(questions)
    began_s = time.monotonic()
    pause_s, tell_at_s = _FIRST_BACKOFF_S, began_s + _TELL_AFTER_S
    while asked:
        lost = []
        for answer in _side_by_side(nodes, asked):
            if is_lost(answer):
                lost.append(answer)
            yield answer
        asked = [answer.command for answer in lost]
        now_s = time.monotonic()
        left_s = began_s + PATIENCE_S - now_s
        if not asked or pause_s >= left_s:
            return
        if now_s >= tell_at_s:
            tell_at_s = now_s + 2 * _TELL_AFTER_S
            names = ", ".join(question.node for question in asked)
            tell(f"waiting for {names} to say {what} ({lost[0].reason or 'the answer ended early'}), {left_s:.0f} s more at most")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_BACKOFF_S)


def _side_by_side(nodes: Asked, questions: Sequence[NodeCommand]) -> Iterator[NodeAnswer]:
    pool = ThreadPoolExecutor(min(_THREADS, len(questions)), thread_name_prefix="ask")
    try:
        for future in as_completed([pool.submit(nodes.ask, [question]) for question in questions]):
            yield from future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
