"""Where the cluster keeps its files."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
KUBECONFIG = ROOT / "build" / "cluster" / "kubeconfig"
STATE_VARIABLE = "VXTRACE_CLUSTER_STATE"
# Outside /run, /var/lib and /var/log, which every node has of its own; and not on an overlay file system, which containerd's cannot lie on.
DEFAULT_STATE_DIR = Path("/var/cache/vxtrace-cluster")


def state_dir() -> Path:
    """What a running cluster has written: certificates, configurations, logs, the nodes' disks. Gone after `down`."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE_DIR).absolute()


def cache_dir() -> Path:
    """What is built once and kept: binaries and images (XDG Base Directory Specification, $XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "vxtrace-cluster"


def node_dir(state: Path, node: str) -> Path:
    """A node's own directory."""
    return state / "nodes" / node
