"""Questions to nodes and files from them, through their debug pods."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Self

from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.kube import transfer
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.exec import Asked, ExecLimits, ExecResult, Sink, execute
from kubectl_vxtrace.kube.explain import explain, explain_exec
from kubectl_vxtrace.kube.handshake import Patience
from kubectl_vxtrace.kube.manifest import LEASE_FILE
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus, FetchResult, NodeAnswer, NodeCommand

_THREADS = 16
_RENEW_S = 20.0  # a third of the time that a pod waits for a call


def call_script(lease: str = LEASE_FILE) -> str:
    """The script that every call begins with: it renews the pod's lease, then becomes the command in its arguments.

    A full or read-only folder must not keep the command from running, hence `true`: unlike `:` it is no special built-in, whose
    failed redirection would end the shell.

    Args:
        lease: a path that needs no quoting.
    """
    return f'true 2>/dev/null >{lease}; exec "$@"'


class DebugNodes:
    """Answers questions through the debug pods of `pods`: nodes in parallel, one node's questions in order.

    It is what the capture session asks for under the name of a protocol: `ask` and `fetch`. `tell` is told what is waited for, where that
    takes long. As a context it keeps the pods that it has asked until its end: a pod ends when nobody calls, and one that has answered
    waits while another node is asked again and again.
    """

    def __init__(self, connection: Connection, pods: DebugPods, *, tell: Callable[[str], None] = lambda _: None) -> None:
        self._connection = connection
        self._pods = pods
        self._tell = tell
        self._patience = Patience(tell=tell)
        self._refused: dict[str, VxtraceError] = {}
        self._reached: set[str] = set()
        self._kept: set[str] = set()
        self._keeping = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._patience.give_up()
        self._over.set()

    def require_reached(self) -> None:
        """Raise where not one command could be begun so far on any node.

        Raises:
            UsageError, CannotRunError: with the cause, and a hint that fits it.
        """
        if self._reached or not self._refused:
            return
        nodes_of: dict[str, list[str]] = {}
        for node, error in sorted(self._refused.items()):
            nodes_of.setdefault(error.message, []).append(node)
        lines = [f"  {', '.join(nodes)}: {message}" for message, nodes in nodes_of.items()]
        first = next(iter(self._refused.values()))
        raise type(first)("no command can be run in the debug pods:\n" + "\n".join(lines), first.hint)

    def ask(self, commands: Sequence[NodeCommand]) -> tuple[NodeAnswer, ...]:
        """Answers in the order of the commands. Never raises for what a node does; see AnswerStatus for what may have become of it."""
        queues: dict[str, list[int]] = {}
        for index, command in enumerate(commands):
            queues.setdefault(command.node, []).append(index)
        answers: dict[int, NodeAnswer] = {}
        if not queues:
            return ()
        stop = threading.Event()

        def work(queue: list[int]) -> None:
            for index in queue:
                if stop.is_set():
                    return
                answers[index] = self._answer(commands[index])

        pool = ThreadPoolExecutor(min(_THREADS, len(queues)), thread_name_prefix="ask")
        try:
            for future in [pool.submit(work, queue) for queue in queues.values()]:
                future.result()
        finally:
            stop.set()
            # On Ctrl-C nobody waits for commands that are still running.
            pool.shutdown(wait=False, cancel_futures=True)
        return tuple(answers[index] for index in range(len(commands)))

    def fetch(self, node: str, remote_path: str, *, size_bytes: int, sha256: str, max_bytes: int) -> FetchResult:
        """Fetch one file into memory and verify it; see transfer.fetch. Never raises for what the node does."""
        pod = self._pods.pod(node)
        if pod is None:
            return FetchResult(node=node, reason=self._pods.why_not(node))
        self._keep(node, pod)
        return transfer.fetch(
            partial(self._call, pod, asked=Asked(node=node, name=f"fetch {remote_path.rpartition('/')[2]}"), patience=self._patience),
            node=node,
            remote_path=remote_path,
            size_bytes=size_bytes,
            sha256=sha256,
            max_bytes=max_bytes,
            tell=self._tell,
        )

    def _answer(self, command: NodeCommand) -> NodeAnswer:
        pod = self._pods.pod(command.node)
        sent_ns = time.time_ns()
        if pod is None:
            return NodeAnswer(
                command=command, status=AnswerStatus.ABSENT, reason=self._pods.why_not(command.node), sent_ns=sent_ns, received_ns=sent_ns
            )
        self._keep(command.node, pod)
        try:
            result = self._call(
                pod,
                command.argv,
                asked=Asked(node=command.node, name=command.key),
                timeout_s=command.timeout_s,
                max_bytes=command.max_bytes,
                patience=self._patience if command.patient else None,
            )
        except (ApiError, VxtraceError, OSError) as error:
            refusal = explain_exec(error) if isinstance(error, ApiError) else explain(error)
            self._refused[command.node] = refusal
            return NodeAnswer(
                command=command, status=AnswerStatus.ABSENT, reason=refusal.message, sent_ns=sent_ns, received_ns=time.time_ns()
            )
        self._reached.add(command.node)
        return NodeAnswer(
            command=command,
            status=result.status,
            exit_code=result.exit_code,
            stdout=result.stdout,
            stderr=result.stderr,
            reason=result.reason,
            sent_ns=sent_ns,
            received_ns=time.time_ns(),
        )

    def _call(
        self,
        pod: str,
        argv: Sequence[str],
        *,
        asked: Asked,
        timeout_s: float,
        max_bytes: int,
        sink: Sink | None = None,
        patience: Patience | None = None,
    ) -> ExecResult:
        return execute(
            self._connection,
            self._pods.namespace,
            pod,
            ("sh", "-c", call_script(), "vxtrace", *argv),
            asked=asked,
            limits=ExecLimits(timeout_s=timeout_s, max_bytes=max_bytes),
            sink=sink,
            patience=patience,
        )

    def _keep(self, node: str, pod: str) -> None:
        """Renew the pod's lease from now on, beside whatever else is asked: the pod counts calls that begin, not calls that last."""
        with self._keeping:
            if node in self._kept or self._over.is_set():
                return
            self._kept.add(node)
        threading.Thread(target=self._renew, args=(node, pod), name=f"keep {node}", daemon=True).start()

    def _renew(self, node: str, pod: str) -> None:
        while not self._over.wait(_RENEW_S):
            # Whoever asks for more than a lease will be told that the pod is gone.
            with suppress(ApiError, VxtraceError, OSError):
                self._call(pod, ("true",), asked=Asked(node=node, name="lease"), timeout_s=_RENEW_S, max_bytes=0)
