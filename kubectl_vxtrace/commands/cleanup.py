"""`cleanup`: remove what earlier traces left: debug pods, and on this machine the folders of those that were killed."""

from kubectl_vxtrace import scratch
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import ExitCode
from kubectl_vxtrace.flags.values import Notation
from kubectl_vxtrace.kube import namespaces
from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.sweep import sweep
from kubectl_vxtrace.model.request import Access


def run(access: Access, console: Console, notation: Notation, *, namespace: str | None, everything: bool) -> int:
    """Remove what is left, say what was removed and what could not be confirmed; returns the exit code.

    Args:
        access: the cluster.
        console: where progress is told.
        notation: how the answer is printed.
        namespace: where to look; None for all namespaces.
        everything: also the debug pods of traces that may still be running.

    Raises:
        UsageError: there is no such namespace, or pods may not be listed.
        CannotRunError: the API cannot be asked.
    """
    if swept := scratch.sweep():
        console.step(f"{swept} folders of traces that were killed removed from this machine")
    connection = connect(access, tell=console)
    console.detail(f"asking {connection.server}")
    if namespace is not None:
        namespaces.require(connection, namespace)
    outcome = sweep(connection, namespace=namespace, everything=everything)
    lines = [f"{len(outcome.removed)} of {outcome.pods} debug pods removed", *(f"removed {name}" for name in outcome.removed)]
    document = {"state": outcome.state.value, "removed": list(outcome.removed), "left": list(outcome.left)}
    stdout.answer(notation, "\n".join(lines), document)
    for name in outcome.left:
        console.warn(f"not confirmed gone: {name}")
    return ExitCode.LEFT_BEHIND if outcome.left else ExitCode.DELIVERED
