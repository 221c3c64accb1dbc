"""The real kubectl, that was built with the cluster, as its administrator."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.binaries import Binaries
from tests.datapath import tools
from tests.datapath.tools import LabError


class Kubectl:
    """Calls kubectl with the administrator's kubeconfig of a state directory."""

    def __init__(self, binaries: Binaries, state: Path) -> None:
        self._argv = [binaries["kubectl"], "--kubeconfig", str(state / "pki" / "admin.kubeconfig"), "--cache-dir", str(state / "kubectl")]

    def run(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        """Its stdout; "" for a failure without `check`. Raises LabError."""
        done = tools.run([*self._argv, *arguments], text=text, check=check)
        return done.stdout if done.returncode == 0 else ""

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Create objects, or change them. Raises LabError."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "--server-side", "--force-conflicts", "--filename", "-", text=json.dumps(document))

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind. Raises LabError."""
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, "--all-namespaces", "--output", "json", *arguments))["items"]
        return found


def wait_for(what: str, done: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
    """Ask until it is done.

    Raises:
        LabError: it was not within `seconds`; `why` says how far it came.
    """
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise LabError(f"{what} did not happen within {seconds:.0f} s: {why()}")
        time.sleep(0.3)


def last_words(state: Path, log: str) -> str:
    """The end of a daemon's log."""
    path = state / "log" / f"{log}.log"
    return f"{path} ends with:\n{path.read_text(errors='replace').strip()[-1200:]}" if path.exists() else f"there is no {path}"
