"""What is left in the cluster of a trace, in words."""

from collections.abc import Sequence

from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import LeftBehindError
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState


def say(cleanup: Cleanup | None, console: Console) -> None:
    """What became of the debug pods; who reads JSON sees it here as well."""
    if cleanup is None:
        return
    match cleanup.state:
        case CleanupState.CONFIRMED:
            console.step(f"{cleanup.pods} of {cleanup.pods} debug pods gone")
        case CleanupState.KEPT:
            console.step(f"debug pods kept: {', '.join(cleanup.left)}")
        case CleanupState.UNCONFIRMED:
            console.warn(f"{text(cleanup.left)}; later: kubectl vxtrace cleanup")


def give_up(cleanup: Cleanup | None, console: Console, error: BaseException) -> None:
    """Say what is left in the cluster of a trace that ended without a report.

    Raises:
        LeftBehindError: a debug pod could not be confirmed gone.
    """
    if cleanup is not None and cleanup.state is CleanupState.UNCONFIRMED:
        raise LeftBehindError(f"{str(error) or 'interrupted'}\n{text(cleanup.left)}", "kubectl vxtrace cleanup") from error
    say(cleanup, console)


def text(left: Sequence[str]) -> str:
    """Debug pods that may be left."""
    return "debug pods that may be left: " + ", ".join(left)
