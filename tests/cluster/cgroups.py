"""The control groups of the nodes: one for each node, below one of ours, in every hierarchy of the machine."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.datapath.tools import LabError

OURS = "vxtrace-cluster"
# What the kubelet and runc ask for (kubelet, container_manager_linux.go; cgroup v2: Documentation/admin-guide/cgroup-v2.rst).
_UNIFIED = "+cpuset +cpu +io +memory +hugetlb +pids"


def path_of(node: str) -> str:
    """A node's control group, as the kubelet's `cgroupRoot` wants it."""
    return f"/{OURS}/{node}"


def hierarchies(mounts: str) -> tuple[list[Path], list[Path]]:
    """Where version 1's hierarchies are mounted, and version 2's, from the text of /proc/self/mounts (proc(5))."""
    found: dict[str, list[Path]] = {"cgroup": [], "cgroup2": []}
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind in found:
            found[kind].append(Path(place))
    return found["cgroup"], found["cgroup2"]


def _here() -> tuple[list[Path], list[Path]]:
    return hierarchies(Path("/proc/self/mounts").read_text())


def make(nodes: tuple[str, ...]) -> None:
    """Make each node's groups.

    Raises:
        LabError: this machine lets nobody make any.
    """
    first, second = _here()
    try:
        for place in first:
            for path in (place / OURS, *(place / OURS / node for node in nodes)):
                path.mkdir(exist_ok=True)
                _inherit_cpuset(path)
        # Beside version 1 (the hybrid layout) version 2 has no controllers, and runc makes what it wants there.
        for place in [] if first else second:
            _delegate(place)
            for path in (place / OURS, *(place / OURS / node for node in nodes)):
                path.mkdir(exist_ok=True)
                _delegate(path)
    except OSError as error:
        raise LabError(f"cannot make control groups: {error}") from error


def _inherit_cpuset(path: Path) -> None:
    """A new cpuset of version 1 has no CPU and takes no process before it has (cgroups(7), cpuset(7))."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and not (path / name).read_text().strip():
            (path / name).write_text((path.parent / name).read_text())


def _delegate(path: Path) -> None:
    """Let the groups below have the controllers that there are."""
    present = (path / "cgroup.controllers").read_text().split()
    wanted = [word for word in _UNIFIED.split() if word[1:] in present]
    (path / "cgroup.subtree_control").write_text(" ".join(wanted))


def _groups() -> Iterator[Path]:
    """Every directory of ours, the innermost first."""
    first, second = _here()
    for place in (*first, *second):
        for path, _, _ in os.walk(place / OURS, topdown=False):
            yield Path(path)


def processes() -> set[int]:
    """Everything that still runs in a group of ours."""
    found: set[int] = set()
    for path in _groups():
        try:
            found |= {int(pid) for pid in (path / "cgroup.procs").read_text().split()}
        except FileNotFoundError:
            continue  # removed by its kubelet in between
    return found


def remove(*, patience_s: float = 10.0) -> None:
    """Remove our groups; those that have just lost their last process take a moment.

    Raises:
        LabError: something still runs in one.
    """
    until = time.monotonic() + patience_s
    while left := [path for path in _groups() if not _removed(path)]:
        if time.monotonic() > until:
            running = ", ".join(str(pid) for pid in sorted(processes())) or "none"
            raise LabError(f"control group {left[-1]} cannot be removed; processes in it: {running}")
        time.sleep(0.05)


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def processes_of(node: str, uid: str) -> list[int]:
    """The processes of a pod, in this machine's numbers.

    The kubelet names a pod's group `podUID` (kubelet, cm/pod_container_manager_linux.go).
    """
    first, second = _here()
    for place in [*first, *second]:
        for group in sorted((place / OURS / node).glob(f"**/pod{uid}")):
            if found := [int(number) for procs in group.glob("**/cgroup.procs") for number in procs.read_text().split()]:
                return sorted(found)
    return []
