"""What a trace could leave behind, looked at from outside: pods by the API, and processes, mounts and tracing instances of this machine.

All nodes of the lab and of the cluster run on one kernel, so that what a debug pod starts or makes there is seen from here.
"""

import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import quote

from tests.e2e import listing

MANAGED = "app.kubernetes.io/managed-by=kubectl-vxtrace"
SESSION_LABEL = "vxtrace/session"
NETWORKS = Path("/run/netns")
TRACING = Path("/sys/kernel/tracing")


def pods(kubeconfig: Path, session: str | None = None) -> dict[str, str]:
    """The phase of each debug pod by `namespace/name`, as the API itself says it: of a session, or of all."""
    label = MANAGED if session is None else f"{SESSION_LABEL}={session}"
    found = listing.get(kubeconfig, f"/api/v1/pods?labelSelector={quote(label)}")["items"]
    return {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod["status"].get("phase", "") for pod in found}


def processes() -> set[str]:
    """Command lines of everything that a debug pod runs: what captures in the network namespace of a node."""
    networks = {(node.stat().st_dev, node.stat().st_ino) for node in NETWORKS.glob("ada-ec-*")}
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                network = (entry / "ns/net").stat()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if (network.st_dev, network.st_ino) in networks and (b"tcpdump" in command or b"/capture" in command):
                found.add(f"{entry.name} {command!r}")
    return found


def mounts() -> set[str]:
    """The mounts of this namespace, but for the names of network namespaces, which any test of this machine makes."""
    return {line for line in Path("/proc/self/mounts").read_text().splitlines() if not line.startswith("nsfs ")}


def instances(sessions: Collection[str]) -> set[str]:
    """Names of the kernel's tracing instances of these sessions; all nodes of this machine share one kernel, and others may trace there.

    The file system is mounted for the look alone.
    """
    script = f"[ -d {TRACING}/instances ] || mount -n -t tracefs tracefs {TRACING}; ls {TRACING}/instances"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.startswith(tuple(f"vxtrace-{session}-" for session in sessions))}


def machine() -> Mapping[str, set[str]]:
    """Processes and mounts, by what they are."""
    return {"processes": processes(), "mounts": mounts()}


def grown(before: Mapping[str, set[str]], after: Mapping[str, set[str]]) -> list[str]:
    """What is there that was not: `2 processes: ...`."""
    more = {kind: sorted(after[kind] - before[kind]) for kind in before}
    return [f"{len(found)} {kind}: {'; '.join(found)[:300]}" for kind, found in more.items() if found]
