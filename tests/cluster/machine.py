"""A node as a machine: its namespaces (network, mounts, processes, host name), made by its first process and gone with it."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from tests.cluster import places
from tests.datapath import processes, tools
from tests.datapath.tools import LabError

INIT = Path(__file__).parent / "programs" / "init.py"

# $1 host name, $2 the node's directory, then the first process's command. The node has its own /run, /var/lib and /var/log, so that
# everything finds its files where it does on any machine, and no name server: nothing here asks anybody outside. All mounts are
# shared, as the kubelet wants them (mount propagation).
_SETUP = """set -eu
echo "$1" > /proc/sys/kernel/hostname
mkdir -p "$2/lib" "$2/log"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns /run/lock
mount --bind "$2/lib" /var/lib
mount --bind "$2/log" /var/log
: > "$2/resolv.conf"
mount --bind "$2/resolv.conf" /etc/resolv.conf
mount --make-rshared /
: > "$2/ready"
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node that runs.

    Attributes:
        directory: its own directory in the state directory.
        init: the process id of its first process, in this machine's numbers.
    """

    node: str
    state: Path
    directory: Path
    init: int

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> processes.Running:
        """Start a daemon on the node; its output goes to log/NAME-NODE.log in the state directory."""
        variables = ["env", *(f"{key}={value}" for key, value in environment.items())] if environment else []
        return processes.start(str(self.state), f"{name}-{self.node}", self.node, [*self._enter(), *variables, *argv])

    def run(self, argv: Sequence[str], *, text: str | None = None, check: bool = True) -> CompletedProcess[str]:
        """Run a command on the node to its end (60 s at most). Raises LabError."""
        return tools.run_inside(self.node, [*self._enter(), *argv], text=text, check=check)

    def stop(self, name: str) -> None:
        """End one of its daemons. Raises LabError."""
        wanted = f"{name}-{self.node}"
        processes.stop(str(self.state), [each for each in processes.recorded(str(self.state)) if each.name == wanted])

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.init), "--mount", "--uts", "--pid"]


def init_name(node: str) -> str:
    """The name under which a node's first process is recorded."""
    return f"init-{node}"


def make(state: Path, node: str) -> Machine:
    """Start a node in the network namespace of its name.

    Raises:
        LabError: its namespaces could not be made; with what was said.
    """
    directory = places.node_dir(state, node)
    directory.mkdir(parents=True, exist_ok=True)
    unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "private"]
    first = [sys.executable, "-I", "-S", str(INIT)]
    argv = [*unshare, "sh", "-c", _SETUP, "sh", node, str(directory), *first]
    running = processes.start(str(state), init_name(node), node, argv)
    until = time.monotonic() + 10
    while not (directory / "ready").exists():
        if time.monotonic() > until or not processes.alive(running):
            log = (state / processes.LOGS / f"{init_name(node)}.log").read_text(errors="replace")
            raise LabError(f"{node}: its namespaces cannot be made: {log.strip()[-500:] or 'nothing was said'}")
        time.sleep(0.01)
    return found(state, node)


def found(state: Path, node: str) -> Machine:
    """A node that was made before.

    Raises:
        LabError: it does not run.
    """
    for running in processes.recorded(str(state)):
        if running.name == init_name(node) and processes.alive(running):
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
            if children:
                return Machine(node=node, state=state, directory=places.node_dir(state, node), init=int(children[0]))
    raise LabError(f"node {node} does not run; `make cluster-up` makes the cluster anew")
