"""What the Kubernetes API said, and the questions that are put to nodes."""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster. `annotations` keeps only those of CNIs (Calico's and flannel's published addresses)."""

    name: str
    addresses: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    ready: bool = True
    not_ready_reason: str | None = None
    os: str = "linux"
    architecture: str = "amd64"
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod; `owner` is `kind/name` of its controller in lower case (`replicaset/coredns-86b5dd7f68`)."""

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

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service; `protocol` is `TCP` or `UDP`."""

    name: str | None = None
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One address behind one port of a Service, from its EndpointSlices. `port_name` joins it to the ServicePort."""

    address: str
    port: int
    protocol: str = "TCP"
    port_name: str | None = None
    ready: bool = True
    node: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service with its backends. `addresses` are its ClusterIPs, empty for a headless one."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str]
    backends: tuple[Backend, ...] = ()

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


class Scope(StrEnum):
    """How much of the cluster a snapshot holds."""

    NEAR = "near"
    WIDE = "wide"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """What the API said at one time. `uid` is that of the kube-system namespace; `missing` lists kinds that may not be read.

    `namespace` is the one that kubectl would use where none is given.
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


class AnswerStatus(StrEnum):
    """What became of a question to a node."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCommand:
    """A question to a node: `argv` runs in the debug pod of `node`; never through a shell with foreign text in the script."""

    node: str
    key: str
    argv: tuple[str, ...]
    timeout_s: float = 20.0
    max_bytes: int = 32 * 1024 * 1024


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
    """What became of fetching one file: `reason` is None exactly if the file is whole and its SHA-256 was verified."""

    node: str
    file: str
    size_bytes: int = 0
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
