"""One real exec in a debug pod, to learn whether what stands between here and the API lets a trace's commands through."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_vxtrace.errors import CannotRunError, UsageError, VxtraceError
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.exec import Asked, ExecLimits, execute
from kubectl_vxtrace.kube.explain import explain
from kubectl_vxtrace.kube.nodes import call_script
from kubectl_vxtrace.kube.rest import ApiError
from kubectl_vxtrace.model.cluster import AnswerStatus, NodeCommand

# RFC 9110, 15.5.14 and 15.5.15; RFC 6585, 5: what says that a request line or its head is too long.
_TOO_LONG = frozenset({413, 414, 431})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a command said. `failure` is why it could not be run, or not to its end."""

    stdout: bytes = b""
    failure: VxtraceError | None = None


def probe(connection: Connection, namespace: str, pod: str, command: NodeCommand) -> Answered:
    """Run a trace's command as a trace does.

    Args:
        connection: the cluster.
        namespace, pod: where; the pod must run.
        command: what a node is asked; its node is that of the pod.
    """
    argv: Sequence[str] = ("sh", "-c", call_script(), "vxtrace", *command.argv)
    try:
        limits = ExecLimits(timeout_s=command.timeout_s, max_bytes=command.max_bytes)
        said = execute(connection, namespace, pod, argv, asked=Asked(node=command.node, name=command.key), limits=limits)
    except ApiError as error:
        return Answered(failure=_refused(error))
    if said.status is AnswerStatus.OK:
        return Answered(stdout=said.stdout)
    if said.status is AnswerStatus.FAILED:
        words = said.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = f"exit code {said.exit_code}" + (f": {words[-1]}" if words else "")
        return Answered(failure=CannotRunError(f"the exec ran and failed ({reason})", "is the debug image a whole netshoot?"))
    return Answered(
        failure=CannotRunError(
            f"the exec began, and its answer did not come whole: {said.reason}",
            f"something between here and {connection.server} ends or holds up WebSockets; try `kubectl exec` by the same way",
        )
    )


def _refused(error: ApiError) -> VxtraceError:
    """Why an exec did not begin. Only the API gives a reason in its own word; without one it was something in between."""
    if error.status in (0, 401):
        return explain(error, "run a command in a debug pod")
    if error.reason:
        return explain(error, "run a command in a debug pod") if error.status != 404 else UsageError(f"no exec: {error.message}")
    between = f"something between here and {error.server}"
    if error.status in _TOO_LONG:
        return CannotRunError(
            f"{between} takes no request line as long as an exec's (about 2 KB): HTTP {error.status}",
            "raise its limit (nginx: large_client_header_buffers), or reach the API another way: --context, or another server's address",
        )
    return CannotRunError(
        f"{between} does not let an exec through, an upgrade to WebSocket with a request line of up to 2 KB: HTTP {error.status}",
        "let it pass `Connection: Upgrade`, `Upgrade: websocket` and paths that end in /exec, or reach the API another way: --context",
    )
