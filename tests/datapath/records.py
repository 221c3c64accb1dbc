"""What the lab consists of, and where that is written down while it is up.

The network (tests/datapath), the Kubernetes API of the lab (tests/lab) and the tests read the same records:
`load()` gives them, None while no lab is up.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE_VARIABLE = "VXTRACE_LAB_STATE"
DEFAULT_STATE_DIR = Path("/run/vxtrace-lab")
RECORD_FILE = "lab.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNode:
    """A node: a network namespace with an underlay NIC and a VXLAN device.

    Attributes:
        netns: name of its network namespace, the node's name.
        address: its InternalIP, on `underlay_interface`.
        vtep_interface: the VXLAN device (`vxlan.calico`, `flannel.1`).
        pod_cidr: the block its pods' addresses come from.
        fabric_port: the underlay bridge's port towards this node, in the fabric's namespace.
        bridge: the bridge that joins its pods (`cni0`); None where pods are routed one by one.
        published: the underlay address that the CNI has published for it; None: `address`.
    """

    name: str
    uid: str
    netns: str
    address: str
    underlay_interface: str
    underlay_mac: str
    vtep_interface: str
    vtep_address: str
    vtep_mac: str
    vni: int
    vxlan_port: int
    mtu_bytes: int
    pod_cidr: str
    fabric_port: str
    bridge: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    published: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPort:
    """A container port; protocol "TCP" or "UDP"."""

    name: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabContainer:
    """A container of a pod."""

    name: str
    image: str
    ports: tuple[LabPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPod:
    """A pod: a network namespace with one interface, or a guest in its node's (hostNetwork), or only a record (Pending).

    Attributes:
        node: name of its node; None while it is not scheduled.
        address: its IP address; None while it has none.
        netns: "pod-" + name; the node's for hostNetwork; None if it does not run.
        host_interface: the node's end of its veth; None without one.
        labels: as in the API.
        owner: "replicaset/NAME" and the like, in the pod's namespace; None for a bare pod.
        phase: "Running" or "Pending".
    """

    namespace: str
    name: str
    uid: str
    node: str | None
    address: str | None
    netns: str | None
    host_interface: str | None
    labels: Mapping[str, str]
    owner: str | None
    host_network: bool
    containers: tuple[LabContainer, ...]
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabServicePort:
    """A port of a service; target_port is a number (the lab names none)."""

    name: str
    port: int
    protocol: str
    target_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabService:
    """A service; cluster_ip "None" for a headless one, as the API writes it.

    Attributes:
        local: its internalTrafficPolicy is Local.
        node_port: the node port of its first port; 0 for none.
        load_balancer: the address that a load balancer has for it; "" for none.
        external_local: its externalTrafficPolicy is Local.
    """

    namespace: str
    name: str
    uid: str
    cluster_ip: str
    ports: tuple[LabServicePort, ...]
    selector: Mapping[str, str]
    local: bool = False
    node_port: int = 0
    load_balancer: str = ""
    external_local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabWorkload:
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet.

    Attributes:
        kind: "deployment", "replicaset", "statefulset" or "daemonset".
        owner: "deployment/NAME" of a ReplicaSet; None otherwise.
        selector: the labels of its pods.
        replicas: how many pods it wants.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    owner: str | None
    selector: Mapping[str, str]
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The whole lab.

    Attributes:
        backend: "calico", "flannel" or "cilium".
        family: "4" or "6": the IP version of the underlay, the pods and the services.
        cluster_uid: the uid of the namespace kube-system, by which a cluster is recognised.
        pod_cidr: the network all pods' addresses come from.
        fabric: name of the underlay's network namespace.
        state_dir: absolute path of the directory with the lab's files.
    """

    backend: str
    family: str
    cluster_uid: str
    pod_cidr: str
    fabric: str
    nodes: tuple[LabNode, ...]
    pods: tuple[LabPod, ...]
    services: tuple[LabService, ...]
    workloads: tuple[LabWorkload, ...]
    state_dir: str

    def node(self, name: str) -> LabNode:
        """The node of that name; KeyError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def pods_on(self, node: str) -> tuple[LabPod, ...]:
        """The pods of a node that have a veth, in the order of the records."""
        return tuple(pod for pod in self.pods if pod.node == node and pod.host_interface is not None)

    def endpoints(self, service: LabService) -> tuple[LabPod, ...]:
        """The running pods that a service's selector picks; () for a service without selector."""
        if not service.selector:
            return ()
        return tuple(
            pod
            for pod in self.pods
            if pod.namespace == service.namespace
            and pod.phase == "Running"
            and all(pod.labels.get(key) == value for key, value in service.selector.items())
        )

    def namespaces(self) -> tuple[str, ...]:
        """Every network namespace the lab makes: fabric, nodes, pods."""
        pods = [pod.netns for pod in self.pods if pod.netns is not None and not pod.host_network]
        return (self.fabric, *(node.netns for node in self.nodes), *pods)


def state_dir() -> Path:
    """The state directory: VXTRACE_LAB_STATE, or /run/vxtrace-lab."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE_DIR).absolute()


def write_json(path: Path, value: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(json.dumps(value, indent=1) + "\n")
    scratch.replace(path)


def save(lab: Lab) -> None:
    """Write the records to the lab's state directory."""
    write_json(Path(lab.state_dir) / RECORD_FILE, dataclasses.asdict(lab))


def load(directory: Path | None = None) -> Lab | None:
    """The lab that is up, from `directory` or the state directory; None if there is none.

    Raises:
        ValueError, KeyError, TypeError: the file is not one that `save` wrote.
    """
    path = (directory or state_dir()) / RECORD_FILE
    if not path.exists():
        return None
    return from_json(json.loads(path.read_text()))


def from_json(data: Mapping[str, Any]) -> Lab:
    """The records from what `dataclasses.asdict` made of them."""
    return Lab(
        **{
            **data,
            "nodes": tuple(LabNode(**node) for node in data["nodes"]),
            "pods": tuple(_pod(pod) for pod in data["pods"]),
            "services": tuple(_service(service) for service in data["services"]),
            "workloads": tuple(LabWorkload(**workload) for workload in data["workloads"]),
        }
    )


def _pod(data: Mapping[str, Any]) -> LabPod:
    containers = tuple(
        LabContainer(**{**container, "ports": tuple(LabPort(**port) for port in container["ports"])}) for container in data["containers"]
    )
    return LabPod(**{**data, "containers": containers})


def _service(data: Mapping[str, Any]) -> LabService:
    return LabService(**{**data, "ports": tuple(LabServicePort(**port) for port in data["ports"])})
