"""What the Kubernetes API said, and the questions that are put to nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster. `annotations` keeps only those of CNIs (the addresses that Calico, flannel and Cilium publish).

    `labels` only where they say a zone or region (`topology.kubernetes.io/zone`). kubelet, kernel: versions, as the kubelet says.
    """

    name: str
    addresses: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    ready: bool = True
    not_ready_reason: str | None = None
    os: str = "linux"
    architecture: str = "amd64"
    kubelet: str | None = None
    kernel: str | None = None
    annotations: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCondition:
    """A condition of a pod: `type` `Ready`, `ContainersReady`, `PodScheduled`; `status` `True`, `False` or `Unknown`."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod; `owner` is `kind/name` of its controller in lower case (`replicaset/coredns-86b5dd7f68`).

    `restarts` is the sum over its containers.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str | None = None
    addresses: tuple[str, ...] = ()
    host_network: bool = False
    phase: str = "Running"
    ready: bool = True
    reason: str | None = None
    owner: str | None = None
    labels: dict[str, str]
    conditions: tuple[PodCondition, ...] = ()
    restarts: int = 0

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service; `protocol` is `TCP` or `UDP`. `node_port` is open on every node's address, None where there is none."""

    name: str | None = None
    port: int
    protocol: str = "TCP"
    node_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One address behind one port of a Service, from its EndpointSlices. `port_name` joins it to the ServicePort.

    `serving` and `terminating` are the slice's own conditions; None where it does not say. kube-proxy sends to terminating ones that
    serve only where no other is ready.
    """

    address: str
    port: int
    protocol: str = "TCP"
    port_name: str | None = None
    ready: bool = True
    node: str | None = None
    pod: str | None = None
    serving: bool | None = None
    terminating: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service with its backends. `addresses` are its ClusterIPs, empty for a headless one; `external_addresses` are its externalIPs
    and its load balancer's, which the nodes translate as well.

    The traffic policies are `Cluster` or `Local`, `session_affinity` `None` or `ClientIP`, as the API spells them.
    """

    namespace: str
    name: str
    type: str = "ClusterIP"
    addresses: tuple[str, ...] = ()
    external_addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str]
    backends: tuple[Backend, ...] = ()
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = "Cluster"
    session_affinity: str = "None"

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet; `kind` in lower case, `owner` as in Pod."""

    kind: str
    namespace: str
    name: str
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One of a selector's matchExpressions; `operator` is `In`, `NotIn`, `Exists` or `DoesNotExist`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` satisfy it, as labels.Requirement of k8s.io/apimachinery reads it; an unknown operator never holds."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """A policy: `kind` is `NetworkPolicy` (of Kubernetes), or `crd.projectcalico.org/NetworkPolicy`, `.../GlobalNetworkPolicy`.

    `types` are `Ingress` and `Egress`, the directions in which it isolates the pods that it selects; `ingress` and `egress` count its
    rules: none means that nothing is let through. Of Calico's own kinds, `selector` is an expression in Calico's language, which is
    only shown. `namespace` is None for a global one.
    """

    kind: str = "NetworkPolicy"
    namespace: str | None
    name: str
    types: tuple[str, ...] = ()
    match_labels: dict[str, str] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()
    selector: str | None = None
    ingress: int = 0
    egress: int = 0

    def selects(self, pod: Pod) -> bool | None:
        """Whether it selects `pod`; None where its selector is in a language that is not read here."""
        if self.namespace is not None and self.namespace != pod.namespace:
            return False
        if self.selector is not None:
            return True if self.selector.strip() in ("", "all()") else None
        labels = pod.labels
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.holds(labels) for requirement in self.requirements
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IpPool:
    """An IPPool of Calico; the modes are `Always`, `CrossSubnet` or `Never`."""

    name: str
    cidr: str
    vxlan_mode: str = "Never"
    ipip_mode: str = "Never"
    nat_outgoing: bool = False
    disabled: bool = False
    block_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAffinity:
    """A block of a pool that Calico's IPAM has given to a node; `state` is `confirmed`, `pending` or `pendingDeletion`."""

    cidr: str
    node: str
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CniConfiguration:
    """What the CNI keeps in the API.

    `felix` is the spec of the FelixConfiguration `default` (scalars only, as text: `vxlanPort` `4789`, `bpfEnabled` `true`), with
    those of `node.<name>` as `<name>/<field>`. `felix_environment` are calico-node's own variables (`FELIX_VXLANPORT`), which win over
    it. `flannel` is `net-conf.json` of flannel's ConfigMap, flattened (`Network`, `Backend.Type`, `Backend.Port`).
    """

    pools: tuple[IpPool, ...] = ()
    blocks: tuple[BlockAffinity, ...] = ()
    felix: dict[str, str] = field(default_factory=dict)
    felix_environment: dict[str, str] = field(default_factory=dict)
    flannel: dict[str, str] = field(default_factory=dict)


class Scope(StrEnum):
    """How much of the cluster a snapshot holds."""

    NEAR = "near"
    WIDE = "wide"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """What the API said at one time. `uid` is that of the kube-system namespace; `missing` lists kinds that may not be read.

    `namespace` is the one that kubectl would use where none is given. `policies` and `cni` are read while the captures run;
    `absent` holds, per kind, why it could not be (`networkpolicies`: forbidden). A CNI that is not installed is absent, too. `refused`
    says in sentences what the API did not give, and what is not known for it. `pod_interfaces` are the nodes' ends of pods' interfaces, by
    `namespace/name`, where the network's own objects name them (Cilium's CiliumEndpoints).
    """

    uid: str | None = None
    taken_ns: int = 0
    scope: Scope = Scope.NEAR
    namespace: str = "default"
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    missing: tuple[str, ...] = ()
    policies: tuple[NetworkPolicy, ...] = ()
    cni: CniConfiguration = CniConfiguration()
    absent: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    pod_interfaces: dict[str, str] = field(default_factory=dict)


class AnswerStatus(StrEnum):
    """What became of a question to a node."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCommand:
    """A question to a node: `argv` runs in the debug pod of `node`; never through a shell with foreign text in the script. `patient`: what
    depends on it would be lost, so that it is tried for as long as the pod waits for a call."""

    node: str
    key: str
    argv: tuple[str, ...]
    timeout_s: float = 20.0
    max_bytes: int = 32 * 1024 * 1024
    patient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """A node's answer. `sent_ns` and `received_ns` are the client's clock around it.

    `ok`: ran and exited 0. `failed`: ran and exited otherwise. `timeout`, `truncated`: the stream ended without a status.
    `absent`: could not be asked (no pod, connection refused); `reason` says why.
    """

    command: NodeCommand
    status: AnswerStatus
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    reason: str | None = None
    sent_ns: int = 0
    received_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """What became of fetching one file: `reason` is None exactly if `content` is the whole file and its SHA-256 was verified.

    Else `content` is how the file begins, as far as it came.
    """

    node: str
    content: bytearray = field(default_factory=bytearray, repr=False)
    sha256: str | None = None
    reason: str | None = None


class CleanupState(StrEnum):
    """Whether the debug pods are gone."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Outcome of removing the debug pods, as `namespace/name`: those that are gone, and in `left` what may still be there."""

    state: CleanupState
    left: tuple[str, ...] = ()
    pods: int = 0
    removed: tuple[str, ...] = field(default=(), compare=False)
