"""Carries out a capture plan through nodes that can be asked: start, wait, stop, collect.

Captures do not depend on the connection that started them. Any step may be cut off by Ctrl-C; `stop` and `collect` work on what there is.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from kubectl_vxtrace.capture import commands, tcpdump
from kubectl_vxtrace.capture.asking import Asked, answers
from kubectl_vxtrace.capture.enough import Enough, Questions
from kubectl_vxtrace.capture.nodeanswer import NodeReport, Record, State, read_report
from kubectl_vxtrace.capture.outcome import Course, judge
from kubectl_vxtrace.capture.room import Room
from kubectl_vxtrace.capture.store import Store
from kubectl_vxtrace.errors import CannotRunError, UsageError
from kubectl_vxtrace.model.cluster import FetchResult, NodeAnswer, NodeCommand
from kubectl_vxtrace.model.recording import CapturePlan, CaptureResult, CaptureTask

# How often it is asked whether captures still run, without and with packets to count.
_HEARTBEAT_S = 15.0
_COUNTING_S = 1.0
_WAKE_S = 0.25
_SHOWING_S = 2.0
_WATCHING_S, _AGAIN_S = 0.75, 0.25
# Files that are larger are not counted for the sake of a line on the screen: that costs the node 10 ms for each megabyte.
_SHOWN_BYTES = 1 << 20
# The last second of a capture is not counted, as its packets may still have been on their way; those that were asked for must come before.
_TAIL_S = 1.25
_THREADS = 16
# So long a transfer is waited for that nobody wants any more: its debug pod is gone, and its stream broken.
_GIVEN_UP_S = 5.0
# What a file may exceed its limit by: the record that was being written.
_SLACK_BYTES = 64 * 1024
# Files that are being fetched are in memory: two of the largest that a capture may write (Limits.file_bytes).
MEMORY_BYTES = 2 * (64 * 1024 * 1024 + _SLACK_BYTES)
# A file comes again where later ones say that other payload has to be compared, then that other payload is DNS: see packets/scrub.py.
_MOST_TIMES = 4


class Nodes(Asked, Protocol):
    """Nodes that answer questions and give away files."""

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        """Fetch a file of a node into memory, verified. Never raises for what a node does."""


class CaptureSession:
    """The captures of one trace.

    Args:
        nodes: whom to ask.
        plan: what to capture.
        directory: where the files are on the nodes; it is made if need be.
        tell: is told what is waited for, where that takes long.
    """

    def __init__(self, nodes: Nodes, plan: CapturePlan, directory: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self._nodes = nodes
        self._tell = tell
        self._plan = plan
        self._directory = directory
        self._tasks: dict[str, list[CaptureTask]] = {}
        for task in plan.tasks:
            if task.argv:
                self._tasks.setdefault(task.tap.node, []).append(task)
        self._started: dict[str, NodeReport] = {}
        self._stopped: dict[str, NodeReport] = {}
        self._fetching: dict[int, Future[CaptureResult]] = {}
        self._room = Room(MEMORY_BYTES)

    def start(self) -> None:
        """Start all captures; returns once each listens or has failed. A node whose answer is lost is asked again.

        Raises:
            UsageError: a node refuses the user's filter.
            CannotRunError: not one capture runs.
        """
        questions = [commands.start(node, tasks, self._plan, self._directory) for node, tasks in self._tasks.items()]
        for answer in answers(self._nodes, questions, self._is_silent_of_some, tell=self._tell, what="whether captures run"):
            self._started[answer.command.node] = read_report(answer)
        records = [record for report in self._started.values() for record in report.records.values()]
        refused = next((record for record in records if record.state is State.FILTER), None)
        if refused is not None:
            said = tcpdump.complaint(refused.said) or "it cannot be compiled"
            raise UsageError(f"--filter {self._plan.user_filter!r}: {said}", "See pcap-filter(7); for instance: --filter 'udp port 53'.")
        if not any(record.state in (State.LISTENING, State.WAITING) or record.device.gone for record in records):
            are_told = any(report.reason is None for report in self._started.values()) or not self._started
            hint = "Look at the debug image and the profile." if are_told else "The nodes' answers did not come: try again."
            raise CannotRunError("no capture could be started:\n" + "\n".join(self._why_none()), hint)

    def wait(self, stop: threading.Event, answered: threading.Event | None = None) -> None:
        """Wait for the plan's duration; ends early when `stop` is set, when `answered` is and answers have had time to come, when enough
        packets were seen, or when no capture runs any more."""
        counting = any(task.count_filter for task in self._plan.tasks) and self._plan.packets is not None
        pause_s = _COUNTING_S if counting else _HEARTBEAT_S
        begin_s = time.monotonic()
        end_s, poll_s = begin_s + self._plan.duration_s, begin_s + pause_s
        while (left_s := end_s - time.monotonic()) > 0:
            if stop.wait(min(left_s, _WAKE_S, pause_s)):
                return
            is_over = answered is not None and answered.is_set()
            if not is_over and poll_s <= time.monotonic() < end_s:
                records, poll_s = self._poll(), time.monotonic() + pause_s
                if self._is_over(records) and all(record.state is State.ENDED for record in records):
                    return
                is_over = self._is_over(records)
            if is_over:
                stop.wait(min(_TAIL_S, max(end_s - time.monotonic(), 0.0)))
                return

    def count(self, over: threading.Event, told: Callable[[Mapping[int, int]], None]) -> None:
        """Say every few seconds how many packets each capture holds, by its id, until `over`: those that are small and answer."""
        while not over.wait(_SHOWING_S):
            told({number: record.number for number, record in self._counts().items() if record.number is not None})

    def _counts(self) -> dict[int, Record]:
        questions = [commands.poll(node, tasks, self._directory, most_bytes=_SHOWN_BYTES) for node, tasks in self._tasks.items()]
        return {number: record for report in self._ask(questions).values() for number, record in report.records.items()}

    def watch(self, asked: Questions, over: threading.Event) -> str | None:
        """Count until it is clear enough why the capture may end, and say that; None if `over` comes first."""
        judge, begin_s = Enough(asked), time.monotonic()
        while not over.wait(_AGAIN_S if judge.is_near else _WATCHING_S):
            counted_s = time.monotonic() - begin_s
            if (why := judge.after(counted_s, self._count(asked))) is not None:
                return why
        return None

    def _count(self, asked: Questions) -> dict[int, int]:
        by_node: dict[str, list[tuple[int, str, str]]] = {}
        for number, one in enumerate(asked.counted):
            by_node.setdefault(one.task.tap.node, []).append((number, one.task.file, one.filter))
        commands_ = [commands.count(node, each, self._directory, _SHOWN_BYTES) for node, each in by_node.items()]
        records = [pair for report in self._ask(commands_).values() for pair in report.records.items()]
        return {number: record.number for number, record in records if record.number is not None}

    def is_silent(self) -> bool:
        """Whether every client's first hop was asked, and has seen no packet of the flows so far."""
        counted = sum(bool(task.count_filter) for tasks in self._tasks.values() for task in tasks)
        numbers = [record.number for record in self._poll() if record.number is not None]
        return 0 < counted <= len(numbers) and not any(numbers)

    def stop(self, store: Store | None = None) -> None:
        """Stop all captures and wait for their ends. May be called again, and whatever became of `start`.

        With a `store` the files of each node are fetched into it as soon as its own captures have ended: a node that does not answer
        costs no other its files. `collect` waits for them.
        """
        missing = [node for node in self._tasks if self._stopped.get(node, NodeReport(reason="not asked")).reason is not None]
        questions = [commands.stop(node, self._tasks[node], self._directory) for node in missing]
        for answer in answers(self._nodes, questions, self._is_silent_of_some, tell=self._tell, what="whether captures have ended"):
            self._stopped[answer.command.node] = read_report(answer)
            if store is not None:
                self._fetch_of([answer.command.node], store)

    def collect(self, store: Store) -> tuple[CaptureResult, ...]:
        """What became of each task, in the plan's order; waits until all files that there are have been fetched into `store`."""
        try:
            got = self._collected(store)
        finally:
            # On Ctrl-C nobody waits for what has not begun.
            for future in self._fetching.values():
                future.cancel()
        return tuple(got[task.id] if task.id in got else judge(self._course(task)) for task in self._plan.tasks)

    def _collected(self, store: Store) -> dict[int, CaptureResult]:
        """What came of each file, by its task; those that are stale come again."""
        got: dict[int, CaptureResult] = {}
        for _ in range(_MOST_TIMES):
            self._fetch_of(self._tasks, store)
            got |= {number: future.result() for number, future in self._fetching.items()}
            stale = [result for result in got.values() if store.is_stale(result)]
            if not stale:
                break
            for result in stale:
                got[result.task.id] = store.forget(result, "its payload could not be taken out as that of the other captures was")
                del self._fetching[result.task.id]
        return got

    def give_up(self) -> None:
        """Begin to fetch nothing more, and wait a few seconds for what is being fetched: its thread writes into the folder until then.

        The threads themselves are counted: Ctrl-C may come between the start of one and the moment when its future is known.
        """
        self._room.close(_GIVEN_UP_S)

    def _ask(self, questions: Sequence[NodeCommand]) -> dict[str, NodeReport]:
        return {answer.command.node: read_report(answer) for answer in self._nodes.ask(questions)}

    def _poll(self) -> list[Record]:
        questions = [commands.poll(node, tasks, self._directory) for node, tasks in self._tasks.items()]
        return [record for report in self._ask(questions).values() for record in report.records.values()]

    def _is_over(self, records: Sequence[Record]) -> bool:
        """Whether waiting longer is of no use. Nodes that did not answer this time go on capturing."""
        if len(records) == sum(map(len, self._tasks.values())) and all(record.state is State.ENDED for record in records):
            return True
        seen = sum(record.number for record in records if record.number is not None)
        return self._plan.packets is not None and seen >= self._plan.packets

    def _course(self, task: CaptureTask) -> Course:
        nothing = NodeReport(reason="the node was not asked")
        node = task.tap.node
        return Course(task=task, start=self._started.get(node, nothing), stop=self._stopped.get(node, nothing))

    def _why_none(self) -> list[str]:
        lines = []
        for node, report in self._started.items():
            said = [tcpdump.complaint(record.said) for record in report.records.values()]
            lines.append(f"{node}: {next((text for text in said if text), report.reason or 'no reason given')}")
        return lines or ["there is no interface to capture at"]

    def _is_silent_of_some(self, answer: NodeAnswer) -> bool:
        """Whether an answer was lost, or ends before each capture was told of, as where something on the way calls half of it the whole."""
        report = read_report(answer)
        asked = {task.id for task in self._tasks[answer.command.node]}
        return report.is_lost or (report.node_ns is not None and not report.tells_of(asked))

    def _fetch_of(self, nodes: Iterable[str], store: Store) -> None:
        """Begin to fetch the files of nodes, in parallel: most are small, and what takes time is to begin."""
        results = [judge(self._course(task)) for node in nodes for task in self._tasks[node] if task.id not in self._fetching]
        wanted = [result for result in results if result.sha256 is not None]
        if not wanted:
            return
        pool = ThreadPoolExecutor(min(_THREADS, len(wanted)), thread_name_prefix="fetch")
        self._fetching |= {result.task.id: pool.submit(self._fetch, result, store) for result in wanted}
        pool.shutdown(wait=False)

    def _fetch(self, result: CaptureResult, store: Store) -> CaptureResult:
        max_bytes = result.task.file_bytes + _SLACK_BYTES
        with self._room.taken(min(result.size_bytes, max_bytes)):
            came = self._nodes.fetch(
                result.task.tap.node,
                f"{self._directory}/{result.task.file}",
                size_bytes=result.size_bytes,
                sha256=result.sha256 or "",
                max_bytes=max_bytes,
            )
            return store.keep(result, came)
