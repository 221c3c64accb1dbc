"""The debug pod as it is sent to the API."""

import functools
import hashlib
import importlib.resources
import ipaddress
import math
import re
from collections.abc import Collection
from typing import Any

from kubectl_vxtrace.model.request import Limits, PodOptions

CONTAINER = "vxtrace"
CAPTURE_FOLDER = "/capture"
LEASE_FILE = f"{CAPTURE_FOLDER}/.lease"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "kubectl-vxtrace"
SESSION_LABEL = "vxtrace/session"
LIFETIME_ANNOTATION = "vxtrace/lifetime-seconds"
NAMESPACES_FOLDER = "/var/run/netns"
"""Where containerd and CRI-O keep a file for each pod's network namespace, and iproute2 for each that has a name."""
IDLE_S = 60
_Objects = tuple[dict[str, Any], ...]
STORAGE_BYTES = Limits().node_bytes + 64 * 1024 * 1024
"""Of the folder for captures: their files, and room for the log of drops (4 MiB), a reserve (1 MiB) and what nodes answer."""
_NAME_LIMIT = 63  # a pod's name is its host name too, hence an RFC 1123 label

# Meshes inject side-cars by these; a hostNetwork pod with an injected proxy would change the node's own packet filter.
_MESH_OPT_OUTS = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled", "kuma.io/sidecar-injection": "disabled"}


@functools.cache
def first_process() -> str:
    """The script of the container's first process (pid1.sh)."""
    return importlib.resources.files("kubectl_vxtrace.kube").joinpath("pid1.sh").read_text(encoding="utf-8")


def pod_name(session: str, node: str, taken: Collection[str] = ()) -> str:
    """`vxtrace-<session>-<node's short name>`, at most 63 characters, lower case, letters, digits and dashes.

    A hash of the node's whole name is added where the short one is cut, is no name of its own (an address), or is taken.
    """
    prefix = f"vxtrace-{session}-"
    try:
        ipaddress.ip_address(node)
        short = node
    except ValueError:
        short = node.split(".", 1)[0]
    label = re.sub(r"[^a-z0-9-]+", "-", short.lower()).strip("-") or "node"
    name = prefix + label
    if len(name) > _NAME_LIMIT or name in taken:
        digest = hashlib.sha256(node.encode()).hexdigest()[:6]
        name = f"{prefix}{label[: _NAME_LIMIT - len(prefix) - 7].rstrip('-')}-{digest}"
    return name


def manifest(
    node: str,
    *,
    session: str,
    namespace: str,
    options: PodOptions,
    lifetime_s: float,
    storage_bytes: int = STORAGE_BYTES,
    name: str | None = None,
    host_pid: bool = False,
    has_namespaces: bool = True,
) -> dict[str, Any]:
    """The pod for one node.

    Args:
        node: the node's name; it is set as nodeName, since the scheduler would refuse a node that is cordoned or tainted.
        session: the trace's id.
        namespace: where it is made.
        options: image, profile, pull secret; a kept pod waits for calls as long as it lives.
        lifetime_s: after this the kubelet ends it (activeDeadlineSeconds), whatever became of the client.
        storage_bytes: limit of the folder for captures; above it the kubelet evicts the pod.
        name: the pod's name; by default pod_name(session, node).
        host_pid: it sees the processes of the node, and so can enter the network namespace of a pod.
        has_namespaces: where its profile may enter pods' network namespaces, it has the node's folder with the files that lead there.
    """
    lifetime = max(1, math.ceil(lifetime_s))
    enters = has_namespaces and options.profile == "privileged"
    volumes, mounts = _namespaces() if enters else ((), ())
    labels = {MANAGED_BY: MANAGER, "app.kubernetes.io/name": "vxtrace", SESSION_LABEL: session}
    spec: dict[str, Any] = {
        "nodeName": node,
        "hostNetwork": True,
        # In a process namespace of its own, deleting the pod ends every process that was started in it.
        "hostPID": host_pid,
        "hostIPC": False,
        "dnsPolicy": "Default",
        "restartPolicy": "Never",
        "activeDeadlineSeconds": lifetime,
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [_container(options, lifetime if options.keep else IDLE_S, storage_bytes, mounts)],
        "volumes": [{"name": "capture", "emptyDir": {"sizeLimit": str(storage_bytes)}}, *volumes],
    }
    if options.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": options.image_pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or pod_name(session, node),
            "namespace": namespace,
            "labels": labels | _MESH_OPT_OUTS,
            "annotations": _MESH_OPT_OUTS | {LIFETIME_ANNOTATION: str(lifetime)},
        },
        "spec": spec,
    }


def _container(options: PodOptions, idle_s: int, storage_bytes: int, mounts: _Objects) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": options.image,
        "imagePullPolicy": options.image_pull_policy,
        "command": ["sh", "-c", first_process(), "vxtrace", str(idle_s)],
        # Tools that want a place to write find the only one there is.
        "env": [{"name": "LC_ALL", "value": "C"}, {"name": "HOME", "value": CAPTURE_FOLDER}, {"name": "TMPDIR", "value": CAPTURE_FOLDER}],
        "securityContext": _security(options.profile),
        # No limit on cpu: a throttled tcpdump loses packets. A limit without a request would become the request. Captures' rings, 16 MiB
        # each (tcpdump.argv), are the kernel's and count for no container: five tcpdumps with theirs took 7 MB (Linux 6.18, cgroup v1).
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "16Mi"},
            "limits": {"memory": "512Mi", "ephemeral-storage": str(storage_bytes + 64 * 1024 * 1024)},
        },
        "volumeMounts": [{"name": "capture", "mountPath": CAPTURE_FOLDER}, *mounts],
    }


def _namespaces() -> tuple[_Objects, _Objects]:
    """Volume and mount of the files by which pods' network namespaces are entered. No type: a node without them runs the pod as well.

    No propagation: not every node's mounts are shared, and a container that asks for it does not start there. A namespace that is removed
    meanwhile goes all the same: unlinking its file unmounts it here too (vfs_unlink and detach_mounts in Linux fs/namei.c).
    """
    volume = {"name": "netns", "hostPath": {"path": NAMESPACES_FOLDER}}
    return (volume,), ({"name": "netns", "mountPath": NAMESPACES_FOLDER, "readOnly": True},)


def _security(profile: str) -> dict[str, Any]:
    common = {"readOnlyRootFilesystem": True, "runAsUser": 0, "runAsNonRoot": False}
    if profile == "netraw":
        # NET_RAW opens the sockets; a tcpdump that changes its user needs the other two even with `-Z root`.
        return common | {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "SETUID", "SETGID"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    return common | {"privileged": True}
